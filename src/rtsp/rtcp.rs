//! RTCP as a sender says it: sender reports with the sender's name, and BYE, in interleaved frames.

use super::packet::interleaved_head;
use crate::base::Wall;

const SENDER_REPORT: u8 = 200;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const VERSION_2: u8 = 0x80;
const ONE_SOURCE: u8 = 1;
const CNAME: u8 = 1;
const WORD_BYTES: usize = 4;
const BYE_BYTES: usize = 8;
/// From 1900, where NTP begins, to 1970.
const NTP_TO_UNIX_S: i64 = 2_208_988_800;

/// Who sends, and how much it has sent to whom a report is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender<'a> {
    /// The synchronisation source.
    pub ssrc: u32,
    /// Packets so far.
    pub packets: u32,
    /// Octets of payload so far.
    pub octets: u32,
    /// Its canonical name: the same for all tracks that are to be shown together. Not longer than 255 bytes.
    pub name: &'a str,
}

/// Appends a sender report: at `wall`, the track's RTP clock shows `timestamp`.
pub fn sender_report(channel: u8, sender: &Sender<'_>, wall: Wall, timestamp: u32, out: &mut Vec<u8>) {
    let body = report(sender, wall, timestamp);
    interleaved_head(channel, body.len(), out);
    out.extend_from_slice(&body);
}

/// Appends a last sender report with a BYE in the same packet, as RFC 3550 has it: some receivers overlook one that stands
/// alone.
pub fn last_report(channel: u8, sender: &Sender<'_>, wall: Wall, timestamp: u32, out: &mut Vec<u8>) {
    let mut body = report(sender, wall, timestamp);
    bye(sender.ssrc, &mut body);
    interleaved_head(channel, body.len(), out);
    out.extend_from_slice(&body);
}

fn report(sender: &Sender<'_>, wall: Wall, timestamp: u32) -> Vec<u8> {
    let mut body = vec![VERSION_2, SENDER_REPORT, 0, 6];
    body.extend_from_slice(&sender.ssrc.to_be_bytes());
    body.extend_from_slice(&ntp(wall).to_be_bytes());
    for word in [timestamp, sender.packets, sender.octets] {
        body.extend_from_slice(&word.to_be_bytes());
    }
    let name = &sender.name.as_bytes()[..sender.name.len().min(usize::from(u8::MAX))];
    // A zero ends the list, and more of them fill to a word.
    let item = (2 + name.len() + 1).next_multiple_of(WORD_BYTES);
    let words = 1 + item / WORD_BYTES;
    body.extend_from_slice(&[VERSION_2 | ONE_SOURCE, SOURCE_DESCRIPTION, 0, words as u8]);
    body.extend_from_slice(&sender.ssrc.to_be_bytes());
    body.extend_from_slice(&[CNAME, name.len() as u8]);
    body.extend_from_slice(name);
    body.resize(body.len() + item - 2 - name.len(), 0);
    body
}

/// Appends a BYE of the track, alone.
pub fn goodbye(channel: u8, ssrc: u32, out: &mut Vec<u8>) {
    interleaved_head(channel, BYE_BYTES, out);
    bye(ssrc, out);
}

fn bye(ssrc: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[VERSION_2 | ONE_SOURCE, GOODBYE, 0, 1]);
    out.extend_from_slice(&ssrc.to_be_bytes());
}

/// Seconds since 1900 in the upper half, fractions in the lower.
fn ntp(wall: Wall) -> u64 {
    let seconds = wall.micros().div_euclid(1_000_000) + NTP_TO_UNIX_S;
    let micros = wall.micros().rem_euclid(1_000_000) as u64;
    ((seconds as u64) << 32) | ((micros << 32) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_has_the_moment_in_ntp_and_whole_words() {
        for (name, item_bytes) in [("sim", 8), ("a", 4), ("ab", 8), ("skyvis-1", 12)] {
            let mut out = Vec::new();
            let sender = Sender { ssrc: 0xabcd, packets: 5, octets: 600, name };
            sender_report(1, &sender, Wall::from_micros(1_500_000), 77, &mut out);
            let len = 28 + 8 + item_bytes;
            assert_eq!(out[..4], [b'$', 1, 0, len as u8]);
            assert_eq!(out.len(), 4 + len);
            assert_eq!(out[12..20], ((2_208_988_801u64 << 32) | (1 << 31)).to_be_bytes());
            assert_eq!(out[20..24], 77u32.to_be_bytes());
            assert_eq!(out[24..32], [0, 0, 0, 5, 0, 0, 2, 88]);
            // Length in words less one, as RTCP counts.
            assert_eq!(usize::from(out[35]) * 4 + 4, 8 + item_bytes);
            assert_eq!(out.last(), Some(&0), "a zero ends the list");
            let mut last = Vec::new();
            last_report(1, &sender, Wall::from_micros(1_500_000), 77, &mut last);
            assert_eq!((last[3], &last[4..4 + len]), (len as u8 + 8, &out[4..]));
            assert_eq!(last[4 + len..], [0x81, 203, 0, 1, 0, 0, 0xab, 0xcd]);
        }
    }
}
