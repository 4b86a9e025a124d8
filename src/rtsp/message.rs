//! RTSP/1.0 requests and interleaved frames out of a stream of bytes; responses as text. Everything is bounded.

use super::Error;
use bytes::{Buf, Bytes, BytesMut};

/// The longest request line and headers together, in bytes.
pub const HEAD_MAX_BYTES: usize = 16 * 1024;
/// The most headers of one request.
pub const HEADERS_MAX: usize = 64;
/// The longest body of one request, in bytes. Only SET_PARAMETER and ANNOUNCE have bodies; both are short.
pub const BODY_MAX_BYTES: usize = 64 * 1024;

const FRAME_HEAD_BYTES: usize = 4;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `OPTIONS`, `DESCRIBE`, … as it was sent.
    pub method: String,
    /// The request's URI as it was sent.
    pub uri: String,
    /// Names as they were sent, values trimmed.
    pub headers: Vec<(String, String)>,
    /// Often empty.
    pub body: Bytes,
}

/// What a peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A request.
    Request(Request),
    /// Binary data between requests: `$`, channel, length.
    Frame {
        /// The interleaved channel.
        channel: u8,
        /// An RTP or RTCP packet.
        data: Bytes,
    },
}

impl Request {
    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
}

/// Takes bytes as they arrive and gives what is whole.
#[derive(Debug, Default)]
pub struct Parser {
    buffer: BytesMut,
}

impl Parser {
    /// Where the next bytes from the peer go.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next whole item; `None` until more bytes have come. An error ends the connection.
    ///
    /// # Errors
    /// Where the bytes are no RTSP, or exceed a limit.
    pub fn take(&mut self) -> Result<Option<Item>, Error> {
        // Some clients send empty lines between requests; RFC 2326 asks servers to bear them.
        while matches!(self.buffer.first(), Some(b'\r' | b'\n')) {
            self.buffer.advance(1);
        }
        match self.buffer.first() {
            None => Ok(None),
            Some(b'$') => Ok(self.frame()),
            Some(_) => self.request(),
        }
    }

    fn frame(&mut self) -> Option<Item> {
        let head = self.buffer.first_chunk::<FRAME_HEAD_BYTES>()?;
        let channel = head[1];
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        if self.buffer.len() < FRAME_HEAD_BYTES + len {
            return None;
        }
        self.buffer.advance(FRAME_HEAD_BYTES);
        Some(Item::Frame { channel, data: self.buffer.split_to(len).freeze() })
    }

    fn request(&mut self) -> Result<Option<Item>, Error> {
        let Some(head_len) = head_length(&self.buffer) else {
            return if self.buffer.len() > HEAD_MAX_BYTES { Err(Error::TooLarge("headers")) } else { Ok(None) };
        };
        if head_len > HEAD_MAX_BYTES {
            return Err(Error::TooLarge("headers"));
        }
        let head =
            std::str::from_utf8(&self.buffer[..head_len]).map_err(|_| Error::Malformed("headers are not UTF-8"))?;
        let mut request = parse_head(head)?;
        let body_len = match request.header("Content-Length") {
            None => 0,
            Some(text) => text.parse().map_err(|_| Error::Malformed("content length is not a number"))?,
        };
        if body_len > BODY_MAX_BYTES {
            return Err(Error::TooLarge("body"));
        }
        if self.buffer.len() - head_len < body_len {
            return Ok(None);
        }
        self.buffer.advance(head_len);
        request.body = self.buffer.split_to(body_len).freeze();
        Ok(Some(Item::Request(request)))
    }
}

