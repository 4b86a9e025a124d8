//! What holds of any bytes.

use crate::{
    proxy::h1::{Client, Forwarding, Limits, RequestHead, Scheme, Trust, parse_request, write_request},
    tests::framing::{
        mutants::mutants,
        walk::{End, walk, walk_pieces},
    },
};
use proptest::prelude::*;

/// The head of a request of any making, most of them good.
fn head() -> impl Strategy<Value = String> {
    let method = prop_oneof![Just("GET"), Just("POST"), Just("HEAD"), Just("get"), Just("PURGE"), Just("OPTIONS")];
    let target =
        prop_oneof!["/[a-z%2.;/]{0,12}(\\?[a-z=&]{0,8})?", "http://a(:80)?(/[a-z]{0,4})?", Just("*".to_owned())];
    let name = prop_oneof![
        "[A-Za-z][A-Za-z0-9-]{0,12}",
        "X_[a-z]{1,4}",
        Just("Connection".to_owned()),
        Just("X-Forwarded-For".to_owned()),
        Just("TE".to_owned()),
        Just("Upgrade".to_owned()),
        Just("Via".to_owned()),
    ];
    let value = prop_oneof!["[ -~\t\u{80}-\u{ff}]{0,20}", Just("trailers".to_owned()), Just("upgrade, x-a".to_owned())];
    let field = (name, value).prop_map(|(name, value)| format!("{name}: {value}\r\n"));
    let framing = prop_oneof![
        Just(String::new()),
        (0_u64..9).prop_map(|length| format!("Content-Length: {length}\r\n")),
        Just("Transfer-Encoding: chunked\r\n".to_owned()),
    ];
    let version = prop_oneof![4 => Just("1.1"), 1 => Just("1.0")];
    (method, target, version, prop::collection::vec(field, 0..8), framing).prop_map(
        |(method, target, version, fields, framing)| {
            format!("{method} {target} HTTP/{version}\r\nHost: a\r\n{}{framing}\r\n", fields.concat())
        },
    )
}

fn forwarded(bytes: &[u8]) -> Option<Vec<u8>> {
    let (mut head, mut out) = (RequestHead::default(), Vec::new());
    parse_request(bytes, &Limits::default(), &mut head).ok()??;
    let trust = Trust::default();
    let client = Client::new("192.0.2.7:1".parse().unwrap(), Scheme::Http, &trust);
    let to = Forwarding {
        target: head.target(bytes),
        host: if head.host(bytes).is_empty() { b"upstream" } else { head.host(bytes) },
        body: head.body(),
        upgrade: true,
        expect: true,
        client: &client,
        trust: &trust,
        edits: None,
        request_id: b"00112233445566778899aabbccddeeff",
        via: None,
    };
    write_request(&mut out, bytes, &head, &to).unwrap();
    Some(out)
}

/// What is the same of a head before and behind us.
fn essence(bytes: &[u8]) -> (Vec<u8>, Vec<u8>, String, Vec<(Vec<u8>, Vec<u8>)>) {
    let mut head = RequestHead::default();
    let len = parse_request(bytes, &Limits::default(), &mut head).unwrap().unwrap();
    assert_eq!(len, head.head_bytes());
    let ours = |name: &[u8]| {
        let name = name.to_ascii_lowercase();
        name.starts_with(b"x-forwarded")
            || [&b"x-real-ip"[..], b"x-request-id", b"host", b"content-length", b"forwarded", b"expect"]
                .contains(&&name[..])
    };
    let fields = head.fields(bytes).filter(|f| !f.is_dropped && !ours(f.name));
    let fields = fields.map(|f| (f.name.to_vec(), f.value.to_vec())).collect();
    let rest =
        format!("{:?} {:?} {:?} {:?}", head.body(), head.expect_continue(), head.upgrade(bytes), head.takes_trailers());
    (head.method_bytes(bytes).to_vec(), head.target(bytes).to_vec(), rest, fields)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_head_that_we_write_is_read_back_the_same(text in head()) {
        let bytes: Vec<u8> = text.chars().map(|c| u32::from(c) as u8).collect();
        if let Some(once) = forwarded(&bytes) {
            let twice = forwarded(&once);
            prop_assert_eq!(twice.as_ref().map(|b| b.escape_ascii().to_string()), Some(once.escape_ascii().to_string()));
            prop_assert_eq!(essence(&once), essence(&bytes));
        }
    }

    #[test]
    fn a_head_is_read_the_same_in_pieces(text in head(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..6)) {
        let bytes: Vec<u8> = text.chars().map(|c| u32::from(c) as u8).collect();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
        at.sort_unstable();
        let pieces = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]);
        let ((one, one_end), (other, other_end)) = (walk_pieces(pieces), walk(&bytes, usize::MAX));
        prop_assert_eq!((one, one_end.kind()), (other, other_end.kind()));
    }
}

#[test]
fn mutants_are_read_the_same_in_pieces() {
    let mut good = 0;
    for (name, sent) in mutants(1, 20_000) {
        let whole = walk(&sent, usize::MAX);
        // An error within a line is seen at once in whole bytes and at the line's end in pieces.
        let is_lined = matches!(whole.1, End::Refused(_)) && !sent.ends_with(b"\n");
        let by_byte = walk(&sent, 1);
        if by_byte.1.kind() != whole.1.kind() {
            assert!(
                is_lined && matches!(by_byte.1, End::Waiting | End::Clean),
                "{name}: {by_byte:?}, {whole:?}: {}",
                sent.escape_ascii()
            );
        }
        assert_eq!(by_byte.0, whole.0, "{name}: {}", sent.escape_ascii());
        good += whole.0.len();
    }
    assert!(good > 1000, "mutants are worth reading: {good} requests");
}
