//! Whom a TLS connection may end at.

use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// The SHA-256 of a certificate, over its DER bytes, as `openssl x509 -fingerprint -sha256` and browsers show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// What makes a peer's certificate good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// It is this very one, whatever name or date it bears: devices make their own.
    Pinned(Fingerprint),
    /// An authority that the host trusts has signed it for the name that was asked for, and it is in force.
    SystemRoots,
    /// Whoever it is: for questions that tell nothing, where somebody says that they are to be asked so.
    Anyone,
}

/// A text is not a fingerprint; says what would be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("is not the SHA-256 of a certificate; write its 64 hexadecimal figures, with colons or without")]
pub struct NotAFingerprint;

impl Fingerprint {
    /// Of a certificate's DER bytes.
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl fmt::Display for Fingerprint {
    /// `sha256:` and 64 figures in lower case, as the config takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Fingerprint {
    type Err = NotAFingerprint;

    /// Any case; colons, blanks, `sha256:` and openssl's `sha256 Fingerprint=` are understood.
    fn from_str(text: &str) -> Result<Self, NotAFingerprint> {
        let lower = text.trim().to_ascii_lowercase();
        let rest = ["sha256 fingerprint=", "sha256:", "sha-256:"].iter().find_map(|p| lower.strip_prefix(p));
        let figures: String = rest.unwrap_or(&lower).chars().filter(|c| !matches!(c, ':' | ' ')).collect();
        // The number of bytes is looked at first, so that each pair lies on a boundary of characters.
        if figures.len() != 64 || !figures.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(NotAFingerprint);
        }
        let mut bytes = [0; 32];
        for (n, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&figures[2 * n..2 * n + 2], 16).map_err(|_| NotAFingerprint)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_writing_it_is_one_fingerprint() {
        let seen = Fingerprint::of(b"a certificate");
        let plain = seen.to_string();
        let figures = plain.strip_prefix("sha256:").unwrap();
        let pairs: Vec<&str> = (0..32).map(|n| &figures[2 * n..2 * n + 2]).collect();
        let colons = pairs.join(":").to_uppercase();
        for text in [&plain, figures, &colons, &format!("sha256 Fingerprint={colons}"), &format!(" SHA256:{colons} ")] {
            assert_eq!(text.parse(), Ok(seen), "{text}");
        }
        for text in ["", "sha256:", &figures[1..], &format!("{figures}0"), &figures.replace(&figures[..1], "g"), "é"] {
            assert_eq!(text.parse::<Fingerprint>(), Err(NotAFingerprint), "{text}");
        }
    }
}
