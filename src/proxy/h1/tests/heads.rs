//! What is known of a head once it is read.

use crate::proxy::h1::{
    Asked, Body, Form, Interim, Kind, Limits, Method, Refusal, RequestHead, ResponseHead, Version, interim,
    parse_request, parse_response,
};

fn request(bytes: &[u8]) -> RequestHead {
    let mut head = RequestHead::default();
    let read = parse_request(bytes, &Limits::default(), &mut head);
    assert!(matches!(read, Ok(Some(_))), "{read:?}: {}", bytes.escape_ascii());
    head
}

fn response(bytes: &[u8], asked: Asked) -> Result<ResponseHead, Refusal> {
    let mut head = ResponseHead::default();
    match parse_response(bytes, &Limits::default(), asked, &mut head)? {
        Some(_) => Ok(head),
        None => panic!("not whole: {}", bytes.escape_ascii()),
    }
}

#[test]
fn a_head_is_known_by_its_parts() {
    let b = b"POST /a/b?c=d&e HTTP/1.1\r\nHost: Example.COM.:8080\r\nContent-Length: 12\r\nX-Other:  z \r\n\r\nbody";
    let head = request(b);
    assert_eq!((head.method(), head.method_bytes(b)), (Method::Post, &b"POST"[..]));
    assert_eq!((head.form(), head.version(), head.body()), (Form::Origin, Version::Http11, Body::Length(12)));
    assert_eq!((head.path(b), head.query(b)), (&b"/a/b"[..], Some(&b"c=d&e"[..])));
    assert_eq!(head.target(b), b"/a/b?c=d&e");
    assert_eq!((head.host(b), head.host_name(b)), (&b"Example.COM.:8080"[..], &b"Example.COM"[..]));
    assert_eq!((head.host_port(), head.find(b, "x-OTHER")), (Some(8080), Some(&b"z"[..])));
    assert_eq!((head.get(b, Kind::Host), head.get(b, Kind::Cookie)), (Some(&b"Example.COM.:8080"[..]), None));
    assert_eq!(&b[head.head_bytes()..], b"body");
    assert!(head.keep_alive());
}

#[test]
fn a_target_is_made_origin_form_whatever_its_form() {
    for (line, target, path, query, host) in [
        ("GET http://x.y/p?q HTTP/1.1\r\nHost: x.y", "/p?q", "/p", Some("q"), "x.y"),
        ("GET HTTPS://X.y:443/p HTTP/1.1\r\nHost: x.y", "/p", "/p", None, "X.y:443"),
        ("GET http://x.y HTTP/1.1\r\nHost: x.y", "/", "/", None, "x.y"),
        ("GET http://x.y HTTP/1.0", "/", "/", None, "x.y"),
        ("GET / HTTP/1.0", "/", "/", None, ""),
        ("GET //x/y HTTP/1.1\r\nHost: a", "//x/y", "//x/y", None, "a"),
        ("GET /? HTTP/1.1\r\nHost: a", "/?", "/", Some(""), "a"),
        ("GET /?a?b HTTP/1.1\r\nHost: a", "/?a?b", "/", Some("a?b"), "a"),
        ("OPTIONS * HTTP/1.1\r\nHost: a", "*", "*", None, "a"),
        ("OPTIONS http://a HTTP/1.1\r\nHost: a", "/", "/", None, "a"),
    ] {
        let b = format!("{line}\r\n\r\n").into_bytes();
        let head = request(&b);
        assert_eq!(head.target(&b), target.as_bytes(), "{line}");
        assert_eq!((head.path(&b), head.query(&b)), (path.as_bytes(), query.map(str::as_bytes)), "{line}");
        assert_eq!(head.host(&b), host.as_bytes(), "{line}");
    }
}

