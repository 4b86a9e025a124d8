//! RTCP as a sender says it: sender reports with the sender's name, and BYE, in interleaved frames.

use super::packet::{Packetiser, interleaved_head};
use crate::base::Wall;

const SENDER_REPORT: u8 = 200;
const SOURCE_DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;
const VERSION_2: u8 = 0x80;
const ONE_SOURCE: u8 = 1;
const CNAME: u8 = 1;
/// From 1900, where NTP begins, to 1970.
const NTP_TO_UNIX_S: i64 = 2_208_988_800;

/// Appends a sender report: at `wall`, the track's RTP clock shows `timestamp`.
pub fn sender_report(channel: u8, track: &Packetiser, wall: Wall, timestamp: u32, out: &mut Vec<u8>) {
    let mut body = vec![VERSION_2, SENDER_REPORT, 0, 6];
    let (packets, octets) = track.sent();
    body.extend_from_slice(&track.ssrc().to_be_bytes());
    body.extend_from_slice(&ntp(wall).to_be_bytes());
    for word in [timestamp, packets, octets] {
        body.extend_from_slice(&word.to_be_bytes());
    }
    let name = b"sim";
    body.extend_from_slice(&[VERSION_2 | ONE_SOURCE, SOURCE_DESCRIPTION, 0, 3]);
    body.extend_from_slice(&track.ssrc().to_be_bytes());
    body.extend_from_slice(&[CNAME, name.len() as u8]);
    body.extend_from_slice(name);
    body.extend_from_slice(&[0; 3]); // ends the list, and fills to a word
    interleaved_head(channel, body.len(), out);
    out.append(&mut body);
}

/// Appends a BYE of the track.
pub fn goodbye(channel: u8, track: &Packetiser, out: &mut Vec<u8>) {
    interleaved_head(channel, 8, out);
    out.extend_from_slice(&[VERSION_2 | ONE_SOURCE, GOODBYE, 0, 1]);
    out.extend_from_slice(&track.ssrc().to_be_bytes());
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
        let mut out = Vec::new();
        let wall = Wall::from_micros(1_500_000);
        sender_report(1, &Packetiser::new(0, 96, 0xabcd, 3), wall, 77, &mut out);
        assert_eq!(out[..4], [b'$', 1, 0, 28 + 16]);
        assert_eq!(out.len(), 4 + 28 + 16);
        assert_eq!(out[12..20], ((2_208_988_801u64 << 32) | (1 << 31)).to_be_bytes());
        assert_eq!(out[20..24], 77u32.to_be_bytes());
    }
}
