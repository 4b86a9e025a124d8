//! Connections that are not taken: there is no place, or the host gives no descriptor.

use super::{listener::Serves, places::Full, worker::Worker};
use crate::base::Clock;
use std::{io, rc::Rc, time::Duration};
use tokio::net::TcpStream;

const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 42\r\n\
Retry-After: 1\r\nConnection: close\r\n\r\nskyvis serves as many clients as it may.\r\n";
const TOO_MANY_OF_ADDRESS: &[u8] =
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nContent-Length: 45\r\n\
Retry-After: 1\r\nConnection: close\r\n\r\nthis address has as many clients as it may.\r\n";

/// Says why, as far as the socket takes it at once, and closes.
pub(super) fn turn_away(worker: &Rc<Worker>, stream: TcpStream, full: Full, serves: Serves) {
    let (answer, count) = match full {
        Full::All => (TOO_MANY, &worker.shared.meters.turned_away_all),
        Full::Address => (TOO_MANY_OF_ADDRESS, &worker.shared.meters.turned_away_address),
    };
    count.inc();
    if serves != Serves::Http {
        // It cannot be told before a handshake, which costs more than a request, or what is spoken is not known.
        return;
    }
    // Written and read without waiting, past the runtime, which has not looked at the socket yet. What cannot be done
    // at once is left: this costs us nothing to hold.
    let socket = socket2::SockRef::from(&stream);
    let _ = socket.send(answer);
    // What the client has sent is taken, since closing over it would send a reset in place of the answer.
    let _ = socket.recv(&mut [std::mem::MaybeUninit::uninit(); 4096]);
    let _ = socket.shutdown(std::net::Shutdown::Write);
}

/// After a failed accept. A client that is gone already needs no rest; a host without descriptors or memory does, or the
/// loop would spin.
pub(super) async fn rest(clock: &Clock, error: &io::Error, pause: Duration) {
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    tracing::warn!(%error, "cannot accept connections");
    clock.sleep(pause).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_are_as_long_as_they_say() {
        for answer in [TOO_MANY, TOO_MANY_OF_ADDRESS] {
            let text = std::str::from_utf8(answer).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{} in {head}", body.len());
        }
    }
}
