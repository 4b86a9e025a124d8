//! Where each request of a connection begins and ends, read beside the HTTP library, which answers several kinds of
//! ambiguous head as if they were sound. A front and a back end that disagree about a head are how requests get
//! smuggled, so whatever two readers could read in two ways is refused here.
//!
//! Pure: bytes in, verdicts out.

use std::collections::VecDeque;

/// Follows the bytes of one connection.
#[derive(Debug)]
pub(super) struct Framing {
    state: State,
    head_bytes_max: usize,
    verdicts: VecDeque<Verdict>,
}

/// None: the head is sound. Some: why it is refused.
pub(super) type Verdict = Option<&'static str>;

/// The longest chunk-size or trailer line that is followed.
const LINE_BYTES_MAX: usize = 4096;

#[derive(Debug)]
enum State {
    /// Between requests, or in a head; what came of it so far.
    Head(Vec<u8>),
    /// In a body of known length: bytes to come.
    Sized(u64),
    /// In the line that holds a chunk's size.
    ChunkSize(Vec<u8>),
    /// In a chunk's data and the line end behind it: bytes to come.
    ChunkData(u64),
    /// Behind the last chunk; the line so far.
    Trailers(Vec<u8>),
    /// Not followed any further: every later request is refused.
    Lost,
}

enum Length {
    Sized(u64),
    Chunked,
}

impl Framing {
    pub(super) fn new(head_bytes_max: usize) -> Self {
        Self { state: State::Head(Vec::new()), head_bytes_max, verdicts: VecDeque::new() }
    }

    /// True while a head has begun and not ended.
    pub(super) fn in_head(&self) -> bool {
        matches!(&self.state, State::Head(seen) if !seen.is_empty())
    }

    /// The verdict on the next request in order. A request that this reader did not see end is refused.
    pub(super) fn next_verdict(&mut self) -> Verdict {
        self.verdicts.pop_front().unwrap_or(Some("the request's framing cannot be followed"))
    }

    /// What comes from now on is no HTTP.
    pub(super) fn leave(&mut self) {
        self.state = State::Lost;
    }

    /// Takes the next bytes that the connection read.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match &mut self.state {
                State::Lost => return,
                State::Head(_) => self.feed_head(bytes),
                State::Sized(left) => {
                    let rest = skip(left, bytes);
                    if *left == 0 {
                        self.state = State::Head(Vec::new());
                    }
                    rest
                }
                State::ChunkData(left) => {
                    let rest = skip(left, bytes);
                    if *left == 0 {
                        self.state = State::ChunkSize(Vec::new());
                    }
                    rest
                }
                State::ChunkSize(_) | State::Trailers(_) => self.feed_line(bytes),
            };
        }
    }

    fn feed_head<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let State::Head(seen) = &mut self.state else { return bytes };
        for (i, b) in bytes.iter().enumerate() {
            // Empty lines before a request are skipped, as every server does.
            if seen.is_empty() && matches!(b, b'\r' | b'\n') {
                continue;
            }
            seen.push(*b);
            if seen.len() > self.head_bytes_max {
                self.state = State::Lost;
                return &[];
            }
            if *b == b'\n' && (seen.ends_with(b"\n\n") || seen.ends_with(b"\n\r\n")) {
                let judged = judge(seen);
                self.verdicts.push_back(judged.as_ref().err().copied());
                self.state = match judged {
                    Ok(Length::Sized(0)) => State::Head(Vec::new()),
                    Ok(Length::Sized(n)) => State::Sized(n),
                    Ok(Length::Chunked) => State::ChunkSize(Vec::new()),
                    Err(_) => State::Lost,
                };
                return &bytes[i + 1..];
            }
        }
        &[]
    }

    fn feed_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (State::ChunkSize(line) | State::Trailers(line)) = &mut self.state else { return bytes };
        let end = bytes.iter().position(|b| *b == b'\n');
        let (taken, rest) = bytes.split_at(end.map_or(bytes.len(), |i| i + 1));
        line.extend_from_slice(taken);
        let whole = end.is_some();
        let line = std::mem::take(line);
        let in_trailers = matches!(self.state, State::Trailers(_));
        self.state = match (whole, in_trailers) {
            _ if line.len() > LINE_BYTES_MAX => State::Lost,
            (false, false) => State::ChunkSize(line),
            (false, true) => State::Trailers(line),
            (true, true) if line == b"\r\n" => State::Head(Vec::new()),
            (true, true) => State::Trailers(Vec::new()),
            (true, false) => match chunk_size(&line) {
                Some(0) => State::Trailers(Vec::new()),
                // The data's line end is counted with it.
                Some(n) => State::ChunkData(n.saturating_add(2)),
                None => State::Lost,
            },
        };
        rest
    }
}

