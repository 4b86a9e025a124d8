//! Every parser of our own takes the seeds of `fuzz/seeds`, those that once broke it among them, and some thousand
//! mutants of them, which are others each time. `benches/rig/fuzz` does so for minutes, led by coverage.

use crate::fuzzing::{TARGETS, Target};
use rand::{Rng, RngCore, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use std::{
    fs, panic,
    path::{Path, PathBuf},
};

/// Mutants of each target.
const MUTANTS: usize = 4000;
/// Longest mutant.
const MUTANT_BYTES_MAX: usize = 4096;
/// What a mutated byte or length often becomes.
const ODD: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'$', b'<', b'"'];

fn seeds(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds").join(target.name);
    let mut seeds: Vec<_> = fs::read_dir(&dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{} has no seeds", target.name);
    seeds
}

/// Runs a target and says which bytes broke it.
fn feed(target: &Target, bytes: &[u8], what: &str) {
    if panic::catch_unwind(|| (target.run)(bytes)).is_err() {
        let file = std::env::temp_dir().join(format!("fuzz-{}-{}", target.name, std::process::id()));
        fs::write(&file, bytes).unwrap();
        panic!("{} is broken by {what}, kept as {}", target.name, file.display());
    }
}

#[test]
fn no_seed_breaks_a_parser() {
    for target in TARGETS {
        for (path, bytes) in seeds(target) {
            feed(target, &bytes, &path.display().to_string());
        }
    }
}

#[test]
fn no_mutant_breaks_a_parser() {
    for target in TARGETS {
        let seed = rand::random();
        let mut random = StdRng::seed_from_u64(seed);
        let seeds: Vec<Vec<u8>> = seeds(target).into_iter().map(|(_, bytes)| bytes).collect();
        for n in 0..MUTANTS {
            let mutant = mutant(&mut random, &seeds);
            feed(target, &mutant, &format!("mutant {n} of {seed}"));
        }
    }
}

fn mutant(random: &mut StdRng, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds.choose(random).cloned().unwrap_or_default();
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=bytes.len());
        let len = random.random_range(0..=(bytes.len() - at).min(64));
        match random.random_range(0..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = *ODD.choose(random).unwrap_or(&0),
            2 => drop(bytes.drain(at..at + len)),
            3 => {
                let part = bytes[at..at + len].to_vec();
                bytes.splice(at..at, part);
            }
            4 => {
                let mut noise = vec![0; random.random_range(1..9)];
                random.fill_bytes(&mut noise);
                bytes.splice(at..at, noise);
            }
            5 => {
                // The begin of one and the end of another.
                let other = seeds.choose(random).map_or(&[][..], Vec::as_slice);
                let from = random.random_range(0..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => bytes.truncate(at),
        }
    }
    bytes.truncate(MUTANT_BYTES_MAX);
    bytes
}
