//! Descriptions and stamps of cameras, read from any bytes: for fuzzing.

use super::{sound, timeline::Timeline};
use crate::base::{Reading, Wall};

/// A session's description.
pub fn sdp(text: &[u8]) {
    sound::back_channels(text);
}

/// Stamps, arrivals and reports as one camera might send them: 8 bytes a frame.
pub fn stamps(data: &[u8]) {
    let mut timeline = Timeline::default();
    let (mut raw, mut mono, mut steps) = (0_i64, 0_i64, 0);
    let mut last: Option<i64> = None;
    for frame in data.chunks_exact(8) {
        let step = i64::from(i32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]));
        // Most steps are small, some are anything.
        raw += if frame[6] & 0x10 == 0 { step % 20_000 } else { step };
        mono += i64::from(u16::from_le_bytes([frame[4], frame[5]])) * 10;
        steps += u64::from(frame[6] & 0x20 != 0);
        let wall = Wall::from_micros(1_800_000_000_000_000 + mono + steps as i64 * 3_600_000_000);
        let at = Reading { wall, mono_micros: mono, steps };
        match frame[6] & 3 {
            0 => timeline.report(raw, wall.plus_micros(i64::from(frame[7]) * 10_000)),
            1 => {
                timeline.sound(raw, raw, 8000, at);
            }
            _ => {
                let picture = timeline.picture(raw, raw, frame[6] & 0x40 != 0, at);
                assert!(last.is_none_or(|last| picture.ticks > last), "ticks grow strictly");
                last = Some(picture.ticks);
            }
        }
    }
    timeline.skew_millis();
}
