//! What a simulated device is at the moment: its channels, the faults that are on, and what has been counted.
//! Connections watch it and behave accordingly.

use super::{
    Asks, DeviceKind, Error, GatewayFault, Options, certificate::Certificate, clockwork::Clockwork, gateway::Estate,
    login::Logins,
};
use crate::{
    base::{Secret, Wall},
    model::{Profile, VideoCodec},
};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{broadcast, watch},
    time::Instant,
};

/// A fault of one channel, or the end of one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ChannelFault {
    /// Back after `Offline`.
    Online,
    /// The NVR has lost this camera: `online` is false, RTSP answers 404, open sessions are closed.
    Offline,
    /// The channel leaves every list; RTSP answers 404, open sessions are closed.
    Delete,
    /// Back after `Delete`.
    Restore,
    /// Open sessions' connections are closed, once, without a goodbye.
    Drop,
    /// Connections stay open, but nothing is read or written any more, on new ones neither.
    Stall,
    /// RTSP answers, but no RTP is sent.
    Silence,
    /// The end of `Stall`, `Silence`, `NoVideo` and `NoBandwidth`.
    Resume,
    /// DESCRIBE answers with an SDP that has no video.
    NoVideo,
    /// SETUP answers 453, Not Enough Bandwidth: the device sends as many streams as it can. Sessions that are open stay so.
    NoBandwidth,
    /// RTP timestamps jump by this many milliseconds, back where negative.
    Jump(i64),
    /// Each so-many-th RTP packet is lost on the way; 0: none.
    Lose(u64),
    /// The RTP clock runs too fast by this many parts per million from now on, too slow where negative. A camera that
    /// stamps 25 pictures a second and sends 21 is at -160000.
    Pace(i64),
    /// Every so many pictures one is stamped this many milliseconds away; 0: none.
    Stray {
        /// From one to the next.
        every: u64,
        /// How far away.
        ms: i64,
    },
    /// Sessions that begin from now on begin with this RTP timestamp.
    RtpStart(u32),
    /// The main picture's size changes within the running stream; H.264 only. Each side a multiple of 32.
    Resize(u16, u16),
    /// The pictures are coded in this from now on, within the running sessions too: they go on as another payload than
    /// was described.
    Recode(VideoCodec),
    /// How the channel answers to who asks for a picture.
    Picture(PictureAnswer),
    /// Motion begins or ends: an event on ISAPI's event stream.
    Motion(bool),
}

/// How a channel answers to who asks for a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PictureAnswer {
    /// With one.
    Fine,
    /// At the usual path with HTTP 200 and statusCode 6, badXmlContent; with a picture at the proxy's.
    Proxied,
    /// Every first of two requests with HTTP 200 and statusCode 3, deviceError.
    Busy,
    /// Every request so.
    Broken,
    /// With 403: this model has no pictures.
    None,
    /// With the first half of one.
    Cut,
}

/// A fault of the whole device, or the end of one.
#[derive(Clone, Debug, PartialEq)]
pub enum DeviceFault {
    /// Back after `Offline`.
    Online,
    /// Every connection is closed, and every new one as soon as it is accepted.
    Offline,
    /// Offline for this long, then back with an uptime of nothing and no remembered nonce.
    Reboot(Duration),
    /// Somebody changed the password. Sessions that are open stay so.
    Password(Secret),
    /// ISAPI answers garbage in place of XML.
    Garbage,
    /// ISAPI answers 10 MB in place of what was asked for.
    Huge,
    /// The end of `Garbage` and `Huge`.
    Sane,
    /// Other firmware: ISAPI and RTSP ask for this from now on.
    Asks(Asks),
    /// A certificate made anew.
    Certificate,
    /// All lockouts and counted wrong logins are forgotten.
    Unlock,
    /// The device's clock is this many milliseconds ahead of what the options say: in sender reports and in ISAPI.
    Skew(i64),
}

/// Alerts that a slow reader of the event stream may be behind.
const ALERTS_BEHIND_MAX: usize = 64;

/// Motion began or ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alert {
    pub channel: u32,
    pub active: bool,
}

/// What ISAPI answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    Sane,
    Garbage,
    Huge,
}

/// The faults of one channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ChannelState {
    pub online: bool,
    pub deleted: bool,
    pub stalled: bool,
    pub silent: bool,
    pub no_video: bool,
    pub no_bandwidth: bool,
    /// Raised by each drop; a connection that began under an older number closes.
    pub drops: u64,
    /// Each so-many-th packet is lost; 0: none.
    pub lose_every: u64,
    pub clock: Clockwork,
    pub size: (u16, u16),
    pub codec: VideoCodec,
    pub picture: PictureAnswer,
}

impl ChannelState {
    /// The channel can be seen by RTSP.
    pub fn reachable(&self) -> bool {
        self.online && !self.deleted
    }
}

/// The faults of the whole device.
#[derive(Clone, Debug)]
pub(super) struct DeviceState {
    pub online: bool,
    pub answers: Answers,
    pub password: Secret,
    pub http_auth: Asks,
    pub rtsp_auth: Asks,
    pub booted: Instant,
    pub reboots: u64,
    pub skew_ms: i64,
}

