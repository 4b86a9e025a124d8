//! The head that an upstream gets.

use crate::proxy::h1::{
    BadEdit, Body, Client, Edits, Forwarding, Limits, Refusal, RequestHead, Scheme, Trust, parse_request, request_id,
    write_request,
};

/// How one is passed on in a test.
struct Way {
    peer: &'static str,
    trusted: &'static str,
    scheme: Scheme,
    edits: Option<Edits>,
    expect: bool,
    upgrade: bool,
    via: Option<&'static str>,
}

const WAY: Way = Way {
    peer: "192.0.2.7:4000",
    trusted: "10.0.0.0/8",
    scheme: Scheme::Http,
    edits: None,
    expect: false,
    upgrade: true,
    via: None,
};

const OWN_ID: &[u8] = b"00112233445566778899aabbccddeeff";

fn forward(fields: &str, way: &Way) -> Result<Vec<String>, Refusal> {
    let b = format!("GET /p?q HTTP/1.1\r\nHost: a.example:8080\r\n{fields}\r\n").into_bytes();
    let mut head = RequestHead::default();
    assert!(matches!(parse_request(&b, &Limits::default(), &mut head), Ok(Some(_))), "{fields}");
    let trust = Trust::new(vec![way.trusted.parse().unwrap()]);
    let client = Client::new(way.peer.parse().unwrap(), way.scheme, &trust);
    let mut out = Vec::new();
    let to = Forwarding {
        target: head.target(&b),
        host: head.host(&b),
        body: head.body(),
        upgrade: way.upgrade,
        expect: way.expect,
        client: &client,
        trust: &trust,
        edits: way.edits.as_ref(),
        request_id: OWN_ID,
        via: way.via,
    };
    write_request(&mut out, &b, &head, &to)?;
    let text = String::from_utf8(out).unwrap();
    assert!(text.ends_with("\r\n\r\n") && !text[..text.len() - 4].contains("\r\n\r\n"));
    Ok(text.split("\r\n").filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// The values of a field among lines.
fn values<'l>(lines: &'l [String], name: &str) -> Vec<&'l str> {
    let of = |line: &'l String| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v);
    lines.iter().filter_map(of).collect()
}

#[test]
fn a_request_is_passed_on_with_who_asks() {
    let lines = forward("Accept: */*\r\nUser-Agent: curl\r\n", &WAY).unwrap();
    assert_eq!(
        lines,
        [
            "GET /p?q HTTP/1.1",
            "Host: a.example:8080",
            "Accept: */*",
            "User-Agent: curl",
            "X-Forwarded-For: 192.0.2.7",
            "X-Real-IP: 192.0.2.7",
            "X-Forwarded-Proto: http",
            "X-Forwarded-Host: a.example:8080",
            "X-Request-Id: 00112233445566778899aabbccddeeff",
        ]
    );
}

#[test]
fn what_a_stranger_says_of_itself_is_gone() {
    let said = "X-Forwarded-For: 1.1.1.1\r\nx-forwarded-for: 2.2.2.2\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n\
        X-Forwarded-Port: 1\r\nX-Forwarded-Prefix: /evil\r\nX-Forwarded-Server: evil\r\nX-Real-IP: 1.1.1.1\r\n\
        Forwarded: for=1.1.1.1\r\nX_Forwarded_For: 1.1.1.1\r\nX_Real_IP: 1.1.1.1\r\nX-Forwarded_For: 1.1.1.1\r\n\
        X.Forwarded.For: 1.1.1.1\r\nX-Request-Id: evil\r\n";
    for nominating in ["", "Connection: x-forwarded-for, x-real-ip, host, x-forwarded-proto\r\n"] {
        let lines = forward(&format!("{said}{nominating}"), &WAY).unwrap();
        let all = lines.join("\n");
        assert!(!all.contains("evil") && !all.contains("1.1.1.1") && !all.contains("2.2.2.2"), "{all}");
        assert_eq!(values(&lines, "x-forwarded-for"), ["192.0.2.7"]);
        assert_eq!(values(&lines, "x-real-ip"), ["192.0.2.7"]);
        assert_eq!(values(&lines, "x-forwarded-proto"), ["http"]);
        assert_eq!(values(&lines, "host"), ["a.example:8080"]);
        assert!(values(&lines, "forwarded").is_empty() && values(&lines, "x-forwarded-port").is_empty());
    }
}

