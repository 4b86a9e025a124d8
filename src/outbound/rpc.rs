//! One call of gRPC over HTTP/2, a message for a message, and the question whether a peer speaks it at all. As over
//! HTTP/1.1, no task stands behind it.

use super::{Address, Error, Limits};
use bytes::{Bytes, BytesMut};
use h2::{Ping, RecvStream, client};
use http::{HeaderMap, Method, Request, Version, header};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::timeout,
};

/// What it is called in a handshake of TLS.
pub(super) const PROTOCOL: &[u8] = b"h2";
/// Longest head, and longest trailers, of an answer.
const HEAD_BYTES_MAX: u32 = 16 << 10;
/// Before each message: whether it is compressed, and how long it is.
const PREFIX_BYTES: usize = 5;
/// A message in one frame of HTTP/2, of which any peer takes this much.
const MESSAGE_BYTES_MAX: usize = (16 << 10) - PREFIX_BYTES;

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The code of gRPC; 0: it went well.
    pub code: u32,
    /// What the peer says of a code that is not 0.
    pub text: String,
    /// The message; empty where there is none.
    pub message: Bytes,
}

/// Sends `message` and takes the whole answer.
pub(super) async fn call<T: AsyncRead + AsyncWrite + Unpin>(
    io: T,
    to: (&str, &Address),
    limits: Limits,
    path: &str,
    message: &[u8],
) -> Result<Reply, Error> {
    let request = request(to, path, message)?;
    let limit = limits.total;
    let whole = async {
        let mut builder = client::Builder::new();
        builder.enable_push(false).max_header_list_size(HEAD_BYTES_MAX);
        let (sender, connection) = builder.handshake::<_, Bytes>(io).await.map_err(failed)?;
        let mut answer = std::pin::pin!(exchange(sender, request, limits.body_bytes_max));
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // Its end ends all that goes on over it; what came before may be a whole answer.
            _ = connection => answer.await,
        }
    };
    timeout(limit, whole).await.unwrap_or(Err(Error::Timeout { limit }))
}

/// Has the peer answer a ping.
pub(super) async fn ping<T: AsyncRead + AsyncWrite + Unpin>(io: T, limits: Limits) -> Result<(), Error> {
    let limit = limits.total;
    let whole = async {
        let (_sender, mut connection) = client::Builder::new().handshake::<_, Bytes>(io).await.map_err(failed)?;
        let mut pings = connection.ping_pong().ok_or_else(|| Error::Invalid("it is asked already".into()))?;
        let mut pong = std::pin::pin!(pings.ping(Ping::opaque()));
        tokio::select! {
            biased;
            pong = &mut pong => pong.map(drop).map_err(failed),
            ended = connection => Err(ended.err().map_or_else(|| Error::Protocol("it hung up".into()), failed)),
        }
    };
    timeout(limit, whole).await.unwrap_or(Err(Error::Timeout { limit }))
}

fn request((scheme, address): (&str, &Address), path: &str, message: &[u8]) -> Result<(Request<()>, Bytes), Error> {
    let length = u32::try_from(message.len()).ok().filter(|_| message.len() <= MESSAGE_BYTES_MAX);
    let length = length.ok_or_else(|| Error::Invalid("the message is too long".into()))?;
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.extend_from_slice(&[0]);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    let request = Request::builder()
        .method(Method::POST)
        .version(Version::HTTP_2)
        .uri(format!("{scheme}://{address}{path}"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(());
    Ok((request.map_err(|e| Error::Invalid(e.to_string()))?, framed.freeze()))
}

async fn exchange(
    sender: client::SendRequest<Bytes>,
    (request, message): (Request<()>, Bytes),
    body_bytes_max: usize,
) -> Result<Reply, Error> {
    let mut sender = sender.ready().await.map_err(failed)?;
    let (answer, mut stream) = sender.send_request(request, false).map_err(failed)?;
    stream.send_data(message, true).map_err(failed)?;
    let (head, body) = answer.await.map_err(failed)?.into_parts();
    if head.status != http::StatusCode::OK {
        return Err(Error::Protocol(format!("it answered {}, which is not gRPC", head.status)));
    }
    // Where there is no message, the head says how it went.
    if let Some((code, text)) = outcome(&head.headers) {
        return Ok(Reply { code, text, message: Bytes::new() });
    }
    let (whole, trailers) = whole(body, body_bytes_max).await?;
    let (code, text) = outcome(&trailers).ok_or_else(|| Error::Protocol("it does not say how the call went".into()))?;
    let message = if code == 0 { message_of(whole)? } else { Bytes::new() };
    Ok(Reply { code, text, message })
}

async fn whole(mut body: RecvStream, limit_bytes: usize) -> Result<(Bytes, HeaderMap), Error> {
    let mut whole = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(failed)?;
        if whole.len() + data.len() > limit_bytes {
            return Err(Error::BodyTooLarge { limit_bytes });
        }
        // What was taken makes room for as much.
        body.flow_control().release_capacity(data.len()).map_err(failed)?;
        whole.extend_from_slice(&data);
    }
    Ok((whole.freeze(), body.trailers().await.map_err(failed)?.unwrap_or_default()))
}

/// Code and text of a call.
fn outcome(fields: &HeaderMap) -> Option<(u32, String)> {
    let code = fields.get("grpc-status")?.to_str().ok()?.parse().ok()?;
    let text = fields.get("grpc-message").map(|text| String::from_utf8_lossy(text.as_bytes()).into_owned());
    Some((code, text.unwrap_or_default()))
}

fn message_of(mut whole: Bytes) -> Result<Bytes, Error> {
    let bad = || Error::Protocol("what came is not one plain message of gRPC".into());
    if whole.len() < PREFIX_BYTES {
        return Err(bad());
    }
    let prefix = whole.split_to(PREFIX_BYTES);
    let length = prefix[1..].iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    if prefix[0] != 0 || length != whole.len() {
        return Err(bad());
    }
    Ok(whole)
}

fn failed(e: h2::Error) -> Error {
    Error::Protocol(e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_plain_message_and_nothing_else_is_taken() {
        let of = |bytes: &'static [u8]| message_of(Bytes::from_static(bytes)).ok();
        assert_eq!(of(&[0, 0, 0, 0, 2, 8, 1]).unwrap().as_ref(), [8, 1]);
        assert_eq!(of(&[0, 0, 0, 0, 0]).unwrap().as_ref(), [0; 0]);
        for bad in
            [&[][..], &[0, 0, 0, 0], &[1, 0, 0, 0, 0], &[0, 0, 0, 0, 1], &[0, 0, 0, 0, 0, 9], &[0, 255, 255, 255, 255]]
        {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }
}
