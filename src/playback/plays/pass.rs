//! Signed links: who was let in once needs no password for what our playlists and pages name. Pure but for the clock,
//! which is passed in.

use super::{PlayId, places::VisitId};
use crate::base::{Secret, Wall};
use aws_lc_rs::{constant_time, hmac};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use std::time::Duration;

/// A link is good for so long, and beyond it for as long as its visit goes on.
pub(super) const PASS_LIFE: Duration = Duration::from_secs(15 * 60);
/// What a pass lets in to: the page, the playlist and the whole file. Anything else is signed by its own name, so that
/// nobody makes the name of what lies beside a play's interval.
pub(in crate::playback) const FILES: &str = "";
/// Of the 32 that there are: more than anybody guesses.
const SIGNATURE_BYTES: usize = 16;
/// The longest pass that is looked at.
const PASS_BYTES_MAX: usize = 64;

/// What a pass says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pass {
    pub(super) visit: VisitId,
    /// In seconds since the epoch.
    pub(super) issued: u64,
}

/// Makes passes and recognises them.
pub(super) struct Signer(hmac::Key);

impl Signer {
    pub(super) fn new(key: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes()))
    }

    /// `<visit>.<issued>.<signature>`, all of it fit for a query.
    pub(super) fn sign(&self, play: &PlayId, pass: Pass, target: &str) -> String {
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.signature(play, pass, target));
        format!("{:x}.{:x}.{signature}", pass.visit.0, pass.issued)
    }

    /// The pass, if it is one of ours for this play and this target.
    pub(super) fn read(&self, play: &PlayId, target: &str, text: &str) -> Option<Pass> {
        let (pass, signature) = parse(text)?;
        let right = self.signature(play, pass, target);
        constant_time::verify_slices_are_equal(&right, &signature).is_ok().then_some(pass)
    }

    /// A name for who comes by password and keeps no link: the same for as long as it looks the same.
    pub(super) fn visit_of(&self, play: &PlayId, who: &str) -> VisitId {
        let tag = hmac::sign(&self.0, format!("visit\0{play}\0{who}").as_bytes());
        VisitId(tag.as_ref().first_chunk().map_or(0, |first| u64::from_be_bytes(*first)))
    }

    fn signature(&self, play: &PlayId, pass: Pass, target: &str) -> [u8; SIGNATURE_BYTES] {
        let text = format!("pass\0{play}\0{:x}\0{:x}\0{target}", pass.visit.0, pass.issued);
        let tag = hmac::sign(&self.0, text.as_bytes());
        tag.as_ref().first_chunk().copied().unwrap_or_default()
    }
}

impl Pass {
    /// Whether it was handed out not long ago. One from the future was signed by a clock that has been set back since.
    pub(super) fn is_fresh(self, now: Wall) -> bool {
        now <= Wall::default().plus(Duration::from_secs(self.issued)).plus(PASS_LIFE)
    }
}

fn parse(text: &str) -> Option<(Pass, [u8; SIGNATURE_BYTES])> {
    if text.len() > PASS_BYTES_MAX {
        return None;
    }
    let mut parts = text.split('.');
    let (visit, issued, signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let signature: [u8; SIGNATURE_BYTES] = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?.try_into().ok()?;
    // Each number is spelled in one way.
    let number = |text: &str| u64::from_str_radix(text, 16).ok().filter(|n| format!("{n:x}") == text);
    Some((Pass { visit: VisitId(number(visit)?), issued: number(issued)? }, signature))
}

/// Any text as a pass: it is ours only where it says just what we would say.
pub(in crate::playback) fn fuzz(text: &str) {
    let signer = Signer::new(&Secret::new("key"));
    let play: PlayId = "0123456789abcdef0123456789abcdef".parse().expect("32 digits");
    assert_eq!(signer.read(&play, FILES, text), None, "nobody guesses a signature");
    if let Some((pass, _)) = parse(text) {
        let ours = signer.sign(&play, pass, text);
        assert_eq!(signer.read(&play, text, &ours), Some(pass));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn play(n: u8) -> PlayId {
        format!("{n:032x}").parse().unwrap()
    }

    #[test]
    fn a_pass_is_good_for_its_play_its_name_and_its_time() {
        let signer = Signer::new(&Secret::new("a key"));
        let pass = Pass { visit: VisitId(7), issued: 1_000 };
        let text = signer.sign(&play(1), pass, "hls/1_0-9_0-9.m4s?t=5");
        assert_eq!(signer.read(&play(1), "hls/1_0-9_0-9.m4s?t=5", &text), Some(pass));
        for (id, target) in [(2, "hls/1_0-9_0-9.m4s?t=5"), (1, "hls/1_0-10_0-9.m4s?t=5"), (1, FILES)] {
            assert_eq!(signer.read(&play(id), target, &text), None, "{id} {target}");
        }
        assert_eq!(Signer::new(&Secret::new("another")).read(&play(1), "hls/1_0-9_0-9.m4s?t=5", &text), None);
        let at = |seconds: i64| Wall::from_micros(seconds * 1_000_000);
        assert!(pass.is_fresh(at(1_000)) && pass.is_fresh(at(1_900)) && !pass.is_fresh(at(1_901)));
    }

    proptest! {
        #[test]
        fn no_change_of_a_pass_is_one(visit: u64, issued: u64, at in 0usize..60, to in "[0-9a-fA-Z._-]") {
            let signer = Signer::new(&Secret::new("a key"));
            let pass = Pass { visit: VisitId(visit), issued };
            let text = signer.sign(&play(1), pass, FILES);
            prop_assert_eq!(signer.read(&play(1), FILES, &text), Some(pass));
            prop_assert!(text.len() <= PASS_BYTES_MAX, "{}", text);
            let at = at % text.len();
            let changed = format!("{}{to}{}", &text[..at], &text[at + 1..]);
            let read = signer.read(&play(1), FILES, &changed);
            prop_assert_eq!(read, (changed == text).then_some(pass));
        }
    }
}
