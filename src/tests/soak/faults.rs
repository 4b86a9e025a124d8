//! The faults of an evening: how each begins and ends, what it touches, and which losses it explains.

use super::{
    account::{Interval, Loss},
    site::{CHANNELS, Evening, LOCK, WRONG_MAX, touches},
};
use crate::{
    base::Wall,
    outbound::{Address, Client, Limits},
    sim::{ChannelFault, DeviceFault},
    tests::harness::until,
};
use bytes::Bytes;
use rand::{Rng, seq::IndexedRandom};
use std::{collections::BTreeMap, time::Duration};

/// What a fault touches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// One channel of one NVR.
    Channel(usize, u32),
    /// All channels of one NVR.
    Device(usize),
    /// Everything.
    All,
}

/// One sort of fault; where it strikes is thrown when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Drop,
    /// Half-open: the connection is there and nothing comes or goes.
    Stall,
    Silence,
    NoVideo,
    /// The device sends as many streams as it can: RTSP 453.
    NoBandwidth,
    ChannelOffline,
    Deleted,
    Jump,
    Resize,
    DeviceOffline,
    Reboot,
    RebootWithNewParameterSets,
    WrongPassword,
    /// Somebody else's wrong logins from our address.
    LockedOut,
    Garbage,
    Huge,
    DiskFull,
    /// Somebody sets the host's clock, and somebody sets it right again.
    ClockSet,
    /// The daemon is killed and started again over the same data.
    Killed,
}

/// A fault at a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    kind: Kind,
    what: What,
}

/// Sessions are tried again after 8 s at most, a device is polled, a key frame is waited for.
const RECOVERY: Duration = Duration::from_secs(20);
/// What had been sent and not yet arrived when a fault began.
const ON_ITS_WAY: Duration = Duration::from_millis(1500);
/// A kill costs a fragment of 500 ms, what waits for its turn, and what was on its way, and no more.
const KILL_COSTS: Duration = Duration::from_millis(1000);
/// How far a clock is set wrong, in milliseconds. Further than an evening is long, so that what is filed there is not in
/// its way; and by little, so that it is.
const OFF_MS: [i64; 7] = [-86_400_000, 86_400_000, -3_600_000, 3_600_000, -30_000, 30_000, -700];

impl Fault {
    /// One of each sort, at places that differ.
    pub(super) fn all(evening: &Evening) -> Vec<Fault> {
        use Kind::*;
        let channel = [Drop, Stall, Silence, NoVideo, NoBandwidth, ChannelOffline, Deleted, Jump, Resize];
        let device = [DeviceOffline, Reboot, RebootWithNewParameterSets, WrongPassword, LockedOut, Garbage, Huge];
        let at = |i: usize| (i % evening.nvrs.len(), i as u32 % CHANNELS + 1);
        let of_channel = channel.into_iter().enumerate().map(|(i, kind)| {
            let (nvr, channel) = at(i);
            Fault { kind, what: What::Channel(nvr, channel) }
        });
        let of_device = device.into_iter().enumerate().map(|(i, kind)| Fault { kind, what: What::Device(at(i).0) });
        let of_disk = evening.disk.iter().map(|_| DiskFull);
        let of_host = of_disk.chain([ClockSet, Killed]).map(|kind| Fault { kind, what: What::All });
        of_channel.chain(of_device).chain(of_host).collect()
    }

