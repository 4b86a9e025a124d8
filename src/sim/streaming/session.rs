//! One RTSP session: its tracks, and how a source's units become packets of them.

use super::{
    carrier::{Datagrams, lose},
    target::Target,
};
use crate::{
    base::Wall,
    rtsp::{packet::Packetiser, rtcp, sdp, transport::Asked},
    sim::{
        Sound,
        clockwork::Clockwork,
        source::{Source, Unit, VIDEO_CLOCK_HZ},
        state::{Channel, Device},
    },
};
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::sync::broadcast;

/// Numbers of tracks as Hikvision has them.
pub(super) const VIDEO_TRACK: u8 = 1;
pub(super) const AUDIO_TRACK: u8 = 2;
pub(super) const METADATA_TRACK: u8 = 3;
/// What its tracks are called together.
const NAME: &str = "sim";

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
    /// Where its packets go, if not into the connection.
    datagrams: Option<Datagrams>,
    /// Packets so far, for those that are lost on purpose.
    count: u64,
    /// Where the track's RTP clock stood at the device's epoch.
    base: u32,
    url: String,
}

impl Track {
    fn timestamp(&self, ticks: u64) -> u32 {
        // RTP's clock has 32 bits and wraps.
        self.base.wrapping_add(ticks as u32)
    }

    /// Sends what stands in `out` behind `from`, where the track goes by datagrams.
    fn deliver(&self, from: usize, out: &mut Vec<u8>) {
        if let Some(datagrams) = &self.datagrams {
            datagrams.send(&out[from..], self.packets.channel());
            out.truncate(from);
        }
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

    /// Sets a track up and gives what its Transport header says of it. Setting it up again replaces it.
    pub fn add_track(
        &mut self,
        number: u8,
        asked: Asked,
        ends: (IpAddr, IpAddr),
        url: String,
    ) -> std::io::Result<String> {
        let sound = self.device.options.sound;
        let (payload_type, clock_hz) = match number {
            AUDIO_TRACK => (sound.payload_type(), sound.clock_hz()),
            METADATA_TRACK => (sdp::METADATA_PAYLOAD_TYPE, VIDEO_CLOCK_HZ),
            _ => (sdp::VIDEO_PAYLOAD_TYPE, VIDEO_CLOCK_HZ),
        };
        // Eight hexadecimal figures in the Transport header, as most devices have it.
        let ssrc = rand::random::<u32>() | 0x1000_0000;
        let (channels, datagrams) = match asked {
            Asked::Interleaved(a, b) => ((a, b), None),
            Asked::Datagrams(a, b) => ((0, 1), Some(Datagrams::open(ends.0, ends.1, (a, b))?)),
        };
        let packets = Packetiser::new(channels.0, payload_type, ssrc, rand::random());
        self.tracks.retain(|t| t.number != number);
        let now = self.device.micros() * clock_hz / 1_000_000;
        let base = self.clock().base(self.clock().shows(now, clock_hz));
        let transport = match (&datagrams, asked) {
            (Some(sockets), Asked::Datagrams(a, b)) => {
                let port = sockets.port();
                format!(
                    "RTP/AVP;unicast;client_port={a}-{b};server_port={port}-{};ssrc={ssrc:08x};mode=\"play\"",
                    port + 1
                )
            }
            _ => {
                let (a, b) = channels;
                format!("RTP/AVP/TCP;unicast;interleaved={a}-{b};ssrc={ssrc:08x};mode=\"play\"")
            }
        };
        let rtcp_channel = channels.1;
        self.tracks.push(Track { number, clock_hz, packets, rtcp_channel, datagrams, count: 0, base, url });
        Ok(transport)
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

    /// Appends one unit's packets, or sends them where they go as datagrams.
    pub fn send(&mut self, unit: &Unit, out: &mut Vec<u8>) {
        let options = &self.device.options;
        let every = self.channel().map_or(0, |c| c.state.borrow().lose_every);
        let (number, ticks) = match unit {
            Unit::Video { key: false, .. } if self.awaits_key => return,
            Unit::Video { ticks, .. } => (VIDEO_TRACK, *ticks),
            Unit::Audio { .. } if self.awaits_key => return,
            Unit::Audio { ticks, .. } => (AUDIO_TRACK, *ticks),
        };
        self.awaits_key = false;
        let Some(track) = self.tracks.iter_mut().find(|t| t.number == number) else { return };
        let (from, timestamp) = (out.len(), track.base.wrapping_add(ticks as u32));
        match unit {
            Unit::Video { codec, nals, .. } if options.aggregate => {
                track.packets.video_aggregated(*codec, nals, timestamp, out);
            }
            Unit::Video { codec, nals, .. } => track.packets.video(*codec, nals, timestamp, out),
            Unit::Audio { frame, .. } if options.sound == Sound::Aac => track.packets.aac(frame, timestamp, out),
            Unit::Audio { frame, .. } => track.packets.sound(frame, timestamp, out),
        }
        if every > 0 {
            lose(out, from, every, &mut track.count);
        }
        track.deliver(from, out);
        if let (Unit::Video { counter, .. }, Some(channel)) = (unit, self.device.channel(self.target.channel)) {
            channel.frames_sent(self.target.profile).fetch_add(1, Ordering::Relaxed);
            channel.last_counter(self.target.profile).fetch_max(*counter, Ordering::Relaxed);
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
            let from = out.len();
            let sender = track.packets.sender(NAME);
            rtcp::sender_report(track.rtcp_channel, &sender, wall, track.timestamp(ticks), out);
            track.deliver(from, out);
        }
    }

    /// Appends a BYE of each track and counts the TEARDOWN.
    pub fn tear_down(self, out: &mut Vec<u8>) {
        self.count(|c| &c.teardowns);
        for track in &self.tracks {
            let from = out.len();
            rtcp::goodbye(track.rtcp_channel, track.packets.ssrc(), out);
            track.deliver(from, out);
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
