//! Passwords of plays: Argon2id, as text that says how it was made.

use crate::base::Secret;
use argon2::{
    Algorithm, Argon2, Params, PasswordHash as Parsed, PasswordHasher, PasswordVerifier, Version,
    password_hash::SaltString,
};
use std::fmt;

/// The longest password.
pub const PASSWORD_BYTES_MAX: usize = 256;
/// What OWASP asks for at least: 19 MiB, twice over, one lane. 20 ms of one core.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
/// What a hash of others may cost, so that none of them takes a thread for seconds.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 10;
const LANES_MAX: u32 = 4;
/// As long as such a text gets.
const TEXT_BYTES_MAX: usize = 256;
const SALT_BYTES: usize = 16;

/// `$argon2id$v=19$m=…,t=…,p=…$<salt>$<hash>`. Not a secret that opens anything, and shown to nobody all the same.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

/// What is no password, or no hash of one.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum BadPassword {
    /// None at all, or a book.
    #[error("a password has 1 to {PASSWORD_BYTES_MAX} bytes; leave it out for none")]
    Length,
    /// Not what `skyvis hash-password` prints.
    #[error("it is not an Argon2id string; `skyvis hash-password` makes one")]
    NoHash,
    /// It would take a thread for too long.
    #[error(
        "its Argon2id parameters are too high; at most m={MEMORY_KIB_MAX}, t={PASSES_MAX} and p={LANES_MAX} are taken"
    )]
    Costly,
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"***\"")
    }
}

impl PasswordHash {
    /// Hashes a password. Takes a core for some 20 ms.
    pub fn of(password: &Secret) -> Result<Self, BadPassword> {
        Self::check(password)?;
        let salt: [u8; SALT_BYTES] = rand::random();
        let salt = SaltString::encode_b64(&salt).map_err(|_| BadPassword::NoHash)?;
        let params = Params::new(MEMORY_KIB, PASSES, 1, None).map_err(|_| BadPassword::Costly)?;
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let hash = hasher.hash_password(password.expose().as_bytes(), &salt).map_err(|_| BadPassword::NoHash)?;
        Ok(Self(hash.to_string()))
    }

    /// Whether it is one at all.
    pub fn check(password: &Secret) -> Result<(), BadPassword> {
        let fits = (1..=PASSWORD_BYTES_MAX).contains(&password.expose().len());
        if fits { Ok(()) } else { Err(BadPassword::Length) }
    }

    /// A hash that was made before.
    pub fn parse(text: &str) -> Result<Self, BadPassword> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(BadPassword::NoHash);
        }
        let parsed = Parsed::new(text).map_err(|_| BadPassword::NoHash)?;
        let is_ours = Algorithm::try_from(parsed.algorithm) == Ok(Algorithm::Argon2id);
        let params = Params::try_from(&parsed).map_err(|_| BadPassword::NoHash)?;
        if !is_ours || parsed.hash.is_none() || parsed.salt.is_none() {
            return Err(BadPassword::NoHash);
        }
        let cheap = params.m_cost() <= MEMORY_KIB_MAX && params.t_cost() <= PASSES_MAX && params.p_cost() <= LANES_MAX;
        if cheap { Ok(Self(text.to_owned())) } else { Err(BadPassword::Costly) }
    }

    /// The text, to be kept or printed.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the password. Takes as long for a wrong one as for the right one.
    pub(super) fn holds(&self, password: &Secret) -> bool {
        // What is too long is hashed like any other: an answer at once would say that it is wrong.
        Parsed::new(&self.0)
            .is_ok_and(|hash| Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_password_and_no_other() {
        let hash = PasswordHash::of(&Secret::new("richtig")).unwrap();
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
        assert!(hash.holds(&Secret::new("richtig")));
        for wrong in ["", "richti", "richtig ", "Richtig", &"x".repeat(10_000)] {
            assert!(!hash.holds(&Secret::new(wrong)), "{wrong}");
        }
        let again = PasswordHash::of(&Secret::new("richtig")).unwrap();
        assert_ne!(hash, again, "each has its own salt");
        assert_eq!(PasswordHash::parse(hash.as_str()), Ok(hash.clone()));
        assert_eq!(format!("{hash:?}"), "\"***\"");
    }

    #[test]
    fn hashes_of_others_are_taken_where_they_cost_little() {
        let reference = "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzYWx0$GLVZ4jKwLrFxJe1mJr1fTA1bqUsEr2cRTYJqd2C8ET0";
        assert!(PasswordHash::parse(reference).is_ok());
        let costly = reference.replace("m=65536", "m=1048576");
        assert_eq!(PasswordHash::parse(&costly), Err(BadPassword::Costly));
        for text in ["", "x", "$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNo", "$2b$12$abc", "$argon2id$"] {
            assert_eq!(PasswordHash::parse(text), Err(BadPassword::NoHash), "{text}");
        }
        for password in ["", &"x".repeat(257)] {
            assert_eq!(PasswordHash::of(&Secret::new(password)).unwrap_err(), BadPassword::Length);
        }
    }
}
