//! A way to one device within this process that passes on what it says within bounds, and puts its description right.
//!
//! The RTSP client bounds neither a message nor a picture, and a session fails with a track that it has no name for. The
//! bytes of a well-behaved device go straight to the client: a relay costs a second trip through the kernel. It is put in
//! between once a device has shown that it needs one, by a session that was a flood (`session`) or by such a name. It goes
//! by TCP alone. What it lets through is held by the client in a buffer of up to twice [`FLOW_BYTES_MAX`], as that doubles.

use super::failure::Failure;
use std::{
    io,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use url::Url;

/// The longest status line and headers. Devices need a few hundred bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// The longest description.
const BODY_BYTES_MAX: usize = 256 << 10;
/// The most that may come from one picture to the next: twice the largest picture that is taken.
const FLOW_BYTES_MAX: u64 = 32 << 20;
/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;
/// `$`, a channel and a length.
const FRAME_HEAD_BYTES: usize = 4;
/// What some devices call raw samples, and what the standard does. They are equally long, so no length changes.
const PCM: (&[u8], &[u8]) = (b" PCM/", b" L16/");

/// Listens for the one session that it is for.
pub(super) struct Relay {
    listener: TcpListener,
    host: String,
    port: u16,
    flow: Flow,
}

/// Bytes since the last picture.
#[derive(Clone, Default)]
pub(super) struct Flow(Arc<AtomicU64>);

impl Flow {
    /// A picture came out of them.
    pub(super) fn picture(&self) {
        self.0.store(0, Ordering::Relaxed);
    }

    fn grows(&self, bytes: usize) -> u64 {
        self.0.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64
    }
}

impl Relay {
    /// A relay to the device of a URL, and the URL that leads through it.
    pub(super) async fn open(url: &Url, flow: Flow) -> Result<(Self, Url), Failure> {
        let fault = |e: io::Error| Failure::other(format!("this host has no port left for a relay: {e}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(fault)?;
        let mut through = url.clone();
        let set = through.set_host(Some("127.0.0.1")).is_ok()
            && through.set_port(Some(listener.local_addr().map_err(fault)?.port())).is_ok();
        if !set {
            return Err(Failure::other("its URL cannot be led through a relay"));
        }
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        Ok((Self { listener, host, port: url.port().unwrap_or(554), flow }, through))
    }

    /// Passes everything on until either side is done, or the device breaks a bound.
    pub(super) async fn run(self) -> Failure {
        match self.pass().await {
            Ok(failure) => failure,
            Err(error) => Failure::lost(format!("the connection was lost: {error}")),
        }
    }

    async fn pass(self) -> io::Result<Failure> {
        let (mut client, _) = self.listener.accept().await?;
        let mut device = TcpStream::connect((self.host.as_str(), self.port)).await?;
        // Requests are small and waited for.
        let _ = (client.set_nodelay(true), device.set_nodelay(true));
        let mut answers = Answers::default();
        let mut asked = vec![0; HEAD_BYTES_MAX];
        loop {
            tokio::select! {
                read = client.read(&mut asked) => match read? {
                    0 => return Ok(Failure::lost("the session ended")),
                    len => device.write_all(&asked[..len]).await?,
                },
                read = answers.read_from(&mut device) => {
                    if read? == 0 {
                        return Ok(Failure::lost("the device ended the session"));
                    }
                    match answers.take() {
                        Ok(whole) if self.flow.grows(whole.len()) > FLOW_BYTES_MAX => {
                            let text = format!("it sent {} MiB without a picture", FLOW_BYTES_MAX >> 20);
                            return Ok(Failure::flood(text));
                        }
                        Ok(whole) => client.write_all(&whole).await?,
                        Err(what) => return Ok(Failure::flood(what)),
                    }
                }
            }
        }
    }
}

/// What a device says, as it comes.
#[derive(Default)]
struct Answers {
    buffer: Vec<u8>,
}

impl Answers {
    async fn read_from(&mut self, device: &mut TcpStream) -> io::Result<usize> {
        let mut read = vec![0; READ_BYTES];
        let len = device.read(&mut read).await?;
        self.buffer.extend_from_slice(&read[..len]);
        Ok(len)
    }

    /// All that is whole, put right. What is left is less than the longest answer.
    fn take(&mut self) -> Result<Vec<u8>, &'static str> {
        let mut end = 0;
        while let Some(len) = whole(&self.buffer[end..])? {
            if self.buffer[end] != b'$' {
                put_right(&mut self.buffer[end..end + len]);
            }
            end += len;
        }
        Ok(self.buffer.drain(..end).collect())
    }
}

/// Length of what stands at the begin, once it is whole.
fn whole(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
    match bytes {
        [] => Ok(None),
        [b'$', _, high, low, ..] => {
            let len = FRAME_HEAD_BYTES + usize::from(u16::from_be_bytes([*high, *low]));
            Ok((bytes.len() >= len).then_some(len))
        }
        [b'$', ..] => Ok(None),
        _ => {
            let head = bytes.windows(4).take(HEAD_BYTES_MAX).position(|w| w == b"\r\n\r\n").map(|at| at + 4);
            let Some(head) = head else {
                let long = bytes.len() > HEAD_BYTES_MAX;
                return if long { Err("the head of an answer is longer than 16 KiB") } else { Ok(None) };
            };
            let body = content_length(&bytes[..head]).ok_or("an answer's length is no number")?;
            if body > BODY_BYTES_MAX {
                return Err("an answer is longer than 256 KiB");
            }
            Ok((bytes.len() >= head + body).then_some(head + body))
        }
    }
}

/// None where it is said and cannot be read.
fn content_length(head: &[u8]) -> Option<usize> {
    let text = String::from_utf8_lossy(head);
    let value = text.lines().find_map(|l| {
        let (name, value) = l.split_once(':')?;
        name.trim().eq_ignore_ascii_case("content-length").then(|| value.trim().to_owned())
    });
    value.map_or(Some(0), |v| v.parse().ok())
}

/// Names tracks as the standard does.
fn put_right(message: &mut [u8]) {
    let (wrong, right) = PCM;
    let mut at = 0;
    while let Some(line) = message[at..].windows(9).position(|w| w == b"a=rtpmap:").map(|n| at + n) {
        let end = message[line..].iter().position(|b| *b == b'\n').map_or(message.len(), |n| line + n);
        if let Some(name) = message[line..end].windows(wrong.len()).position(|w| w == wrong) {
            message[line + name..line + name + right.len()].copy_from_slice(right);
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(bytes: &[u8], step: usize) -> Result<Vec<u8>, &'static str> {
        let (mut answers, mut out) = (Answers::default(), Vec::new());
        for part in bytes.chunks(step) {
            answers.buffer.extend_from_slice(part);
            out.extend(answers.take()?);
        }
        Ok(out)
    }

    #[test]
    fn what_is_well_goes_through_as_it_is_and_a_foreign_name_is_put_right() {
        let sdp = "v=0\r\na=rtpmap:11 PCM/48000\r\na=tool: PCM/48000\r\n";
        let head = format!("RTSP/1.0 200 OK\r\nCSeq: 1\r\nContent-length: {}\r\n\r\n", sdp.len());
        let said = [head.as_bytes(), sdp.as_bytes(), b"$\0\0\x05 PCM/", b"RTSP/1.0 200 OK\r\n\r\n"].concat();
        let mended = sdp.replacen("PCM", "L16", 1);
        let right = [head.as_bytes(), mended.as_bytes(), b"$\0\0\x05 PCM/RTSP/1.0 200 OK\r\n\r\n"];
        for step in [1, 7, 1000] {
            assert_eq!(all(&said, step).unwrap(), right.concat(), "{step}");
        }
    }

    #[test]
    fn bounds_hold() {
        assert!(all(&vec![b'x'; HEAD_BYTES_MAX + 1], 1000).is_err());
        let long = format!("RTSP/1.0 200 OK\r\nContent-Length: {}\r\n\r\n", BODY_BYTES_MAX + 1);
        assert!(all(long.as_bytes(), 1000).is_err());
        assert!(all(b"RTSP/1.0 200 OK\r\nContent-Length: 1e9\r\n\r\n", 1000).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_hold_more_than_an_answer(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..40),
        ) {
            let mut answers = Answers::default();
            for part in parts {
                answers.buffer.extend_from_slice(&part);
                if answers.take().is_err() {
                    break;
                }
                prop_assert!(answers.buffer.len() <= HEAD_BYTES_MAX + BODY_BYTES_MAX + READ_BYTES);
            }
        }
    }
}