/// One channel: its faults and its counts.
pub(super) struct Channel {
    pub number: u32,
    pub state: watch::Sender<ChannelState>,
    /// Video frames handed to the network, by profile: main, sub.
    frames_sent: [AtomicU64; 2],
    /// Marks of the newest of them.
    last_counter: [AtomicU64; 2],
    pub sessions_open: AtomicU64,
    pub sessions_played: AtomicU64,
    pub teardowns: AtomicU64,
    /// Pictures that were asked for.
    pub pictures_asked: AtomicU64,
}

impl Channel {
    pub fn frames_sent(&self, profile: Profile) -> &AtomicU64 {
        &self.frames_sent[(profile.number() - 1) as usize]
    }

    pub fn last_counter(&self, profile: Profile) -> &AtomicU64 {
        &self.last_counter[(profile.number() - 1) as usize]
    }
}

/// The whole device, shared by everything that serves it.
pub(super) struct Device {
    pub options: Options,
    /// When the simulator started: stream time zero of every stream.
    pub epoch: Instant,
    pub channels: Vec<Channel>,
    pub state: watch::Sender<DeviceState>,
    pub logins: Mutex<Logins>,
    pub alerts: broadcast::Sender<Alert>,
    /// What it shows over HTTPS, where it speaks it.
    pub certificate: Option<Arc<Certificate>>,
    /// What is behind it; None where it is no gateway.
    pub estate: Option<Estate>,
}

impl Device {
    pub fn new(options: Options) -> Self {
        let now = options.clock.now();
        let fresh = ChannelState {
            online: true,
            deleted: false,
            stalled: false,
            silent: false,
            no_video: false,
            no_bandwidth: false,
            drops: 0,
            lose_every: 0,
            clock: Clockwork::default(),
            size: options.size,
            codec: options.codec,
            picture: PictureAnswer::Fine,
        };
        let channel = |number| Channel {
            number,
            state: watch::Sender::new(fresh),
            frames_sent: Default::default(),
            last_counter: Default::default(),
            sessions_open: AtomicU64::new(0),
            sessions_played: AtomicU64::new(0),
            teardowns: AtomicU64::new(0),
            pictures_asked: AtomicU64::new(0),
        };
        let gateway = options.kind == DeviceKind::Gateway;
        let channels = if gateway { Estate::flat_channels(&options) } else { options.channels };
        let state = DeviceState {
            online: true,
            answers: Answers::Sane,
            password: options.password.clone(),
            http_auth: options.http_auth,
            rtsp_auth: options.rtsp_auth,
            booted: now,
            reboots: 0,
            skew_ms: 0,
        };
        Self {
            epoch: now,
            channels: (1..=channels).map(channel).collect(),
            estate: gateway.then(|| Estate::new(&options)),
            state: watch::Sender::new(state),
            logins: Mutex::new(Logins::new(options.wrong_logins_max, options.lock)),
            alerts: broadcast::Sender::new(ALERTS_BEHIND_MAX),
            certificate: None,
            options,
        }
    }

    /// The channel of that number, deleted or not.
    pub fn channel(&self, number: u32) -> Option<&Channel> {
        self.channels.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    /// Channels that were not deleted.
    pub fn listed(&self) -> impl Iterator<Item = (&Channel, ChannelState)> {
        self.channels.iter().map(|c| (c, *c.state.borrow())).filter(|(_, s)| !s.deleted)
    }

    /// Wall time by the device's own clock.
    pub fn wall(&self) -> Wall {
        let skew_ms = self.options.clock_skew_ms.saturating_add(self.state.borrow().skew_ms);
        self.options.clock.wall().plus_micros(skew_ms.saturating_mul(1000))
    }

    /// Microseconds since the epoch.
    pub fn micros(&self) -> u64 {
        let passed = self.options.clock.now().saturating_duration_since(self.epoch);
        u64::try_from(passed.as_micros()).unwrap_or(u64::MAX)
    }

    /// The name that ISAPI and the digest realm show.
    pub fn model(&self) -> &'static str {
        match self.options.kind {
            DeviceKind::Camera => "DS-2CD2043G2-I",
            DeviceKind::Nvr => "DS-7732NI-M4",
            DeviceKind::Gateway => "DS-GWAS0101",
        }
    }

