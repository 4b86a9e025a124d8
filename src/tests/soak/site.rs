//! The site of a soak: two NVRs, a daemon in a process of its own, and a small disk where that can be had.

use super::{
    account::{self, Streams},
    faults::{Fault, Record, What},
    usage::{Usage, Watch},
};
use crate::{
    base::{Clock, Secret, TaskGroup},
    model::Profile,
    sim::{self, DeviceFault},
    tests::{
        harness::{Api, Process, Site, TELL_HEAP, nvr, until},
        heap::Heap,
        host_clock::HostClock,
    },
};
use rand::Rng;
use std::{collections::BTreeMap, fs, path::PathBuf, process::Command, time::Duration};

/// Channels of each NVR.
pub(super) const CHANNELS: u32 = 3;
/// How long a lockout of the simulated devices lasts; real ones take half an hour.
pub(super) const LOCK: Duration = Duration::from_secs(8);
/// Wrong logins until a lockout.
pub(super) const WRONG_MAX: u32 = 7;
/// Footage is looked for so far ahead of when the looking began; less than a clock is set ahead by.
const AHEAD: Duration = Duration::from_secs(20);
/// Room for an evening's footage; nothing is taken before it is used.
const DISK_SIZE: &str = "16g";
const TRIES_MAX: u32 = 100;
const FPS: u32 = 25;

/// A stream, and the simulated channel behind it.
pub(super) struct Stream {
    pub key: String,
    pub nvr: usize,
    pub channel: u32,
    /// The picture that had been sent last when the daemon was asked to stop.
    pub sent: u64,
}

/// One simulated NVR, and the password that it has now.
pub(super) struct Nvr {
    pub name: &'static str,
    pub sim: sim::Running,
    pub password: String,
}

/// Everything that runs through an evening.
pub(super) struct Evening {
    site: Site,
    pub nvrs: Vec<Nvr>,
    group: TaskGroup,
    process: Process,
    /// A file system of our own, where we may mount one.
    pub disk: Option<Mount>,
    passwords: u32,
    clock: HostClock,
    /// How often that was done.
    clock_set: u64,
    /// Panics and steps of the clock that processes had seen that were killed since.
    past: (u64, u64),
    watch: Watch,
}

impl Evening {
    pub(super) async fn begin() -> Self {
        let options = |audio| sim::Options {
            audio,
            lock: LOCK,
            wrong_logins_max: WRONG_MAX,
            fps: FPS,
            size: (320, 192),
            ..nvr(CHANNELS)
        };
        let site = Site::new(options(true)).await;
        let group = TaskGroup::new();
        let second = sim::Simulator::start(options(false), &group).await.unwrap();
        let password = crate::tests::harness::PASSWORD.to_owned();
        let nvrs = vec![
            Nvr { name: "one", sim: site.nvr.clone(), password: password.clone() },
            Nvr { name: "two", sim: second, password },
        ];
        let footage = site.dir.path().join("footage");
        fs::create_dir(&footage).unwrap();
        let disk = Mount::tmpfs(footage);
        fs::write(site.config_file(), config(&site, &nvrs)).unwrap();
        let clock = HostClock::new(site.dir.path(), 0);
        let process = start(&site, &clock);
        let (watch, past) = (Watch::default(), (0, 0));
        Self { site, nvrs, group, process, disk, passwords: 0, clock, clock_set: 0, past, watch }
    }

    pub(super) fn api(&self) -> Api {
        self.site.api()
    }

