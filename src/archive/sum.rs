//! Summing up a file, piece by piece.

use crate::model::{Checksum, Sum};
use sha2::{Digest, Sha256};

/// A sum in the making.
pub enum Summing {
    /// Nobody wants one.
    None,
    /// See [`Checksum::Sha256`].
    Sha256(Box<Sha256>),
    /// See [`Checksum::Crc32`].
    Crc32(crc32fast::Hasher),
}

impl Summing {
    /// Of nothing yet.
    pub fn new(checksum: Checksum) -> Self {
        match checksum {
            Checksum::None => Self::None,
            Checksum::Sha256 => Self::Sha256(Box::default()),
            Checksum::Crc32 => Self::Crc32(crc32fast::Hasher::new()),
        }
    }

    /// And these bytes behind those before.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::None => {}
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Crc32(hasher) => hasher.update(bytes),
        }
    }

    /// Of all that was given.
    pub fn finish(self) -> Sum {
        match self {
            Self::None => Sum::None,
            Self::Sha256(hasher) => Sum::Sha256(hasher.finalize().into()),
            Self::Crc32(hasher) => Sum::Crc32(hasher.finalize()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `printf 123456789 | sha256sum` and `crc32` say.
    #[test]
    fn sums_are_those_of_the_usual_tools_however_the_bytes_come() {
        let sha256 = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225";
        for (checksum, expected) in [(Checksum::Sha256, sha256), (Checksum::Crc32, "cbf43926"), (Checksum::None, "")] {
            let mut summing = Summing::new(checksum);
            ["1234", "", "5", "6789"].iter().for_each(|piece| summing.update(piece.as_bytes()));
            let sum = summing.finish();
            assert_eq!((sum.to_string(), sum.checksum()), (expected.to_owned(), checksum));
        }
    }
}
