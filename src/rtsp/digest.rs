//! The server's side of digest access, MD5 and SHA-256, with `qop=auth` (RFC 2617, RFC 7616) and without (RFC 2069), as
//! Hikvision's ISAPI and RTSP have it. Pure: random numbers and times come in.

use md5::{Digest, Md5};
use sha2::Sha256;
use std::{collections::VecDeque, time::Duration};
use tokio::time::Instant;

/// The most nonces that are remembered; the oldest makes room.
const NONCES_MAX: usize = 4096;
/// The longest `Authorization` header that is looked at, in bytes.
const HEADER_MAX_BYTES: usize = 4096;
/// Hexadecimal figures of a SHA-256.
const SHA256_FIGURES: usize = 64;

/// The nonces that were given out.
#[derive(Debug)]
pub struct Nonces {
    lifetime: Duration,
    given: VecDeque<(String, Instant)>,
}

impl Nonces {
    /// None given yet. Each will be good for `lifetime`.
    pub fn new(lifetime: Duration) -> Self {
        Self { lifetime, given: VecDeque::new() }
    }

    /// Remembers and gives a nonce made of `random`: 32 hexadecimal figures.
    pub fn issue(&mut self, random: u128, now: Instant) -> String {
        let nonce = format!("{random:032x}");
        if self.given.len() == NONCES_MAX {
            self.given.pop_front();
        }
        self.given.push_back((nonce.clone(), now));
        nonce
    }

    /// The nonce was given and is not too old.
    pub fn knows(&self, nonce: &str, now: Instant) -> bool {
        // The newest first: it is nearly always the one that is asked for.
        let given = self.given.iter().rev().find(|(n, _)| n == nonce);
        given.is_some_and(|(_, at)| now.saturating_duration_since(*at) < self.lifetime)
    }

    /// Forgets all, as a reboot does.
    pub fn forget(&mut self) {
        self.given.clear();
    }
}

/// How a proof is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// What all devices know.
    Md5,
    /// What newer ones can be set to.
    Sha256,
}

/// The value of a `WWW-Authenticate` header in Hikvision's form: MD5 is not named, no opaque, `stale` quoted and in
/// capitals.
pub fn challenge(algorithm: Algorithm, realm: &str, nonce: &str, qop: bool, stale: bool) -> String {
    let qop = if qop { "qop=\"auth\", " } else { "" };
    let stale = if stale { "TRUE" } else { "FALSE" };
    let algorithm = match algorithm {
        Algorithm::Md5 => "",
        Algorithm::Sha256 => ", algorithm=\"SHA-256\"",
    };
    format!("Digest {qop}realm=\"{realm}\", nonce=\"{nonce}\", stale=\"{stale}\"{algorithm}")
}

/// A digest `Authorization` header, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Who claims to be there.
    pub username: String,
    /// The nonce that the proof is made with.
    pub nonce: String,
    realm: String,
    uri: String,
    response: String,
    qop: String,
    nc: String,
    cnonce: String,
    algorithm: Option<Algorithm>,
}

impl Credentials {
    /// Reads a header's value. `None` where it is not digest, or by another algorithm.
    pub fn parse(header: &str) -> Option<Self> {
        let (scheme, mut rest) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("digest") || header.len() > HEADER_MAX_BYTES {
            return None;
        }
        let mut credentials = Self::default();
        while let Some((name, value, tail)) = parameter(rest) {
            match name.to_ascii_lowercase().as_str() {
                "username" => credentials.username = value,
                "realm" => credentials.realm = value,
                "nonce" => credentials.nonce = value,
                "uri" => credentials.uri = value,
                "response" => credentials.response = value,
                "qop" => credentials.qop = value,
                "nc" => credentials.nc = value,
                "cnonce" => credentials.cnonce = value,
                "algorithm" if value.eq_ignore_ascii_case("MD5") => credentials.algorithm = Some(Algorithm::Md5),
                "algorithm" if value.eq_ignore_ascii_case("SHA-256") => credentials.algorithm = Some(Algorithm::Sha256),
                "algorithm" => return None,
                _ => {}
            }
            rest = tail;
        }
        (!credentials.nonce.is_empty() && !credentials.response.is_empty()).then_some(credentials)
    }

    /// How the proof was hashed. Clients leave the name out where there is no `qop`; the proof's length tells.
    pub fn algorithm(&self) -> Algorithm {
        let by_length = if self.response.len() == SHA256_FIGURES { Algorithm::Sha256 } else { Algorithm::Md5 };
        self.algorithm.unwrap_or(by_length)
    }

