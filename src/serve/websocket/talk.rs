//! What goes out by one WebSocket: messages as they come, answers to what the client says of the connection, and pings
//! while there is nothing to say.

use super::frame::{self, GOING_AWAY, Heard, Reader};
use crate::serve::ByteStream;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::CancellationToken;

/// Who was told nothing for so long is asked whether they are there, which also tells what stands between that the
/// connection is in use.
const QUIET_MAX: Duration = Duration::from_secs(20);

/// One connection's side of ours.
pub(super) struct Talk {
    messages: Pin<Box<dyn Stream<Item = Bytes> + Send>>,
    heard: ByteStream,
    reader: Reader,
    /// Goes before messages.
    due: VecDeque<Bytes>,
    /// What is due is the last.
    closes: bool,
    /// Something was said since the last look.
    said: bool,
    quiet: Pin<Box<Sleep>>,
}

impl Talk {
    pub(super) fn new(
        messages: impl Stream<Item = Bytes> + Send + 'static,
        heard: ByteStream,
        stopping: CancellationToken,
    ) -> Self {
        Self {
            messages: messages.take_until(stopping.cancelled_owned()).boxed(),
            heard,
            reader: Reader::default(),
            due: VecDeque::new(),
            closes: false,
            said: false,
            quiet: Box::pin(sleep(QUIET_MAX)),
        }
    }

    /// What the client said is looked at only once all that is due was taken, so a client that asks without reading is
    /// not answered without end.
    fn hear(&mut self, bytes: &[u8]) {
        for heard in self.reader.feed(bytes) {
            match heard {
                Heard::Answer(frame) => self.due.push_back(frame),
                Heard::Last(frame) => {
                    self.due.push_back(frame);
                    self.closes = true;
                }
            }
        }
    }
}

impl Stream for Talk {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(frame) = self.due.pop_front() {
                self.said = true;
                return Poll::Ready(Some(Ok(frame)));
            }
            if self.closes {
                return Poll::Ready(None);
            }
            match self.heard.poll_next_unpin(cx) {
                Poll::Ready(Some(Ok(bytes))) => {
                    self.hear(&bytes);
                    continue;
                }
                // Whoever says nothing more does not listen either.
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => {}
            }
            match self.messages.poll_next_unpin(cx) {
                Poll::Ready(Some(message)) => self.due.push_back(message),
                Poll::Ready(None) => {
                    self.due.push_back(frame::close(GOING_AWAY));
                    self.closes = true;
                }
                Poll::Pending => {
                    std::task::ready!(self.quiet.as_mut().poll(cx));
                    let next = self.quiet.deadline() + QUIET_MAX;
                    self.quiet.as_mut().reset(next);
                    if !std::mem::take(&mut self.said) {
                        self.due.push_back(frame::ping());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::stream;
    use tokio::sync::mpsc;

    fn heard(receiver: mpsc::Receiver<io::Result<Bytes>>) -> ByteStream {
        Box::pin(stream::unfold(receiver, |mut r| async move { Some((r.recv().await?, r)) }))
    }

    #[tokio::test(start_paused = true)]
    async fn messages_go_out_and_pings_where_there_are_none() {
        let (_client, receiver) = mpsc::channel(1);
        let (message, mut messages) = mpsc::channel(1);
        let messages = stream::poll_fn(move |cx| messages.poll_recv(cx));
        let mut talk = Talk::new(messages, heard(receiver), CancellationToken::new());
        message.send(frame::text("a")).await.unwrap();
        assert_eq!(talk.next().await.unwrap().unwrap(), frame::text("a"));
        assert_eq!(talk.next().await.unwrap().unwrap(), frame::ping());
        drop(message);
        assert_eq!(talk.next().await.unwrap().unwrap(), frame::close(GOING_AWAY));
        assert!(talk.next().await.is_none());
    }

    #[tokio::test]
    async fn it_ends_with_the_client_and_with_the_server() {
        let (client, receiver) = mpsc::channel(1);
        let mut talk = Talk::new(stream::pending(), heard(receiver), CancellationToken::new());
        let masked_close = Bytes::from_static(&[0x88, 0x82, 0, 0, 0, 0, 3, 0xe8]);
        client.send(Ok(masked_close)).await.unwrap();
        assert_eq!(talk.next().await.unwrap().unwrap(), frame::close(1000));
        assert!(talk.next().await.is_none());

        let (client, receiver) = mpsc::channel(1);
        let mut talk = Talk::new(stream::pending(), heard(receiver), CancellationToken::new());
        drop(client);
        assert!(talk.next().await.is_none());

        let (_client, receiver) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let mut talk = Talk::new(stream::pending(), heard(receiver), stop.clone());
        stop.cancel();
        assert_eq!(talk.next().await.unwrap().unwrap(), frame::close(GOING_AWAY));
        assert!(talk.next().await.is_none());
    }
}
