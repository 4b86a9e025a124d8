//! Cases with something changed in them: what nobody thought of.

use super::cases::{self, Case};
use rand::{Rng, SeedableRng, rngs::SmallRng, seq::IndexedRandom};

/// What is put in somewhere: the words in which framing is spoken, and the bytes that end something for somebody.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\n\n",
    b" ",
    b"\t",
    b"\0",
    b"\x0b",
    b"\x0c",
    b"\x7f",
    b"\x80",
    b"\xff",
    b":",
    b";",
    b",",
    b"0\r\n\r\n",
    b"1",
    b"0",
    b"-",
    b"+",
    b"_",
    b"0x",
    b"#",
    b"?",
    b"//",
    b"\\",
    b"%",
    b"\"",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b"Host: b\r\n",
    b"Connection: close\r\n",
    b"Connection: Content-Length\r\n",
    b"Expect: 100-continue\r\n",
    b"Upgrade: h2c\r\n",
    b"X: y\r\n",
    b" folded\r\n",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"GET /m HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST ",
    b"HEAD ",
    b"chunked",
    b"identity",
    b"http://b/",
    b"5\r\nhello\r\n",
    b"ffffffffffffffff",
];

/// The longest case of which mutants are made; the large ones have their own point.
const MUTANT_BYTES_MAX: usize = 1000;

/// That many mutants, the same for the same seed. Each is named by its case and its number.
pub fn mutants(seed: u64, count: usize) -> impl Iterator<Item = (String, Vec<u8>)> {
    let mut random = SmallRng::seed_from_u64(seed);
    let cases: Vec<Case> = cases::all().into_iter().filter(|case| case.sent.len() < MUTANT_BYTES_MAX).collect();
    (0..count).map(move |number| {
        let case = cases.choose(&mut random).expect("there are cases");
        let mut sent = case.sent.clone();
        for _ in 0..random.random_range(1..=2) {
            mutate(&mut sent, &mut random);
        }
        (format!("{} #{number}", case.name), sent)
    })
}

fn mutate(sent: &mut Vec<u8>, random: &mut SmallRng) {
    if sent.is_empty() {
        return;
    }
    let at = random.random_range(0..sent.len());
    let to = (at + random.random_range(1..=12)).min(sent.len());
    match random.random_range(0..8) {
        0 => drop(sent.remove(at)),
        1 => drop(sent.drain(at..to)),
        2 => sent[at] = random.random(),
        3 => sent[at] ^= 0x20,
        4 => {
            let word = *WORDS.choose(random).expect("there are words");
            sent.splice(at..at, word.iter().copied());
        }
        5 => {
            let word = *WORDS.choose(random).expect("there are words");
            sent.splice(at..to, word.iter().copied());
        }
        6 => {
            let copy = sent[at..to].to_vec();
            let place = random.random_range(0..=sent.len());
            sent.splice(place..place, copy);
        }
        // A line twice, or a line less.
        _ => {
            let ends: Vec<usize> = (0..sent.len()).filter(|at| sent[*at] == b'\n').map(|at| at + 1).collect();
            let Some(end) = ends.choose(random) else { return };
            let start = ends.iter().rev().find(|at| *at < end).copied().unwrap_or(0);
            let line = sent[start..*end].to_vec();
            if random.random() {
                sent.splice(start..start, line);
            } else {
                sent.drain(start..*end);
            }
        }
    }
}
