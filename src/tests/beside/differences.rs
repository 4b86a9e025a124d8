//! Where we do otherwise, on purpose.

use super::{asks::Ask, servers::Answer};

/// One of them.
pub(super) struct Difference {
    /// `status`, `body` or fields.
    pub(super) what: &'static [&'static str],
    pub(super) why: &'static str,
    /// Whether it is this one.
    pub(super) holds: fn(&Ask, &Answer, &Answer) -> bool,
}

/// All of them.
pub(super) const DIFFERENCES: &[Difference] = &[
    Difference {
        what: &["access-control-allow-origin"],
        why: "pages of other origins can read errors too: add_header says it of 2xx and 3xx alone",
        holds: |ask, there, _| !ask.is_file() && there.status >= 400,
    },
    Difference {
        what: &["access-control-allow-methods", "access-control-allow-headers"],
        why: "what may be asked is said in the answer to a preflight, where browsers look for it",
        holds: |ask, _, _| !ask.is_file(),
    },
    Difference {
        what: &["body", "content-length", "content-type"],
        why: "errors and redirects of our own are a line of text, not a page",
        holds: |_, there, here| there.status == here.status && (there.status >= 400 || there.status == 301),
    },
    Difference {
        what: &["allow"],
        why: "a 405 says which methods there are (RFC 9110, 15.5.6)",
        holds: |_, there, here| there.status == 405 && here.field("allow") == "GET, HEAD",
    },
    Difference {
        what: &["location"],
        why: "a directory is sent on within its host, which need not be known for that",
        holds: |_, there, here| there.field("location").ends_with(&here.field("location")),
    },
    Difference {
        what: &["content-type"],
        why: "a script is text/javascript since RFC 9239",
        holds: |_, there, here| {
            there.field("content-type") == "application/javascript" && here.field("content-type") == "text/javascript"
        },
    },
    Difference {
        what: &["status", "body", "content-type", "content-length", "etag", "last-modified", "accept-ranges"],
        why: "a name with a dot in front, or with an encoded slash or NUL, is no file's, not even that of the app's index",
        holds: |ask, _, here| (ask.path.contains("/.") || ask.path.contains('%')) && matches!(here.status, 400 | 404),
    },
    Difference {
        what: &[
            "status",
            "content-type",
            "content-length",
            "content-range",
            "etag",
            "last-modified",
            "accept-ranges",
            "body",
        ],
        why: "a Range that nobody can read is no Range (RFC 9110, 14.2), and not an error",
        holds: |ask, there, here| ask.has("Range") && there.status == 416 && here.status == 200,
    },
    Difference {
        what: &["etag", "last-modified"],
        why: "an answer that says what is wrong with a range names the version that it is wrong for",
        holds: |_, there, here| there.status == 416 && here.status == 416,
    },
    Difference {
        what: &["status", "content-length", "content-type", "body", "accept-ranges"],
        why: "not modified since a later date than the file's is not modified (RFC 9110, 13.1.3)",
        holds: |ask, there, here| ask.has("If-Modified-Since") && there.status == 200 && here.status == 304,
    },
];