    pub(super) async fn begin(self, evening: &mut Evening, die: &mut impl Rng) {
        let jump_ms = die.random_range(-60_000..60_000);
        // Another size each time; the pictures' format changes with it.
        let size = (320 + 32 * die.random_range(0..4), 192 + 32 * die.random_range(0..3));
        match (self.kind, self.what) {
            (Kind::Drop, _) => self.channel(evening, ChannelFault::Drop),
            (Kind::Stall, _) => self.channel(evening, ChannelFault::Stall),
            (Kind::Silence, _) => self.channel(evening, ChannelFault::Silence),
            (Kind::NoVideo, _) => {
                self.channel(evening, ChannelFault::NoVideo);
                self.channel(evening, ChannelFault::Drop);
            }
            (Kind::NoBandwidth, _) => {
                self.channel(evening, ChannelFault::NoBandwidth);
                self.channel(evening, ChannelFault::Drop);
            }
            (Kind::ChannelOffline, _) => self.channel(evening, ChannelFault::Offline),
            (Kind::Deleted, _) => self.channel(evening, ChannelFault::Delete),
            (Kind::Jump, _) => self.channel(evening, ChannelFault::Jump(jump_ms)),
            (Kind::Resize, _) => self.channel(evening, ChannelFault::Resize(size.0, size.1)),
            (Kind::DeviceOffline, What::Device(n)) => evening.nvrs[n].sim.device(DeviceFault::Offline),
            (Kind::Reboot, What::Device(n)) => evening.nvrs[n].sim.device(DeviceFault::Reboot(Duration::from_secs(2))),
            (Kind::RebootWithNewParameterSets, What::Device(n)) => {
                let sim = &evening.nvrs[n].sim;
                sim.device(DeviceFault::Reboot(Duration::from_secs(2)));
                for channel in 1..=CHANNELS {
                    sim.channel(channel, ChannelFault::Resize(size.0, size.1)).unwrap();
                }
            }
            (Kind::WrongPassword, What::Device(n)) => {
                evening.change_password(n);
                // A session that is open stays so; the next one is refused.
                for channel in 1..=CHANNELS {
                    evening.nvrs[n].sim.channel(channel, ChannelFault::Drop).unwrap();
                }
            }
            (Kind::LockedOut, What::Device(n)) => lock_out(&evening.nvrs[n].sim).await,
            (Kind::Garbage, What::Device(n)) => evening.nvrs[n].sim.device(DeviceFault::Garbage),
            (Kind::Huge, What::Device(n)) => evening.nvrs[n].sim.device(DeviceFault::Huge),
            (Kind::DiskFull, _) => evening.disk.as_ref().unwrap().set_full(true),
            (Kind::ClockSet, _) => evening.set_clock(*OFF_MS.choose(die).unwrap()),
            (Kind::Killed, _) => evening.kill().await,
            (kind, what) => unreachable!("{kind:?} at {what:?}"),
        }
    }

    pub(super) async fn end(self, evening: &mut Evening) {
        match (self.kind, self.what) {
            (Kind::Stall | Kind::Silence | Kind::NoVideo | Kind::NoBandwidth, _) => {
                self.channel(evening, ChannelFault::Resume)
            }
            (Kind::ChannelOffline, _) => self.channel(evening, ChannelFault::Online),
            (Kind::Deleted, _) => self.channel(evening, ChannelFault::Restore),
            (Kind::DeviceOffline, What::Device(n)) => evening.nvrs[n].sim.device(DeviceFault::Online),
            (Kind::WrongPassword, _) => evening.tell_passwords().await,
            (Kind::Garbage | Kind::Huge, What::Device(n)) => evening.nvrs[n].sim.device(DeviceFault::Sane),
            (Kind::DiskFull, _) => evening.disk.as_ref().unwrap().set_full(false),
            (Kind::ClockSet, _) => evening.set_clock(0),
            (Kind::Killed, _) => evening.start_again().await,
            _ => {}
        }
    }

    fn channel(self, evening: &Evening, fault: ChannelFault) {
        let What::Channel(nvr, channel) = self.what else { unreachable!("{self:?} strikes one channel") };
        evening.nvrs[nvr].sim.channel(channel, fault).unwrap();
    }

    /// How long it is held.
    pub(super) fn hold(self, die: &mut impl Rng) -> Duration {
        let held = match self.kind {
            // A connection that says nothing is given up after 5 s: both sides of it.
            Kind::Stall | Kind::Silence => 300..9_000,
            // Long enough to be seen, and mostly for a key frame.
            Kind::ClockSet => 1_500..6_000,
            _ => 300..3_000,
        };
        Duration::from_millis(die.random_range(held))
    }

    /// Whether a picture may be lost by it at all.
    fn costs(self) -> bool {
        // ISAPI's nonsense must not touch what plays, and neither must a lockout: sessions that are open stay so.
        !matches!(self.kind, Kind::Garbage | Kind::Huge | Kind::LockedOut | Kind::Resize | Kind::ClockSet)
    }

    /// Whether it ends the daemon's process.
    pub(super) fn kills(self) -> bool {
        self.kind == Kind::Killed
    }

    /// How long before it pictures may be lost by it.
    fn costs_before(self) -> Duration {
        if self.kills() { KILL_COSTS } else { ON_ITS_WAY }
    }

    /// How long it goes on by itself after its end.
    fn lasts(self) -> Duration {
        match self.kind {
            Kind::Reboot | Kind::RebootWithNewParameterSets => Duration::from_secs(2),
            Kind::LockedOut => LOCK,
            _ => Duration::ZERO,
        }
    }
}