    /// All streams.
    pub(super) fn streams(&self) -> impl Iterator<Item = Stream> + '_ {
        let channels = move |n: usize| (1..=CHANNELS).map(move |c| (n, c));
        let stream = |(nvr, channel): (usize, u32)| {
            let key = format!("{}/{channel}/main", self.nvrs[nvr].name);
            Stream { key, nvr, channel, sent: 0 }
        };
        (0..self.nvrs.len()).flat_map(channels).map(stream)
    }

    /// Every stream runs, and its newest footage is of the present.
    pub(super) async fn until_all_record(&self) {
        let api = self.api();
        for Stream { key, .. } in self.streams() {
            api.until_state(&key, "running").await;
            let since = Clock::real().wall();
            until(&format!("new footage of {key}"), || async {
                // What was recorded while the clock was ahead is not of the present.
                let query = format!("stream={key}&from={since}&to={}", since.plus(AHEAD));
                let (status, body) = api.try_get(&format!("/api/v1/recordings?{query}")).await?;
                let found: serde_json::Value = serde_json::from_slice(&body).ok().filter(|_| status == 200)?;
                (!found["spans"].as_array()?.is_empty() && api.stream(&key).await["recording"] == true).then_some(())
            })
            .await;
        }
    }

    /// Makes a fault, holds it, ends it, and says what it may explain.
    pub(super) async fn make(&mut self, fault: Fault, die: &mut impl Rng) -> Record {
        let from = Clock::real().wall();
        fault.begin(self, die).await;
        tokio::time::sleep(fault.hold(die)).await;
        fault.end(self).await;
        Record::new(fault, from, Clock::real().wall())
    }

    /// Somebody changes a device's password; the operator learns it later.
    pub(super) fn change_password(&mut self, nvr: usize) {
        self.passwords += 1;
        let nvr = &mut self.nvrs[nvr];
        nvr.password = format!("Changed-{}-time!", self.passwords);
        nvr.sim.device(DeviceFault::Password(Secret::new(&nvr.password)));
    }

    /// The operator writes the passwords of now into the config.
    pub(super) async fn tell_passwords(&self) {
        let new = self.site.dir.path().join("config.new");
        fs::write(&new, config(&self.site, &self.nvrs)).unwrap();
        fs::rename(&new, self.site.config_file()).unwrap();
        let (status, body) = self.api().send("POST", "/api/v1/reload", &[]).await.expect("the daemon answers");
        assert!(status < 300, "reload: {}", String::from_utf8_lossy(&body));
    }

    pub(super) async fn usage(&self) -> Usage {
        Usage::of(&self.api(), &self.heap_file()).await.expect("the daemon answers")
    }

    /// Notes what the daemon uses, unless that was just done.
    pub(super) async fn look(&mut self) {
        self.watch.look(&self.site.api(), &self.heap_file()).await;
    }

    fn heap_file(&self) -> PathBuf {
        self.site.dir.path().join("heap")
    }

    /// Kills the daemon as a power supply would.
    pub(super) async fn kill(&mut self) {
        let usage = self.usage().await;
        self.past = (self.past.0 + usage.panics, self.past.1 + usage.clock_steps);
        self.process.kill();
        let _ = fs::remove_file(self.heap_file());
    }

    /// Starts it over the same data.
    pub(super) async fn start_again(&mut self) {
        self.process = start(&self.site, &self.clock);
        self.watch = Watch::default();
        let api = self.api();
        until("readiness after a kill", || async { api.try_get("/readyz").await.filter(|(status, _)| *status == 200) })
            .await;
        until("its heap", || async { Heap::told(&self.heap_file()) }).await;
    }

    /// Sets the host's clock.
    pub(super) fn set_clock(&mut self, off_ms: i64) {
        self.clock.set(off_ms);
        self.clock_set += 1;
    }

    /// Stops the daemon in order; the footage stays while the result is held.
    pub(super) async fn end(mut self) -> Streams {
        let mut streams: Vec<_> = self.streams().collect();
        let mut rows = BTreeMap::new();
        let asked = Clock::real().wall();
        for stream in &mut streams {
            rows.insert(stream.key.clone(), account::rows(&self.api(), &stream.key).await);
        }
        let usage = self.usage().await;
        let (panics, steps) = (self.past.0 + usage.panics, self.past.1 + usage.clock_steps);
        assert_eq!((panics, steps), (0, self.clock_set), "panics, and how often the clock was seen to be set");
        for stream in &mut streams {
            stream.sent = self.nvrs[stream.nvr].sim.last_counter(stream.channel, Profile::Main);
        }
        assert!(self.process.terminate().await, "it did not end well: {}", self.process.log_text());
        self.group.stop(Duration::from_secs(5)).await;
        let recordings = self.site.dir.path().join("footage");
        Streams { recordings, streams, rows, asked, _disk: self.disk, _site: self.site }
    }
}

/// The daemon, in a process of its own.
fn start(site: &Site, clock: &HostClock) -> Process {
    let heap = site.dir.path().join("heap");
    let clock = clock.env();
    let mut env = vec![(TELL_HEAP, heap.to_str().unwrap())];
    env.extend(clock.iter().map(|(name, value)| (*name, value.as_str())));
    Process::start(&site.config_file(), &site.dir.path().join("log"), &env)
}

fn config(site: &Site, nvrs: &[Nvr]) -> String {
    let dir = site.dir.path().display();
    let mut text = format!(
        "data_dir = '{dir}/data'\n[admin]\nlisten = 'unix:{dir}/admin.sock'\n[proxy]\nlisten = []\n\
         [hikvision]\npoll_interval = '1s'\ntimeout = '3s'\n\
         [recording]\ndir = '{dir}/footage'\nmin_free = 0\nsegment = '2s'\n"
    );
    for Nvr { name, sim, password } in nvrs {
        text += &format!(
            "[[device]]\nid = '{name}'\nkind = 'nvr'\naddress = '{}'\nrtsp_port = {}\nuser = 'admin'\npassword = '{password}'\n",
            sim.http_addr,
            sim.rtsp_addr.port(),
        );
    }
    text
}

/// A tmpfs that is unmounted when dropped.
pub(super) struct Mount(PathBuf);

impl Mount {
    /// None where we may not mount.
    fn tmpfs(at: PathBuf) -> Option<Self> {
        let mounted = mount(&["-t", "tmpfs", "-o", &format!("size={DISK_SIZE}"), "skyvis-soak"], &at);
        if !mounted {
            println!("soak: mounting is not allowed here, so the disk is never full this evening");
        }
        mounted.then_some(Self(at))
    }

    /// Leaves no room, or gives it back.
    pub(super) fn set_full(&self, full: bool) {
        let remount = |size: &str| mount(&["-o", &format!("remount,size={size}")], &self.0);
        let done = if full {
            // The daemon may write between the look and the remount, which then is refused.
            (0..TRIES_MAX).any(|_| {
                let space = rustix::fs::statvfs(&self.0).unwrap();
                remount(&((space.f_blocks - space.f_bfree) * space.f_frsize).max(4096).to_string())
            })
        } else {
            remount(DISK_SIZE)
        };
        assert!(done, "remount");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str], at: &std::path::Path) -> bool {
    Command::new("mount").args(arguments).arg(at).output().is_ok_and(|o| o.status.success())
}

/// Where footage of a fault that touches all streams is meant.
pub(super) fn touches(what: What, nvr: usize, channel: u32) -> bool {
    match what {
        What::Channel(n, c) => (n, c) == (nvr, channel),
        What::Device(n) => n == nvr,
        What::All => true,
    }
}
