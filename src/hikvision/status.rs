//! What a status line and its body say together: fine, refused, locked, not there, or broken. A status alone says
//! little: "not supported" is 403, 404, 400 or 500 by model, and HTTP 200 may carry an error.

use super::{
    Error, gateway,
    json::{self, Json},
    xml::{self, Node, clip},
};

/// The lock of an account, as `userCheck` or a `ResponseStatus` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LockState {
    /// No login is taken now, not even a right one.
    pub locked: bool,
    /// Seconds until it unlocks.
    pub unlock_s: Option<u64>,
    /// Tries left before it locks.
    pub retries_left: Option<u32>,
}

/// `statusCode` of a `ResponseStatus`: done.
const STATUS_OK: u32 = 1;
/// `statusCode`: done, and a restart is needed for it to show.
const STATUS_REBOOT: u32 = 7;

/// The lock state in a body, if there is one. Both forms, any order of elements.
pub(super) fn lock_state(root: &Node) -> Option<LockState> {
    let word = root.text_at(&["lockStatus"])?.to_ascii_lowercase();
    let locked = matches!(word.as_str(), "lock" | "locked");
    let unlock_s = root.number_at(&["unlockTime"]).or_else(|| root.number_at(&["resLockTime"]));
    let retries_left = root.number_at(&["retryLoginTime"]).or_else(|| root.number_at(&["retryTimes"]));
    Some(LockState { locked, unlock_s, retries_left })
}

/// The lock state in the body of a 401; an HTML page or nothing has none.
pub(super) fn lock_state_of(body: &[u8]) -> Option<LockState> {
    if json::looks_like(body) {
        return gateway::lock_state(body);
    }
    xml::parse(body).ok().as_ref().and_then(lock_state)
}

/// The error that `status` and `body` mean, or the document. A 401 never comes here.
pub(super) fn judge(path: &str, status: u16, body: &[u8]) -> Result<Node, Error> {
    let root = match xml::parse(body) {
        Ok(root) => root,
        Err(detail) if (200..300).contains(&status) => {
            return Err(Error::Nonsense { path: path.into(), detail });
        }
        Err(_) => return Err(failed(path, status, String::new(), "")),
    };
    if root.name.eq_ignore_ascii_case("html") && (200..300).contains(&status) {
        return Err(Error::Nonsense { path: path.into(), detail: "it is a web page".into() });
    }
    if root.name.eq_ignore_ascii_case("ResponseStatus") {
        let code = root.number_at::<u32>(&["statusCode"]);
        if (200..300).contains(&status) && matches!(code, Some(STATUS_OK | STATUS_REBOOT)) {
            return Ok(root);
        }
        let sub = root.text_at(&["subStatusCode"]).unwrap_or_default();
        let words = root.text_at(&["statusString"]).unwrap_or_default();
        let code = code.map_or_else(|| "none".to_owned(), |c| c.to_string());
        return Err(failed(path, status, clip(&format!(", statusCode {code} {words} {sub}")), sub));
    }
    if (200..300).contains(&status) { Ok(root) } else { Err(failed(path, status, String::new(), "")) }
}

/// Whom an answer of a gateway speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    /// Itself: a refused login in it is ours.
    Gateway,
    /// A device behind it: a refused login in it may be the gateway's at the device, and is no reason to stop asking.
    Device,
}

/// The error that `status` and a body of JSON mean, or the document. A 401 never comes here.
pub(super) fn judge_json(path: &str, status: u16, body: &[u8], about: About) -> Result<Json, Error> {
    let fine = (200..300).contains(&status);
    let answer = match json::parse(body) {
        Ok(answer) => answer,
        Err(detail) if fine => return Err(Error::Nonsense { path: path.into(), detail }),
        Err(_) => return Err(failed(path, status, String::new(), "")),
    };
    let told = answer.unwrap_key("ResponseStatus");
    let code = told.number::<u32>("statusCode");
    if fine && matches!(code, None | Some(STATUS_OK | STATUS_REBOOT)) {
        return Ok(answer);
    }
    let sub = told.text("subStatusCode").unwrap_or_default();
    if about == About::Gateway
        && let Some(refusal) = refusal(gateway::lock_state_in(&answer), sub)
    {
        return Err(refusal);
    }
    let words = told.text("errorMsg").or_else(|| told.text("statusString")).unwrap_or_default();
    let code = code.map_or_else(|| "none".to_owned(), |c| c.to_string());
    Err(failed(path, status, clip(&format!(", statusCode {code} {words} {sub}")), sub))
}

/// A login that was refused without HTTP saying so.
fn refusal(lock: Option<LockState>, sub: &str) -> Option<Error> {
    let locked = |unlock_s| Some(Error::Locked { answers: 1, unlock_s });
    match (lock, sub.to_ascii_lowercase().as_str()) {
        (Some(lock), _) if lock.locked => locked(lock.unlock_s),
        (None, "mgmtlokederror" | "mgmtlockederror") => locked(None),
        (Some(_), _) | (None, "badauthorization" | "loginpassworderror" | "pwderrorloginfailed") => {
            Some(Error::AuthRefused { answers: 1, retries_left: lock.and_then(|l| l.retries_left) })
        }
        _ => None,
    }
}

fn failed(path: &str, status: u16, detail: String, sub: &str) -> Error {
    let (path, detail) = (path.to_owned(), detail.trim_end().to_owned());
    match sub.to_ascii_lowercase().as_str() {
        "lowprivilege" | "badauthorization" | "nopermission" | "devicenotsupportguest" => {
            Error::Denied { path, detail: detail.trim_start_matches(", ").to_owned() }
        }
        "notactivated" | "devicebusy" | "deviceerror" | "nomemory" | "servicebusy" | "upgrading" => {
            Error::Device { path, status, detail }
        }
        "notsupport" | "methodnotallowed" => Error::Unsupported { path, status, detail },
        _ => match status {
            400 | 403 | 404 | 405 | 500 | 501 => Error::Unsupported { path, status, detail },
            _ => Error::Device { path, status, detail },
        },
    }
}
