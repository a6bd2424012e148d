//! What the verbs are about.

use std::path::PathBuf;

use super::{Names, Options, Place, Texts};
use crate::{
    client_name,
    spec::{ImageOrSnapSpec, ImageSpec, SnapSpec},
};

const IMAGE: Place = Place {
    name: "IMAGE",
    help: "[POOL/]IMAGE",
    options: Options::Source { with_snap: false },
    is_required: true,
};
const IMAGE_OR_SNAP: Place = Place {
    name: "IMAGE[@SNAP]",
    help: "[POOL/]IMAGE[@SNAP]",
    options: Options::Source { with_snap: true },
    is_required: true,
};
const SNAP: Place = Place {
    name: "IMAGE@SNAP",
    help: "[POOL/]IMAGE@SNAP",
    options: Options::Source { with_snap: true },
    is_required: true,
};
const DEST: Place = Place {
    name: "NEW_IMAGE",
    help: "[POOL/]IMAGE: the new image",
    options: Options::Dest,
    is_required: true,
};
const FILE: Place = Place {
    name: "FILE",
    help: "File to read; - is standard input",
    options: Options::Path,
    is_required: true,
};
const LOCK: Place = Place {
    name: "ID",
    help: "Id of the lock, as `lock ls` shows it",
    options: Options::None,
    is_required: true,
};

impl Names for ImageSpec {
    const PLACES: &'static [Place] = &[IMAGE];

    fn of(mut texts: Texts) -> Result<Self, String> {
        parsed(&texts.next()?)
    }
}

impl Names for ImageOrSnapSpec {
    const PLACES: &'static [Place] = &[IMAGE_OR_SNAP];

    fn of(mut texts: Texts) -> Result<Self, String> {
        parsed(&texts.next()?)
    }
}

impl Names for Option<ImageOrSnapSpec> {
    const PLACES: &'static [Place] =
        &[Place { help: "[POOL/]IMAGE[@SNAP]; without it all images", is_required: false, ..IMAGE_OR_SNAP }];

    fn of(mut texts: Texts) -> Result<Self, String> {
        texts.next_if_any()?.map(|text| parsed(&text)).transpose()
    }
}

impl Names for SnapSpec {
    const PLACES: &'static [Place] = &[SNAP];

    fn of(mut texts: Texts) -> Result<Self, String> {
        parsed(&texts.next()?)
    }
}

/// A snapshot, and the image that is made of it.
#[derive(Clone, Debug)]
pub(crate) struct SourceAndDest {
    pub(crate) source: SnapSpec,
    pub(crate) dest: ImageSpec,
}

impl Names for SourceAndDest {
    const PLACES: &'static [Place] = &[SNAP, DEST];

    fn of(mut texts: Texts) -> Result<Self, String> {
        Ok(Self { source: parsed(&texts.next()?)?, dest: parsed(&texts.next()?)? })
    }
}

/// An image, and the name that it gets.
#[derive(Clone, Debug)]
pub(crate) struct RenameNames {
    pub(crate) source: ImageSpec,
    pub(crate) dest: ImageSpec,
}

impl Names for RenameNames {
    const PLACES: &'static [Place] =
        &[IMAGE, Place { help: "[POOL/]IMAGE: the new name, in the same pool", ..DEST }];

    fn of(mut texts: Texts) -> Result<Self, String> {
        Ok(Self { source: parsed(&texts.next()?)?, dest: parsed(&texts.next()?)? })
    }
}

/// A snapshot, and the name that it gets.
#[derive(Clone, Debug)]
pub(crate) struct SnapRenameNames {
    pub(crate) source: SnapSpec,
    pub(crate) dest: SnapSpec,
}

impl Names for SnapRenameNames {
    const PLACES: &'static [Place] = &[
        SNAP,
        Place {
            name: "NEW_IMAGE@NEW_SNAP",
            help: "The same image, and the name that the snapshot gets",
            options: Options::DestSnap,
            is_required: true,
        },
    ];

    fn of(mut texts: Texts) -> Result<Self, String> {
        Ok(Self { source: parsed(&texts.next()?)?, dest: parsed(&texts.next()?)? })
    }
}

/// A file, and the image that is made of it.
#[derive(Clone, Debug)]
pub(crate) struct ImportNames {
    pub(crate) path: PathBuf,
    /// `None`: named after the file.
    pub(crate) image: Option<ImageSpec>,
}

impl Names for ImportNames {
    const PLACES: &'static [Place] =
        &[FILE, Place { help: "[POOL/]IMAGE; without it the file's name", is_required: false, ..DEST }];

    fn of(mut texts: Texts) -> Result<Self, String> {
        let path = texts.next_os().unwrap_or_default().into();
        let image = texts.next_if_any()?.map(|text| parsed(&text)).transpose()?;
        Ok(Self { path, image })
    }
}

/// An image, and the file that is made of it.
#[derive(Clone, Debug)]
pub(crate) struct ExportNames {
    pub(crate) image: ImageOrSnapSpec,
    /// `None`: named after the image.
    pub(crate) path: Option<PathBuf>,
}

impl Names for ExportNames {
    const PLACES: &'static [Place] = &[
        IMAGE_OR_SNAP,
        Place {
            help: "File to write; - is standard output; without it the image's name",
            is_required: false,
            ..FILE
        },
    ];

    fn of(mut texts: Texts) -> Result<Self, String> {
        Ok(Self { image: parsed(&texts.next()?)?, path: texts.next_os().map(PathBuf::from) })
    }
}

/// A lock of an image.
#[derive(Clone, Debug)]
pub(crate) struct LockNames {
    pub(crate) image: ImageSpec,
    pub(crate) id: String,
}

impl Names for LockNames {
    const PLACES: &'static [Place] = &[IMAGE, Place { help: "Id of the lock, chosen by you", ..LOCK }];

    fn of(mut texts: Texts) -> Result<Self, String> {
        Ok(Self { image: parsed(&texts.next()?)?, id: texts.next()? })
    }
}

/// A lock of an image, and who holds it.
#[derive(Clone, Debug)]
pub(crate) struct LockerNames {
    pub(crate) image: ImageSpec,
    pub(crate) id: String,
    pub(crate) locker: u64,
}

impl Names for LockerNames {
    const PLACES: &'static [Place] = &[
        IMAGE,
        LOCK,
        Place {
            name: "LOCKER",
            help: "The holder: client.GID, as `lock ls` shows it",
            options: Options::None,
            is_required: true,
        },
    ];

    fn of(mut texts: Texts) -> Result<Self, String> {
        let (image, id) = (parsed(&texts.next()?)?, texts.next()?);
        Ok(Self { image, id, locker: client_name::gid(&texts.next()?)? })
    }
}

fn parsed<S: std::str::FromStr<Err: ToString>>(text: &str) -> Result<S, String> {
    text.parse().map_err(|error: S::Err| error.to_string())
}
