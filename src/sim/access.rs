//! Who may in: digest and lockout, the same for ISAPI and RTSP.

use super::{login::Standing, state::Device};
use crate::rtsp::digest::{self, Credentials, Nonces};
use std::net::IpAddr;

/// What every device of the simulator calls itself in its challenges.
const REALM: &str = "IP Camera(C2875)";

/// What became of a request's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// They were right.
    Granted,
    /// None, wrong ones, old ones, or a locked address.
    Refused {
        /// For `WWW-Authenticate`, with a fresh nonce.
        challenge: String,
        /// For the body of ISAPI's refusal.
        standing: Standing,
    },
}

/// Checks one request.
pub(super) fn check(
    device: &Device,
    nonces: &mut Nonces,
    peer: IpAddr,
    method: &str,
    authorization: Option<&str>,
    qop: bool,
) -> Access {
    let now = device.options.clock.now();
    let mut standing = device.with_logins(|l| l.standing(peer, now));
    let locked = matches!(standing, Standing::Locked { .. });
    let mut stale = false;
    // Basic is no login here: clients that try it first are asked for digest and lose no try.
    if let Some(credentials) = authorization.and_then(Credentials::parse) {
        let password = device.state.borrow().password.clone();
        let right = credentials.proves(method, &device.options.user, REALM, password.expose());
        let known = nonces.knows(&credentials.nonce, now);
        match (right, known) {
            (true, true) if !locked => {
                device.with_logins(|l| l.right(peer));
                return Access::Granted;
            }
            (true, false) if !locked => stale = true,
            _ => standing = device.with_logins(|l| l.wrong(peer, now)),
        }
    }
    let nonce = nonces.issue(rand::random(), now);
    Access::Refused { challenge: digest::challenge(REALM, &nonce, qop, stale), standing }
}
