//! One RTSP session: its tracks, and how a source's units become packets of them.

use super::target::Target;
use crate::{
    base::Wall,
    rtsp::{packet::Packetiser, rtcp, sdp},
    sim::{
        clip::TONE_SAMPLE_RATE,
        clockwork::Clockwork,
        source::{Source, Unit, VIDEO_CLOCK_HZ},
        state::{Channel, Device},
    },
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use tokio::sync::broadcast;

/// Numbers of tracks as Hikvision has them.
pub(super) const VIDEO_TRACK: u8 = 1;
pub(super) const AUDIO_TRACK: u8 = 2;
pub(super) const METADATA_TRACK: u8 = 3;

/// A session between SETUP and TEARDOWN.
pub(super) struct Session {
    pub id: String,
    pub target: Target,
    pub playing: Option<broadcast::Receiver<Arc<Unit>>>,
    tracks: Vec<Track>,
    /// Nothing is sent until a key frame comes.
    awaits_key: bool,
    device: Arc<Device>,
}

struct Track {
    number: u8,
    clock_hz: u64,
    packets: Packetiser,
    rtcp_channel: u8,
    /// Where the track's RTP clock stood at the device's epoch.
    base: u32,
    url: String,
}

impl Track {
    fn timestamp(&self, ticks: u64) -> u32 {
        // RTP's clock has 32 bits and wraps.
        self.base.wrapping_add(ticks as u32)
    }
}

impl Session {
    /// A session without tracks, counted as open until it is dropped.
    pub fn new(device: Arc<Device>, target: Target) -> Self {
        let session = Self {
            id: (rand::random::<u32>() % 900_000_000 + 100_000_000).to_string(),
            target,
            playing: None,
            tracks: Vec::new(),
            awaits_key: true,
            device,
        };
        session.count(|c| &c.sessions_open);
        session
    }

    fn channel(&self) -> Option<&Channel> {
        self.device.channel(self.target.channel)
    }

    fn clock(&self) -> Clockwork {
        self.channel().map_or_else(Clockwork::default, |c| c.state.borrow().clock)
    }

    fn count(&self, counter: impl FnOnce(&Channel) -> &AtomicU64) {
        if let Some(channel) = self.channel() {
            counter(channel).fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sets a track up on these interleaved channels and gives its SSRC. Setting it up again replaces it.
    pub fn add_track(&mut self, number: u8, channels: (u8, u8), url: String) -> u32 {
        let (payload_type, clock_hz) = match number {
            AUDIO_TRACK => (sdp::AUDIO_PAYLOAD_TYPE, u64::from(TONE_SAMPLE_RATE)),
            METADATA_TRACK => (sdp::METADATA_PAYLOAD_TYPE, VIDEO_CLOCK_HZ),
            _ => (sdp::VIDEO_PAYLOAD_TYPE, VIDEO_CLOCK_HZ),
        };
        // Eight hexadecimal figures in the Transport header, as most devices have it.
        let ssrc = rand::random::<u32>() | 0x1000_0000;
        let packets = Packetiser::new(channels.0, payload_type, ssrc, rand::random());
        self.tracks.retain(|t| t.number != number);
        let now = self.device.micros() * clock_hz / 1_000_000;
        let base = self.clock().base(self.clock().shows(now, clock_hz));
        self.tracks.push(Track { number, clock_hz, packets, rtcp_channel: channels.1, base, url });
        ssrc
    }

    /// Begins to play; gives the value of `RTP-Info`.
    pub fn play(&mut self, source: &Arc<Source>, units: broadcast::Receiver<Arc<Unit>>) -> String {
        let first_micros = source.next_frame_micros();
        let clock = self.clock();
        self.playing = Some(units);
        self.awaits_key = true;
        self.count(|c| &c.sessions_played);
        let info = |t: &Track| {
            let time = t.timestamp(clock.shows(first_micros * t.clock_hz / 1_000_000, t.clock_hz));
            // The metadata track of some models says 0, whatever follows.
            let sequence = if t.number == METADATA_TRACK { 0 } else { t.packets.next_sequence() };
            format!("url={};seq={sequence};rtptime={time}", t.url)
        };
        self.tracks.iter().map(info).collect::<Vec<_>>().join(",")
    }

    /// Appends one unit's packets.
    pub fn send(&mut self, unit: &Unit, out: &mut Vec<u8>) {
        let codec = self.device.options.codec;
        match unit {
            Unit::Video { nals, key, ticks, counter } => {
                if self.awaits_key && !key {
                    return;
                }
                self.awaits_key = false;
                if let Some(track) = self.tracks.iter_mut().find(|t| t.number == VIDEO_TRACK) {
                    track.packets.video(codec, nals, track.base.wrapping_add(*ticks as u32), out);
                    let profile = self.target.profile;
                    if let Some(channel) = self.device.channel(self.target.channel) {
                        channel.frames_sent(profile).fetch_add(1, Ordering::Relaxed);
                        channel.last_counter(profile).fetch_max(*counter, Ordering::Relaxed);
                    }
                }
            }
            Unit::Audio { frame, ticks, .. } if !self.awaits_key => {
                if let Some(track) = self.tracks.iter_mut().find(|t| t.number == AUDIO_TRACK) {
                    track.packets.aac(frame, track.base.wrapping_add(*ticks as u32), out);
                }
            }
            Unit::Audio { .. } => {}
        }
    }

    /// Some units were lost on the way: goes on at the next key frame.
    pub fn skip_to_key(&mut self) {
        self.awaits_key = true;
    }

    /// Appends a sender report of each track.
    pub fn report(&self, out: &mut Vec<u8>) {
        let clock = self.clock();
        let micros = self.device.micros();
        let wall: Wall = self.device.wall();
        for track in self.tracks.iter().filter(|t| t.number != METADATA_TRACK) {
            let ticks = clock.shows(micros * track.clock_hz / 1_000_000, track.clock_hz);
            rtcp::sender_report(track.rtcp_channel, &track.packets, wall, track.timestamp(ticks), out);
        }
    }

    /// Appends a BYE of each track and counts the TEARDOWN.
    pub fn tear_down(self, out: &mut Vec<u8>) {
        self.count(|c| &c.teardowns);
        for track in &self.tracks {
            rtcp::goodbye(track.rtcp_channel, &track.packets, out);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(channel) = self.channel() {
            channel.sessions_open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
