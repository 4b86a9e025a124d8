//! Who may see footage.

use super::{Config, Error};
use crate::{
    base::Secret,
    serve::{ListenerKind, Request},
};
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};

/// Lets a request pass or refuses it.
pub(super) fn check(config: &Config, request: &Request) -> Result<(), Error> {
    let allowed = match &config.token {
        Some(token) => given(request).is_some_and(|given| same(&given, token)),
        None => request.peer.listener == ListenerKind::Admin && request.peer.is_local(),
    };
    if allowed { Ok(()) } else { Err(Error::Denied) }
}

/// The token in the query, to be handed on in the addresses of a playlist: players do not do that by themselves.
pub(super) fn in_query(request: &Request) -> Option<Secret> {
    request.query("token").map(Secret::new)
}

fn given(request: &Request) -> Option<Secret> {
    let bearer = request.header(AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(token.trim()))
    });
    bearer.or_else(|| in_query(request))
}

/// Compares hashes, all of them, so that the time taken says nothing of the token.
fn same(given: &Secret, token: &Secret) -> bool {
    let hash = |secret: &Secret| Sha256::digest(secret.expose());
    let differing = hash(given).iter().zip(hash(token)).fold(0u8, |all, (a, b)| all | (a ^ b));
    !token.is_empty() && std::hint::black_box(differing) == 0
}
