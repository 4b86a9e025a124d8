//! `[proxy]` but for its lists of tables: what connections live under.

use super::{Origin, duration};
use crate::{
    config::{
        LogFormat,
        reader::{Scope, as_flag, as_integer, as_text, within},
    },
    proxy::{
        AccessLog, Settings,
        h1::{Network, Trust},
    },
};
use std::{ops::RangeInclusive, time::Duration};

/// Each is a thread with a listener of its own; more than a large host has processors would only get in each other's way.
const WORKERS: RangeInclusive<i64> = 0..=1024;
/// What a host can have descriptors for.
const CONNECTIONS: RangeInclusive<i64> = 1..=10_000_000;
const CONNECTIONS_PER_ADDRESS: RangeInclusive<i64> = 0..=10_000_000;
const HEADER_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(600);
const IDLE_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(86_400);
/// Each is looked at for each connection.
const TRUSTED_MAX: usize = 1000;

/// `workers`
pub(super) fn workers(scope: &Scope<'_>) -> usize {
    count(scope, "workers", 0, &WORKERS)
}

/// All that a running proxy can be told anew.
pub(super) fn settings(scope: &Scope<'_>, origin: &Origin<'_>, format: LogFormat) -> Settings {
    let default = Settings::default();
    let trusted: Vec<Network> =
        scope.list("trusted_proxies", Vec::new(), |n| as_text(n)?.parse().map_err(|e| format!("{e}")));
    if trusted.len() > TRUSTED_MAX {
        scope.fault("trusted_proxies", format!("has {} networks; write at most {TRUSTED_MAX}", trusted.len()));
    }
    let json = format == LogFormat::Json;
    Settings {
        trusted: Trust::new(trusted),
        proxy_protocol: scope.value("proxy_protocol", default.proxy_protocol, as_flag),
        access_log: scope.value("access_log", default.access_log, |n| match as_text(n)?.as_str() {
            "off" => Ok(AccessLog::Off),
            "stdout" => Ok(AccessLog::Stdout { json }),
            "journald" => Ok(AccessLog::Journald { json }),
            "" => Err("is empty; write \"off\", \"stdout\", \"journald\" or the path of a file".into()),
            path => Ok(AccessLog::File { path: origin.path(path), json }),
        }),
        connections_max: count(scope, "max_connections", default.connections_max, &CONNECTIONS),
        connections_per_address_max: count(
            scope,
            "max_connections_per_address",
            default.connections_per_address_max,
            &CONNECTIONS_PER_ADDRESS,
        ),
        handshakes_max: default.handshakes_max,
        header_timeout: duration(scope, "header_timeout", default.header_timeout, &HEADER_TIMEOUT),
        idle_timeout: duration(scope, "idle_timeout", default.idle_timeout, &IDLE_TIMEOUT),
        patience: default.patience,
    }
}

fn count(scope: &Scope<'_>, key: &'static str, default: usize, bounds: &RangeInclusive<i64>) -> usize {
    scope.value(key, default, |n| {
        let count = within(as_integer(n)?, bounds, i64::to_string)?;
        usize::try_from(count).map_err(|e| e.to_string())
    })
}
