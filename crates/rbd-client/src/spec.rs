//! How images and snapshots are named on the command line: `[POOL/]IMAGE[@SNAP]`.

use std::{fmt, str::FromStr};

/// An image: `[POOL/]IMAGE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageSpec {
    /// Absent: the pool of `--pool`.
    pub(crate) pool: Option<String>,
    /// Name of the image.
    pub(crate) image: String,
}

/// A snapshot: `[POOL/]IMAGE@SNAP`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapSpec {
    /// The image it was taken of.
    pub(crate) image: ImageSpec,
    /// Name of the snapshot.
    pub(crate) snap: String,
}

/// An image or a snapshot of it: `[POOL/]IMAGE[@SNAP]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImageOrSnapSpec {
    /// The image.
    pub(crate) image: ImageSpec,
    /// Absent: the image itself.
    pub(crate) snap: Option<String>,
}

/// The text names no image or snapshot. EINVAL.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SpecError {
    text: String,
    rule: &'static str,
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EINVAL: image spec '{}': {}", self.text, self.rule)
    }
}
impl std::error::Error for SpecError {}

impl ImageSpec {
    /// With its pool, for messages; `pool` is that of `--pool`.
    pub(crate) fn in_pool(&self, pool: &str) -> Self {
        let pool = self.pool.clone().unwrap_or_else(|| pool.to_owned());
        Self { pool: Some(pool), image: self.image.clone() }
    }
}

impl SnapSpec {
    /// With its pool, for messages; `pool` is that of `--pool`.
    pub(crate) fn in_pool(&self, pool: &str) -> Self {
        Self { image: self.image.in_pool(pool), snap: self.snap.clone() }
    }
}

impl ImageOrSnapSpec {
    /// With its pool, for messages; `pool` is that of `--pool`.
    pub(crate) fn in_pool(&self, pool: &str) -> Self {
        Self { image: self.image.in_pool(pool), snap: self.snap.clone() }
    }
}

/// The name of a pool to be made: one that an image spec can name.
pub(crate) fn pool_name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(['/', '@']) || text.contains(char::is_control) {
        return Err(format!(
            "EINVAL: '{}' is not a pool's name: it has no '/', no '@' and no control characters",
            text.escape_debug()
        ));
    }
    Ok(text.to_owned())
}

impl FromStr for ImageOrSnapSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let refuse = |rule| Err(SpecError { text: text.to_owned(), rule });
        let (path, snap) = match text.split_once('@') {
            Some((path, snap)) => (path, Some(snap)),
            None => (text, None),
        };
        let (pool, image) = match path.split_once('/') {
            Some((pool, image)) => (Some(pool), image),
            None => (None, path),
        };
        if image.is_empty() {
            return refuse("expected [POOL/]IMAGE[@SNAP]: the image's name is missing");
        }
        if pool == Some("") {
            return refuse("expected [POOL/]IMAGE[@SNAP]: the pool's name before '/' is missing");
        }
        if snap == Some("") {
            return refuse("expected [POOL/]IMAGE[@SNAP]: the snapshot's name after '@' is missing");
        }
        if image.contains('/') {
            return refuse("expected [POOL/]IMAGE[@SNAP]: at most one '/'; there are no namespaces");
        }
        if snap.is_some_and(|snap| snap.contains(['@', '/'])) {
            return refuse("expected [POOL/]IMAGE[@SNAP]: a snapshot's name has no '@' and no '/'");
        }
        let image = ImageSpec { pool: pool.map(str::to_owned), image: image.to_owned() };
        Ok(Self { image, snap: snap.map(str::to_owned) })
    }
}

impl FromStr for ImageSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let spec: ImageOrSnapSpec = text.parse()?;
        match spec.snap {
            None => Ok(spec.image),
            Some(_) => Err(SpecError {
                text: text.to_owned(),
                rule: "expected [POOL/]IMAGE: no '@SNAP' can be given here",
            }),
        }
    }
}

impl FromStr for SnapSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<Self, SpecError> {
        let spec: ImageOrSnapSpec = text.parse()?;
        match spec.snap {
            Some(snap) => Ok(Self { image: spec.image, snap }),
            None => Err(SpecError {
                text: text.to_owned(),
                rule: "expected [POOL/]IMAGE@SNAP: the '@SNAP' is missing",
            }),
        }
    }
}

impl fmt::Display for ImageSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pool {
            Some(pool) => write!(f, "{pool}/{}", self.image),
            None => f.write_str(&self.image),
        }
    }
}

impl fmt::Display for SnapSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.image, self.snap)
    }
}

impl fmt::Display for ImageOrSnapSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.snap {
            Some(snap) => write!(f, "{}@{snap}", self.image),
            None => self.image.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pool_and_snapshot_are_optional() {
        for text in ["img", "rbd/img", "img@snap", "rbd/img@snap"] {
            let spec: ImageOrSnapSpec = text.parse().expect(text);
            assert_eq!(spec.image.image, "img");
            assert_eq!(spec.image.pool.is_some(), text.contains('/'));
            assert_eq!(spec.snap.as_deref(), text.contains('@').then_some("snap"));
            assert_eq!(spec.to_string(), text);
        }
    }

    #[test]
    fn a_bad_spec_is_refused_with_the_text_and_the_rule() {
        let cases = [
            ("", "image's name is missing"),
            ("@snap", "image's name is missing"),
            ("rbd/", "image's name is missing"),
            ("/img", "pool's name"),
            ("img@", "snapshot's name after"),
            ("rbd/ns/img", "at most one '/'"),
            ("img@a@b", "no '@'"),
            ("img@a/b", "no '@' and no '/'"),
        ];
        for (text, rule) in cases {
            let error = text.parse::<ImageOrSnapSpec>().expect_err(text).to_string();
            assert!(error.contains(&format!("'{text}'")) && error.contains(rule), "{error}");
        }
    }

    #[test]
    fn a_verb_that_needs_a_snapshot_says_so() {
        let error = "rbd/img".parse::<SnapSpec>().expect_err("it has no snapshot").to_string();
        assert!(error.contains("'@SNAP' is missing"), "{error}");
    }

    #[test]
    fn a_verb_that_takes_no_snapshot_says_so() {
        let error = "img@snap".parse::<ImageSpec>().expect_err("it has a snapshot").to_string();
        assert!(error.contains("no '@SNAP'"), "{error}");
    }
}
