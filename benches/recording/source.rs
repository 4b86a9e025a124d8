//! The load: an RTSP server that costs as little as can be, so that one core feeds hundreds of streams. Packets are made
//! once; a frame is stamped in place and goes out in one `writev`. Each frame bears a mark that counts.

use crate::clip::{AUDIO_RATE, AUDIO_SAMPLES, Clip, Unit};
use base64::{Engine, prelude::BASE64_STANDARD as BASE64};
use rustix::{
    io::Errno,
    net::{SendAncillaryBuffer, SendFlags, sendmsg},
};
use skyvis::{base::Wall, model::VideoCodec, sim::Mark};
use std::{
    io::{BufRead, BufReader, IoSlice, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

const FRAME: Duration = Duration::from_millis(40);
/// Frames are due to the microsecond, but sent in ticks of this, so that the load itself is cheap.
const TICK: Duration = Duration::from_millis(4);
/// What waits for a client that does not read; more is dropped, and counted.
const PENDING_BYTES_MAX: usize = 16 << 20;

/// A server of streams.
pub struct Source {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    connections: Mutex<Vec<Arc<Mutex<Connection>>>>,
    sps: Vec<u8>,
    pps: Vec<u8>,
    counts: Counts,
}

/// What was sent, and what was not.
#[derive(Default)]
pub struct Counts {
    /// Frames handed to sockets.
    pub frames: AtomicU64,
    /// Their bytes, with RTP's heads.
    pub bytes: AtomicU64,
    /// Frames that were due and not sent, because a client did not read.
    pub dropped: AtomicU64,
    /// Frames sent later than they were due by more than a frame's time.
    pub late: AtomicU64,
}

struct Connection {
    socket: TcpStream,
    channel: u32,
    playing: bool,
    /// The sound's track was set up.
    sound_wanted: bool,
    ended: bool,
    /// What the socket did not take yet.
    pending: Vec<u8>,
    frame: u64,
    sound: u64,
    due: Instant,
    /// The mark's counter of frame 0.
    base: u64,
    sequences: [u16; 2],
}

impl Source {
    /// Begins to serve.
    pub fn start(clip: Clip, spread_over: u32) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            connections: Mutex::default(),
            sps: clip.sps.clone(),
            pps: clip.pps.clone(),
            counts: Counts::default(),
        });
        let (accepting, sending, began) = (shared.clone(), shared.clone(), Instant::now());
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let shared = accepting.clone();
                let converse = move || {
                    let _ = converse(socket, &shared, began, spread_over);
                };
                let _ = thread::Builder::new().stack_size(128 << 10).spawn(converse);
            }
        });
        thread::spawn(move || send(clip, &sending));
        Ok(Self { address, shared })
    }

    /// How many streams are playing.
    pub fn playing(&self) -> usize {
        self.shared.connections().iter().filter(|c| locked(c).playing).count()
    }

    /// What was sent so far.
    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }
}

impl Shared {
    fn connections(&self) -> MutexGuard<'_, Vec<Arc<Mutex<Connection>>>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self, url: &str) -> String {
        let (sps, pps) = (BASE64.encode(&self.sps), BASE64.encode(&self.pps));
        format!(
            "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=Media Presentation\r\nt=0 0\r\na=control:{url}/\r\n\
             m=video 0 RTP/AVP 96\r\na=control:{url}/trackID=1\r\na=rtpmap:96 H264/90000\r\n\
             a=fmtp:96 packetization-mode=1; sprop-parameter-sets={sps},{pps}\r\n\
             m=audio 0 RTP/AVP 104\r\na=control:{url}/trackID=2\r\na=rtpmap:104 mpeg4-generic/16000/1\r\n\
             a=fmtp:104 profile-level-id=15; streamtype=5; mode=AAC-hbr; config=1408; SizeLength=13; IndexLength=3; \
             IndexDeltaLength=3\r\n"
        )
    }
}