/// Bytes up to and with the empty line that ends the headers.
fn head_length(bytes: &[u8]) -> Option<usize> {
    let end = |pattern: &[u8]| bytes.windows(pattern.len()).position(|w| w == pattern).map(|at| at + pattern.len());
    match (end(b"\r\n\r\n"), end(b"\n\n")) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

fn parse_head(head: &str) -> Result<Request, Error> {
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split_ascii_whitespace();
    let (Some(method), Some(uri), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(Error::Malformed("request line is not `METHOD URI RTSP/1.0`"));
    };
    if !version.starts_with("RTSP/1.") {
        return Err(Error::Malformed("version is not RTSP/1.0"));
    }
    let mut headers = Vec::new();
    for line in lines.take_while(|l| !l.is_empty()) {
        let (name, value) = line.split_once(':').ok_or(Error::Malformed("header without a colon"))?;
        if headers.len() == HEADERS_MAX {
            return Err(Error::TooLarge("number of headers"));
        }
        headers.push((name.trim().to_owned(), value.trim().to_owned()));
    }
    Ok(Request { method: method.to_owned(), uri: uri.to_owned(), headers, body: Bytes::new() })
}

/// One response, put together piece by piece.
#[derive(Clone, Debug)]
pub struct Response {
    status: u16,
    reason: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Response {
    /// A response without body. The reason is RFC 2326's for that status.
    pub fn new(status: u16) -> Self {
        Self { status, reason: reason(status), headers: Vec::new(), body: Bytes::new() }
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds a body with its type and length.
    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        let len = self.body.len().to_string();
        self.header("Content-Type", content_type).header("Content-Length", len)
    }

    /// The bytes for the wire. `cseq` is the request's, where it had one.
    pub fn encode(&self, cseq: Option<&str>) -> Vec<u8> {
        let mut text = format!("RTSP/1.0 {} {}\r\n", self.status, self.reason);
        if let Some(cseq) = cseq {
            text += &format!("CSeq: {cseq}\r\n");
        }
        for (name, value) in &self.headers {
            // A line end inside a value would let a peer's text become headers of ours.
            let value: String = value.chars().filter(|c| !c.is_control()).collect();
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Time-out",
        413 => "Request Entity Too Large",
        415 => "Unsupported Media Type",
        451 => "Parameter Not Understood",
        453 => "Not Enough Bandwidth",
        454 => "Session Not Found",
        455 => "Method Not Valid in This State",
        457 => "Invalid Range",
        459 => "Aggregate Operation Not Allowed",
        461 => "Unsupported Transport",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "RTSP Version Not Supported",
        551 => "Option Not Supported",
        _ => "Unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_all(bytes: &[u8], step: usize) -> Result<Vec<Item>, Error> {
        let mut parser = Parser::default();
        let mut items = Vec::new();
        for part in bytes.chunks(step) {
            parser.buffer().extend_from_slice(part);
            while let Some(item) = parser.take()? {
                items.push(item);
            }
        }
        Ok(items)
    }

    const MIXED: &[u8] = b"OPTIONS rtsp://h/a RTSP/1.0\r\nCSeq: 1\r\n\r\n$\x01\x00\x03abc\r\n\
        SET_PARAMETER rtsp://h/a RTSP/1.0\r\ncseq:2\r\nContent-Length: 4\r\n\r\nb: 1";

    #[test]
    fn requests_and_frames_come_out_however_the_bytes_are_cut() {
        for step in 1..=MIXED.len() {
            let items = parse_all(MIXED, step).unwrap();
            let [Item::Request(options), Item::Frame { channel: 1, data }, Item::Request(set)] = items.as_slice()
            else {
                panic!("step {step}: {items:?}");
            };
            assert_eq!((options.method.as_str(), options.header("cseq")), ("OPTIONS", Some("1")));
            assert_eq!(&data[..], b"abc");
            assert_eq!((set.header("CSeq"), &set.body[..]), (Some("2"), &b"b: 1"[..]));
        }
    }

    #[test]
    fn limits_hold() {
        let long = [b"OPTIONS * RTSP/1.0\r\nX: ".as_slice(), &[b'x'; HEAD_MAX_BYTES]].concat();
        assert_eq!(parse_all(&long, 1000), Err(Error::TooLarge("headers")));
        let many = format!("OPTIONS * RTSP/1.0\r\n{}\r\n", "a: b\r\n".repeat(HEADERS_MAX + 1));
        assert_eq!(parse_all(many.as_bytes(), 4096), Err(Error::TooLarge("number of headers")));
        let body = b"X * RTSP/1.0\r\nContent-Length: 65537\r\n\r\n";
        assert_eq!(parse_all(body, 4096), Err(Error::TooLarge("body")));
        assert!(matches!(parse_all(b"GET / HTTP/1.1\r\n\r\n", 99), Err(Error::Malformed(_))));
    }

    #[test]
    fn a_response_is_one_message_whatever_its_values_hold() {
        let bytes = Response::new(404).header("X", "a\r\nY: b").body("text/plain", "hi").encode(Some("7"));
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(
            text,
            "RTSP/1.0 404 Not Found\r\nCSeq: 7\r\nX: aY: b\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nhi"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_borne(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..2000)) {
            let _ = parse_all(&bytes, 7);
        }
    }
}
