//! Who may ask: a bearer token where one is set, or a session begun with it; else only this host, and only pages of our
//! own.

use super::{
    failure::Failure,
    session::{self, Held, Signer},
};
use crate::{
    base::{Clock, Secret, Wall},
    playback::plays::{Origin, Tries},
    serve::{Peer, Request},
};
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Wrong tokens that are remembered. A program that goes on with an old token guesses nothing.
const WRONG_KEPT: usize = 256;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Anybody who reaches the port: probes of health.
    Probe,
    /// The console's own files, which hold nothing but code, and playback, which weighs its own token. Without
    /// a token they are for this host alone, as all else.
    Shell,
    /// Whoever may look.
    Viewer,
    /// The operator.
    Operator,
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// Look at all but the config and keys.
    Viewer,
    /// Everything.
    Operator,
}

impl Role {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
        }
    }
}

/// One token, and what it lets do.
struct Pass {
    token: Secret,
    signer: Signer,
}

/// Weighs requests against the tokens.
pub(super) struct Guard {
    /// Empty: none is asked for.
    passes: Vec<Pass>,
    clock: Clock,
    began: Instant,
    tries: Mutex<Tries<Origin>>,
    wrong: Mutex<VecDeque<[u8; 32]>>,
}

impl Guard {
    pub(super) fn new(operator: Option<Secret>, viewer: Option<Secret>, clock: Clock) -> Self {
        let pass = |role, token: Option<Secret>| {
            token.filter(|t| !t.is_empty()).map(|token| Pass { signer: Signer::new(role, &token), token })
        };
        let operator = pass(Role::Operator, operator);
        // Where nobody is asked for a token, a second one says nothing.
        let viewer = operator.is_some().then(|| pass(Role::Viewer, viewer)).flatten();
        Self {
            passes: operator.into_iter().chain(viewer).collect(),
            began: clock.now(),
            clock,
            tries: Mutex::default(),
            wrong: Mutex::default(),
        }
    }

    /// Whether a token is asked for.
    pub(super) fn needs_token(&self) -> bool {
        !self.passes.is_empty()
    }

    pub(super) fn check(&self, request: &Request, access: Access) -> Result<(), Failure> {
        match access {
            Access::Probe => Ok(()),
            _ if !self.needs_token() => check_local(request),
            Access::Shell => Ok(()),
            Access::Viewer | Access::Operator => match self.who(request)? {
                Role::Viewer if access == Access::Operator => Err(Failure::forbidden(
                    "the viewer's token is for looking; this needs the operator's, the text of admin.token_file",
                )),
                _ => Ok(()),
            },
        }
    }

    /// Who asks, by a token or by a session of a page of ours.
    fn who(&self, request: &Request) -> Result<Role, Failure> {
        if let Some(token) = request.header(AUTHORIZATION).and_then(bearer) {
            let (_, role) = self.try_token(token, request.peer)?;
            return role.ok_or_else(Failure::unauthorized);
        }
        let held = self.session_of(request).ok_or_else(Failure::unauthorized)?;
        session::check_page(request, true)?;
        Ok(held.role)
    }

    /// What whoever asks may do, without a word or a cost where that is nothing.
    pub(super) fn role_of(&self, request: &Request) -> Option<Role> {
        if !self.needs_token() {
            return check_local(request).is_ok().then_some(Role::Operator);
        }
        let given = request.header(AUTHORIZATION).and_then(bearer);
        let by_token = given.and_then(|token| self.passes.iter().find(|pass| same(token, pass.token.expose())));
        let by_token = by_token.map(|pass| pass.signer.role());
        let by_session = || self.session_of(request).filter(|_| session::check_page(request, true).is_ok());
        by_token.or_else(|| by_session().map(|held| held.role))
    }

    /// The session of a request, whatever page it comes from.
    pub(super) fn session_of(&self, request: &Request) -> Option<Held> {
        let (text, now) = (session::sent(request)?, self.clock.wall());
        self.passes.iter().find_map(|pass| pass.signer.read(text, now))
    }

    /// A new session, and when it ends; None where no token is asked for.
    pub(super) fn new_session(&self, role: Role) -> Option<(String, Wall)> {
        let pass = self.passes.iter().find(|pass| pass.signer.role() == role)?;
        Some(pass.signer.issue(self.clock.wall()))
    }

