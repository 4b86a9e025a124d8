//! Chunks, read and written.

use crate::proxy::h1::{ChunkReader, Refusal, Step, limits, size_line, write_chunk, write_last};
use proptest::prelude::*;

/// Body, trailers and what is behind them, of bytes in pieces.
fn read(pieces: &[&[u8]]) -> Result<Option<(Vec<u8>, Vec<u8>, usize)>, Refusal> {
    let mut reader = ChunkReader::default();
    let (mut body, mut before) = (Vec::new(), 0);
    for piece in pieces {
        let mut at = 0;
        loop {
            match reader.feed(&piece[at..])? {
                Step::More => break,
                Step::Data { from, to } => {
                    assert!(from < to, "data is something");
                    body.extend_from_slice(&piece[at + from..at + to]);
                    at += to;
                }
                Step::End(end) => {
                    assert!(reader.is_at_end());
                    return Ok(Some((body, reader.trailers().to_vec(), before + at + end)));
                }
            }
        }
        before += piece.len();
    }
    assert!(reader.trailers().is_empty(), "none before the end");
    Ok(None)
}

#[test]
fn trailers_are_kept_that_say_nothing_of_how_to_read() {
    let sent = b"1\r\na\r\n0\r\nX-Sum:  1 \r\nContent-Length: 5\r\nTransfer-Encoding: x\r\nHost: b\r\nX_A: 1\r\nAuthorization: z\r\n\
        X-Forwarded-For: 1\r\nContent-Type: a\r\nSet-Cookie: a\r\nConnection: close\r\nDate: now\r\nX-Empty:\r\n\r\nGET";
    let (body, trailers, end) = read(&[sent]).unwrap().unwrap();
    assert_eq!((body.as_slice(), &sent[end..]), (&b"a"[..], &b"GET"[..]));
    assert_eq!(trailers.escape_ascii().to_string(), "X-Sum: 1\\r\\nDate: now\\r\\nX-Empty: \\r\\n");
}

#[test]
fn what_is_spliced_is_counted() {
    let mut reader = ChunkReader::default();
    assert_eq!(reader.left(), 0);
    assert_eq!(reader.feed(b"10000\r\n"), Ok(Step::More));
    assert_eq!(reader.left(), 65_536);
    reader.skip(65_000);
    assert_eq!(reader.left(), 536);
    assert_eq!(reader.feed(&[b'x'; 536]), Ok(Step::Data { from: 0, to: 536 }));
    assert_eq!(reader.left(), 0);
    assert_eq!(reader.feed(b"\r\n0\r\n\r\nrest"), Ok(Step::End(7)));
    assert_eq!(reader.feed(b"rest"), Ok(Step::End(0)), "it stays at its end");
}

#[test]
fn extensions_are_counted_by_chunk_and_by_body() {
    let with = |bytes: usize| format!("1;{}\r\na\r\n", "x".repeat(bytes - 1));
    let limit = limits::EXTENSION_BYTES_MAX;
    assert_eq!(read(&[with(limit).as_bytes()]), Ok(None));
    assert_eq!(read(&[with(limit + 1).as_bytes()]), Err(Refusal::ExtensionTooLong));
    let times = limits::EXTENSIONS_BYTES_MAX as usize / limit;
    assert_eq!(read(&[with(limit).repeat(times).as_bytes()]), Ok(None));
    assert_eq!(read(&[with(limit).repeat(times + 1).as_bytes()]), Err(Refusal::ExtensionTooLong));
}

#[test]
fn trailers_end_somewhere() {
    let with = |bytes: usize| format!("0\r\nX: {}\r\n\r\n", "x".repeat(bytes - "X: \r\n\r\n".len()));
    let limit = limits::TRAILERS_BYTES_MAX;
    assert!(matches!(read(&[with(limit).as_bytes()]), Ok(Some(_))));
    assert_eq!(read(&[with(limit + 1).as_bytes()]), Err(Refusal::TrailersTooLarge));
}

#[test]
fn sizes_are_written_as_they_are_read() {
    for (len, line) in [(0, "0\r\n"), (9, "9\r\n"), (10, "a\r\n"), (255, "ff\r\n"), (u64::MAX, "ffffffffffffffff\r\n")]
    {
        assert_eq!(size_line(len).as_bytes(), line.as_bytes());
    }
    let mut out = Vec::new();
    write_chunk(&mut out, b"");
    assert!(out.is_empty(), "no data is not the last chunk");
}

fn pieces<'b>(bytes: &'b [u8], cuts: &[prop::sample::Index]) -> Vec<&'b [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([0, bytes.len()]).collect();
    at.sort_unstable();
    at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read_however_it_is_cut(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..12),
        trailers in prop::collection::vec("X-[A-Z]{1,5}: [a-z]{0,9}\r\n", 0..4),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let trailers = trailers.concat();
        let mut sent = Vec::new();
        chunks.iter().for_each(|chunk| write_chunk(&mut sent, chunk));
        write_last(&mut sent, trailers.as_bytes());
        let whole = sent.len();
        sent.extend_from_slice(b"GET / HTTP/1.1\r\n");
        let read = read(&pieces(&sent, &cuts)).unwrap();
        prop_assert_eq!(read, Some((chunks.concat(), trailers.into_bytes(), whole)));
    }

    #[test]
    fn any_bytes_are_read_the_same_however_they_are_cut(
        bytes in "([0-9a-f;\r\nxX: ]|\r\n|1\r\na\r\n|0\r\n){0,40}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        prop_assert_eq!(read(&pieces(bytes.as_bytes(), &cuts)), read(&[bytes.as_bytes()]));
    }
}
