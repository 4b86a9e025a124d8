//! Answers to challenges. A login is spent with care: devices lock an account after a few refused ones.

use base64::Engine;
use http::{HeaderMap, header};
use http_auth::{
    ChallengeParser, ChallengeRef, DigestClient, ParamValue, PasswordParams,
    digest::{Algorithm, Qop},
};

/// The spellings that the library knows.
const ALGORITHMS: [&str; 6] = ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512-256-sess"];

/// The challenge in force.
pub(super) enum Challenge {
    /// The password goes over the net as it is.
    Basic,
    /// It does not.
    Digest(DigestClient),
}

/// What a login is made of.
pub(super) struct Login<'a> {
    pub user: &'a str,
    pub password: &'a str,
    pub method: &'a str,
    /// With its query.
    pub uri: &'a str,
    pub body: &'a [u8],
}

impl Challenge {
    /// Reads the challenges of a 401: of several, in one header or more, the strongest that is understood. So Basic is
    /// answered only where nothing else is asked for.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, String> {
        let mut found: Option<Self> = None;
        let mut wrong = None;
        for value in headers.get_all(header::WWW_AUTHENTICATE) {
            let Ok(text) = value.to_str() else {
                wrong = Some("a challenge that is not text".to_owned());
                continue;
            };
            for read in ChallengeParser::new(text) {
                match read.map_err(|e| e.to_string()).and_then(|mut c| Self::of(&mut c)) {
                    Ok(challenge) if found.as_ref().is_none_or(|f| f.strength() < challenge.strength()) => {
                        found = Some(challenge);
                    }
                    Ok(_) => {}
                    Err(e) => wrong = Some(super::xml::clip(&e)),
                }
            }
        }
        match (found, wrong) {
            (Some(challenge), _) => Ok(challenge),
            (None, Some(e)) => Err(format!("its challenge is not understood: {e}")),
            (None, None) => Err("it asks for a login and sends no challenge".to_owned()),
        }
    }

    fn of(challenge: &mut ChallengeRef<'_>) -> Result<Self, String> {
        if challenge.scheme.eq_ignore_ascii_case("basic") {
            return Ok(Self::Basic);
        }
        for (name, value) in &mut challenge.params {
            let known = ALGORITHMS.iter().find(|known| known.eq_ignore_ascii_case(value.as_escaped()));
            if let Some(known) = known.filter(|_| name.eq_ignore_ascii_case("algorithm")) {
                *value = ParamValue::try_from_escaped(known)?;
            }
        }
        let digest = DigestClient::try_from(&*challenge)?;
        if digest.session() && digest.rfc2069_compat() {
            return Err("a session algorithm without qop, which no client can prove".to_owned());
        }
        Ok(Self::Digest(digest))
    }

    fn strength(&self) -> u8 {
        match self {
            Self::Basic => 0,
            Self::Digest(digest) => match digest.algorithm() {
                Algorithm::Sha512Trunc256 => 3,
                Algorithm::Sha256 => 2,
                _ => 1,
            },
        }
    }

    /// True where an answer shows the password to everybody on the way.
    pub(super) fn is_basic(&self) -> bool {
        matches!(self, Self::Basic)
    }

    /// True where the device says that only the nonce was too old, not the password wrong.
    pub(super) fn stale(&self) -> bool {
        matches!(self, Self::Digest(digest) if digest.stale())
    }

    /// True where two challenges differ in what makes an answer to one no answer to the other.
    pub(super) fn differs(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Digest(a), Self::Digest(b)) => a.nonce() != b.nonce(),
            (Self::Basic, Self::Basic) => false,
            _ => true,
        }
    }

    /// The challenge to answer from now on, after an answer was taken: the device may name the next nonce.
    pub(super) fn after(self, headers: &HeaderMap) -> Self {
        let info = headers.get("authentication-info").and_then(|v| v.to_str().ok());
        match (&self, info.and_then(next_nonce)) {
            (Self::Digest(digest), Some(nonce)) => renewed(digest, &nonce).map_or(self, Self::Digest),
            _ => self,
        }
    }

    /// The `Authorization` for one request. The nonce counter goes up with each.
    pub(super) fn answer(&mut self, login: &Login<'_>) -> Result<String, String> {
        let Login { user: username, password, method, uri, body } = *login;
        match self {
            Self::Basic => {
                let pair = base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
                Ok(format!("Basic {pair}"))
            }
            Self::Digest(digest) => {
                // Proofs over bodies are only given where nothing else is taken.
                let body = (!(digest.qop() & Qop::Auth)).then_some(body);
                let answer = digest
                    .respond(&PasswordParams { username, password, uri, method, body })
                    .map_err(|e| format!("its challenge cannot be answered: {}", super::xml::clip(&e)))?;
                // The library names the algorithm only together with qop; without a name MD5 would be understood.
                let unnamed = digest.rfc2069_compat() && digest.algorithm() != Algorithm::Md5;
                Ok(if unnamed { format!("{answer}, algorithm={}", name(digest)) } else { answer })
            }
        }
    }
}