    /// What a token lets do, and for how long the answer to one that was typed is to be held back. Wrong ones cost the
    /// address further tries, and no more are looked at once they are used up.
    pub(super) fn try_token(&self, token: &str, peer: Peer) -> Result<(Duration, Option<Role>), Failure> {
        let origin = Origin::of(peer.address.map(|a| a.ip()));
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        if wrong.contains(&digest) {
            return Ok((Duration::ZERO, None));
        }
        let now = i64::try_from((self.clock.now() - self.began).as_micros()).unwrap_or(i64::MAX);
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        let delay = tries.begin(&origin, origin, now).map_err(Failure::too_many_tries)?;
        let pass = self.passes.iter().find(|pass| same(token, pass.token.expose()));
        if pass.is_some() {
            tries.right(&origin, origin);
        } else {
            wrong.push_back(digest);
            if wrong.len() > WRONG_KEPT {
                wrong.pop_front();
            }
        }
        Ok((delay, pass.map(|pass| pass.signer.role())))
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
    use crate::serve::ListenerKind;
    use http::{HeaderName, HeaderValue, Method};

    fn from(peer: &str, headers: &[(HeaderName, &str)]) -> Request {
        let mut request = Request::local(Method::GET, "/api/v1/status".parse().unwrap(), "");
        request.peer = Peer { address: Some(peer.parse().unwrap()), listener: ListenerKind::Admin };
        for (name, value) in headers {
            request.headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        request
    }

    fn guard(token: Option<&str>) -> Guard {
        Guard::new(token.map(Secret::new), Some(Secret::new("looking")), Clock::real())
    }

    fn status(guard: &Guard, request: &Request, access: Access) -> u16 {
        guard.check(request, access).map_or_else(|f| http::Response::from(f).status().as_u16(), |()| 200)
    }

    #[test]
    fn with_a_token_only_the_token_counts() {
        let guard = guard(Some("s3cret"));
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
        let guard = guard(Some(""));
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
    #[test]
    fn a_viewer_looks_and_changes_nothing() {
        let guard = guard(Some("s3cret"));
        let request = from("192.0.2.7:999", &[(AUTHORIZATION, "Bearer looking")]);
        assert_eq!(status(&guard, &request, Access::Viewer), 200);
        assert_eq!(status(&guard, &request, Access::Operator), 403);
        let (cookie, _) = guard.new_session(Role::Viewer).unwrap();
        let sent = format!("skyvis-session-={cookie}");
        let page = from("192.0.2.7:999", &[(http::header::COOKIE, &sent), (HOST, "nvr"), (ORIGIN, "http://nvr")]);
        assert_eq!(status(&guard, &page, Access::Viewer), 200);
        assert_eq!(status(&guard, &page, Access::Operator), 403);
        let foreign = from("192.0.2.7:999", &[(http::header::COOKIE, &sent), (HOST, "nvr"), (ORIGIN, "http://evil")]);
        assert_eq!(status(&guard, &foreign, Access::Viewer), 403, "another page lends the cookie");
        assert_eq!(guard.role_of(&foreign), None);
        assert_eq!(guard.role_of(&page), Some(Role::Viewer));
    }

    #[test]
    fn wrong_tokens_are_slowed_and_the_same_one_again_is_no_guess() {
        let guard = guard(Some("s3cret"));
        let with = |token: &str| from("192.0.2.7:999", &[(AUTHORIZATION, &format!("Bearer {token}"))]);
        for _ in 0..50 {
            assert_eq!(status(&guard, &with("of-last-year"), Access::Operator), 401);
        }
        assert_eq!(status(&guard, &with("s3cret"), Access::Operator), 200, "an old program locks nobody out");
        let codes: Vec<u16> = (0..8).map(|n| status(&guard, &with(&format!("guess{n}")), Access::Operator)).collect();
        assert!(codes.contains(&401) && codes.last() == Some(&429), "{codes:?}");
        assert_eq!(status(&guard, &with("s3cret"), Access::Operator), 429, "else the answer would tell which is right");
        let elsewhere = from("198.51.100.7:9", &[(AUTHORIZATION, "Bearer s3cret")]);
        assert_eq!(status(&guard, &elsewhere, Access::Operator), 200);
    }
}
