//! What a browser keeps instead of a token: a role and a time, signed. Pure: the time is passed in.
//!
//! The key is the token itself, so a new token ends every session of the old one, and a restart ends none. Whoever holds
//! a cookie could try tokens against it; they are made to be too long for that, as they are sent with each request.

use super::{auth::Role, failure::Failure};
use crate::{
    base::{Secret, Wall},
    serve::Request,
};
use aws_lc_rs::{constant_time, hmac};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{
    Method,
    header::{COOKIE, HOST, ORIGIN},
};
use std::time::Duration;

/// A session that is not used for so long is over: a weekend and a holiday on a screen at a gate.
const LIFE: Duration = Duration::from_secs(7 * 86_400);
/// One that is older gets a new cookie when its console asks who it is.
const OLD: Duration = Duration::from_secs(86_400);
/// Cookies of other things of the same host may stand beside ours.
const COOKIES_MAX: usize = 64;

/// A session as its cookie has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub role: Role,
    pub expires: Wall,
    /// Time for a new cookie.
    pub is_old: bool,
}

/// Signs sessions of one role and knows them again.
pub(super) struct Signer {
    role: Role,
    key: hmac::Key,
}

impl Signer {
    pub(super) fn new(role: Role, token: &Secret) -> Self {
        Self { role, key: hmac::Key::new(hmac::HMAC_SHA256, token.expose().as_bytes()) }
    }

    pub(super) fn role(&self) -> Role {
        self.role
    }

    /// A new session, and when it ends.
    pub(super) fn issue(&self, now: Wall) -> (String, Wall) {
        let seconds = now.micros() / 1_000_000;
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.sign(seconds));
        (format!("{}.{seconds:x}.{signature}", self.role.as_str()), now.plus(LIFE))
    }

    /// The session of a cookie, if it is one of ours and not over.
    pub(super) fn read(&self, text: &str, now: Wall) -> Option<Held> {
        let (role, rest) = text.split_once('.')?;
        let (seconds, signature) = rest.split_once('.')?;
        let seconds = i64::from_str_radix(seconds, 16).ok()?;
        let given = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        let is_ours = constant_time::verify_slices_are_equal(&self.sign(seconds), &given).is_ok();
        let begun = Wall::from_micros(seconds.checked_mul(1_000_000)?);
        let expires = begun.plus(LIFE);
        // A clock that was set back does not end what was begun before.
        (role == self.role.as_str() && is_ours && now < expires).then(|| Held {
            role: self.role,
            expires,
            is_old: now >= begun.plus(OLD),
        })
    }

    fn sign(&self, seconds: i64) -> Vec<u8> {
        let words = format!("skyvis console session\n{}\n{seconds:x}", self.role.as_str());
        hmac::sign(&self.key, words.as_bytes()).as_ref().to_vec()
    }
}

/// How our cookie of a request is called, and whether it came over TLS.
pub(super) struct Jar {
    name: String,
    secure: bool,
}

impl Jar {
    pub(super) fn of(request: &Request) -> Self {
        // Only TLS in front of us can say so, and whoever says it falsely keeps only himself from being sent it back.
        Self { name: name(request), secure: request.header("x-forwarded-proto") == Some("https") }
    }

    /// The `Set-Cookie` of a session.
    pub(super) fn keep(&self, value: &str) -> String {
        self.with_age(value, LIFE)
    }

    /// The `Set-Cookie` that ends one.
    pub(super) fn empty(&self) -> String {
        self.with_age("", Duration::ZERO)
    }

    fn with_age(&self, value: &str, age: Duration) -> String {
        let Self { name, secure } = self;
        let secure = if *secure { "; Secure" } else { "" };
        format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={}{secure}", age.as_secs())
    }
}

/// Cookies know no ports: two daemons of one host must not end each other's sessions.
fn name(request: &Request) -> String {
    let port = request.header(HOST).and_then(|host| host.rsplit_once(':')).map_or("", |(_, port)| port);
    let port: String = port.chars().filter(char::is_ascii_digit).take(5).collect();
    format!("skyvis-session-{port}")
}

/// What our cookie of a request says.
pub(super) fn sent(request: &Request) -> Option<&str> {
    let name = name(request);
    let lines = request.headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).take(COOKIES_MAX).filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

