//! Other ways to read a path. A route is found by the normalised copy, and the bytes as sent are passed on; where
//! somebody behind us could read them as a path that another route serves, that route's rules would be got around.
//! Such a request is refused; one whose readings all lead to the same route passes, whatever is encoded in it.

use crate::proxy::h1::path::{Doubts, normalise};

/// What `Doubts` may hide a reading that is worth a look.
const READ_OTHERWISE: Doubts =
    Doubts::ENCODED_SLASH.and(Doubts::BACKSLASH).and(Doubts::NUL).and(Doubts::SEMICOLON).and(Doubts::BAD_ESCAPE);

/// Whether all other readings of the path satisfy `is_same`. `normalised`: the copy that a route was found by.
pub(super) fn agree(sent: &[u8], normalised: &[u8], doubts: Doubts, is_same: impl Fn(&[u8]) -> bool) -> bool {
    // Who does not resolve dots sees the path as it stands.
    if doubts.has(Doubts::DOTS.and(Doubts::ENCODED_DOTS)) && !is_same(sent) {
        return false;
    }
    if !doubts.has(READ_OTHERWISE) {
        return true;
    }
    let (mut wide, mut again) = (Vec::with_capacity(normalised.len()), Vec::new());
    for nul_ends in [false, true] {
        if nul_ends && !doubts.has(Doubts::NUL) {
            continue;
        }
        for cut_parameters in [false, true] {
            if cut_parameters && !doubts.has(Doubts::SEMICOLON) {
                continue;
            }
            read_widely(normalised, cut_parameters, nul_ends, &mut wide);
            // What only now climbs above the root is no path of any route.
            if normalise(&wide, true, &mut again).is_err() || !is_same(&again) {
                return false;
            }
        }
    }
    true
}

/// As those read who decode everything: `%2f` and backslashes are slashes.
fn read_widely(path: &[u8], cut_parameters: bool, nul_ends: bool, out: &mut Vec<u8>) {
    out.clear();
    let mut is_cut = false;
    let mut at = 0;
    while at < path.len() {
        let (b, width) = match path.get(at..at + 3) {
            Some(b"%2F") => (b'/', 3),
            Some(b"%5C") => (b'/', 3),
            Some(b"%3B") => (b';', 3),
            Some(b"%00") => (0, 3),
            _ if path[at] == b'\\' => (b'/', 1),
            _ => (path[at], 1),
        };
        at += width;
        match b {
            0 if nul_ends => return,
            // Left as it was sent.
            0 => out.extend_from_slice(b"%00"),
            b'/' => {
                is_cut = false;
                out.push(b'/');
            }
            b';' if cut_parameters => is_cut = true,
            _ if is_cut => {}
            b => out.push(b),
        }
    }
}
