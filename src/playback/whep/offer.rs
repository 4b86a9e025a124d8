//! An offer as it came, and as it is taken: pictures and sound are received, nothing else happens. Pure.

use super::Error;
use crate::model::TrackKind;

/// Tracks that an offer may name; players name two.
const SECTIONS_MAX: usize = 16;
/// A track's name; browsers count them.
const NAME_BYTES_MAX: usize = 16;
/// Lines that say what a viewer would send, or where they may be reached: they send nothing, and are reached where they call
/// from.
const DROPPED: [&str; 9] = [
    "a=sendrecv",
    "a=sendonly",
    "a=recvonly",
    "a=inactive",
    "a=ssrc",
    "a=msid:",
    "a=simulcast:",
    "a=rid:",
    "a=candidate:",
];

/// What somebody wants to see, in words that lead to nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    /// The session description.
    pub(super) text: String,
    /// The name of the track of pictures.
    pub(super) video: String,
    /// That of sound, where some is asked for and can be sent.
    pub(super) audio: Option<String>,
}

/// The lines of one track, and what it is.
struct Section<'a> {
    kind: Option<TrackKind>,
    receives: bool,
    name: &'a str,
    lines: Vec<&'a str>,
}

impl Offer {
    /// Reads a session description. `sound` says whether there is any that could be sent.
    pub(super) fn read(body: &[u8], sound: bool) -> Result<Self, Error> {
        let bad = |what| Err(Error::BadOffer(what));
        let Ok(text) = std::str::from_utf8(body) else { return bad("it is not text") };
        let mut lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty());
        if lines.next() != Some("v=0") {
            return bad("it does not begin with `v=0`");
        }
        let mut session = vec!["v=0"];
        let mut sections: Vec<Section<'_>> = Vec::new();
        for line in lines {
            if let Some(media) = line.strip_prefix("m=") {
                sections.push(Section::new(media, line)?);
                if sections.len() > SECTIONS_MAX {
                    return bad("it names more tracks than are looked at");
                }
                continue;
            }
            match sections.last_mut() {
                None => session.push(line),
                Some(section) => section.take(line),
            }
        }
        let is_name =
            |name: &str| (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
        if !sections.iter().all(|section| is_name(section.name)) {
            return bad("its tracks have no names; each needs a line of a=mid, of 16 letters at most");
        }
        for needed in ["a=ice-ufrag:", "a=ice-pwd:", "a=fingerprint:"] {
            let has = |lines: &[&str]| lines.iter().any(|line| line.starts_with(needed));
            if !has(&session) && !sections.iter().any(|section| has(&section.lines)) {
                return bad("it lacks a=ice-ufrag, a=ice-pwd or a=fingerprint, which setLocalDescription puts there");
            }
        }
        let first = |kind| sections.iter().position(|section| section.receives && section.kind == Some(kind));
        let Some(video) = first(TrackKind::Video) else {
            return bad("it asks for no video; add a transceiver of it that is `recvonly`");
        };
        let audio = first(TrackKind::Audio).filter(|_| sound);
        let mut lines: Vec<&str> = session.into_iter().filter(|line| !is_dropped(line)).collect();
        for (n, section) in sections.iter().enumerate() {
            lines.extend(&section.lines);
            lines.push(if n == video || Some(n) == audio { "a=recvonly" } else { "a=inactive" });
        }
        let name = |n: usize| sections[n].name.to_owned();
        Ok(Self { text: lines.join("\r\n") + "\r\n", video: name(video), audio: audio.map(name) })
    }
}

impl<'a> Section<'a> {
    fn new(media: &str, line: &'a str) -> Result<Self, Error> {
        let kind = match media.split(' ').next() {
            Some("video") => Some(TrackKind::Video),
            Some("audio") => Some(TrackKind::Audio),
            _ => return Err(Error::BadOffer("it asks for something besides video and audio")),
        };
        // Rejected by who offers it.
        let receives = media.split(' ').nth(1) != Some("0");
        Ok(Self { kind, receives, name: "", lines: vec![line] })
    }

    fn take(&mut self, line: &'a str) {
        if matches!(line, "a=sendonly" | "a=inactive") {
            self.receives = false;
        }
        if let Some(name) = line.strip_prefix("a=mid:") {
            self.name = name;
        }
        if !is_dropped(line) {
            self.lines.push(line);
        }
    }
}

fn is_dropped(line: &str) -> bool {
    DROPPED.iter().any(|start| line.starts_with(start))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::playback::whep) const PLAYER: &str = include_str!("../../../fuzz/seeds/whep/chromium");

    fn read(text: &str) -> Result<Offer, String> {
        Offer::read(text.as_bytes(), true).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_left_of_an_offer_receives_pictures_and_sound_and_nothing_else() {
        let offer = read(PLAYER).unwrap();
        assert_eq!((offer.video.as_str(), offer.audio.as_deref()), ("0", Some("1")));
        assert_eq!(offer.text.matches("a=recvonly\r\n").count(), 2);
        assert_eq!(Offer::read(PLAYER.as_bytes(), false).unwrap().audio, None);
        let both_ways =
            PLAYER.replace("a=recvonly", "a=sendrecv\r\na=ssrc:7 cname:x\r\na=candidate:1 1 udp 1 h.local 9 typ host");
        assert_eq!(read(&both_ways), Ok(offer.clone()));
        assert_eq!(read(&PLAYER.replace("\r\n", "\n")), Ok(offer.clone()));
        // A second track of each is not begun.
        let section = &PLAYER[PLAYER.find("m=video").unwrap()..];
        let twice = read(&format!("{PLAYER}{section}")).unwrap();
        assert_eq!((twice.text.matches("a=recvonly").count(), twice.text.matches("a=inactive").count()), (2, 2));
    }

    #[test]
    fn nonsense_is_told_what_to_do() {
        for (text, says) in [
            ("", "v=0"),
            ("hello", "v=0"),
            ("v=0\r\n", "a=ice-ufrag"),
            (&PLAYER.replace("a=mid:1", "a=mid:ä"), "a=mid"),
            ("v=0\r\nm=video 9 x 0\r\n", "a=mid"),
            (&PLAYER.replace("a=recvonly", "a=sendonly"), "recvonly"),
            (&PLAYER.replace("a=ice-pwd:", "a=x:"), "setLocalDescription"),
            (&PLAYER.replace("m=audio", "m=application"), "besides"),
            (&PLAYER.replace("m=video", "m=audio"), "no video"),
            (&PLAYER.replace("a=mid:", "a=x:"), "a=mid"),
            (&format!("{PLAYER}{}", "m=audio 9 x 0\r\na=mid:7\r\n".repeat(20)), "more tracks"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(says), "{error} of {text}");
        }
        assert!(Offer::read(&[b'v', b'=', 0xff], true).is_err());
    }
}
