//! WebSocket, RFC 6455, for those who have something to tell all the time: messages go out as they come, and of what the
//! other side sends only what keeps the connection in order is looked at.
//!
//! Flow: [`WebSocket::asked`] reads the request → [`WebSocket::open`] gives the answer that switches, whose body is the
//! messages. A message is framed once ([`text`], [`binary`]): what a server sends is the same for everybody.

mod frame;
mod talk;

pub use frame::{binary, fuzz, text};

use self::talk::Talk;
use super::{Body, ByteStream, Request, Response};
use aws_lc_rs::digest;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderValue, StatusCode, header};

/// What is put behind a client's key, RFC 6455 §1.3.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Bytes that a client's key stands for.
const KEY_BYTES: usize = 16;

/// A request that can be answered by switching to WebSocket.
pub struct WebSocket {
    accept: HeaderValue,
    heard: ByteStream,
}

impl WebSocket {
    /// Whether a request asks for WebSocket; why it cannot be had.
    pub fn asked(request: &mut Request) -> Result<Self, &'static str> {
        let is_asked = request.header(header::UPGRADE).is_some_and(|u| u.eq_ignore_ascii_case("websocket"));
        if !is_asked || request.head_only {
            return Err("this address speaks WebSocket: open it with `new WebSocket(…)`");
        }
        if request.header(header::SEC_WEBSOCKET_VERSION) != Some("13") {
            return Err("only version 13 of WebSocket is spoken here");
        }
        let key = request.header(header::SEC_WEBSOCKET_KEY).unwrap_or_default().to_owned();
        if BASE64_STANDARD.decode(&key).map(|key| key.len()) != Ok(KEY_BYTES) {
            return Err("Sec-WebSocket-Key is not 16 bytes in base64");
        }
        let heard = request.take_switch().ok_or("this connection cannot be switched to WebSocket")?;
        let sum = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{MAGIC}").as_bytes());
        let accept = HeaderValue::try_from(BASE64_STANDARD.encode(sum)).map_err(|_| "its key cannot be answered")?;
        Ok(Self { accept, heard })
    }

    /// The answer that switches and sends these messages, each framed already, until they end, the server stops or the
    /// client leaves.
    pub fn open(self, request: &Request, messages: impl Stream<Item = Bytes> + Send + 'static) -> Response {
        let talk = Talk::new(messages, self.heard, request.stopping.clone());
        let mut response = Response::new(Body::unsized_stream(talk));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http::Method;

    fn request(headers: &[(&'static str, &'static str)], switch: bool) -> Request {
        let mut request = Request::local(Method::GET, "/live.ws".parse().unwrap(), "");
        for (name, value) in headers {
            request.headers.insert(*name, HeaderValue::from_static(value));
        }
        if switch { request.switchable(Box::pin(stream::pending())) } else { request }
    }

    #[tokio::test]
    async fn a_sound_request_is_answered_as_the_rfc_has_it_and_others_are_told_why_not() {
        let upgrade = ("upgrade", "WebSocket");
        let version = ("sec-websocket-version", "13");
        let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let mut sound = request(&[upgrade, version, key], true);
        let response = WebSocket::asked(&mut sound).ok().unwrap().open(&sound, stream::empty());
        assert_eq!(response.status(), 101);
        assert_eq!(response.headers()[header::SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for (headers, switch) in [
            (vec![version, key], true),
            (vec![("upgrade", "h2c"), version, key], true),
            (vec![upgrade, ("sec-websocket-version", "8"), key], true),
            (vec![upgrade, version], true),
            (vec![upgrade, version, ("sec-websocket-key", "c2hvcnQ=")], true),
            (vec![upgrade, version, key], false),
        ] {
            assert!(WebSocket::asked(&mut request(&headers, switch)).is_err(), "{headers:?}");
        }
    }
}