    /// Sets or ends a fault of one channel.
    pub fn fault_channel(&self, number: u32, fault: ChannelFault) -> Result<(), Error> {
        let channel = self.channel(number).ok_or(Error::NoChannel(number))?;
        if let ChannelFault::Resize(width, height) = fault {
            Options { size: (width, height), ..self.options.clone() }.check().map_err(Error::Options)?;
        }
        if let ChannelFault::Recode(codec) = fault {
            Options { codec, ..self.options.clone() }.check().map_err(Error::Options)?;
        }
        if let ChannelFault::Motion(active) = fault {
            // An error says that nobody listens.
            let _ = self.alerts.send(Alert { channel: number, active });
        }
        let now = self.micros();
        channel.state.send_modify(|s| match fault {
            ChannelFault::Motion(_) => {}
            ChannelFault::Picture(answer) => s.picture = answer,
            ChannelFault::Online => s.online = true,
            ChannelFault::Offline => s.online = false,
            ChannelFault::Delete => s.deleted = true,
            ChannelFault::Restore => s.deleted = false,
            ChannelFault::Drop => s.drops += 1,
            ChannelFault::Stall => s.stalled = true,
            ChannelFault::Silence => s.silent = true,
            ChannelFault::Resume => {
                (s.stalled, s.silent, s.no_video, s.no_bandwidth) = (false, false, false, false);
            }
            ChannelFault::NoVideo => s.no_video = true,
            ChannelFault::NoBandwidth => s.no_bandwidth = true,
            ChannelFault::Lose(every) => s.lose_every = every,
            ChannelFault::Jump(ms) => s.clock.jump(ms),
            ChannelFault::Pace(ppm) => s.clock.set_pace(ppm, now),
            ChannelFault::Stray { every, ms } => s.clock.stray = Some((every, ms)),
            ChannelFault::RtpStart(timestamp) => s.clock.start = Some(timestamp),
            ChannelFault::Resize(width, height) => s.size = (width, height),
            ChannelFault::Recode(codec) => s.codec = codec,
        });
        Ok(())
    }

    /// Sets or ends a fault of a gateway.
    pub fn fault_gateway(&self, fault: &GatewayFault) -> Result<(), Error> {
        let estate = self.estate.as_ref().ok_or(Error::NoDevice(0))?;
        estate.fault(fault)?.into_iter().try_for_each(|(channel, fault)| self.fault_channel(channel, fault))
    }

    /// Sets or ends a fault of the device. A reboot's end is the caller's to bring about, by `Online`.
    pub fn fault_device(&self, fault: &DeviceFault) {
        let now = self.options.clock.now();
        match fault {
            DeviceFault::Unlock | DeviceFault::Reboot(_) => self.with_logins(Logins::forget),
            DeviceFault::Certificate => {
                if let Some(Err(error)) = self.certificate.as_ref().map(|c| c.renew()) {
                    tracing::warn!(error, "simulated device keeps its certificate");
                }
            }
            _ => {}
        }
        self.state.send_modify(|s| match fault {
            DeviceFault::Online => s.online = true,
            DeviceFault::Offline => s.online = false,
            DeviceFault::Reboot(down) => {
                s.online = false;
                s.booted = now + *down;
                s.reboots += 1;
            }
            DeviceFault::Password(new) => s.password = new.clone(),
            DeviceFault::Garbage => s.answers = Answers::Garbage,
            DeviceFault::Huge => s.answers = Answers::Huge,
            DeviceFault::Sane => s.answers = Answers::Sane,
            DeviceFault::Asks(asks) => (s.http_auth, s.rtsp_auth) = (*asks, *asks),
            DeviceFault::Unlock | DeviceFault::Certificate => {}
            DeviceFault::Skew(ms) => s.skew_ms = *ms,
        });
    }

    /// Asks or changes who logged in wrongly.
    pub fn with_logins<T>(&self, f: impl FnOnce(&mut Logins) -> T) -> T {
        f(&mut self.logins.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Everything as JSON, for `GET /` on the control port and for tests.
    pub fn to_json(&self) -> serde_json::Value {
        let device = self.state.borrow().clone();
        let count = |a: &AtomicU64| a.load(Ordering::Relaxed);
        let channels = self.channels.iter().map(|c| {
            let s = *c.state.borrow();
            serde_json::json!({
                "channel": c.number,
                "online": s.online,
                "deleted": s.deleted,
                "stalled": s.stalled,
                "silent": s.silent,
                "no_video": s.no_video,
                "no_bandwidth": s.no_bandwidth,
                "width": s.size.0,
                "height": s.size.1,
                "frames_sent": count(c.frames_sent(Profile::Main)),
                "frames_sent_sub": count(c.frames_sent(Profile::Sub)),
                "sessions_open": count(&c.sessions_open),
                "sessions_played": count(&c.sessions_played),
                "teardowns": count(&c.teardowns),
                "pictures_asked": count(&c.pictures_asked),
            })
        });
        let sum = |f: fn(&Channel) -> &AtomicU64| self.channels.iter().map(|c| count(f(c))).sum::<u64>();
        let behind = self.estate.as_ref().map_or(serde_json::Value::Null, Estate::to_json);
        serde_json::json!({
            "model": self.model(),
            "behind": behind,
            "online": device.online,
            "reboots": device.reboots,
            "sessions_open": sum(|c| &c.sessions_open),
            "teardowns": sum(|c| &c.teardowns),
            "fingerprint": self.certificate.as_ref().map(|c| c.fingerprint().to_string()),
            "logins_failed": self.with_logins(|l| l.failed()),
            "logins_accepted": self.with_logins(|l| l.accepted()),
            "channels": channels.collect::<Vec<_>>(),
        })
    }
}
