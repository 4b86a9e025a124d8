//! What a response carries.

use super::{ByteStream, Pour};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll},
};

/// A response's body: nothing, bytes at hand, or a stream of them of known or unknown length.
pub struct Body(Inner, Option<Box<dyn Pour>>);

enum Inner {
    Bytes(Bytes),
    /// Exactly this many bytes are still to come.
    Sized(u64, ByteStream),
    Unsized(ByteStream),
    Failed,
}

impl Body {
    /// No bytes.
    pub fn empty() -> Self {
        Self(Inner::Bytes(Bytes::new()), None)
    }

    /// Bytes at hand.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        Self(Inner::Bytes(bytes.into()), None)
    }

    /// A stream of exactly `len` bytes. One that yields more or fewer cuts the connection, so that the client sees
    /// that the body is not whole. Nothing is asked of it before the client can take it, nor at all on HEAD.
    pub fn sized(len: u64, stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self(Inner::Sized(len, stream.boxed()), None)
    }

    /// A stream whose end nobody knows yet; sent chunked.
    pub fn unsized_stream(stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Self {
        Self(Inner::Unsized(stream.boxed()), None)
    }

    /// With another way to the same bytes, for who can take them so. Only for a body of known length.
    #[must_use]
    pub fn pouring(self, pour: impl Pour) -> Self {
        Self(self.0, Some(Box::new(pour)))
    }

    /// The other way, where there is one. Who takes it leaves the stream alone.
    pub fn take_pour(&mut self) -> Option<Box<dyn Pour>> {
        self.1.take()
    }

    /// How many bytes are still to come, where known.
    pub fn len(&self) -> Option<u64> {
        match &self.0 {
            Inner::Bytes(b) => u64::try_from(b.len()).ok(),
            Inner::Sized(left, _) => Some(*left),
            Inner::Unsized(_) => None,
            Inner::Failed => Some(0),
        }
    }

    /// True where nothing is to come for certain.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// All of it, for callers inside the process (tests, one handler that asks another).
    pub async fn collect(self) -> io::Result<Bytes> {
        use http_body_util::BodyExt;
        Ok(BodyExt::collect(self).await?.to_bytes())
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Body({:?} bytes)", self.len())
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::empty()
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self::bytes(bytes)
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, io::Error>>> {
        let next = match &mut self.0 {
            Inner::Failed => return Poll::Ready(None),
            Inner::Bytes(b) if b.is_empty() => return Poll::Ready(None),
            Inner::Bytes(b) => Ok(std::mem::take(b)),
            Inner::Unsized(stream) => match std::task::ready!(stream.as_mut().poll_next(cx)) {
                Some(piece) => piece,
                None => return Poll::Ready(None),
            },
            Inner::Sized(0, _) => return Poll::Ready(None),
            Inner::Sized(left, stream) => match std::task::ready!(stream.as_mut().poll_next(cx)) {
                Some(Ok(piece)) => take_from(left, piece),
                Some(Err(e)) => Err(e),
                None => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the body ended before its length")),
            },
        };
        if next.is_err() {
            self.0 = Inner::Failed;
        }
        Poll::Ready(Some(next.map(http_body::Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.len().map_or_else(http_body::SizeHint::default, http_body::SizeHint::with_exact)
    }
}

fn take_from(left: &mut u64, piece: Bytes) -> io::Result<Bytes> {
    let len = u64::try_from(piece.len()).unwrap_or(u64::MAX);
    *left = left
        .checked_sub(len)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the body is longer than its length"))?;
    Ok(piece)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;

    #[tokio::test]
    async fn a_sized_body_is_neither_shorter_nor_longer_than_it_says() {
        let pieces = || stream::iter([Ok(Bytes::from_static(b"abc")), Ok(Bytes::from_static(b"de"))]);
        assert_eq!(Body::sized(5, pieces()).collect().await.unwrap(), "abcde");
        assert!(Body::sized(6, pieces()).collect().await.is_err());
        assert!(Body::sized(4, pieces()).collect().await.is_err());
    }
}
