//! Rows as sled sees them. A value longer than one chunk is cut into several rows.
//!
//! sled moves a node whose 16-odd rows no longer fit in a quarter of a segment (128 KiB) into a file of its own under
//! `blobs/`, and never syncs that file. Rows of at most [`CHUNK_BYTES_MAX`] keep every node below that, so that one fdatasync of
//! `db` covers everything.
//!
//! Keys: `[prefix][0][key]` for a row, `[prefix][1][key length u16][key][index u16]` for its chunks. Values: `[0][bytes]`, or
//! `[1][length u32][hash u64]` where the bytes are in chunks; the hash shows a reader that it mixed two versions.

use super::Error;
use std::collections::BTreeMap;

/// Longest key of a keyspace.
pub(super) const KEY_BYTES_MAX: usize = 512;
/// Longest encoded value.
pub(super) const VALUE_BYTES_MAX: usize = 64 << 20;
/// Longest value kept in one sled row.
pub(super) const CHUNK_BYTES_MAX: usize = 4096;

const ROW: u8 = 0;
const CHUNK: u8 = 1;
const INLINE: u8 = 0;
const CHUNKED: u8 = 1;
const CHUNKED_BYTES: usize = 1 + 4 + 8;

/// Raw rows to write (`Some`) or delete (`None`).
pub(super) type Overlay = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

pub(super) fn row_key(prefix: u8, key: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(2 + key.len());
    raw.extend_from_slice(&[prefix, ROW]);
    raw.extend_from_slice(key);
    raw
}

/// The raw key after all rows of a keyspace: where its chunks begin.
pub(super) fn rows_end(prefix: u8) -> Vec<u8> {
    vec![prefix, CHUNK]
}

/// The caller's key in a raw row key.
pub(super) fn user_key(raw: &[u8]) -> &[u8] {
    raw.get(2..).unwrap_or_default()
}

/// True for a row, false for a chunk of one.
pub(super) fn is_row(raw: &[u8]) -> bool {
    raw.get(1) == Some(&ROW)
}

fn chunk_key(prefix: u8, key: &[u8], index: usize) -> Vec<u8> {
    let mut raw = Vec::with_capacity(6 + key.len());
    raw.extend_from_slice(&[prefix, CHUNK]);
    raw.extend_from_slice(&(key.len() as u16).to_be_bytes());
    raw.extend_from_slice(key);
    raw.extend_from_slice(&(index as u16).to_be_bytes());
    raw
}

/// Stages one write on top of `overlay`; `old_chunks` is asked how many chunks the row beneath it has.
pub(super) fn stage(
    overlay: &mut Overlay,
    prefix: u8,
    key: &[u8],
    value: Option<&[u8]>,
    old_chunks: impl FnOnce(&[u8]) -> Result<usize, Error>,
) -> Result<(), Error> {
    let main = row_key(prefix, key);
    let old_chunks = match overlay.get(&main) {
        Some(staged) => staged.as_deref().map_or(0, chunks_of),
        None => old_chunks(&main)?,
    };
    let mut new_chunks = 0;
    match value {
        None => drop(overlay.insert(main, None)),
        Some(bytes) if bytes.len() < CHUNK_BYTES_MAX => {
            let mut inline = Vec::with_capacity(1 + bytes.len());
            inline.push(INLINE);
            inline.extend_from_slice(bytes);
            overlay.insert(main, Some(inline));
        }
        Some(bytes) => {
            let mut head = vec![CHUNKED];
            head.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
            head.extend_from_slice(&hash(0, bytes).to_be_bytes());
            overlay.insert(main, Some(head));
            for (i, chunk) in bytes.chunks(CHUNK_BYTES_MAX).enumerate() {
                overlay.insert(chunk_key(prefix, key, i), Some(chunk.to_vec()));
                new_chunks = i + 1;
            }
        }
    }
    for i in new_chunks..old_chunks {
        overlay.insert(chunk_key(prefix, key, i), None);
    }
    Ok(())
}

/// How many chunks the value of a raw row has.
pub(super) fn chunks_of(raw: &[u8]) -> usize {
    chunked(raw).map_or(0, |(len, _)| len.div_ceil(CHUNK_BYTES_MAX))
}

/// Length and hash of a value that is in chunks.
fn chunked(raw: &[u8]) -> Option<(usize, u64)> {
    let rest = raw.strip_prefix(&[CHUNKED])?;
    if raw.len() != CHUNKED_BYTES {
        return None;
    }
    let (len, hash) = rest.split_at(4);
    Some((u32::from_be_bytes(len.try_into().ok()?) as usize, u64::from_be_bytes(hash.try_into().ok()?)))
}

/// What reading a raw row gave.
pub(super) enum Read {
    /// The encoded value.
    Value(Vec<u8>),
    /// Chunks do not belong to this row: it was overwritten meanwhile, or is damaged.
    Mixed,
}

/// Puts a value together; `chunk` reads a raw row.
pub(super) fn assemble(
    prefix: u8,
    key: &[u8],
    main: &[u8],
    chunk: impl Fn(&[u8]) -> Result<Option<sled::IVec>, Error>,
) -> Result<Read, Error> {
    if let Some(inline) = main.strip_prefix(&[INLINE]) {
        return Ok(Read::Value(inline.to_vec()));
    }
    let Some((len, expected)) = chunked(main) else { return Ok(Read::Mixed) };
    let mut value = Vec::with_capacity(len.min(VALUE_BYTES_MAX));
    for i in 0..len.div_ceil(CHUNK_BYTES_MAX) {
        match chunk(&chunk_key(prefix, key, i))? {
            Some(bytes) => value.extend_from_slice(&bytes),
            None => return Ok(Read::Mixed),
        }
    }
    Ok(if value.len() == len && hash(0, &value) == expected { Read::Value(value) } else { Read::Mixed })
}

/// Bytes that mean nothing, and are not zeroes: a file system that compresses would keep no room for those.
pub(super) fn filler(bytes: u64) -> Vec<u8> {
    (0..bytes.div_ceil(8)).flat_map(|i| hash(i, b"ballast").to_le_bytes()).take(bytes as usize).collect()
}

/// A quick 64-bit hash, the same on every host and for ever, because it is stored. Each step is a bijection of the word
/// that it takes in, so that a change within one word always shows.
pub(super) fn hash(seed: u64, bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut h = seed ^ (bytes.len() as u64).wrapping_mul(PRIME);
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        h = step(h, u64::from_le_bytes(word.try_into().expect("chunks_exact gives 8 bytes")), PRIME);
    }
    let mut last = [0; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    step(h, u64::from_le_bytes(last), PRIME)
}

fn step(h: u64, word: u64, prime: u64) -> u64 {
    let x = (h ^ word).wrapping_mul(prime);
    x ^ (x >> 29)
}