/// A browser sends its cookie along with what any page asks of us. So it counts only where the page is ours: by the
/// browser's own word, else by the page's origin. What a browser must not be made to do (`strict`) has to say it.
pub(super) fn check_page(request: &Request, strict: bool) -> Result<(), Failure> {
    let foreign = |page: &str| {
        let page: String = page.chars().take(100).collect();
        Err(Failure::forbidden(format!("a page of `{page}` may not ask this")))
    };
    let reads = request.method == Method::GET;
    match (request.header("sec-fetch-site"), request.headers.get(ORIGIN)) {
        (Some("same-origin"), _) => Ok(()),
        // Typed, or opened from a bookmark.
        (Some("none"), _) if reads => Ok(()),
        (Some(site), _) => foreign(site),
        (None, Some(origin)) => {
            let (origin, host) = (origin.to_str().unwrap_or(""), request.header(HOST).unwrap_or(""));
            let ours = origin.split_once("://").is_some_and(|(_, authority)| !host.is_empty() && authority == host);
            if ours { Ok(()) } else { foreign(origin) }
        }
        (None, None) if reads || !strict => Ok(()),
        (None, None) => Err(Failure::forbidden("a session is for pages; send the token as a bearer token instead")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn request(method: Method, headers: &[(&str, &str)]) -> Request {
        let mut request = Request::local(method, "/".parse().unwrap(), "");
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        request
    }

    #[test]
    fn a_session_is_its_roles_and_its_tokens_and_ends() {
        let now = Wall::from_micros(1_790_000_000_000_000);
        let signer = Signer::new(Role::Viewer, &Secret::new("t"));
        let (text, expires) = signer.issue(now);
        let held = signer.read(&text, now).unwrap();
        assert_eq!((held.role, held.expires, held.is_old), (Role::Viewer, expires, false));
        assert!(signer.read(&text, now.plus(OLD)).unwrap().is_old);
        assert_eq!(signer.read(&text, expires), None);
        assert_eq!(Signer::new(Role::Viewer, &Secret::new("u")).read(&text, now), None, "another token");
        assert_eq!(Signer::new(Role::Operator, &Secret::new("t")).read(&text, now), None, "another role");
        let raised = text.replacen("viewer", "operator", 1);
        assert_eq!(Signer::new(Role::Operator, &Secret::new("t")).read(&raised, now), None, "a role that was raised");
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let spoilt = String::from_utf8(bytes).unwrap();
            // The last letter of a signature holds bits that say nothing.
            assert!(at + 1 == text.len() || signer.read(&spoilt, now).is_none(), "{spoilt}");
        }
    }

    #[test]
    fn a_cookie_is_found_among_others_and_by_its_port() {
        let cookies =
            [("host", "h:9080"), ("cookie", "a=b; skyvis-session-9081=x; skyvis-session-9080=y"), ("cookie", "c=d")];
        assert_eq!(sent(&request(Method::GET, &cookies)), Some("y"));
        assert_eq!(sent(&request(Method::GET, &[("host", "h"), ("cookie", "skyvis-session-9080=y")])), None);
        let set = Jar::of(&request(Method::POST, &[("host", "h:9080")])).keep("v");
        assert!(set.starts_with("skyvis-session-9080=v; ") && set.contains("HttpOnly; SameSite=Strict"), "{set}");
        let secure = Jar::of(&request(Method::POST, &[("x-forwarded-proto", "https")])).keep("v");
        assert!(secure.ends_with("; Secure"), "{secure}");
    }

    #[test]
    fn a_session_counts_for_our_own_pages_alone() {
        let is_let_in = |method: Method, headers: &[(&str, &str)]| check_page(&request(method, headers), true).is_ok();
        let host = ("host", "nvr:9080");
        for (headers, get, post) in [
            (vec![host], true, false),
            (vec![host, ("sec-fetch-site", "same-origin")], true, true),
            (vec![host, ("sec-fetch-site", "none")], true, false),
            (vec![host, ("sec-fetch-site", "same-site")], false, false),
            (vec![host, ("sec-fetch-site", "cross-site")], false, false),
            (vec![host, ("origin", "http://nvr:9080")], true, true),
            (vec![host, ("origin", "https://nvr:9080")], true, true),
            (vec![host, ("origin", "http://nvr:8080")], false, false),
            (vec![host, ("origin", "http://evil.example")], false, false),
            (vec![host, ("origin", "null")], false, false),
            (vec![host, ("origin", "http://nvr:9080"), ("sec-fetch-site", "cross-site")], false, false),
        ] {
            assert_eq!(is_let_in(Method::GET, &headers), get, "GET {headers:?}");
            assert_eq!(is_let_in(Method::POST, &headers), post, "POST {headers:?}");
        }
    }
}