#[test]
fn no_spelling_of_identity_gets_through() {
    let names = [
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-server",
        "x-forwarded-prefix",
        "x-forwarded-ssl",
        "x-real-ip",
        "forwarded",
    ];
    let mut count = 0;
    for name in names {
        let title =
            name.split('-').map(|word| format!("{}{}", word[..1].to_uppercase(), &word[1..])).collect::<Vec<_>>();
        let mut spellings = vec![name.to_owned(), name.to_uppercase(), title.join("-")];
        for other in ["_", ".", "~", "'", "!"].iter().filter(|_| name.contains('-')) {
            spellings.extend([name.replace('-', other), name.replacen('-', other, 1), title.join(other)]);
        }
        for spelling in &spellings {
            for fields in [
                format!("{spelling}: evil\r\n"),
                format!("{spelling}:evil \t\r\n"),
                format!("{spelling}: evil\r\n{spelling}: evil\r\n"),
                format!("X-Other: a\r\n{spelling}:\t, evil\r\nConnection: {spelling}\r\n"),
            ] {
                let text = forward(&fields, &WAY).unwrap().join("\n");
                assert!(!text.contains("evil"), "{fields}: {text}");
                count += 1;
            }
        }
    }
    assert!(count >= 200, "{count}");
}

#[test]
fn what_a_trusted_peer_says_is_gone_on_with() {
    let way = Way { peer: "10.1.2.3:4000", ..WAY };
    let lines = forward(
        "X-Forwarded-For: 9.9.9.9, 1.1.1.1\r\nX-Forwarded-For: 10.9.9.9\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: outer.example\r\nX-Forwarded-Port: 443\r\nX-Real-IP: 5.5.5.5\r\n\
         Forwarded: for=1.1.1.1;proto=https\r\nX-Request-Id: abc-1\r\n",
        &way,
    )
    .unwrap();
    assert_eq!(values(&lines, "x-forwarded-for"), ["9.9.9.9, 1.1.1.1, 10.9.9.9, 10.1.2.3"]);
    assert_eq!(values(&lines, "x-real-ip"), ["1.1.1.1"], "the first from the right that is not trusted");
    assert_eq!(values(&lines, "x-forwarded-proto"), ["https"]);
    assert_eq!(values(&lines, "x-forwarded-host"), ["outer.example"]);
    assert_eq!(values(&lines, "x-forwarded-port"), ["443"]);
    assert_eq!(
        values(&lines, "forwarded"),
        ["for=1.1.1.1;proto=https, for=10.1.2.3;host=\"a.example:8080\";proto=http"]
    );
    assert_eq!(values(&lines, "x-request-id"), ["abc-1"]);
}

#[test]
fn a_trusted_peer_that_says_nonsense_is_not_followed() {
    let way = Way { peer: "10.1.2.3:4000", ..WAY };
    let lines = forward(
        "X-Forwarded-Proto: javascript\r\nX-Forwarded-Host: a/b\r\nX-Request-Id: a b\r\nX-Forwarded-For: 1.1.1.1, x, 10.0.0.1\r\n",
        &way,
    )
    .unwrap();
    assert_eq!(values(&lines, "x-forwarded-proto"), ["http"]);
    assert_eq!(values(&lines, "x-forwarded-host"), ["a.example:8080"]);
    assert_eq!(values(&lines, "x-request-id"), [std::str::from_utf8(OWN_ID).unwrap()]);
    assert_eq!(values(&lines, "x-real-ip"), ["10.0.0.1"], "the last that can be read");
}

#[test]
fn forwarded_alone_says_who_asks_too() {
    for (peer, element, client, node) in [
        ("10.1.2.3:4000", "for=\"[2001:db8::1]:4711\";proto=https", "2001:db8::1", "for=10.1.2.3"),
        ("10.1.2.3:4000", "For=1.1.1.1;by=x, for=10.0.0.1", "1.1.1.1", "for=10.1.2.3"),
        ("10.1.2.3:4000", "for=unknown", "10.1.2.3", "for=10.1.2.3"),
        ("[::ffff:10.1.2.3]:4000", "for=_hidden", "10.1.2.3", "for=10.1.2.3"),
    ] {
        let lines = forward(&format!("Forwarded: {element}\r\n"), &Way { peer, ..WAY }).unwrap();
        assert_eq!(values(&lines, "x-real-ip"), [client], "{element}");
        let hops = if client == "10.1.2.3" { "10.1.2.3".to_owned() } else { format!("{client}, 10.1.2.3") };
        assert_eq!(values(&lines, "x-forwarded-for"), [hops], "{element}");
        assert!(values(&lines, "forwarded")[0].contains(node), "{element}");
    }
    let trusted = Way { peer: "[2001:db8::5]:1", trusted: "2001:db8::/32", ..WAY };
    let lines = forward("Forwarded: for=1.1.1.1\r\n", &trusted).unwrap();
    assert!(values(&lines, "forwarded")[0].contains("for=\"[2001:db8::5]\""));
}

