//! What a fuzzer holds of names, ranges and codings: nothing panics, nothing lies outside.

use super::{asked::Asked, coding::Coding, place::Place, ranges::Wanted};

/// One input: a path, or a field.
pub fn run(data: &[u8]) {
    if let Some(place) = Place::of(data) {
        let name = place.name().as_encoded_bytes().to_vec();
        assert!(!name.contains(&0) && !name.starts_with(b"/"));
        assert!(name.split(|b| *b == b'/').all(|s| s != b".." && s != b"."));
    }
    let total = data.len() as u64;
    if let Wanted::Parts(parts) = Wanted::of(data, total) {
        assert!(parts.iter().all(|part| part.start < part.end && part.end <= total));
    }
    Coding::ALL.iter().for_each(|coding| assert!(coding.liked(Some(data)) <= 1000));
    let mut asked = Asked::default();
    let (name, value) = data.split_at(data.iter().position(|b| *b == b':').unwrap_or(0));
    asked.field(name, value);
}
