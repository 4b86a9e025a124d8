//! `node`, and the sections of a few keys: `[log]`, `[hikvision]`, `[playback]`, `[notify]`.

use super::{Origin, duration, network, secret, unbuilt};
use crate::{
    base::{Secret, nearest::nearest},
    config::{
        Hikvision, Log, LogFormat, Playback,
        reader::{Scope, as_choice, as_text, clip},
        tree::Node,
    },
    playback::{plays, whep},
};
use std::{
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    time::Duration,
};

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
/// As for a single play.
const PLAY_EXPIRY: RangeInclusive<Duration> = Duration::from_secs(1)..=plays::EXPIRES_IN_MAX;

/// `node`
pub(super) fn node_name(name: String) -> Result<String, String> {
    let fits = name.len() <= NODE_LEN_BYTES_MAX && !name.chars().any(|c| c.is_control() || c.is_whitespace());
    match fits {
        true => Ok(name),
        false => Err(format!("`{}` is not a host's name; leave it empty to take this host's", clip(&name))),
    }
}

/// `[log]`
pub(super) fn log(scope: &Scope<'_>) -> Log {
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

/// `[hikvision]`
pub(super) fn hikvision(scope: &Scope<'_>) -> Hikvision {
    Hikvision {
        poll_interval: duration(scope, "poll_interval", POLL_INTERVAL_DEFAULT, &POLL_INTERVAL),
        age_out: duration(scope, "age_out", AGE_OUT_DEFAULT, &AGE_OUT),
        timeout: duration(scope, "timeout", TIMEOUT_DEFAULT, &TIMEOUT),
    }
}

/// `[playback]`, whose token is the admin token unless it has its own.
pub(super) fn playback(scope: &Scope<'_>, origin: &Origin<'_>, admin: Option<&Secret>) -> Playback {
    let own = secret::read(scope, "token", "token_file", origin);
    let asking = |n: &Node| match as_text(n)?.as_str() {
        "" => Ok(None),
        text => plays::Asking::parse(text).map(Some).map_err(|problem| format!("`{}` {problem}", clip(text))),
    };
    Playback {
        token: own.or_else(|| admin.cloned()),
        play_expiry_default: duration(scope, "play_expiry_default", plays::EXPIRY_DEFAULT, &PLAY_EXPIRY),
        authorize: scope.value("authorize", None, asking),
        rtsp_listen: scope.value("rtsp_listen", None, |n| network::listen(n, "0.0.0.0:8554")),
        webrtc_listen: scope.value("webrtc_listen", whep::Listen::Usual, webrtc_listen),
        webrtc_addresses: scope.list("webrtc_addresses", Vec::new(), reachable),
    }
}

fn webrtc_listen(node: &Node) -> Result<whep::Listen, String> {
    Ok(match network::listen(node, "0.0.0.0:8189")? {
        None => whep::Listen::Off,
        // Written out, the default is the default.
        Some(at) if at == whep::LISTEN_DEFAULT => whep::Listen::Usual,
        Some(at) => whep::Listen::At(at),
    })
}

/// An address of a host, with a port or without one.
fn reachable(node: &Node) -> Result<SocketAddr, String> {
    let text = as_text(node)?;
    let ip = || text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 0));
    text.parse().or_else(|_| ip()).ok().filter(|at: &SocketAddr| !at.ip().is_unspecified()).ok_or_else(|| {
        format!(
            "`{}` is not the address of a host; write for example \"203.0.113.7\" or \"203.0.113.7:8189\"",
            clip(&text)
        )
    })
}

/// `[notify]`
pub(super) fn notify(scope: &Scope<'_>) -> String {
    unbuilt::notify(scope);
    scope.value("prefix", String::new(), |n| network::base_url(&as_text(n)?)).trim_end_matches('/').to_owned()
}
