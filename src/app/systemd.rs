//! What systemd is told: READY, RELOADING, STOPPING, WATCHDOG. Outside systemd all of it does nothing.

use crate::base::Clock;
use sd_notify::NotifyState;
use std::{future::Future, net::TcpListener, time::Duration};
use tokio_util::sync::CancellationToken;

/// The daemon serves.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The config is being read again; [`ready`] follows.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The TCP sockets that systemd has bound for us, by its socket units. They are taken once.
pub fn tcp_sockets() -> Vec<TcpListener> {
    let mut given = listenfd::ListenFd::from_env();
    let mut sockets = Vec::new();
    for at in 0..given.len() {
        match given.take_tcp_listener(at) {
            Ok(Some(socket)) => {
                // No process that we start is to hold it. One that cannot be marked so is served all the same.
                let _ = rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::CLOEXEC);
                sockets.push(socket);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(at, %error, "a socket that systemd handed down is no TCP listener, it is not served")
            }
        }
    }
    sockets
}

/// The daemon stops in order.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// An answer that takes more than such a part of half the watchdog's time is none: what asks for reasons needs some, too.
const ANSWERS: u32 = 3;

/// Sends a keep-alive each half of the watchdog's time, but only while `alive` answers: a ping from a timer alone would
/// keep a daemon up whose disk threads or store hang.
pub async fn watchdog<F>(clock: Clock, stop: CancellationToken, alive: impl Fn(Duration) -> F)
where
    F: Future<Output = Result<(), String>>,
{
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return stop.cancelled().await;
    };
    let period = limit / 2;
    loop {
        match tokio::time::timeout(period, alive(period / ANSWERS)).await {
            Ok(Ok(())) => tell(&[NotifyState::Watchdog]),
            Ok(Err(why)) => tracing::error!(why, "not alive, the watchdog is not fed"),
            Err(_) => tracing::error!(waited_s = period.as_secs_f64(), "no progress, the watchdog is not fed"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = clock.sleep(period.min(Duration::from_secs(10))) => {}
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd could not be told");
    }
}
