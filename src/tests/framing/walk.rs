//! A connection without a socket: bytes in pieces, read as requests one after another.

use crate::proxy::h1::{Body, ChunkReader, Limits, Refusal, RequestHead, Step, parse_request};

/// A request that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub method: Vec<u8>,
    pub target: Vec<u8>,
    pub host: Vec<u8>,
    pub fields: Vec<(Vec<u8>, Vec<u8>, bool)>,
    pub body: Vec<u8>,
    pub trailers: Vec<u8>,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Between two requests.
    Clean,
    /// Within one.
    Waiting,
    /// A head was refused.
    Refused(Refusal),
    /// A body was.
    Broken(Refusal),
}

impl End {
    /// The same, without the name of a refusal: which fault of a line is seen first depends on how much of it is there.
    pub fn kind(self) -> Self {
        match self {
            Self::Refused(_) => Self::Refused(Refusal::RequestLine),
            Self::Broken(_) | Self::Clean | Self::Waiting => self,
        }
    }
}

/// All that is read of `sent`, whose pieces are `piece_bytes` long.
pub fn walk(sent: &[u8], piece_bytes: usize) -> (Vec<Seen>, End) {
    walk_pieces(sent.chunks(piece_bytes.max(1)))
}

/// All that is read of these pieces.
pub fn walk_pieces<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> (Vec<Seen>, End) {
    let mut connection = Connection::default();
    for piece in pieces {
        connection.buffer.extend_from_slice(piece);
        if let Some(end) = connection.read_on() {
            return (connection.seen, end);
        }
    }
    let is_between = connection.buffer.iter().all(|b| matches!(b, b'\r' | b'\n')) && connection.present.is_none();
    (connection.seen, if is_between { End::Clean } else { End::Waiting })
}

#[derive(Default)]
struct Connection {
    buffer: Vec<u8>,
    head: RequestHead,
    present: Option<(Seen, Rest, bool)>,
    seen: Vec<Seen>,
}

enum Rest {
    Length(u64),
    Chunks(ChunkReader),
}

impl Connection {
    /// Reads all that is there; says when nothing more is to be read.
    fn read_on(&mut self) -> Option<End> {
        loop {
            if let Some(end) = self.read_body() {
                return end;
            }
            match parse_request(&self.buffer, &Limits::default(), &mut self.head) {
                Ok(None) => return None,
                Ok(Some(len)) => self.begin(len),
                Err(refusal) => return Some(End::Refused(refusal)),
            }
        }
    }

    fn begin(&mut self, len: usize) {
        let (bytes, head) = (&self.buffer[..], &self.head);
        let seen = Seen {
            method: head.method_bytes(bytes).to_vec(),
            target: head.target(bytes).to_vec(),
            host: head.host(bytes).to_vec(),
            fields: head.fields(bytes).map(|f| (f.name.to_vec(), f.value.to_vec(), f.is_dropped)).collect(),
            body: Vec::new(),
            trailers: Vec::new(),
        };
        let rest = match head.body() {
            Body::None => Rest::Length(0),
            Body::Length(length) => Rest::Length(length),
            Body::Chunked => Rest::Chunks(ChunkReader::default()),
            Body::UntilClose => unreachable!("no request has such a body"),
        };
        self.present = Some((seen, rest, head.keep_alive()));
        self.buffer.drain(..len);
        self.head.clear();
    }

    /// Reads the body that is due. `None`: the next head is due; `Some(None)`: more must come.
    fn read_body(&mut self) -> Option<Option<End>> {
        let (seen, rest, _) = self.present.as_mut()?;
        let is_whole = loop {
            match rest {
                Rest::Length(left) => {
                    let here = usize::try_from(*left).unwrap_or(usize::MAX).min(self.buffer.len());
                    seen.body.extend(self.buffer.drain(..here));
                    *left -= here as u64;
                    break *left == 0;
                }
                Rest::Chunks(reader) => match reader.feed(&self.buffer) {
                    Ok(Step::More) => {
                        self.buffer.clear();
                        break false;
                    }
                    Ok(Step::Data { from, to }) => {
                        seen.body.extend_from_slice(&self.buffer[from..to]);
                        self.buffer.drain(..to);
                    }
                    Ok(Step::End(at)) => {
                        seen.trailers = reader.trailers().to_vec();
                        self.buffer.drain(..at);
                        break true;
                    }
                    Err(refusal) => return Some(Some(End::Broken(refusal))),
                },
            }
        };
        if !is_whole {
            return Some(None);
        }
        let (seen, _, keep_alive) = self.present.take()?;
        self.seen.push(seen);
        if keep_alive { None } else { Some(Some(End::Clean)) }
    }
}
