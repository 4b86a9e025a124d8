//! The copy of a path by which routes are found.

use crate::proxy::h1::{
    Refusal,
    path::{Doubts, normalise},
};
use proptest::prelude::*;

fn copy(path: &str, merge: bool) -> Result<(String, Vec<&'static str>), Refusal> {
    let mut out = b"of before".to_vec();
    let doubts = normalise(path.as_bytes(), merge, &mut out)?;
    Ok((String::from_utf8(out).unwrap(), doubts.names().collect()))
}

#[test]
fn what_means_the_same_is_written_the_same() {
    for (path, wanted, doubts) in [
        ("/", "/", &[][..]),
        ("/a/b.c", "/a/b.c", &[]),
        ("/%61%2Db%7e%5F%2e", "/a-b~_.", &[]),
        ("/%c3%a4", "/%C3%A4", &[]),
        ("/a%20b", "/a%20b", &[]),
        ("/.well-known/x", "/.well-known/x", &[]),
        ("/a/./b", "/a/b", &["dots"]),
        ("/a/../b", "/b", &["dots"]),
        ("/a/b/..", "/a/", &["dots"]),
        ("/a/.", "/a/", &["dots"]),
        ("/a/%2e%2e/b", "/b", &["encoded_dots"]),
        ("/a/.%2E/b", "/b", &["encoded_dots"]),
        ("/a/%2e/b", "/a/b", &["encoded_dots"]),
        ("/a/...", "/a/...", &[]),
        ("/a/..b", "/a/..b", &[]),
        ("/a//b", "/a//b", &["empty_segment"]),
        ("//a", "//a", &["empty_segment"]),
        ("/a//../b", "/a/b", &["dots", "empty_segment"]),
        ("/a/..%2fb//c/../d", "/a/..%2Fb//d", &["encoded_slash", "dots", "empty_segment"]),
        ("/a%2fb", "/a%2Fb", &["encoded_slash"]),
        ("/a%5cb", "/a%5Cb", &["backslash"]),
        ("/a\\b", "/a\\b", &["backslash"]),
        ("/a%00", "/a%00", &["nul"]),
        ("/a;b/..;/c", "/a;b/..;/c", &["semicolon"]),
        ("/a%3bb", "/a%3Bb", &["semicolon"]),
        ("/a%0d%0ab", "/a%0D%0Ab", &["bad_escape"]),
        ("/a%", "/a%25", &["bad_escape"]),
        ("/a%zz", "/a%25zz", &["bad_escape"]),
        ("/a%2", "/a%252", &["bad_escape"]),
        ("/%252e%252e/", "/%252e%252e/", &[]),
        ("/%%32%65", "/%252e", &["bad_escape"]),
    ] {
        let (text, names) = copy(path, false).unwrap();
        assert_eq!((text.as_str(), names.as_slice()), (wanted, doubts), "{path}");
    }
}

#[test]
fn slashes_are_merged_where_a_route_asks() {
    for (path, wanted) in [("//a///b//", "/a/b/"), ("//", "/"), ("/a//../b", "/b"), ("/a/.//b", "/a/b")] {
        assert_eq!(copy(path, true).unwrap().0, wanted, "{path}");
    }
}

#[test]
fn nothing_leads_above_the_root() {
    for path in ["/..", "/../a", "/a/../../b", "/%2e%2e/", "/a/..%2f../../../.."] {
        assert_eq!(copy(path, false).map(|_| ()), Err(Refusal::AboveRoot), "{path}");
    }
}

#[test]
fn dots_and_slashes_are_no_grave_doubt() {
    let mut out = Vec::new();
    let of = |path: &[u8], out: &mut Vec<u8>| normalise(path, false, out).unwrap();
    assert!(of(b"/a//b/../c", &mut out).grave().is_empty());
    assert!(of(b"/a/%2e%2e/", &mut out).grave().has(Doubts::ENCODED_DOTS));
    assert!(of(b"/a;b", &mut out).grave().has(Doubts::SEMICOLON.and(Doubts::NUL)));
}

/// What a path leads to, by the rules of RFC 3986, 5.2.4, word for word.
fn remove_dot_segments(path: &str) -> String {
    let (mut input, mut output) = (path.to_owned(), String::new());
    while !input.is_empty() {
        if input.starts_with("/./") {
            input.replace_range(..3, "/");
        } else if input == "/." {
            input = "/".to_owned();
        } else if input.starts_with("/../") || input == "/.." {
            let end = if input == "/.." { 3 } else { 4 };
            input.replace_range(..end, "/");
            output.truncate(output.rfind('/').unwrap_or(0));
        } else {
            let end = input[1..].find('/').map_or(input.len(), |at| at + 1);
            output.push_str(&input[..end]);
            input.replace_range(..end, "");
        }
    }
    output
}

proptest! {
    #[test]
    fn a_copy_of_a_copy_is_the_same(path in "/([a-c./%;\\\\]|%2e|%2f|%25|%41|%5c){0,24}", merge: bool) {
        if let Ok((once, doubts)) = copy(&path, merge) {
            let (twice, later) = copy(&once, merge).unwrap();
            prop_assert_eq!(&once, &twice);
            prop_assert!(once.starts_with('/'));
            prop_assert!(!once.split('/').any(|segment| segment == "." || segment == ".."), "{}", once);
            prop_assert!(!merge || !once.contains("//"), "{}", once);
            // No doubt is lost by being resolved save that about what is resolved now.
            for name in doubts.iter().filter(|name| !name.contains("dots") && **name != "bad_escape" && **name != "empty_segment") {
                let is_gone = path.contains("..") || path.contains("%2e");
                prop_assert!(later.contains(name) || is_gone, "{} of {}", name, path);
            }
        }
    }

    #[test]
    fn dots_lead_where_the_rfc_says(path in "(/(\\.|\\.\\.|a|b\\.|)){1,10}/?") {
        if let Ok((text, _)) = copy(&path, false) {
            prop_assert_eq!(text, remove_dot_segments(&path));
        }
    }
}
