use crate::error::{Problem, WireError};

/// Bytes that are read from front to back. Nobody reads past the part that is his: a nested length gets a reader of its
/// own.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    /// All of them.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// What has not been read.
    pub fn left(&self) -> &'a [u8] {
        self.left
    }

    /// Whether everything has been read.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// The next `count` bytes.
    pub fn bytes(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        let short = Problem::Short { needed: count, left: self.left.len() };
        let (taken, left) = self.left.split_at_checked(count).ok_or(WireError::new(short))?;
        self.left = left;
        Ok(taken)
    }

    /// The next bytes, as many as the result has.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let taken = self.bytes(N)?;
        Ok(taken.try_into().expect("as many as asked for"))
    }

    /// A reader for the next `count` bytes.
    pub fn part(&mut self, count: usize) -> Result<Reader<'a>, WireError> {
        self.bytes(count).map(Reader::new)
    }

    /// A u32 and a reader for as many bytes.
    pub fn counted(&mut self) -> Result<Reader<'a>, WireError> {
        let count = u32::from_le_bytes(self.array()?);
        self.part(count as usize)
    }

    /// The body of a versioned struct and the version of its encoding; what `read` leaves of the body is skipped.
    /// `known` is the newest version that `read` understands.
    pub fn versioned<T>(
        &mut self,
        known: u8,
        read: impl FnOnce(&mut Reader<'a>, u8) -> Result<T, WireError>,
    ) -> Result<T, WireError> {
        let [version, compat] = self.array()?;
        if compat > known {
            return Err(WireError::new(Problem::TooNew { compat, known }));
        }
        read(&mut self.counted()?, version)
    }
}
