//! The cases: what is sent, and what may come of it. Sources of the kinds: RFC 9112, the differences that HTTP Garden found
//! among forty servers, the smuggling techniques published since 2019, and what other proxies had to mend.

use crate::proxy::h1::Refusal;

/// What may come of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Refused by its head: the origin sees nothing, the connection ends.
    No(Refusal),
    /// The head is in order and the body breaks off: the origin sees no whole request, the connection ends.
    Broken(Refusal),
    /// Exactly this many requests, with these bodies together.
    Yes(usize, &'static [u8]),
    /// Not all of it is there: the origin sees no whole request.
    Unfinished,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is called.
    pub name: String,
    /// What is sent on one connection.
    pub sent: Vec<u8>,
    /// What may come of it.
    pub verdict: Verdict,
}

use Refusal as R;
use Verdict::{Broken, No, Unfinished, Yes};

/// One row of a table.
const fn case(name: &'static str, sent: &'static [u8], verdict: Verdict) -> (&'static str, &'static [u8], Verdict) {
    (name, sent, verdict)
}

/// Lines, targets and hosts.
pub const HEADS: &[(&str, &[u8], Verdict)] = &[
    case("plain", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", Yes(1, b"")),
    case("plain 1.0", b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", Yes(1, b"")),
    case("1.0 without host", b"GET / HTTP/1.0\r\n\r\n", Yes(1, b"")),
    case("two pipelined", b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", Yes(2, b"")),
    case("one empty line before", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Yes(1, b"")),
    case("two empty lines before", b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", No(R::LeadingLines)),
    case("bare lf before", b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", No(R::BareLf)),
    case("bare cr before", b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", No(R::BareCr)),
    case("space before", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", No(R::RequestLine)),
    case("bare lf in first line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", No(R::BareLf)),
    case("bare lf in field", b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", No(R::BareLf)),
    case("bare lf at last field", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\n\r\n", No(R::BareLf)),
    case("bare lf in empty line", b"GET / HTTP/1.1\r\nHost: a\r\n\n", No(R::BareLf)),
    case("bare lf everywhere", b"GET / HTTP/1.1\nHost: a\n\n", No(R::BareLf)),
    case("empty value and bare lf", b"GET / HTTP/1.1\r\nHost: a\r\nX:\nY: z\r\n\r\n", No(R::BareLf)),
    case("spaces and bare lf", b"GET / HTTP/1.1\r\nHost: a \n\r\n", No(R::BareLf)),
    case("cr cr lf", b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", No(R::BareCr)),
    case("cr in value", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n", No(R::BareCr)),
    case("cr in first line", b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", No(R::BareCr)),
    case("cr in name", b"GET / HTTP/1.1\r\nHost: a\r\nX\rY: b\r\n\r\n", No(R::BareCr)),
    case("smuggled by cr", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rContent-Length: 5\r\n\r\nhello", No(R::BareCr)),
    case("nul in value", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n", No(R::FieldValue)),
    case("nul in name", b"GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n", No(R::FieldName)),
    case("nul in target", b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", No(R::Target)),
    case("bell in value", b"GET / HTTP/1.1\r\nHost: a\r\nX: \x07\r\n\r\n", No(R::FieldValue)),
    case("delete in value", b"GET / HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n\r\n", No(R::FieldValue)),
    case("vertical tab in value", b"GET / HTTP/1.1\r\nHost: a\r\nX:\x0bchunked\r\n\r\n", No(R::FieldValue)),
    case("folded", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", No(R::Folded)),
    case("folded by tab", b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n", No(R::Folded)),
    case("folded first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", No(R::Folded)),
    case(
        "folded coding",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        No(R::Folded),
    ),
    case("space before colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", No(R::SpaceBeforeColon)),
    case("tab before colon", b"GET / HTTP/1.1\r\nHost\t: a\r\n\r\n", No(R::SpaceBeforeColon)),
    case(
        "length and space before colon",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello",
        No(R::SpaceBeforeColon),
    ),
    case("space in name", b"GET / HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n", No(R::FieldName)),
    case("no colon", b"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", No(R::FieldName)),
    case("no name", b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", No(R::FieldName)),
    case("name in quotes", b"GET / HTTP/1.1\r\nHost: a\r\n\"X\": b\r\n\r\n", No(R::FieldName)),
    case("name with bytes over 127", b"GET / HTTP/1.1\r\nHost: a\r\nX\xe4: b\r\n\r\n", No(R::FieldName)),
    case("value with bytes over 127", b"GET / HTTP/1.1\r\nHost: a\r\nX: \xe4\r\n\r\n", Yes(1, b"")),
    case("spaces around value", b"GET / HTTP/1.1\r\nHost: \t a \t \r\n\r\n", Yes(1, b"")),
    case("no space before value", b"GET / HTTP/1.1\r\nHost:a\r\n\r\n", Yes(1, b"")),
    case("empty value", b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n", Yes(1, b"")),
    case("two spaces", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", No(R::RequestLine)),
    case("two spaces before version", b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", No(R::RequestLine)),
    case("space behind version", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", No(R::RequestLine)),
    case("tab for space", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", No(R::Method)),
    case("space in target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", No(R::RequestLine)),
    case("request in target", b"GET / HTTP/1.1 GET /b HTTP/1.1\r\nHost: a\r\n\r\n", No(R::RequestLine)),
    case("no version", b"GET /\r\nHost: a\r\n\r\n", No(R::RequestLine)),
    case("no target", b"GET HTTP/1.1\r\nHost: a\r\n\r\n", No(R::RequestLine)),
    case("only an empty line", b"\r\n\r\n", No(R::LeadingLines)),
    case("version 1.2", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", No(R::Version)),
    case("version 2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", No(R::Version)),
    case("version 0.9", b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", No(R::Version)),
    case("version 1.10", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", No(R::Version)),
    case("version 01.1", b"GET / HTTP/01.1\r\nHost: a\r\n\r\n", No(R::Version)),
    case("version in small letters", b"GET / http/1.1\r\nHost: a\r\n\r\n", No(R::Version)),
    case("version of another", b"GET / ICY/1.1\r\nHost: a\r\n\r\n", No(R::Version)),
    case("version with a plus", b"GET / HTTP/+1.1\r\nHost: a\r\n\r\n", No(R::Version)),
    case("nearly the preface of http/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\n\r", No(R::Version)),
    case("hello of tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", No(R::BareLf)),
    case("method with a bracket", b"GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", No(R::Method)),
    case("method with a byte over 127", b"GE\xe4T / HTTP/1.1\r\nHost: a\r\n\r\n", No(R::Method)),
    case("method in small letters", b"get / HTTP/1.1\r\nHost: a\r\n\r\n", Yes(1, b"")),
    case("method of one's own", b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", Yes(1, b"")),
    case("trace", b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", No(R::MethodRefused)),
    case("connect", b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", No(R::MethodRefused)),
    case("fragment", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", No(R::Fragment)),
    case("fragment in query", b"GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", No(R::Fragment)),
    case("target over 127", b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n", No(R::Target)),
    case("target of no form", b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", No(R::Target)),
    case("target is a query", b"GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", No(R::Target)),
    case("asterisk of get", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", No(R::Target)),
    case("authority of get", b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", No(R::Target)),
    case("other scheme", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", No(R::Target)),
    case("script", b"GET javascript:alert(1) HTTP/1.1\r\nHost: a\r\n\r\n", No(R::Target)),
    case("absolute", b"GET http://a/p?q HTTP/1.1\r\nHost: a\r\n\r\n", Yes(1, b"")),
    case("absolute without path", b"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", Yes(1, b"")),
    case("absolute with another port of the same", b"GET http://A:80/ HTTP/1.1\r\nHost: a\r\n\r\n", Yes(1, b"")),
    case("absolute of another host", b"GET http://x/p HTTP/1.1\r\nHost: a\r\n\r\n", No(R::HostMismatch)),
    case("absolute of another port", b"GET http://a:81/p HTTP/1.1\r\nHost: a\r\n\r\n", No(R::HostMismatch)),
    case("absolute without host", b"GET http://a/p HTTP/1.1\r\n\r\n", No(R::NoHost)),
    case("absolute with a user", b"GET http://u@a/p HTTP/1.1\r\nHost: a\r\n\r\n", No(R::UserInfo)),
    case("absolute with host as user", b"GET http://a@b/p HTTP/1.1\r\nHost: a\r\n\r\n", No(R::UserInfo)),
    case("absolute without a host", b"GET http:///p HTTP/1.1\r\nHost: a\r\n\r\n", No(R::Host)),
    case("absolute with a backslash", b"GET http://a\\b/ HTTP/1.1\r\nHost: a\r\n\r\n", No(R::Host)),
    case("no host", b"GET / HTTP/1.1\r\n\r\n", No(R::NoHost)),
    case("two hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", No(R::TwoHosts)),
    case("two hosts alike", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", No(R::TwoHosts)),
    case("two hosts in 1.0", b"GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", No(R::TwoHosts)),
    case("two hosts, apart", b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nHOST: b\r\n\r\n", No(R::TwoHosts)),
    case("empty host", b"GET / HTTP/1.1\r\nHost:\r\n\r\n", No(R::Host)),
    case("host with a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", No(R::Host)),
    case("host with a user", b"GET / HTTP/1.1\r\nHost: a/b@c\r\n\r\n", No(R::Host)),
    case("host with a space", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", No(R::Host)),
    case("host is a list", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", No(R::Host)),
    case("host with a letter for a port", b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", No(R::Host)),
    case("host with a port too large", b"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", No(R::Host)),
    case("host with no port", b"GET / HTTP/1.1\r\nHost: a:\r\n\r\n", No(R::Host)),
    case("host with two ports", b"GET / HTTP/1.1\r\nHost: a:80:81\r\n\r\n", No(R::Host)),
    case("host with a plus in its port", b"GET / HTTP/1.1\r\nHost: a:+80\r\n\r\n", No(R::Host)),
    case("host with a scheme", b"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", No(R::Host)),
    case("host with two dots", b"GET / HTTP/1.1\r\nHost: a..b\r\n\r\n", No(R::Host)),
    case("host of dots", b"GET / HTTP/1.1\r\nHost: .\r\n\r\n", No(R::Host)),
    case("host with an escape", b"GET / HTTP/1.1\r\nHost: a%2eb\r\n\r\n", No(R::Host)),
    case("host over 127", b"GET / HTTP/1.1\r\nHost: \xe4\r\n\r\n", No(R::Host)),
    case("host of ipv6", b"GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", Yes(1, b"")),
    case("host of bad ipv6", b"GET / HTTP/1.1\r\nHost: [::1::2]\r\n\r\n", No(R::Host)),
    case("host of ipv6 with a zone", b"GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n", No(R::Host)),
    case("host of open brackets", b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", No(R::Host)),
    case("host with a dot at its end", b"GET / HTTP/1.1\r\nHost: a.example.\r\n\r\n", Yes(1, b"")),
    case("host of an underscore", b"GET / HTTP/1.1\r\nHost: web_api:9000\r\n\r\n", Yes(1, b"")),
    case("head breaks off in its line", b"GET / HT", Unfinished),
    case("head breaks off in a field", b"GET / HTTP/1.1\r\nHost: a\r\nX: ", Unfinished),
    case("head breaks off before its end", b"GET / HTTP/1.1\r\nHost: a\r\n", Unfinished),
    case("head breaks off in its end", b"GET / HTTP/1.1\r\nHost: a\r\n\r", Unfinished),
];

/// What a head says of its body, and what is meant for the next hop only.
pub const FIELDS: &[(&str, &[u8], Verdict)] = &[
    case("length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", Yes(1, b"hello")),
    case("length of nothing", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", Yes(1, b"")),
    case("length of get", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", Yes(1, b"hello")),
    case("length with zeros before", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 005\r\n\r\nhello", Yes(1, b"hello")),
    case(
        "length, then another request",
        b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        Yes(2, b"hello"),
    ),
    case(
        "a request as body",
        b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n\r\n",
        Yes(1, b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n\r\n"),
    ),
    case(
        "length, then an empty line",
        b"POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        Yes(2, b"hi"),
    ),
    case("length and coding", LENGTH_AND_CODING, No(R::LengthAndCoding)),
    case(
        "coding and length",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        No(R::LengthAndCoding),
    ),
    case(
        "length and coding in 1.0",
        b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        No(R::LengthAndCoding),
    ),
    case(
        "length and unknown coding",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
        No(R::LengthAndCoding),
    ),
    case("two lengths", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", No(R::TwoLengths)),
    case(
        "two lengths alike",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        No(R::TwoLengths),
    ),
    case("two lengths, one bad", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\nContent-Length: 5\r\n\r\nhello", No(R::TwoLengths)),
    case("length is a list", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", No(R::Length)),
    case("length with a plus", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", No(R::Length)),
    case("length with a minus", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", No(R::Length)),
    case("length minus nothing", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -0\r\n\r\n", No(R::Length)),
    case("length in hex", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello", No(R::Length)),
    case("length with a point", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5.0\r\n\r\nhello", No(R::Length)),
    case("length with an underscore", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\nhellohello", No(R::Length)),
    case("length with a space in it", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 0\r\n\r\nhello", No(R::Length)),
    case("length with an exponent", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1e1\r\n\r\nhello", No(R::Length)),
    case("length of no digit", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", No(R::Length)),
    case("length in quotes", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \"5\"\r\n\r\nhello", No(R::Length)),
    case(
        "length over 64 bits",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
        No(R::Length),
    ),
    case("length of other digits", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \xd9\xa5\r\n\r\nhello", No(R::Length)),
    case("length, body breaks off", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nhello", Unfinished),
    case("coding", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Yes(1, b"hello")),
    case("coding in capitals", b"POST / HTTP/1.1\r\nHost: a\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n", Yes(1, b"hello")),
    case(
        "coding, then another request",
        b"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        Yes(2, b"hi"),
    ),
    case("coding in 1.0", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", No(R::CodingInOldVersion)),
    case(
        "two codings",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        No(R::TwoCodings),
    ),
    case(
        "two codings, one identity",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        No(R::TwoCodings),
    ),
    case("coding: gzip, chunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", No(R::CodingUnknown)),
    case("coding: chunked, identity", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", No(R::Coding)),
    case("coding: chunked, chunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", No(R::Coding)),
    case("coding: ,chunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", No(R::Coding)),
    case("coding: chunked,", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", No(R::Coding)),
    case("coding: identity", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\nhello", No(R::CodingUnknown)),
    case("coding: gzip", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nhello", No(R::CodingUnknown)),
    case("coding: xchunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", No(R::CodingUnknown)),
    case("coding: chunkedx", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n", No(R::CodingUnknown)),
    case("coding with a parameter", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", No(R::Coding)),
    case("coding in quotes", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", No(R::Coding)),
    case("coding of nothing", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n", No(R::Coding)),
    case("coding with a form feed", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0cchunked\r\n\r\n0\r\n\r\n", No(R::FieldValue)),
    case("coding with a nul", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n", No(R::FieldValue)),
    case("coding with a byte over 127", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \xffchunked\r\n\r\n0\r\n\r\n", No(R::Coding)),
    case("coding split by a space", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunk ed\r\n\r\n0\r\n\r\n", No(R::Coding)),
    case("coding and space before colon", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", No(R::SpaceBeforeColon)),
    case("coding behind another's bare lf", b"POST / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", No(R::BareLf)),
    case("alias of length", b"POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\n", Yes(1, b"")),
    case(
        "alias of coding beside length",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer_Encoding: chunked\r\n\r\nhello",
        Yes(1, b"hello"),
    ),
    case("alias of coding by a dot", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer.Encoding: chunked\r\n\r\nhello", Yes(1, b"hello")),
    case("connection nominates length", b"POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length\r\nContent-Length: 5\r\n\r\nhello", Yes(1, b"hello")),
    case(
        "connection nominates coding",
        b"POST / HTTP/1.1\r\nHost: a\r\nConnection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        Yes(1, b"hi"),
    ),
    case("connection nominates host", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: host, x-forwarded-for\r\n\r\n", Yes(1, b"")),
    case("connection is no list", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close x\r\n\r\n", No(R::Connection)),
    case("connection closes", b"GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", Yes(1, b"")),
    case("1.0 goes on by itself", b"GET /1 HTTP/1.0\r\nHost: a\r\n\r\nGET /2 HTTP/1.0\r\nHost: a\r\n\r\n", Yes(1, b"")),
    case("expect another", b"POST / HTTP/1.1\r\nHost: a\r\nExpect: foo\r\nContent-Length: 2\r\n\r\nhi", No(R::Expectation)),
    case("expect two", b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue, foo\r\nContent-Length: 2\r\n\r\nhi", No(R::Expectation)),
    case("expect and do not wait", b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", Yes(1, b"hi")),
    case("expect in 1.0", b"POST / HTTP/1.0\r\nHost: a\r\nExpect: foo\r\nContent-Length: 2\r\n\r\nhi", Yes(1, b"hi")),
    case(
        "expect of nothing",
        b"GET /1 HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        Yes(2, b""),
    ),
    case(
        "upgrade to http/2",
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
        Yes(1, b""),
    ),
    case("upgrade with a body", b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nhi", Yes(1, b"hi")),
    case("body of get in chunks", b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n", Yes(1, b"hi")),
    case("body of head", b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", Yes(1, b"hi")),
];

const LENGTH_AND_CODING: &[u8] =
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n";

/// What comes behind `POST` with `Transfer-Encoding: chunked`.
pub const CHUNKS: &[(&str, &[u8], Verdict)] = &[
    case("one chunk", b"5\r\nhello\r\n0\r\n\r\n", Yes(1, b"hello")),
    case("three chunks", b"1\r\na\r\n2\r\nbc\r\n3\r\ndef\r\n0\r\n\r\n", Yes(1, b"abcdef")),
    case("no chunk", b"0\r\n\r\n", Yes(1, b"")),
    case("last chunk of many zeros", b"1\r\na\r\n0000\r\n\r\n", Yes(1, b"a")),
    case("size with zeros before", b"0005\r\nhello\r\n0\r\n\r\n", Yes(1, b"hello")),
    case("size in capitals", b"A\r\nhellohello\r\n0\r\n\r\n", Yes(1, b"hellohello")),
    case("size in small letters", b"a\r\nhellohello\r\n0\r\n\r\n", Yes(1, b"hellohello")),
    case("extension", b"5;a=b\r\nhello\r\n0;c\r\n\r\n", Yes(1, b"hello")),
    case("extension in quotes", b"5;a=\"b c\"\r\nhello\r\n0\r\n\r\n", Yes(1, b"hello")),
    case("extension of nothing", b"5;\r\nhello\r\n0\r\n\r\n", Yes(1, b"hello")),
    case("lf in extension", b"5;a\nb\r\nhello\r\n0\r\n\r\n", Broken(R::ChunkExtension)),
    case("lf in quotes of extension", b"5;a=\"\n0\r\n\r\n\"\r\nhello\r\n0\r\n\r\n", Broken(R::ChunkExtension)),
    case("cr in extension", b"5;a\rb\r\nhello\r\n0\r\n\r\n", Broken(R::ChunkSize)),
    case("nul in extension", b"5;a\0\r\nhello\r\n0\r\n\r\n", Broken(R::ChunkExtension)),
    case("extension without semicolon", b"5 a\r\nhello\r\n0\r\n\r\n", Broken(R::ChunkSize)),
    case("space behind size", b"5 \r\nhello\r\n0\r\n\r\n", Broken(R::ChunkSize)),
    case("space before size", b" 5\r\nhello\r\n0\r\n\r\n", Broken(R::ChunkSize)),
    case("space before semicolon", b"5 ;a\r\nhello\r\n0\r\n\r\n", Broken(R::ChunkSize)),
    case("tab behind size", b"5\t\r\nhello\r\n0\r\n\r\n", Broken(R::ChunkSize)),
    case("size with 0x", b"0x5\r\nhello\r\n0\r\n\r\n", Broken(R::ChunkSize)),
    case("size with a plus", b"+5\r\nhello\r\n0\r\n\r\n", Broken(R::ChunkSize)),
    case("size with a minus", b"-5\r\nhello\r\n0\r\n\r\n", Broken(R::ChunkSize)),
    case("size with an underscore", b"1_0\r\nhellohellohello!\r\n0\r\n\r\n", Broken(R::ChunkSize)),
    case("size with an h", b"5h\r\nhello\r\n0\r\n\r\n", Broken(R::ChunkSize)),
    case("no size", b"\r\nhello\r\n0\r\n\r\n", Broken(R::ChunkSize)),
    case("no size but an extension", b";a\r\nhello\r\n0\r\n\r\n", Broken(R::ChunkSize)),
    case("size of seventeen digits", b"00000000000000005\r\nhello\r\n0\r\n\r\n", Broken(R::ChunkSize)),
    case("size over 64 bits", b"10000000000000005\r\nhello\r\n0\r\n\r\n", Broken(R::ChunkSize)),
    case("size of all bits", b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n", Unfinished),
    case("size ends in lf", b"5\nhello\r\n0\r\n\r\n", Broken(R::ChunkSize)),
    case("size ends in cr", b"5\rhello\r\n0\r\n\r\n", Broken(R::ChunkSize)),
    case("size ends in cr cr lf", b"5\r\r\nhello\r\n0\r\n\r\n", Broken(R::ChunkSize)),
    case("data ends in lf", b"5\r\nhello\n0\r\n\r\n", Broken(R::ChunkEnd)),
    case("data ends in cr", b"5\r\nhello\r0\r\n\r\n", Broken(R::ChunkEnd)),
    case("data too long", b"5\r\nhello!\r\n0\r\n\r\n", Broken(R::ChunkEnd)),
    case("data without end", b"5\r\nhello0\r\n\r\n", Broken(R::ChunkEnd)),
    case("data too short", b"6\r\nhello\r\n0\r\n\r\n", Broken(R::ChunkEnd)),
    case("last chunk ends in lf", b"0\n\n", Broken(R::ChunkSize)),
    case("last line is lf", b"0\r\n\n", Broken(R::Trailer)),
    case("last chunk breaks off", b"5\r\nhello\r\n0\r\n", Unfinished),
    case("no last chunk", b"5\r\nhello\r\n", Unfinished),
    case("data breaks off", b"5\r\nhel", Unfinished),
    case("size breaks off", b"5", Unfinished),
    case("trailer", b"2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n", Yes(1, b"hi")),
    case("trailer of length", b"2\r\nhi\r\n0\r\nContent-Length: 9\r\n\r\n", Yes(1, b"hi")),
    case("trailer of coding", b"2\r\nhi\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", Yes(1, b"hi")),
    case("trailer of host", b"2\r\nhi\r\n0\r\nHost: b\r\n\r\n", Yes(1, b"hi")),
    case("trailer of identity", b"2\r\nhi\r\n0\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n", Yes(1, b"hi")),
    case("trailer without colon", b"2\r\nhi\r\n0\r\nGET / HTTP/1.1\r\n\r\n", Broken(R::Trailer)),
    case("trailer ends in lf", b"2\r\nhi\r\n0\r\nX: y\n\r\n", Broken(R::Trailer)),
    case("trailer folded", b"2\r\nhi\r\n0\r\nX: y\r\n z\r\n\r\n", Broken(R::Trailer)),
    case("trailer and space before colon", b"2\r\nhi\r\n0\r\nX : y\r\n\r\n", Broken(R::Trailer)),
    case("trailer with a nul", b"2\r\nhi\r\n0\r\nX: \0\r\n\r\n", Broken(R::Trailer)),
    case("trailer with a cr", b"2\r\nhi\r\n0\r\nX: y\rz\r\n\r\n", Broken(R::Trailer)),
    case("a request as data", b"1b\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n0\r\n\r\n", Broken(R::ChunkEnd)),
    case(
        "a request in data",
        b"1c\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n",
        Yes(1, b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ),
];

/// What is too much of something.
fn large() -> Vec<Case> {
    let field = |name: String, value_bytes: usize| format!("{name}: {}\r\n", "x".repeat(value_bytes));
    let head = |fields: String| format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
    let many = |count: usize, bytes: usize| (0..count).map(|n| field(format!("X-{n}"), bytes)).collect::<String>();
    let body = |chunks: String| [POST, chunks.as_bytes()].concat();
    let made = |name: &str, sent: Vec<u8>, verdict| Case { name: name.to_owned(), sent, verdict };
    let target = |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(bytes)).into_bytes();
    vec![
        made("a hundred fields", head(many(99, 1)), Yes(1, b"")),
        made("a hundred and one fields", head(many(100, 1)), No(R::TooManyFields)),
        made("a thousand fields", head(many(1000, 1)), No(R::TooManyFields)),
        made("a field of 16,000 bytes", head(field("X".into(), 16_000)), Yes(1, b"")),
        made("a field of 20,000 bytes", head(field("X".into(), 20_000)), No(R::LineTooLong)),
        made("a field of 420,000 bytes", head(field("X".into(), 420_000)), No(R::LineTooLong)),
        made("a head of 40,000 bytes", head(many(40, 1000)), No(R::HeadTooLarge)),
        made("a target of 8,000 bytes", target(8_000), Yes(1, b"")),
        made("a target of 20,000 bytes", target(20_000), No(R::TargetTooLong)),
        made("a target of 70,000 bytes", target(70_000), No(R::TargetTooLong)),
        made("many options of connection", head(format!("Connection: {}\r\n", "a,".repeat(100))), No(R::Connection)),
        made("an extension of 255 bytes", body(format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(254))), Yes(1, b"a")),
        made(
            "an extension of 300 bytes",
            body(format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(300))),
            Broken(R::ExtensionTooLong),
        ),
        made(
            "many extensions",
            body(format!("1;{}\r\na\r\n", "x".repeat(200)).repeat(200)),
            Broken(R::ExtensionTooLong),
        ),
        made("trailers of 9,000 bytes", body(format!("0\r\n{}\r\n", many(9, 1000))), Broken(R::TrailersTooLarge)),
        made(
            "a trailer of 9,000 bytes",
            body(format!("0\r\n{}\r\n", field("X".into(), 9000))),
            Broken(R::TrailersTooLarge),
        ),
    ]
}

const POST: &[u8] = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

/// All of them.
pub fn all() -> Vec<Case> {
    let made = |(name, sent, verdict): &(&str, &[u8], Verdict)| Case {
        name: (*name).to_owned(),
        sent: sent.to_vec(),
        verdict: *verdict,
    };
    let chunks = CHUNKS.iter().map(made).map(|case| Case {
        name: format!("chunks: {}", case.name),
        sent: [POST, &case.sent].concat(),
        verdict: case.verdict,
    });
    HEADS.iter().chain(FIELDS).map(made).chain(chunks).chain(large()).collect()
}
