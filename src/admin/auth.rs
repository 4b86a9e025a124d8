//! Who may ask: a bearer token where one is set; else only this host, and only pages of our own.
//!
//! Pure but for the hashing that makes comparing take the same time for every token.

use super::failure::Failure;
use crate::{base::Secret, serve::Request};
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use sha2::{Digest, Sha256};
use std::net::IpAddr;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Anybody who reaches the port: probes of health.
    Probe,
    /// The console's own files, which hold nothing but code, and playback, which weighs its own token. Without
    /// a token they are for this host alone, as all else.
    Shell,
    /// The operator.
    Operator,
}

/// Weighs a request against the token.
#[derive(Debug)]
pub(super) struct Guard {
    token: Option<Secret>,
}

impl Guard {
    pub(super) fn new(token: Option<Secret>) -> Self {
        Self { token: token.filter(|t| !t.is_empty()) }
    }

    pub(super) fn check(&self, request: &Request, access: Access) -> Result<(), Failure> {
        match (&self.token, access) {
            (_, Access::Probe) | (Some(_), Access::Shell) => Ok(()),
            (Some(token), Access::Operator) => {
                let sent = request.header(AUTHORIZATION).and_then(bearer);
                if sent.is_some_and(|s| same(s, token.expose())) { Ok(()) } else { Err(Failure::unauthorized()) }
            }
            (None, Access::Shell | Access::Operator) => check_local(request),
        }
    }
}

/// Without a token, being on this host is the credential. A browser on this host would lend it to any page on
/// the web, by a name that resolves to 127.0.0.1 or by a plain form, so the names in Host and Origin must be ours.
fn check_local(request: &Request) -> Result<(), Failure> {
    let Some(address) = request.peer.address else { return Ok(()) };
    if !request.peer.is_local() {
        let detail = format!("{} is not this host; set admin.token_file to let others in", address.ip());
        return Err(Failure::forbidden(detail));
    }
    let host = request.header(HOST).or_else(|| request.uri.authority().map(|a| a.as_str())).unwrap_or("");
    if !host.is_empty() && !is_loopback_name(host) {
        return Err(Failure::forbidden(format!(
            "the Host `{}` is foreign; use localhost or 127.0.0.1, or set admin.token_file",
            clip(host)
        )));
    }
    let ours = |origin: &str| origin.split_once("://").is_some_and(|(_, authority)| authority == host);
    match request.headers.get(ORIGIN).map(|o| o.to_str().unwrap_or("")) {
        Some(origin) if !ours(origin) => {
            Err(Failure::forbidden(format!("a page of `{}` may not ask this", clip(origin))))
        }
        _ => Ok(()),
    }
}

/// `localhost`, `127.x.y.z` or `[::1]`, with or without a port.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|h| h.split_once(']')) {
        Some((inside, _)) => inside,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Equal, in a time that tells nothing of where they differ: digests are compared, all of their bytes.
fn same(a: &str, b: &str) -> bool {
    let (a, b) = (Sha256::digest(a.as_bytes()), Sha256::digest(b.as_bytes()));
    a.iter().zip(b.iter()).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}

fn clip(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::{ListenerKind, Peer};
    use http::{HeaderName, HeaderValue, Method};

    fn from(peer: &str, headers: &[(HeaderName, &str)]) -> Request {
        let mut request = Request::local(Method::GET, "/api/v1/status".parse().unwrap(), "");
        request.peer = Peer { address: Some(peer.parse().unwrap()), listener: ListenerKind::Admin };
        for (name, value) in headers {
            request.headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        request
    }

    fn status(guard: &Guard, request: &Request, access: Access) -> u16 {
        guard.check(request, access).map_or_else(|f| http::Response::from(f).status().as_u16(), |()| 200)
    }

    #[test]
    fn with_a_token_only_the_token_counts() {
        let guard = Guard::new(Some(Secret::new("s3cret")));
        for (header, code) in
            [("Bearer s3cret", 200), ("bearer s3cret", 200), ("Bearer s3cre", 401), ("Basic s3cret", 401), ("", 401)]
        {
            let request = from("192.0.2.7:999", &[(AUTHORIZATION, header), (HOST, "nvr.example.com")]);
            assert_eq!(status(&guard, &request, Access::Operator), code, "{header}");
        }
        let stranger = from("192.0.2.7:999", &[]);
        assert_eq!(status(&guard, &stranger, Access::Probe), 200);
        assert_eq!(status(&guard, &stranger, Access::Shell), 200);
        assert_eq!(status(&guard, &from("127.0.0.1:9", &[]), Access::Operator), 401, "loopback is no excuse");
    }

    #[test]
    fn without_a_token_only_this_host_and_its_own_names() {
        let guard = Guard::new(Some(Secret::default()));
        for (host, code) in [
            ("localhost:9080", 200),
            ("127.0.0.1", 200),
            ("127.1.2.3:80", 200),
            ("[::1]:9080", 200),
            ("evil.example", 403),
            ("localhost.evil.example:9080", 403),
            ("192.168.1.2", 403),
        ] {
            assert_eq!(status(&guard, &from("127.0.0.1:9", &[(HOST, host)]), Access::Operator), code, "{host}");
        }
        for (origin, code) in [
            ("http://localhost:9080", 200),
            ("https://evil.example", 403),
            ("http://localhost:3000", 403),
            ("null", 403),
        ] {
            let request = from("[::1]:9", &[(HOST, "localhost:9080"), (ORIGIN, origin)]);
            assert_eq!(status(&guard, &request, Access::Operator), code, "{origin}");
        }
        assert_eq!(status(&guard, &from("192.0.2.7:9", &[(HOST, "localhost")]), Access::Operator), 403);
        assert_eq!(status(&guard, &from("192.0.2.7:9", &[(HOST, "localhost")]), Access::Shell), 403);
        assert_eq!(status(&guard, &from("[::ffff:127.0.0.1]:9", &[(HOST, "localhost")]), Access::Operator), 200);
        let unix = Request::local(Method::GET, "/".parse().unwrap(), "");
        assert_eq!(status(&guard, &unix, Access::Operator), 200);
    }
}
