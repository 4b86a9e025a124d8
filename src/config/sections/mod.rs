//! The keys of the file, one file per part of it. Nothing else knows how a key is called.

mod device;
mod network;
mod recording;
mod secret;
mod unbuilt;

use super::{
    Config, Env, Hikvision, Log, LogFormat, Playback,
    reader::{Scope, as_choice, as_duration, as_text, clip, within},
};
use crate::base::{nearest::nearest, units::format_duration};
use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

const DATA_DIR_DEFAULT: &str = "/var/lib/skyvis";
const LOG_LEVEL_DEFAULT: &str = "info";
const LOG_LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
const NODE_LEN_BYTES_MAX: usize = 253;

/// Below, a recorder has no time to answer; above, a camera that is back stays unseen too long.
const POLL_INTERVAL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3_600);
const POLL_INTERVAL_DEFAULT: Duration = Duration::from_secs(15);
const AGE_OUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(365 * 86_400);
const AGE_OUT_DEFAULT: Duration = Duration::from_secs(300);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(300);
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// What is read beside the file.
pub(super) struct Origin<'a> {
    /// What relative paths are relative to: where the file lies.
    pub(super) dir: &'a Path,
    pub(super) env: &'a Env,
}

impl Origin<'_> {
    /// A path as the file means it.
    fn path(&self, text: &str) -> PathBuf {
        self.dir.join(text)
    }
}

/// Reads all of the file. `None` only after a fault.
pub(super) fn root(scope: &Scope<'_>, origin: &Origin<'_>) -> Option<Config> {
    let data_dir = scope.value("data_dir", PathBuf::from(DATA_DIR_DEFAULT), |n| match as_text(n)?.as_str() {
        "" => Err(format!("is empty; write a directory, for example \"{DATA_DIR_DEFAULT}\"")),
        text => Ok(origin.path(text)),
    });
    let node = scope.value("node", String::new(), |n| node_name(as_text(n)?));
    let log = scope.section("log", log);
    let admin = scope.section("admin", |s| network::admin(s, origin));
    let proxy = scope.section("proxy", |s| network::proxy(s, origin, &admin.listen));
    let hikvision = scope.section("hikvision", hikvision);
    let (recording, recording_dir) = scope.section("recording", |s| recording::global(s, origin));
    let devices = device::all(scope, origin, &recording);
    let playback = scope.section("playback", |s| playback(s, origin, admin.token.as_ref()));
    let notify_prefix = scope.section("notify", notify);
    unbuilt::sections(scope);
    Some(Config {
        recording_dir: recording_dir.unwrap_or_else(|| data_dir.join("recordings")),
        data_dir,
        node: if node.is_empty() { origin.env.host_name().to_owned() } else { node },
        log,
        admin,
        proxy,
        hikvision,
        devices: devices?,
        recording,
        playback,
        notify_prefix,
    })
}

fn node_name(name: String) -> Result<String, String> {
    let fits = name.len() <= NODE_LEN_BYTES_MAX && !name.chars().any(|c| c.is_control() || c.is_whitespace());
    match fits {
        true => Ok(name),
        false => Err(format!("`{}` is not a host's name; leave it empty to take this host's", clip(&name))),
    }
}

fn log(scope: &Scope<'_>) -> Log {
    let formats = [LogFormat::Text, LogFormat::Json, LogFormat::Journald].map(|f| (f.as_str(), f));
    Log {
        format: scope.value("format", LogFormat::Text, |n| as_choice(n, &formats)),
        level: scope.value("level", LOG_LEVEL_DEFAULT.to_owned(), |n| log_filter(as_text(n)?)),
    }
}

/// A tracing filter takes any bare word for the name of a module, so a mistyped level has to be looked for.
fn log_filter(text: String) -> Result<String, String> {
    let right = "write off, error, warn, info, debug or trace, or a filter such as \"info,skyvis::camera=debug\"";
    let word = text.trim();
    let bare = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphabetic());
    if bare
        && !LOG_LEVELS.iter().any(|l| l.eq_ignore_ascii_case(word))
        && let Some(near) = nearest(word, LOG_LEVELS)
    {
        return Err(format!("`{}` is not a level; did you mean \"{near}\"?", clip(word)));
    }
    match tracing_subscriber::EnvFilter::builder().parse(&text) {
        Ok(_) if !word.is_empty() => Ok(text),
        _ => Err(format!("`{}` is not a log filter; {right}", clip(&text))),
    }
}

fn hikvision(scope: &Scope<'_>) -> Hikvision {
    Hikvision {
        poll_interval: duration(scope, "poll_interval", POLL_INTERVAL_DEFAULT, &POLL_INTERVAL),
        age_out: duration(scope, "age_out", AGE_OUT_DEFAULT, &AGE_OUT),
        timeout: duration(scope, "timeout", TIMEOUT_DEFAULT, &TIMEOUT),
    }
}

fn playback(scope: &Scope<'_>, origin: &Origin<'_>, admin: Option<&crate::base::Secret>) -> Playback {
    unbuilt::playback(scope);
    let own = secret::read(scope, "token", "token_file", origin);
    Playback { token: own.or_else(|| admin.cloned()) }
}

fn notify(scope: &Scope<'_>) -> String {
    unbuilt::notify(scope);
    scope.value("prefix", String::new(), |n| network::base_url(&as_text(n)?)).trim_end_matches('/').to_owned()
}

/// A duration within bounds.
fn duration(scope: &Scope<'_>, key: &'static str, default: Duration, bounds: &RangeInclusive<Duration>) -> Duration {
    scope.value(key, default, |n| within(as_duration(n)?, bounds, |d| format_duration(*d)))
}
