//! Every case of the framing rig, read by the codec alone.

use crate::{
    proxy::h1::Refusal,
    tests::framing::{
        cases::{self, Case, Verdict},
        walk::{End, Seen, walk, walk_pieces},
    },
};
use std::collections::BTreeSet;

#[test]
fn there_are_enough_cases_and_no_two_of_a_name() {
    let all = cases::all();
    let names: BTreeSet<&str> = all.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names.len(), all.len(), "names are told apart");
    assert!(all.len() >= 150, "{}", all.len());
}

#[test]
fn every_case_is_read_as_it_must_be() {
    let mut faults = Vec::new();
    for case in cases::all() {
        let (seen, end) = walk(&case.sent, usize::MAX);
        let bodies: Vec<u8> = seen.iter().flat_map(|request| request.body.clone()).collect();
        let is_right = match case.verdict {
            Verdict::No(refusal) => seen.is_empty() && end == End::Refused(refusal),
            Verdict::Broken(refusal) => seen.is_empty() && end == End::Broken(refusal),
            Verdict::Yes(count, body) => seen.len() == count && bodies == body && end == End::Clean,
            Verdict::Unfinished => seen.is_empty() && end == End::Waiting,
        };
        if !is_right {
            faults.push(format!("{}: {:?} wanted, {} seen, then {end:?}", case.name, case.verdict, seen.len()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn it_is_the_same_wherever_the_bytes_are_cut() {
    let same = |(seen, end): (Vec<Seen>, End)| (seen, end.kind());
    for Case { name, sent, .. } in cases::all() {
        let whole = same(walk(&sent, usize::MAX));
        for piece_bytes in [1, 7, 1000, 4096, 16_384] {
            assert_eq!(same(walk(&sent, piece_bytes)), whole, "{name}: in pieces of {piece_bytes}");
        }
        let cuts = if sent.len() < 2000 { 1..sent.len() } else { 1..200 };
        for cut in cuts {
            let (one, other) = sent.split_at(cut);
            assert_eq!(same(walk_pieces([one, other].into_iter())), whole, "{name}: cut at {cut}");
        }
    }
}

#[test]
fn every_refusal_of_a_request_has_a_case() {
    let wanted = |refusal: &&Refusal| {
        // The path is not read by the codec's door; time, size and way are for others to know; the rest is of responses
        // and of the PROXY protocol.
        let elsewhere = ["above_root", "ambiguous_path", "body_too_large", "too_slow", "loop", "prelude"];
        refusal.status() != 502 && !elsewhere.contains(&refusal.name())
    };
    let had: BTreeSet<Refusal> = cases::all()
        .iter()
        .filter_map(|case| match case.verdict {
            Verdict::No(refusal) | Verdict::Broken(refusal) => Some(refusal),
            _ => None,
        })
        .collect();
    let missing: Vec<_> = Refusal::ALL.iter().filter(wanted).filter(|refusal| !had.contains(refusal)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn refusals_are_told_apart_by_name_and_have_a_status_and_a_sentence() {
    let names: BTreeSet<&str> = Refusal::ALL.iter().map(|refusal| refusal.name()).collect();
    assert_eq!(names.len(), Refusal::ALL.len());
    for refusal in Refusal::ALL {
        assert!((400..600).contains(&refusal.status()), "{refusal}");
        assert!(refusal.reason().ends_with('.') && refusal.reason().len() > 10, "{refusal}");
        assert!(refusal.name().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{refusal}");
    }
}
