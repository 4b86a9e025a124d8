//! Who may in: digest, Basic and lockout, the same for ISAPI and RTSP.

use super::{
    login::Standing,
    options::Asks,
    state::{Device, DeviceState},
};
use crate::rtsp::digest::{self, Algorithm, Credentials, Nonces};
use base64::Engine;
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
        /// For `WWW-Authenticate`, one header each, with a fresh nonce.
        challenges: Vec<String>,
        /// For the body of ISAPI's refusal.
        standing: Standing,
    },
}

/// By which door a request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    Isapi,
    Rtsp,
}

/// A request, as far as it matters here.
pub(super) struct Knock<'a> {
    pub door: Door,
    pub peer: IpAddr,
    pub method: &'a str,
    /// Path or URI, with its query.
    pub uri: &'a str,
    pub authorization: Option<&'a str>,
}

/// Checks one request.
pub(super) fn check(device: &Device, nonces: &mut Nonces, knock: &Knock<'_>) -> Access {
    let now = device.options.clock.now();
    let state = device.state.borrow().clone();
    let asks = match knock.door {
        Door::Isapi => state.http_auth,
        Door::Rtsp => state.rtsp_auth,
    };
    let mut standing = device.with_logins(|l| l.standing(knock.peer, now));
    let locked = matches!(standing, Standing::Locked { .. });
    let mut stale = false;
    // What was not asked for is no login: clients that try Basic first are asked for digest and lose no try.
    match knock.authorization.and_then(|a| verdict(device, &state, nonces, knock, asks, a)) {
        Some(Verdict::Right) if !locked => {
            device.with_logins(|l| l.right(knock.peer));
            return Access::Granted;
        }
        Some(Verdict::Old) if !locked => stale = true,
        // The device logs "the url does not match the nonce url" and asks again.
        Some(Verdict::Elsewhere) if !locked => {}
        Some(_) => standing = device.with_logins(|l| l.wrong(knock.peer, now)),
        None => {}
    }
    let tied = ties(device, knock).then(|| tie(knock.uri));
    let nonce =
        nonces.issue(tied.map_or_else(rand::random, |path| u128::from(rand::random::<u64>()) << 64 | path), now);
    let qop = knock.door == Door::Isapi && device.options.http_qop;
    let by = |algorithm| digest::challenge(algorithm, REALM, &nonce, qop, stale);
    let challenges = match asks {
        Asks::DigestMd5 => vec![by(Algorithm::Md5)],
        Asks::DigestSha256 => vec![by(Algorithm::Sha256)],
        Asks::DigestBoth => vec![by(Algorithm::Md5), by(Algorithm::Sha256)],
        Asks::Basic => vec![format!("Basic realm=\"{}\"", device.model())],
        Asks::DigestAndBasic => vec![by(Algorithm::Md5), "Basic realm=\"/\"".to_owned()],
    };
    Access::Refused { challenges, standing }
}

/// What credentials are worth that were asked for.
enum Verdict {
    Right,
    Wrong,
    /// Right, by a nonce that is too old.
    Old,
    /// Right, by a nonce that was given for another URL.
    Elsewhere,
}

fn verdict(
    device: &Device,
    state: &DeviceState,
    nonces: &Nonces,
    knock: &Knock<'_>,
    asks: Asks,
    authorization: &str,
) -> Option<Verdict> {
    let password = state.password.expose();
    if matches!(asks, Asks::Basic | Asks::DigestAndBasic)
        && let Some(pair) = basic(authorization)
    {
        let right = pair == format!("{}:{password}", device.options.user).as_bytes();
        return Some(if right { Verdict::Right } else { Verdict::Wrong });
    }
    let credentials = Credentials::parse(authorization)?;
    let asked = match asks {
        Asks::DigestMd5 | Asks::DigestAndBasic => credentials.algorithm() == Algorithm::Md5,
        Asks::DigestSha256 => credentials.algorithm() == Algorithm::Sha256,
        Asks::DigestBoth => true,
        // It rejects digest, as a login that failed.
        Asks::Basic => false,
    };
    if !asked || !credentials.proves(knock.method, &device.options.user, REALM, password) {
        return Some(Verdict::Wrong);
    }
    if !nonces.knows(&credentials.nonce, device.options.clock.now()) {
        return Some(Verdict::Old);
    }
    let elsewhere = ties(device, knock) && !credentials.nonce.ends_with(&format!("{:016x}", tie(knock.uri)));
    Some(if elsewhere { Verdict::Elsewhere } else { Verdict::Right })
}

fn basic(authorization: &str) -> Option<Vec<u8>> {
    let (scheme, pair) = authorization.trim().split_once(' ')?;
    let pair = scheme.eq_ignore_ascii_case("basic").then_some(pair)?;
    base64::engine::general_purpose::STANDARD.decode(pair.trim()).ok()
}

/// RTSP's nonces are good for their whole connection.
fn ties(device: &Device, knock: &Knock<'_>) -> bool {
    device.options.nonce_per_url && knock.door == Door::Isapi
}

/// The lower half of a nonce that is good for one URL: FNV-1a of it.
fn tie(uri: &str) -> u128 {
    let fnv = uri.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    u128::from(fnv)
}