#[test]
fn what_is_meant_for_us_stays_here() {
    let lines = forward(
        "Connection: close, x-one\r\nX-One: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nTE: gzip, trailers\r\n\
         Trailer: X-Sum\r\nUpgrade: h2c\r\nHTTP2-Settings: a\r\nProxy-Authorization: Basic a\r\nProxy-Authenticate: Basic\r\n",
        &WAY,
    )
    .unwrap();
    for name in
        ["x-one", "keep-alive", "proxy-connection", "trailer", "upgrade", "http2-settings", "proxy-authorization"]
    {
        assert!(values(&lines, name).is_empty(), "{name}");
    }
    assert!(values(&lines, "proxy-authenticate").is_empty());
    assert_eq!((values(&lines, "connection"), values(&lines, "te")), (vec!["TE"], vec!["trailers"]));
}

#[test]
fn an_upgrade_is_asked_for_anew() {
    let fields = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: a\r\n";
    let lines = forward(fields, &WAY).unwrap();
    assert_eq!((values(&lines, "connection"), values(&lines, "upgrade")), (vec!["Upgrade"], vec!["websocket"]));
    assert_eq!(values(&lines, "sec-websocket-key"), ["a"]);
    let lines = forward(fields, &Way { upgrade: false, ..WAY }).unwrap();
    assert!(values(&lines, "connection").is_empty() && values(&lines, "upgrade").is_empty());
}

#[test]
fn the_length_is_written_by_us() {
    let lines = forward("content-length: 007\r\n", &WAY).unwrap();
    assert_eq!(values(&lines, "content-length"), ["7"]);
    let lines = forward("TRANSFER-ENCODING: CHUNKED\r\nTrailer: X-Sum\r\nConnection: trailer\r\n", &WAY).unwrap();
    assert_eq!(values(&lines, "transfer-encoding"), ["chunked"]);
    assert_eq!(values(&lines, "trailer"), ["X-Sum"]);
    assert!(values(&lines, "content-length").is_empty());
}

#[test]
fn an_expectation_goes_one_way_only() {
    let fields = "Expect: 100-continue\r\nContent-Length: 1\r\n";
    assert!(values(&forward(fields, &WAY).unwrap(), "expect").is_empty(), "answered here");
    let relayed = forward(fields, &Way { expect: true, ..WAY }).unwrap();
    assert_eq!(values(&relayed, "expect"), ["100-continue"]);
    assert!(values(&forward("Expect: 100-continue\r\n", &Way { expect: true, ..WAY }).unwrap(), "expect").is_empty());
}

#[test]
fn a_loop_is_found_by_our_own_name() {
    let way = Way { via: Some("skyvis-1f"), ..WAY };
    let lines = forward("Via: 1.0 fred, 1.1 p.example (Apache)\r\nVia: HTTP/1.1 other\r\n", &way).unwrap();
    assert_eq!(values(&lines, "via"), ["1.0 fred, 1.1 p.example (Apache)", "HTTP/1.1 other", "1.1 skyvis-1f"]);
    for via in ["1.1 skyvis-1f", "1.0 fred, 1.1  SKYVIS-1F (x)", "1.1 a\r\nVia: 1.1 skyvis-1f"] {
        assert_eq!(forward(&format!("Via: {via}\r\n"), &way), Err(Refusal::Loop), "{via}");
    }
    assert!(forward("Via: 1.1 skyvis-1\r\nConnection: via\r\n", &way).is_ok());
    assert_eq!(forward("Via: 1.1 skyvis-1f\r\nConnection: via\r\n", &way), Err(Refusal::Loop));
}