fn name(digest: &DigestClient) -> String {
    let algorithm = match digest.algorithm() {
        Algorithm::Sha512Trunc256 => "SHA-512-256",
        Algorithm::Sha256 => "SHA-256",
        _ => "MD5",
    };
    format!("{algorithm}{}", if digest.session() { "-sess" } else { "" })
}

/// The value of `nextnonce` in an `Authentication-Info`.
fn next_nonce(info: &str) -> Option<String> {
    // It is a list of parameters like a challenge's, without the scheme in front.
    let text = format!("Digest {info}");
    let challenge = ChallengeParser::new(&text).next()?.ok()?;
    let (_, value) = challenge.params.iter().find(|(name, _)| name.eq_ignore_ascii_case("nextnonce"))?;
    Some(value.to_unescaped()).filter(|nonce| !nonce.is_empty())
}

/// The same challenge with another nonce.
fn renewed(digest: &DigestClient, nonce: &str) -> Option<DigestClient> {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let mut text =
        format!("Digest realm={}, nonce={}, algorithm={}", quoted(digest.realm()), quoted(nonce), name(digest));
    if !digest.rfc2069_compat() {
        text += if digest.qop() & Qop::Auth { ", qop=\"auth\"" } else { ", qop=\"auth-int\"" };
    }
    if let Some(opaque) = digest.opaque() {
        text = format!("{text}, opaque={}", quoted(opaque));
    }
    let challenge = ChallengeParser::new(&text).next()?.ok()?;
    DigestClient::try_from(&challenge).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(challenges: &[&str]) -> Result<Challenge, String> {
        let mut headers = HeaderMap::new();
        for text in challenges {
            headers.append(header::WWW_AUTHENTICATE, text.parse().unwrap());
        }
        Challenge::read(&headers)
    }

    #[test]
    fn of_several_challenges_the_strongest_that_is_understood_is_answered() {
        let md5 = "Digest qop=\"auth\", realm=\"r\", nonce=\"n\", stale=\"FALSE\"";
        let sha = "Digest qop=\"auth\", realm=\"r\", nonce=\"n\", algorithm=\"sha-256\"";
        let odd = "Digest realm=\"r\", nonce=\"n\", algorithm=BLAKE3";
        let session = "Digest realm=\"r\", nonce=\"n\", algorithm=MD5-sess";
        let basic = "Basic realm=\"/\"";
        for (challenges, strength) in [
            (&[md5, sha][..], 2),
            (&[sha, md5], 2),
            (&[basic, md5], 1),
            (&[basic, odd, md5, session], 1),
            (&[odd, basic], 0),
            (&[&format!("{md5}, {basic}")], 1),
            (&[&format!("{basic}, {sha}, {md5}")], 2),
            (&["Negotiate", basic], 0),
        ] {
            assert_eq!(read(challenges).unwrap().strength(), strength, "{challenges:?}");
        }
        for challenges in [&[][..], &[odd], &[session], &["Negotiate"], &["Digest"], &["é"]] {
            assert!(read(challenges).is_err(), "{challenges:?}");
        }
        assert!(read(&[&md5.replace("FALSE", "true")]).unwrap().stale());
        assert!(read(&["Digest realm=\"r\", nonce=\"n\", stale=TRUE"]).unwrap().stale());
    }

    #[test]
    fn without_qop_the_algorithm_is_named_unless_it_is_the_usual_one() {
        let answer = |challenge: &str| {
            let login = Login { user: "u", password: "p", method: "GET", uri: "/a?b=c", body: b"" };
            read(&[challenge]).unwrap().answer(&login).unwrap()
        };
        assert!(answer("Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256").ends_with(", algorithm=SHA-256"));
        let usual = answer("Digest realm=\"r\", nonce=\"n\"");
        assert!(!usual.contains("algorithm") && usual.contains("uri=\"/a?b=c\""), "{usual}");
        assert!(answer("Digest realm=\"r\", nonce=\"n\", qop=\"auth,auth-int\"").contains("qop=auth,"));
        assert!(answer("Digest realm=\"r\", nonce=\"n\", qop=\"auth-int\"").contains("qop=auth-int"));
    }

    #[test]
    fn the_next_nonce_is_taken_up() {
        let digest =
            read(&["Digest qop=\"auth\", realm=\"r \\\"1\\\"\", nonce=\"n\", opaque=\"o\", algorithm=SHA-256"]);
        let mut headers = HeaderMap::new();
        let kept = digest.unwrap().after(&headers);
        assert!(matches!(&kept, Challenge::Digest(d) if d.nonce() == "n"));
        headers.insert("authentication-info", "qop=auth, rspauth=\"0\", nextnonce=\"m\\\\x\"".parse().unwrap());
        let Challenge::Digest(next) = kept.after(&headers) else { panic!("digest stays digest") };
        assert_eq!((next.nonce(), next.realm(), next.opaque()), ("m\\x", "r \"1\"", Some("o")));
        assert_eq!((next.algorithm(), next.rfc2069_compat()), (Algorithm::Sha256, false));
    }
}
