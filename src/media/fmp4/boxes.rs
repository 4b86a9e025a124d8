//! Writes MP4 boxes into memory: sizes are filled in when a box is done.

/// A growing run of boxes.
#[derive(Debug, Default)]
pub struct Boxes {
    out: Vec<u8>,
}

impl Boxes {
    /// Room for `bytes` without growing.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes) }
    }

    /// What was written.
    pub fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Writes a box whose content is written by `content`.
    pub fn boxed(&mut self, kind: &[u8; 4], content: impl FnOnce(&mut Self)) {
        let start = self.out.len();
        self.u32(0);
        self.bytes(kind);
        content(self);
        let size = u32::try_from(self.out.len() - start).expect("callers bound what goes into a box");
        self.out[start..start + 4].copy_from_slice(&size.to_be_bytes());
    }

    /// A box with a version and flags.
    pub fn full(&mut self, kind: &[u8; 4], version: u8, flags: u32, content: impl FnOnce(&mut Self)) {
        self.boxed(kind, |b| {
            b.u32(u32::from(version) << 24 | flags & 0x00ff_ffff);
            content(b);
        });
    }

    /// Raw bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// `count` zero bytes.
    pub fn zeros(&mut self, count: usize) {
        self.out.resize(self.out.len() + count, 0);
    }

    /// Big-endian, 16 bits.
    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_be_bytes());
    }

    /// Big-endian, 32 bits.
    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_be_bytes());
    }

    /// Big-endian, 64 bits.
    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_be_bytes());
    }

    /// A table's count of entries.
    pub fn count(&mut self, entries: usize) {
        self.u32(u32::try_from(entries).expect("callers bound the number of samples"));
    }

    /// Overwrites 32 bits written earlier.
    pub fn patch_u32(&mut self, at: usize, value: u32) {
        self.out[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }

    /// Overwrites 64 bits written earlier.
    pub fn patch_u64(&mut self, at: usize, value: u64) {
        self.out[at..at + 8].copy_from_slice(&value.to_be_bytes());
    }
}