fn skip<'a>(left: &mut u64, bytes: &'a [u8]) -> &'a [u8] {
    let n = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
    *left -= n as u64;
    &bytes[n..]
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(line.strip_suffix(b"\r\n")?).ok()?;
    let digits = text.split(';').next()?.trim_end();
    let sound = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
    sound.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// What a head's lines say about framing.
#[derive(Default)]
struct Fields<'a> {
    hosts: Vec<&'a str>,
    lengths: Vec<&'a str>,
    codings: Vec<&'a str>,
}

/// Judges one whole head and says how long the body behind it is.
fn judge(head: &[u8]) -> Result<Length, &'static str> {
    let text = std::str::from_utf8(head).map_err(|_| "the head holds bytes that are no UTF-8")?;
    let bare_line_feed =
        text.bytes().zip(std::iter::once(0).chain(text.bytes())).any(|(b, prev)| b == b'\n' && prev != b'\r');
    if bare_line_feed {
        return Err("a line of the head ends in LF without CR");
    }
    let mut lines = text.split("\r\n");
    let mut request_line = lines.next().unwrap_or("").split(' ');
    let target = request_line.nth(1).unwrap_or("");
    let http_10 = request_line.next() == Some("HTTP/1.0");
    let mut fields = Fields::default();
    for line in lines.take_while(|l| !l.is_empty()) {
        if line.starts_with([' ', '\t']) {
            return Err("a field of the head is folded over two lines");
        }
        let (name, value) = line.split_once(':').ok_or("a line of the head has no colon")?;
        let value = value.trim_matches([' ', '\t']);
        match name.to_ascii_lowercase().as_str() {
            "host" => fields.hosts.push(value),
            "content-length" => fields.lengths.push(value),
            "transfer-encoding" => fields.codings.push(value),
            _ => {}
        }
    }
    check_host(&fields.hosts, target, http_10)?;
    body_length(&fields, http_10)
}

fn check_host(hosts: &[&str], target: &str, http_10: bool) -> Result<(), &'static str> {
    let host = match hosts {
        [] if http_10 => return Ok(()),
        [] => return Err("the Host field is missing"),
        [host] => *host,
        _ => return Err("there is more than one Host field"),
    };
    if host.is_empty()
        || host.contains(['/', '@', '?', '#', '\\', ',', ' '])
        || host.parse::<http::uri::Authority>().is_err()
    {
        return Err("the Host field names no host");
    }
    let absolute = target.split_once("://").filter(|_| !target.starts_with('/'));
    if let Some((_, rest)) = absolute {
        let authority = rest.split(['/', '?']).next().unwrap_or("");
        if !authority.eq_ignore_ascii_case(host) {
            return Err("the request's target and its Host field name two hosts");
        }
    }
    Ok(())
}

fn body_length(fields: &Fields<'_>, http_10: bool) -> Result<Length, &'static str> {
    match (fields.lengths.as_slice(), fields.codings.as_slice()) {
        ([], []) => Ok(Length::Sized(0)),
        ([length], []) if length.bytes().all(|b| b.is_ascii_digit()) => {
            length.parse().map(Length::Sized).map_err(|_| "the Content-Length is no number")
        }
        ([_], []) => Err("the Content-Length is no number"),
        ([], [_]) if http_10 => Err("HTTP/1.0 has no Transfer-Encoding"),
        ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Length::Chunked),
        ([], [_]) => Err("the only Transfer-Encoding understood is chunked"),
        ([], _) => Err("there is more than one Transfer-Encoding field"),
        (_, []) => Err("there is more than one Content-Length field"),
        _ => Err("there are both a Content-Length and a Transfer-Encoding"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(bytes: &[u8], step: usize) -> Vec<Verdict> {
        let mut framing = Framing::new(8192);
        for piece in bytes.chunks(step) {
            framing.feed(piece);
        }
        framing.verdicts.into_iter().collect()
    }

    #[test]
    fn sound_requests_behind_one_another() {
        let wire = b"\r\nPOST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: x\r\n\r\n\
            POST /b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n\
            GET http://x/ HTTP/1.1\r\nHost: X\r\n\r\nGET / HTTP/1.0\r\n\r\n";
        for step in [1, 7, wire.len()] {
            assert_eq!(verdicts(wire, step), [None; 5], "in pieces of {step}");
        }
    }

    #[test]
    fn every_ambiguous_head_is_refused() {
        for head in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b@c\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n",
        ] {
            let found = verdicts(head.as_bytes(), 5);
            assert!(matches!(found.as_slice(), [Some(_)]), "{head:?}: {found:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn pieces_make_no_difference(wire in "(GET / HTTP/1.1\r\nHost: a\r\n\r\n|[a-zA-Z0-9 :\r\n]{0,40}){0,6}", step in 1usize..50) {
            proptest::prop_assert_eq!(verdicts(wire.as_bytes(), step), verdicts(wire.as_bytes(), usize::MAX));
        }
    }
}
