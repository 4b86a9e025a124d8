//! A connection that has left HTTP by a 101: what the client sends goes to whoever answered, and that one's body to the
//! client, both raw, until either ends.

use super::{Body, ByteStream};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use std::{io, os::fd::AsFd, pin::pin};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split},
    sync::mpsc,
};

/// Pieces of what the client says that wait to be looked at.
const PIECES_WAITING_MAX: usize = 2;
/// What is read of the client at once, in bytes: it has little to say.
const PIECE_BYTES: usize = 4 << 10;
/// What the kernel keeps of what is not on its way yet, in bytes. Usually it takes seconds of a film, which whoever is too
/// slow would see all of before it could skip to what happens now.
const UNSENT_BYTES_MAX: u32 = 128 << 10;

type Upgraded = TokioIo<hyper::upgrade::Upgraded>;

/// A connection that is about to be switched.
pub(super) struct Switched {
    upgrade: hyper::upgrade::OnUpgrade,
    body: Body,
    heard: mpsc::Sender<io::Result<Bytes>>,
}

/// What may become one: the request's end of it, and ours.
pub(super) struct Switch {
    upgrade: hyper::upgrade::OnUpgrade,
    heard: mpsc::Sender<io::Result<Bytes>>,
}

impl Switch {
    /// Of a request that asks for another protocol; and what its client will say.
    pub(super) fn of<B>(request: &mut http::Request<B>) -> Option<(Self, ByteStream)> {
        request.headers().contains_key(http::header::UPGRADE).then(|| {
            let (heard, receiver) = mpsc::channel(PIECES_WAITING_MAX);
            (Self { upgrade: hyper::upgrade::on(request), heard }, pieces(receiver))
        })
    }

    /// It was answered by a 101 with this body.
    pub(super) fn granted(self, body: Body) -> Switched {
        Switched { upgrade: self.upgrade, body, heard: self.heard }
    }
}

/// What a channel gives, as a stream.
fn pieces(receiver: mpsc::Receiver<io::Result<Bytes>>) -> ByteStream {
    Box::pin(futures_util::stream::unfold(receiver, |mut pieces| async move { Some((pieces.recv().await?, pieces)) }))
}

impl Switched {
    /// Runs to the end of either side.
    pub(super) async fn run(self) {
        let Ok(upgraded) = self.upgrade.await else { return };
        let (from, to) = split(TokioIo::new(upgraded));
        let mut say = pin!(say(to, self.body));
        tokio::select! {
            () = hear(from, self.heard) => {}
            () = &mut say => return,
        }
        // Who answers sees that the client is gone, and ends.
        say.await;
    }
}

async fn hear(mut from: ReadHalf<Upgraded>, into: mpsc::Sender<io::Result<Bytes>>) {
    let mut buffer = [0; PIECE_BYTES];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if into.send(Ok(Bytes::copy_from_slice(&buffer[..n]))).await.is_err() {
            return;
        }
    }
}

async fn say(mut to: WriteHalf<Upgraded>, body: Body) {
    let mut body = pin!(body);
    while let Some(Ok(frame)) = body.frame().await {
        let piece = frame.into_data().unwrap_or_default();
        if to.write_all(&piece).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
    // One that is gone already needs no goodbye.
    let _ = to.shutdown().await;
}

/// Has the kernel take no more of what is written than it can send soon.
pub fn keep_little_unsent(socket: &impl AsFd) {
    // Where it does not do that, slow clients are further behind, and nothing else.
    let _ = socket2::SockRef::from(socket).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
}
