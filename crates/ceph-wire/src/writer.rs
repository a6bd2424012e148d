use bytes::Bytes;

/// Bytes that grow at their end.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Without bytes.
    pub fn new() -> Self {
        Self::default()
    }

    /// With room for so many.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes) }
    }

    /// Appends bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// What has been written.
    pub fn written(&self) -> &[u8] {
        &self.bytes
    }

    /// A u32 with the number of bytes that `write` appends, and those.
    pub fn counted(&mut self, write: impl FnOnce(&mut Self)) {
        let at = self.bytes.len();
        self.bytes(&[0; 4]);
        write(self);
        let length = u32::try_from(self.bytes.len() - at - 4).expect("nothing of 4 GiB is written");
        self.bytes[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// A versioned struct.
    pub fn versioned(&mut self, version: u8, compat: u8, write: impl FnOnce(&mut Self)) {
        self.bytes(&[version, compat]);
        self.counted(write);
    }

    /// Everything that was written.
    pub fn finish(self) -> Bytes {
        self.bytes.into()
    }
}