#[test]
fn a_trace_is_passed_on_if_it_is_one() {
    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let lines = forward(&format!("traceparent: {GOOD}\r\ntracestate: a=b\r\n"), &WAY).unwrap();
    assert_eq!((values(&lines, "traceparent"), values(&lines, "tracestate")), (vec![GOOD], vec!["a=b"]));
    let later = format!("{}-more", GOOD.replacen("00", "cc", 1));
    assert_eq!(values(&forward(&format!("traceparent: {later}\r\n"), &WAY).unwrap(), "traceparent"), [later]);
    for bad in [
        "".to_owned(),
        "00".to_owned(),
        format!("{GOOD}-more"),
        GOOD.to_uppercase(),
        GOOD.replacen("00", "ff", 1),
        GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000000"),
        GOOD.replace("00f067aa0ba902b7", "0000000000000000"),
        GOOD.replace('-', "_"),
        format!("{GOOD}\r\ntraceparent: {GOOD}"),
    ] {
        let lines = forward(&format!("traceparent: {bad}\r\ntracestate: a=b\r\n"), &WAY).unwrap();
        assert!(values(&lines, "traceparent").is_empty() && values(&lines, "tracestate").is_empty(), "{bad}");
    }
}

#[test]
fn a_route_sets_and_removes() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let edits = Edits::new(
        vec![pair("X-Tenant", "7"), pair("X-Forwarded-Proto", "https")],
        vec!["Cookie".to_owned(), "x-real-ip".to_owned()],
    )
    .unwrap();
    let way = Way { edits: Some(edits), ..WAY };
    let lines = forward("x-tenant: 1\r\nCookie: a\r\nX-Other: b\r\n", &way).unwrap();
    assert_eq!((values(&lines, "x-tenant"), values(&lines, "x-forwarded-proto")), (vec!["7"], vec!["https"]));
    assert!(values(&lines, "cookie").is_empty() && values(&lines, "x-real-ip").is_empty());
    assert_eq!(values(&lines, "x-other"), ["b"]);
}

#[test]
fn a_route_does_not_change_how_a_message_is_read() {
    let set = |name: &str, value: &str| Edits::new(vec![(name.to_owned(), value.to_owned())], vec![]);
    for name in
        ["Content-Length", "transfer-encoding", "Connection", "Upgrade", "TE", "Trailer", "Expect", "Keep-Alive"]
    {
        assert_eq!(set(name, "1"), Err(BadEdit::Own(name.to_owned())));
        assert_eq!(Edits::new(vec![], vec![name.to_owned()]), Err(BadEdit::Own(name.to_owned())));
    }
    assert_eq!(set("host", "a"), Err(BadEdit::Host));
    assert_eq!(set("X: y", "a"), Err(BadEdit::Name("X: y".to_owned())));
    assert_eq!(set("", "a"), Err(BadEdit::Name(String::new())));
    assert_eq!(set("X", "a\r\nY: b"), Err(BadEdit::Value("X".to_owned())));
    assert_eq!(Edits::new(vec![], vec!["x".to_owned(); 65]), Err(BadEdit::TooMany));
}

#[test]
fn a_client_of_old_is_given_a_host() {
    let b = b"GET / HTTP/1.0\r\n\r\n";
    let (mut head, trust, mut out) = (RequestHead::default(), Trust::default(), Vec::new());
    parse_request(b, &Limits::default(), &mut head).unwrap();
    let client = Client::new("192.0.2.7:1".parse().unwrap(), Scheme::Https, &trust);
    let to = Forwarding {
        target: b"/",
        host: b"10.0.0.5:9000",
        body: Body::None,
        upgrade: false,
        expect: false,
        client: &client,
        trust: &trust,
        edits: None,
        request_id: OWN_ID,
        via: None,
    };
    write_request(&mut out, b, &head, &to).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.starts_with("GET / HTTP/1.1\r\nHost: 10.0.0.5:9000\r\n"), "{text}");
    assert!(text.contains("X-Forwarded-Proto: https\r\n") && !text.contains("X-Forwarded-Host"), "{text}");
}

#[test]
fn an_id_is_as_long_as_any_other() {
    assert_eq!(&request_id(0), b"00000000000000000000000000000000");
    assert_eq!(&request_id(u128::MAX - 15), b"fffffffffffffffffffffffffffffff0");
}
