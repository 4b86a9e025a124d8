//! What tells later whether a file still holds what was recorded.

use serde::{Deserialize, Serialize};
use std::fmt;

/// How files are summed up. It is the one thing done to every byte that no recorder must do, and with SHA-256 about a
/// quarter of what a stream costs, which is for the operator to spend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// By SHA-256: nobody can make another file of the same sum.
    #[default]
    Sha256,
    /// By CRC-32, as `zip`, `gzip` and Ethernet do: what happens to a file by chance shows, at a tenth of the cost.
    Crc32,
    /// Not at all: only structure and length are known.
    None,
}

impl Checksum {
    /// As in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Crc32 => "crc32",
            Self::None => "none",
        }
    }
}

/// The sum of a whole file. In rows the first two are written as an `Option` of a SHA-256 was before there was another
/// sum, so that old rows stay readable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sum {
    /// None yet, or nobody wants one.
    #[default]
    None,
    /// Its SHA-256.
    Sha256([u8; 32]),
    /// Its CRC-32.
    Crc32(u32),
}

impl Sum {
    /// How it was made.
    pub const fn checksum(self) -> Checksum {
        match self {
            Self::None => Checksum::None,
            Self::Sha256(_) => Checksum::Sha256,
            Self::Crc32(_) => Checksum::Crc32,
        }
    }

    /// Whether there is one.
    pub const fn is_some(self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether there is none.
    pub const fn is_none(self) -> bool {
        matches!(self, Self::None)
    }
}

impl fmt::Display for Sum {
    /// In hex, as the usual tools print it; empty where there is none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Sha256(digest) => digest.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Self::Crc32(crc) => write!(f, "{crc:08x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_before_there_was_another_sum_are_read_and_written_alike() {
        for (old, new) in [(None, Sum::None), (Some([7u8; 32]), Sum::Sha256([7; 32]))] {
            let bytes = postcard::to_stdvec(&(3u8, old, 4u8)).unwrap();
            assert_eq!(postcard::from_bytes::<(u8, Sum, u8)>(&bytes).unwrap(), (3, new, 4));
            assert_eq!(postcard::to_stdvec(&(3u8, new, 4u8)).unwrap(), bytes);
        }
        assert_eq!(Sum::Crc32(0xab).to_string(), "000000ab");
        assert_eq!(Sum::Sha256([0xab; 32]).to_string(), "ab".repeat(32));
    }
}
