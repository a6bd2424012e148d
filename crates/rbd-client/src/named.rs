//! What a verb is about, as `rbd` lets it be named: by position, or by options that say the same. `info vm@base` is
//! `info --image vm --snap base`; what is named by an option takes no position.

mod places;

use std::{ffi::OsString, ops::Deref, vec};

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, error::ErrorKind, value_parser};

pub(crate) use places::{
    ExportNames, ImportNames, LockNames, LockerNames, RenameNames, SnapRenameNames, SourceAndDest,
};

/// A position on the command line, and what else may stand for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// In the usage, e.g. "IMAGE@SNAP".
    name: &'static str,
    help: &'static str,
    options: Options,
    is_required: bool,
}

/// The options that stand for a position.
#[derive(Clone, Copy, Debug)]
enum Options {
    None,
    /// `--image`, and `--snap` where a snapshot can be named.
    Source {
        with_snap: bool,
    },
    /// `--dest`, `--dest-pool`.
    Dest,
    /// `--dest`, `--dest-snap`.
    DestSnap,
    /// `--path`.
    Path,
}

/// Names of a verb, in the order of their positions.
pub(crate) trait Names: Clone + Sized {
    /// Where they stand.
    const PLACES: &'static [Place];

    /// From one text for each place; `None` only for what is not required. The error names the text and the rule.
    fn of(texts: Texts) -> Result<Self, String>;
}

/// One text for each place.
pub(crate) struct Texts(vec::IntoIter<Option<OsString>>);

impl Texts {
    fn next_os(&mut self) -> Option<OsString> {
        self.0.next().flatten()
    }

    /// What is not there is empty. The error names what is not UTF-8, which would be another name.
    fn next(&mut self) -> Result<String, String> {
        Ok(self.next_if_any()?.unwrap_or_default())
    }

    fn next_if_any(&mut self) -> Result<Option<String>, String> {
        let text = self.next_os().map(OsString::into_string).transpose();
        text.map_err(|text| format!("EINVAL: '{}' is not UTF-8, as names are", text.display()))
    }
}

/// Names as arguments of a verb.
#[derive(Clone, Debug)]
pub(crate) struct Named<N>(N);

impl<N> Deref for Named<N> {
    type Target = N;

    fn deref(&self) -> &N {
        &self.0
    }
}

impl<N: Names> Args for Named<N> {
    fn augment_args(command: Command) -> Command {
        N::PLACES.iter().fold(command, |command, place| place.augment(command))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<N: Names> FromArgMatches for Named<N> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut positional = N::PLACES.iter().filter_map(|place| matches.get_one::<OsString>(place.id()));
        let mut texts = Vec::with_capacity(N::PLACES.len());
        for place in N::PLACES {
            let text = place.text(matches, &mut positional)?;
            if text.is_none() && place.is_required {
                return Err(missing(place));
            }
            texts.push(text);
        }
        if let Some(more) = positional.next() {
            let text = format!("'{}' is one name too many: an option names the same", more.display());
            return Err(clap::Error::raw(ErrorKind::TooManyValues, text));
        }
        let names = N::of(Texts(texts.into_iter()));
        names.map(Self).map_err(|rule| clap::Error::raw(ErrorKind::ValueValidation, rule))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn missing(place: &Place) -> clap::Error {
    let instead = match place.options {
        Options::None => "",
        Options::Source { .. } => ", or --image",
        Options::Dest | Options::DestSnap => ", or --dest",
        Options::Path => ", or --path",
    };
    let text = format!("EINVAL: {} was not specified{instead}", place.name);
    clap::Error::raw(ErrorKind::MissingRequiredArgument, text)
}

impl Place {
    fn id(&self) -> &'static str {
        self.name
    }

    fn augment(&self, command: Command) -> Command {
        let position = Arg::new(self.id()).value_name(self.name).help(self.help);
        let command = command.arg(position.value_parser(value_parser!(OsString)));
        let option = |name: &'static str, value, help| {
            let argument = Arg::new(name).long(name).value_name(value).help(help).action(ArgAction::Set);
            argument.value_parser(value_parser!(OsString)).hide_short_help(true)
        };
        match self.options {
            Options::None => command,
            Options::Path => command.arg(option("path", "FILE", "The file, instead of its position")),
            Options::Source { with_snap } => {
                let command = command.arg(option("image", "IMAGE", "The image, instead of its position"));
                match with_snap {
                    true => command.arg(option("snap", "SNAP", "The snapshot, instead of @SNAP")),
                    false => command,
                }
            }
            Options::Dest => {
                let command = command.arg(option("dest", "IMAGE", "The new image, instead of its position"));
                command.arg(option("dest-pool", "POOL", "Pool of the new image"))
            }
            Options::DestSnap => {
                let command = command.arg(option("dest", "IMAGE", "The same image, instead of its position"));
                command.arg(option("dest-snap", "SNAP", "The new name, instead of @SNAP"))
            }
        }
    }

    /// By option, else the next one by position.
    fn text<'a>(
        &self,
        matches: &ArgMatches,
        positional: &mut impl Iterator<Item = &'a OsString>,
    ) -> Result<Option<OsString>, clap::Error> {
        let given = |name: &str| matches.get_one::<OsString>(name).cloned();
        match self.options {
            Options::None => Ok(positional.next().cloned()),
            Options::Path => Ok(given("path").or_else(|| positional.next().cloned())),
            Options::Source { with_snap } => {
                let image = given("image").or_else(|| positional.next().cloned());
                let snap = if with_snap { given("snap") } else { None };
                if image.is_none() && snap.is_some() {
                    return Err(missing(self));
                }
                joined(image, "@", snap, |image, snap| (image, snap))
            }
            Options::Dest => {
                let image = given("dest").or_else(|| positional.next().cloned());
                joined(image, "/", given("dest-pool"), |image, pool| (pool, image))
            }
            Options::DestSnap => {
                let image = given("dest").or_else(|| positional.next().cloned());
                joined(image, "@", given("dest-snap"), |image, snap| (image, snap))
            }
        }
    }
}

/// `image` with the part that an option adds. Whoever names that part twice may mean either.
fn joined(
    image: Option<OsString>,
    separator: &str,
    part: Option<OsString>,
    in_order: impl Fn(OsString, OsString) -> (OsString, OsString),
) -> Result<Option<OsString>, clap::Error> {
    let (Some(image), Some(part)) = (image.clone(), part) else { return Ok(image) };
    if image.to_string_lossy().contains(separator) {
        let text = format!("EINVAL: '{}' and '{}' name the same part", image.display(), part.display());
        return Err(clap::Error::raw(ErrorKind::ArgumentConflict, text));
    }
    let (mut first, second) = in_order(image, part);
    first.push(separator);
    first.push(second);
    Ok(Some(first))
}
