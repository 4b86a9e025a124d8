//! Who may see footage.

use super::{Config, Error};
use crate::{
    base::Secret,
    serve::{ListenerKind, Request},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};

/// Lets a request pass or refuses it.
pub(super) fn check(config: &Config, request: &Request) -> Result<(), Error> {
    match &config.token {
        _ if request.vouched => Ok(()),
        Some(token) if given(request).is_some_and(|given| same(&given, token)) => Ok(()),
        Some(_) => Err(Error::Denied),
        None if request.peer.listener == ListenerKind::Admin && request.peer.is_local() => Ok(()),
        None => Err(Error::NoToken),
    }
}

/// The token in the query, to be handed on in the addresses of a playlist: players do not do that by themselves.
pub(super) fn in_query(request: &Request) -> Option<Secret> {
    request.query("token").map(Secret::new)
}

fn given(request: &Request) -> Option<Secret> {
    let header = request.header(AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        match scheme.to_ascii_lowercase().as_str() {
            "bearer" => Some(Secret::new(token.trim())),
            "basic" => pair(token.trim()).map(|(_, password)| password),
            _ => None,
        }
    });
    header.or_else(|| in_query(request))
}

/// Players that ask their user for a name and a password send them so; the token is the password of any name.
fn pair(text: &str) -> Option<(String, Secret)> {
    let pair = String::from_utf8(BASE64_STANDARD.decode(text).ok()?).ok()?;
    let (user, password) = pair.split_once(':')?;
    Some((user.to_owned(), Secret::new(password)))
}

/// The name and the password of a request, if it has some.
pub(super) fn basic(request: &Request) -> Option<(String, Secret)> {
    let (scheme, text) = request.header(AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then(|| pair(text.trim())).flatten()
}

/// Compares hashes, all of them, so that the time taken says nothing of the token.
fn same(given: &Secret, token: &Secret) -> bool {
    let hash = |secret: &Secret| Sha256::digest(secret.expose());
    let differing = hash(given).iter().zip(hash(token)).fold(0u8, |all, (a, b)| all | (a ^ b));
    !token.is_empty() && std::hint::black_box(differing) == 0
}