    /// Whoever made this knows the password of that account. The URI is taken as sent: clients disagree on which
    /// one to prove, and Hikvision does not mind.
    pub fn proves(&self, method: &str, user: &str, realm: &str, password: &str) -> bool {
        if self.username != user || self.realm != realm {
            return false;
        }
        let hex = match self.algorithm() {
            Algorithm::Md5 => hex::<Md5>,
            Algorithm::Sha256 => hex::<Sha256>,
        };
        let secret = hex(&[user, realm, password]);
        let what = hex(&[method, &self.uri]);
        let expected = if self.qop.is_empty() {
            hex(&[&secret, &self.nonce, &what])
        } else {
            hex(&[&secret, &self.nonce, &self.nc, &self.cnonce, &self.qop, &what])
        };
        equal_in_constant_time(expected.as_bytes(), self.response.to_ascii_lowercase().as_bytes())
    }
}

/// `name=value` or `name="value"`, and what follows the next comma.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let text = text.trim_start_matches([' ', ',', '\t']);
    let (name, rest) = text.split_once('=')?;
    let rest = rest.trim_start();
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find(',').unwrap_or(rest.len());
        return Some((name.trim(), rest[..end].trim().to_owned(), &rest[end..]));
    };
    let mut value = String::new();
    let mut escaped = false;
    for (at, c) in quoted.char_indices() {
        match c {
            _ if escaped => {
                value.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((name.trim(), value, &quoted[at + 1..])),
            _ => value.push(c),
        }
    }
    None
}

fn hex<H: Digest>(parts: &[&str]) -> String {
    let mut hash = H::new();
    for (n, part) in parts.iter().enumerate() {
        if n > 0 {
            hash.update(b":");
        }
        hash.update(part.as_bytes());
    }
    hash.finalize().as_slice().iter().map(|b| format!("{b:02x}")).collect()
}

fn equal_in_constant_time(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (x, y)| differs | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_2617_is_right() {
        let header = r#"Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
            uri="/dir/index.html", qop=auth, nc=00000001, cnonce="0a4f113b",
            response="6629fae49393a05397450978507c4ef1", opaque="5ccc069c403ebaf9f0171e9517f40e41""#;
        let credentials = Credentials::parse(header).unwrap();
        assert!(credentials.proves("GET", "Mufasa", "testrealm@host.com", "Circle Of Life"));
        assert!(!credentials.proves("PUT", "Mufasa", "testrealm@host.com", "Circle Of Life"));
        assert!(!credentials.proves("GET", "Mufasa", "testrealm@host.com", "Circle of Life"));
        assert!(!credentials.proves("GET", "Simba", "testrealm@host.com", "Circle Of Life"));
    }

    #[test]
    fn what_http_auth_answers_to_our_challenges_is_right() {
        let each = [Algorithm::Md5, Algorithm::Sha256].map(|a| [(a, true), (a, false)]);
        for (algorithm, qop) in each.into_iter().flatten() {
            let header = challenge(algorithm, "IP Camera(C2875)", "0123456789abcdef0123456789abcdef", qop, false);
            let mut client = http_auth::PasswordClient::try_from(header.as_str()).unwrap();
            let answer = client
                .respond(&http_auth::PasswordParams {
                    username: "admin",
                    password: "a\"b,c:d@",
                    uri: "rtsp://h/Streaming/Channels/101",
                    method: "DESCRIBE",
                    body: Some(&[]),
                })
                .unwrap();
            let credentials = Credentials::parse(&answer).unwrap();
            assert!(credentials.proves("DESCRIBE", "admin", "IP Camera(C2875)", "a\"b,c:d@"), "{algorithm:?} {qop}");
            assert_eq!(credentials.algorithm(), algorithm);
        }
    }

    #[test]
    fn only_digest_by_a_known_algorithm_is_read() {
        for header in [
            "Basic YWRtaW46cGFzcw==",
            "Digest",
            r#"Digest username="a", nonce="b""#,
            r#"Digest username="a", nonce="b", response="c", algorithm=SHA-512-256"#,
            r#"Digest nonce="b", response="c"#,
        ] {
            assert_eq!(Credentials::parse(header), None, "{header}");
        }
    }

    #[test]
    fn nonces_age_and_are_bounded() {
        let t0 = crate::base::Clock::real().now();
        let mut nonces = Nonces::new(Duration::from_secs(10));
        let first = nonces.issue(7, t0);
        assert!(nonces.knows(&first, t0) && !nonces.knows(&first, t0 + Duration::from_secs(10)));
        for n in 0..NONCES_MAX as u128 {
            nonces.issue(1000 + n, t0);
        }
        assert!(!nonces.knows(&first, t0));
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_borne(header in "(Digest )?[a-z=\", \\\\é]{0,80}") {
            let _ = Credentials::parse(&header);
        }
    }
}
