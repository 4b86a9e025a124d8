//! The command line of one ffmpeg. Pure. Nothing secret is on it: pictures come by stdin and go by stdout.

use super::{Settings, tool::Version};
use crate::model::{VideoCodec, frame::VIDEO_TIMESCALE};

/// Threads of the decoder, and of the encoder: a stream of a camera needs a part of one core, and a hundred processes
/// must not have a hundred times all cores' threads.
const THREADS: u32 = 2;
/// From one key frame to the next, at most: files are cut at them, and players seek to them.
const KEY_EVERY_SECONDS: u32 = 2;
/// Bytes that ffmpeg looks at before it begins: the header says all there is to know.
const PROBE_BYTES: u32 = 1 << 20;

/// All arguments. Pictures before `from_ticks` are decoded and not answered: they only help to decode.
pub fn arguments(settings: &Settings, version: &Version, from_ticks: Option<i64>) -> Vec<String> {
    let mut args = Vec::new();
    let mut add = |text: &str| args.extend(text.split(' ').map(str::to_owned));
    add("-hide_banner -nostats -loglevel warning");
    // Slices, not frames, on several threads: the answer to a picture must not wait for the next ones.
    add(&format!("-analyzeduration 0 -probesize {PROBE_BYTES} -fpsprobesize 0 -threads {THREADS} -thread_type slice"));
    add("-copyts -f mp4 -i pipe:0 -map 0:v:0 -an -sn -dn");
    add(if version.has_fps_mode() { "-fps_mode passthrough" } else { "-vsync passthrough" });
    add(&format!("-enc_time_base 1:{VIDEO_TIMESCALE}"));
    add("-vf");
    add(&filters(settings, from_ticks));
    encoder(settings, &mut add);
    add(&format!(
        "-threads {THREADS} -bf 0 -force_key_frames expr:isnan(prev_forced_t)+gte(t,prev_forced_t+{KEY_EVERY_SECONDS})"
    ));
    if let Some(rate) = settings.bits_per_second {
        add(&format!("-b:v {rate} -maxrate {rate} -bufsize {}", rate.saturating_mul(2)));
    }
    add(&format!("-video_track_timescale {VIDEO_TIMESCALE} -muxdelay 0 -muxpreload 0 -flush_packets 1"));
    // With these two, fragments tell the times that pictures came with; otherwise they begin at 0.
    add("-f mp4 -use_editlist 1 -movflags +empty_moov+default_base_moof+frag_every_frame+frag_discont pipe:1");
    args
}

fn filters(settings: &Settings, from_ticks: Option<i64>) -> String {
    let mut all = Vec::new();
    if let Some(fps) = settings.fps {
        // The first picture of each slot, with its own time, where the fps filter would give it another.
        all.push(format!("select=isnan(prev_selected_t)+gt(floor(t*{fps})\\,floor(prev_selected_t*{fps}))"));
    }
    if let Some(ticks) = from_ticks {
        all.push(format!("trim=start_pts={ticks}"));
    }
    if let Some((width, height)) = settings.size {
        all.push(format!("scale={width}:{height},setsar=1"));
    }
    all.push("format=yuv420p".to_owned());
    all.join(",")
}

fn encoder(settings: &Settings, add: &mut impl FnMut(&str)) {
    let preset = &settings.preset;
    match settings.video {
        VideoCodec::H264 => add(&format!("-c:v libx264 -preset {preset} -tune zerolatency")),
        // The configuration does not offer it: files would be ten times as large.
        VideoCodec::Mjpeg => add("-c:v mjpeg"),
        VideoCodec::H265 => {
            add(&format!("-c:v libx265 -preset {preset} -tune zerolatency -tag:v hvc1"));
            // It writes lines of its own, whatever the log level.
            add(&format!("-x265-params log-level=warning:pools={THREADS}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transcode::tests::settings;

    #[test]
    fn every_setting_is_on_the_line_and_old_versions_get_the_old_word() {
        let all = Settings {
            size: Some((640, 360)),
            bits_per_second: Some(1_000_000),
            fps: Some(10),
            ..settings(VideoCodec::H264)
        };
        let new = Version { text: "6.1".into(), number: Some((6, 1)) };
        let line = arguments(&all, &new, Some(90_000)).join(" ");
        for part in [
            "scale=640:360",
            "trim=start_pts=90000",
            "floor(t*10)",
            "-b:v 1000000 -maxrate 1000000 -bufsize 2000000",
            "-c:v libx264 -preset veryfast",
            "-fps_mode passthrough",
        ] {
            assert!(line.contains(part), "{part} is not in {line}");
        }
        let old = Version { text: "4.4".into(), number: Some((4, 4)) };
        let line = arguments(&settings(VideoCodec::H265), &old, None).join(" ");
        assert!(line.contains("-vsync passthrough") && line.contains("libx265") && !line.contains("scale="), "{line}");
    }
}