#[test]
fn only_capitals_are_methods_that_are_known() {
    for (name, method) in [("HEAD", Method::Head), ("head", Method::Other), ("PROPFIND", Method::Other)] {
        let b = format!("{name} / HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
        assert_eq!((request(&b).method(), request(&b).method_bytes(&b)), (method, name.as_bytes()));
    }
    assert!(!Method::Post.is_idempotent() && !Method::Patch.is_idempotent() && !Method::Other.is_idempotent());
}

#[test]
fn a_connection_goes_on_as_its_version_has_it() {
    for (version, connection, keeps) in [
        ("1.1", "", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: foo, Close\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
        ("1.0", "Proxy-Connection: keep-alive\r\n", false),
    ] {
        let b = format!("GET / HTTP/{version}\r\nHost: a\r\n{connection}\r\n").into_bytes();
        assert_eq!(request(&b).keep_alive(), keeps, "{version} {connection}");
    }
}

#[test]
fn an_upgrade_is_one_protocol_that_is_not_http() {
    for (fields, wanted) in [
        ("Connection: Upgrade\r\nUpgrade: websocket\r\n", Some("websocket")),
        ("Connection: keep-alive, upgrade\r\nUpgrade: WebSocket\r\n", Some("WebSocket")),
        ("Connection: upgrade\r\nUpgrade: h2c, websocket\r\n", Some("websocket")),
        ("Connection: upgrade\r\nUpgrade: foo/2\r\n", Some("foo/2")),
        ("Connection: upgrade\r\nUpgrade: h2c\r\n", None),
        ("Connection: upgrade\r\nUpgrade: H2C\r\n", None),
        ("Connection: upgrade\r\nUpgrade: HTTP/2.0\r\n", None),
        ("Connection: upgrade\r\nUpgrade: TLS/1.2\r\n", None),
        ("Connection: upgrade\r\nUpgrade: a b\r\n", None),
        ("Upgrade: websocket\r\n", None),
        ("Connection: upgrade\r\n", None),
        ("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n", None),
        ("Connection: upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n", None),
    ] {
        let b = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
        assert_eq!(request(&b).upgrade(&b), wanted.map(str::as_bytes), "{fields}");
    }
    let old = b"GET / HTTP/1.0\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(request(old).upgrade(old), None);
}

#[test]
fn an_expectation_is_one_only_with_a_body() {
    for (version, length, expects) in [("1.1", "2", true), ("1.1", "0", false), ("1.0", "2", false)] {
        let head =
            format!("POST / HTTP/{version}\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: {length}\r\n\r\n");
        assert_eq!(request(head.as_bytes()).expect_continue(), expects, "{version} {length}");
    }
}

#[test]
fn fields_that_are_not_passed_on_are_marked() {
    let b =
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-one, host, x-forwarded-for, cookie, authorization\r\nX-One: 1\r\n\
        X-Two: 2\r\nKeep-Alive: 1\r\nX_Forwarded_For: 1\r\nX.Real.IP: 1\r\nCookie: c\r\nAuthorization: d\r\n\
        X-Forwarded-For: e\r\nProxy-Authorization: f\r\nTE: trailers\r\nHTTP2-Settings: g\r\n\r\n";
    let head = request(b);
    let kept: Vec<_> = head.fields(b).filter(|f| !f.is_dropped).map(|f| f.name.escape_ascii().to_string()).collect();
    assert_eq!(kept, ["Host", "X-Two", "Cookie", "Authorization", "X-Forwarded-For"]);
    assert!(head.takes_trailers());
}

#[test]
fn a_head_is_used_again_without_memory_of_the_last() {
    let mut head = RequestHead::default();
    let one = b"POST http://a/?q HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nConnection: close\r\n\r\n";
    assert_eq!(parse_request(one, &Limits::default(), &mut head), Ok(Some(one.len())));
    head.clear();
    let other = b"GET / HTTP/1.0\r\n\r\n";
    assert_eq!(parse_request(other, &Limits::default(), &mut head), Ok(Some(other.len())));
    let fresh = request(other);
    assert_eq!(format!("{head:?}"), format!("{fresh:?}"));
}

#[test]
fn a_body_of_a_response_is_as_long_as_its_status_and_what_was_asked_let_it() {
    let (get, of_head) = (Asked::default(), Asked { head: true, upgrade: false });
    for (asked, status, fields, body, length) in [
        (get, 200, "Content-Length: 5\r\n", Body::Length(5), Some(5)),
        (get, 200, "Content-Length: 0\r\n", Body::Length(0), Some(0)),
        (get, 200, "Transfer-Encoding: chunked\r\n", Body::Chunked, None),
        (get, 200, "", Body::UntilClose, None),
        (of_head, 200, "Content-Length: 5\r\n", Body::None, Some(5)),
        (of_head, 200, "Transfer-Encoding: chunked\r\n", Body::None, None),
        (of_head, 200, "", Body::None, None),
        (get, 204, "Content-Length: 5\r\n", Body::None, Some(5)),
        (get, 304, "Content-Length: 5\r\n", Body::None, Some(5)),
        (get, 304, "Transfer-Encoding: chunked\r\n", Body::None, None),
        (get, 103, "Content-Length: 5\r\n", Body::None, Some(5)),
        (get, 999, "Content-Length: 5\r\n", Body::Length(5), Some(5)),
    ] {
        let b = format!("HTTP/1.1 {status} Some reason\r\n{fields}\r\n").into_bytes();
        let head = response(&b, asked).unwrap();
        assert_eq!((head.status(), head.reason(&b)), (status, &b"Some reason"[..]));
        assert_eq!((head.body(), head.content_length()), (body, length), "{status} {fields}");
    }
}

#[test]
fn an_upstream_is_asked_again_only_where_its_answer_has_an_end() {
    for (text, keeps) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close", false),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep alive", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 1", false),
        ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive", true),
        ("HTTP/1.1 200 OK\r\nX: y", false),
        ("HTTP/1.1 204\r\nX: y", true),
        ("HTTP/1.1 204 \r\nX: y", true),
    ] {
        let b = format!("{text}\r\n\r\n").into_bytes();
        assert_eq!(response(&b, Asked::default()).unwrap().keep_alive(), keeps, "{text}");
    }
}

#[test]
fn responses_that_can_be_read_in_two_ways_are_bad() {
    for (bytes, refusal) in [
        (&b"HTTP/1.1 200 OK\nContent-Length: 1\r\n\r\n"[..], Refusal::BareLf),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\n\r\n", Refusal::BareLf),
        (b"HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", Refusal::BareCr),
        (b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n", Refusal::Folded),
        (b"HTTP/1.1 200 OK\r\nX : a\r\n\r\n", Refusal::SpaceBeforeColon),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", Refusal::LengthAndCoding),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", Refusal::TwoLengths),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n", Refusal::Length),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Refusal::CodingUnknown),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", Refusal::TwoCodings),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Refusal::CodingInOldVersion),
        (b"HTTP/1.1 099 No\r\n\r\n", Refusal::StatusLine),
        (b"HTTP/1.1 20 OK\r\n\r\n", Refusal::StatusLine),
        (b"HTTP/1.1 2000 OK\r\n\r\n", Refusal::StatusLine),
        (b"HTTP/1.1  200 OK\r\n\r\n", Refusal::StatusLine),
        (b"HTTP/2 200 OK\r\n\r\n", Refusal::StatusLine),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", Refusal::StatusLine),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", Refusal::LeadingLines),
        (b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", Refusal::UpgradeUnasked),
    ] {
        let read = response(bytes, Asked::default()).map(|_| ());
        assert_eq!(read, Err(refusal), "{}", bytes.escape_ascii());
    }
    let endless = [b"HTTP/1.1 200 OK\r\nX: ".to_vec(), vec![b'x'; 40_000]].concat();
    assert_eq!(response(&endless, Asked::default()).map(|_| ()), Err(Refusal::LineTooLong));
}

#[test]
fn a_switch_is_granted_by_its_own_protocol_alone() {
    let asked = Asked { head: false, upgrade: true };
    let b = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\nraw";
    let head = response(b, asked).unwrap();
    assert!(head.grants(b, b"websocket") && !head.grants(b, b"other"));
    assert_eq!((head.body(), &b[head.head_bytes()..]), (Body::None, &b"raw"[..]));
    for without in
        [&b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\n\r\n"[..], b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n"]
    {
        assert_eq!(response(without, asked).map(|_| ()), Err(Refusal::UpgradeUnasked));
    }
}

#[test]
fn interim_responses_reach_those_who_can_use_them() {
    assert_eq!(interim(100, Version::Http11, true), Interim::Forward);
    assert_eq!(interim(100, Version::Http11, false), Interim::Drop);
    assert_eq!(interim(102, Version::Http11, true), Interim::Drop);
    assert_eq!(interim(103, Version::Http11, false), Interim::Forward);
    assert_eq!(interim(103, Version::Http10, false), Interim::Drop);
    assert_eq!(interim(101, Version::Http11, false), Interim::Switch);
}