fn locked(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Requests and answers of one connection; its packets come from [`send`].
fn converse(socket: TcpStream, shared: &Shared, began: Instant, spread_over: u32) -> std::io::Result<()> {
    let mut reader = BufReader::new(socket.try_clone()?);
    let connection = Arc::new(Mutex::new(Connection {
        socket,
        channel: 1,
        playing: false,
        sound_wanted: false,
        ended: false,
        pending: Vec::new(),
        frame: 0,
        sound: 0,
        due: began,
        base: 0,
        sequences: [1, 1],
    }));
    shared.connections().push(connection.clone());
    let result = answer_all(&mut reader, &connection, shared, began, spread_over);
    let mut ending = locked(&connection);
    (ending.playing, ending.ended) = (false, true);
    result
}

fn answer_all(
    reader: &mut BufReader<TcpStream>,
    connection: &Mutex<Connection>,
    shared: &Shared,
    began: Instant,
    spread_over: u32,
) -> std::io::Result<()> {
    loop {
        let first = match reader.fill_buf()?.first() {
            Some(byte) => *byte,
            None => return Ok(()),
        };
        if first == b'$' {
            // A receiver report.
            let mut head = [0; 4];
            reader.read_exact(&mut head)?;
            let mut body = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
            reader.read_exact(&mut body)?;
            continue;
        }
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let mut request = lines.first().map(String::as_str).unwrap_or_default().split(' ');
        let (method, url) = (request.next().unwrap_or_default(), request.next().unwrap_or_default());
        let url = url.trim_end_matches('/');
        let header = |name: &str| lines.iter().find_map(|l| l.split_once(": ").filter(|h| h.0 == name).map(|h| h.1));
        let mut answer =
            format!("RTSP/1.0 200 OK\r\nCSeq: {}\r\nSession: 1;timeout=60\r\n", header("CSeq").unwrap_or("0"));
        let mut connection = locked(connection);
        match method {
            "DESCRIBE" => {
                let sdp = shared.describe(url);
                let len = sdp.len();
                answer += &format!(
                    "Content-Base: {url}/\r\nContent-Type: application/sdp\r\nContent-Length: {len}\r\n\r\n{sdp}"
                );
            }
            "SETUP" => {
                connection.channel = channel_of(url).unwrap_or(1);
                let sound = url.ends_with("trackID=2");
                connection.sound_wanted |= sound;
                let (transport, ssrc) = (header("Transport").unwrap_or_default(), if sound { 2 } else { 0 });
                answer += &format!("Transport: {transport};ssrc=5c1e000{ssrc}\r\n\r\n");
            }
            _ => answer += "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER\r\n\r\n",
        }
        if method == "TEARDOWN" {
            connection.playing = false;
        }
        connection.socket.write_all(answer.as_bytes())?;
        if method == "PLAY" {
            let spread = FRAME * (connection.channel % spread_over) / spread_over;
            let frames = began.elapsed().as_millis() / FRAME.as_millis() + 1;
            connection.base = u64::try_from(frames).unwrap_or(0);
            connection.due = began + FRAME * u32::try_from(frames).unwrap_or(0) + spread;
            connection.playing = true;
        }
    }
}

fn channel_of(url: &str) -> Option<u32> {
    let id: u32 = url.split('/').find_map(|part| part.parse().ok())?;
    Some(id / 100)
}

/// Sends what is due, for ever.
fn send(mut clip: Clip, shared: &Shared) {
    loop {
        let began = Instant::now();
        let mut connections = shared.connections().clone();
        if connections.iter().any(|c| locked(c).ended) {
            shared.connections().retain(|c| !locked(c).ended);
        }
        for connection in &mut connections {
            let mut connection = locked(connection);
            while connection.playing && connection.due <= began {
                connection.send_frame(&mut clip, &shared.counts, began);
            }
        }
        thread::sleep(TICK.saturating_sub(began.elapsed()));
    }
}

impl Connection {
    fn send_frame(&mut self, clip: &mut Clip, counts: &Counts, now: Instant) {
        if now - self.due > FRAME {
            counts.late.fetch_add(1, Ordering::Relaxed);
        }
        let n = self.frame;
        let of_clip = clip.video.len() as u64;
        let picture = &mut clip.video[(n % of_clip) as usize];
        let mark = Mark { stream: self.channel * 100 + 1, counter: self.base + n, wall: Wall::default() };
        let timestamp = (n as u32).wrapping_mul(3600);
        let mut mark = Unit::single(&mark.to_nal(VideoCodec::H264));
        self.frame += 1;
        self.due += FRAME;
        self.sequences[0] = mark.stamp(self.sequences[0], timestamp);
        self.sequences[0] = picture.stamp(self.sequences[0], timestamp);
        // The sounds that were taken before this picture.
        let mut sounds = Vec::new();
        while self.sound_wanted && self.sound * AUDIO_SAMPLES * 25 <= n * AUDIO_RATE {
            let of_clip = clip.audio.len() as u64;
            let sound = &mut clip.audio[(self.sound % of_clip) as usize];
            self.sequences[1] = sound.stamp(self.sequences[1], (self.sound * AUDIO_SAMPLES) as u32);
            sounds.extend_from_slice(&sound.bytes);
            self.sound += 1;
        }
        let (picture, parts) = (&picture.bytes, [&sounds[..], &mark.bytes, &picture.bytes]);
        if self.pending.len() + picture.len() > PENDING_BYTES_MAX {
            counts.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        counts.frames.fetch_add(1, Ordering::Relaxed);
        counts.bytes.fetch_add(parts.iter().map(|p| p.len() as u64).sum(), Ordering::Relaxed);
        self.write(&parts);
    }

    fn write(&mut self, parts: &[&[u8]]) {
        if !self.pending.is_empty() {
            parts.iter().for_each(|part| self.pending.extend_from_slice(part));
            let Some(written) = self.give(&[IoSlice::new(&self.pending)]) else { return self.end() };
            self.pending.drain(..written);
            return;
        }
        let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let Some(mut skip) = self.give(&slices) else { return self.end() };
        for part in parts {
            let here = skip.min(part.len());
            self.pending.extend_from_slice(&part[here..]);
            skip -= here;
        }
    }

    /// What the socket takes now; None where it is gone. The socket itself blocks, since requests are read from it.
    fn give(&self, slices: &[IoSlice<'_>]) -> Option<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        match sendmsg(&self.socket, slices, &mut SendAncillaryBuffer::default(), flags) {
            Ok(n) => Some(n),
            Err(Errno::WOULDBLOCK) => Some(0),
            Err(_) => None,
        }
    }

    fn end(&mut self) {
        (self.playing, self.ended) = (false, true);
    }
}
