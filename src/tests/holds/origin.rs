//! Instances that can go down and come up again on the same port.

use crate::base::TaskGroup;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::CancellationToken;

/// What is answered to a request's head.
pub(super) type Answer = Arc<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

pub(super) struct Origin {
    pub(super) address: SocketAddr,
    up: Mutex<Option<CancellationToken>>,
    answer: Answer,
    tasks: TaskGroup,
}

/// A 200 with this body.
pub(super) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into()
}

impl Origin {
    /// The `n`-th one, up. Each has an address of its own, from which nobody connects: so its port stays free for it.
    pub(super) async fn new(n: usize, tasks: &TaskGroup, answer: Answer) -> Self {
        let [high, low] = u16::try_from(n).unwrap().to_be_bytes();
        let listener = TcpListener::bind((std::net::Ipv4Addr::new(127, 9, high, low), 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let origin = Self { address, up: Mutex::new(None), answer, tasks: tasks.child() };
        origin.serve(listener);
        origin
    }

    /// Comes up, if it is down.
    pub(super) async fn up(&self) {
        if self.up.lock().unwrap().is_none() {
            self.serve(TcpListener::bind(self.address).await.unwrap());
        }
    }

    /// Goes, as a process does that is killed: listener and connections at once.
    pub(super) fn down(&self) {
        if let Some(up) = self.up.lock().unwrap().take() {
            up.cancel();
        }
    }

    fn serve(&self, listener: TcpListener) {
        let stop = CancellationToken::new();
        *self.up.lock().unwrap() = Some(stop.clone());
        let (answer, tasks) = (self.answer.clone(), self.tasks.clone());
        self.tasks.spawn("origin", async move {
            loop {
                let socket = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    () = stop.cancelled() => return,
                };
                let (answer, stop) = (answer.clone(), stop.clone());
                tasks.spawn("origin's connection", async move {
                    tokio::select! {
                        () = requests(socket, &answer) => {}
                        () = stop.cancelled() => {}
                    }
                });
            }
        });
    }
}

async fn requests(mut socket: TcpStream, answer: &Answer) {
    let mut read = Vec::new();
    loop {
        let end = match read.windows(4).position(|w| w == b"\r\n\r\n") {
            Some(at) => at + 4,
            None => match socket.read_buf(&mut read).await {
                Ok(1..) => continue,
                _ => return,
            },
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        read.drain(..end);
        let wire = answer(&head);
        if wire.is_empty() || socket.write_all(&wire).await.is_err() || wire.starts_with(b"HTTP/1.1 426") {
            return;
        }
    }
}

/// How often each request that says its number was seen.
#[derive(Clone, Default)]
pub(super) struct Seen(Arc<Mutex<HashMap<u64, u32>>>);

impl Seen {
    pub(super) fn note(&self, head: &str) {
        let number = head.lines().find_map(|l| l.strip_prefix("X-Number: ")?.trim().parse().ok());
        if let Some(number) = number {
            *self.0.lock().unwrap().entry(number).or_default() += 1;
        }
    }

    /// Those that were seen more than once.
    pub(super) fn twice(&self) -> Vec<u64> {
        self.0.lock().unwrap().iter().filter(|(_, times)| **times > 1).map(|(number, _)| *number).collect()
    }
}
