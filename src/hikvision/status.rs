//! What a status line and its body say together: fine, refused, locked, not there, or broken. A status alone says
//! little: "not supported" is 403, 404, 400 or 500 by model, and HTTP 200 may carry an error.

use super::{
    Error,
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

fn failed(path: &str, status: u16, detail: String, sub: &str) -> Error {
    let (path, detail) = (path.to_owned(), detail.trim_end().to_owned());
    match sub.to_ascii_lowercase().as_str() {
        "lowprivilege" | "badauthorization" | "nopermission" | "devicenotsupportguest" => {
            Error::Denied { path, detail: detail.trim_start_matches(", ").to_owned() }
        }
        "notactivated" | "devicebusy" | "deviceerror" | "nomemory" | "servicebusy" | "upgrading" => {
            Error::Device { path, status, detail }
        }
        _ => match status {
            400 | 403 | 404 | 405 | 500 | 501 => Error::Unsupported { path, status, detail },
            _ => Error::Device { path, status, detail },
        },
    }
}