/// Wrong logins from the address that the daemon has too, until the device refuses it.
async fn lock_out(sim: &crate::sim::Running) {
    let client = Client::new(
        Address::Tcp { host: sim.http_addr.ip().to_string(), port: sim.http_addr.port() },
        Limits::default(),
    );
    for _ in 0..WRONG_MAX {
        let request = |authorization: Option<String>| {
            let mut request = http::Request::get("/ISAPI/System/status").header("host", "nvr");
            if let Some(text) = authorization {
                request = request.header("authorization", text);
            }
            request.body(Bytes::new()).unwrap()
        };
        // It may be about to come back from a reboot.
        let asked = until("an answer of the device", || async { client.request(request(None)).await.ok() }).await;
        let challenge = asked.headers().get("www-authenticate").unwrap().to_str().unwrap();
        let mut digest = http_auth::PasswordClient::try_from(challenge).unwrap();
        let wrong = http_auth::PasswordParams {
            username: "admin",
            password: "not-it",
            uri: "/ISAPI/System/status",
            method: "GET",
            body: Some(&[]),
        };
        let answered = client.request(request(Some(digest.respond(&wrong).unwrap()))).await.unwrap();
        assert_eq!(answered.status(), 401);
    }
}

/// A fault that was made.
#[derive(Clone, Debug)]
pub(super) struct Record {
    fault: Fault,
    from: Wall,
    to: Wall,
}

impl Record {
    pub(super) fn new(fault: Fault, from: Wall, to: Wall) -> Self {
        Self { fault, from, to }
    }

    /// Whether a loss began with this fault, and ended with it or while its stream recovered: from this one, or from
    /// another of `all` that struck meanwhile. Who is locked out cannot come back either.
    pub(super) fn explains(&self, loss: &Loss, all: &[Record]) -> bool {
        let Interval { nvr, channel, from, to } = loss.interval;
        let began = self.fault.costs()
            && touches(self.fault.what, nvr, channel)
            && (self.from.minus(self.fault.costs_before())..self.ended()).contains(&from);
        let over = all.iter().filter(|r| r.struck(&loss.interval) && r.from >= self.from).map(Record::ended).max();
        began && over.is_some_and(|over| to <= over.plus(RECOVERY))
    }

    /// Whether it was on, or not yet recovered from, in an interval.
    pub(super) fn struck(&self, interval: &Interval) -> bool {
        touches(self.fault.what, interval.nvr, interval.channel)
            && self.from < interval.to
            && self.ended().plus(RECOVERY) > interval.from
    }

    /// Whether the stream was not wanted meanwhile: a channel that its recorder does not have any more.
    pub(super) fn unwanted(&self, interval: &Interval) -> bool {
        self.fault.kind == Kind::Deleted && self.struck(interval)
    }

    /// The cause that the ledger must give where nothing else struck.
    pub(super) fn owes(&self) -> Option<&'static str> {
        match self.fault.kind {
            Kind::Killed => Some("crash"),
            Kind::ClockSet => Some("clock_step"),
            Kind::NoBandwidth => Some("stream_error"),
            _ => None,
        }
    }

    /// Whether the ledger may give this as the cause of what the fault cost.
    pub(super) fn may_cause(&self, cause: &str) -> bool {
        // Whatever ended a session, it is set up again, and that may fail once more while a device comes to.
        let also: &[&str] = match self.fault.kind {
            Kind::ChannelOffline | Kind::Deleted => &["offline"],
            Kind::DeviceOffline | Kind::Reboot | Kind::RebootWithNewParameterSets => &["unreachable", "offline"],
            Kind::WrongPassword => &["auth", "locked"],
            Kind::LockedOut => &["locked", "auth"],
            Kind::Stall => &["unreachable", "offline", "silence"],
            Kind::Garbage | Kind::Huge => &["unreachable", "offline"],
            Kind::DiskFull => &["disk_full"],
            Kind::ClockSet => &["clock_step"],
            Kind::Killed => &["crash"],
            Kind::Silence | Kind::NoVideo => &["silence"],
            Kind::Drop | Kind::NoBandwidth | Kind::Jump | Kind::Resize => &[],
        };
        let of_ours = matches!(self.fault.kind, Kind::DiskFull | Kind::ClockSet | Kind::Killed);
        let session_lost = !of_ours && matches!(cause, "stream_error" | "connecting");
        session_lost || also.contains(&cause)
    }

    fn ended(&self) -> Wall {
        self.to.plus(self.fault.lasts())
    }
}

/// How many of each kind.
pub(super) fn by_kind(made: &[Record]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for record in made {
        *counts.entry(format!("{:?}", record.fault.kind)).or_default() += 1;
    }
    counts
}
