//! `skyvis run`: the process around a daemon. Runtime, signals, the exit code.

use super::{Daemon, Error, systemd, telemetry};
use crate::{
    base::TaskGroup,
    config::{self, Env},
};
use std::{future::Future, path::Path, pin::Pin};
use tokio::signal::unix::{SignalKind, signal};

/// Threads for API, polls, sessions and playback: mixed work with few wake-ups needs no more.
const RUNTIME_THREADS_MAX: usize = 4;

/// Runs the daemon until a signal; the process' exit code.
pub fn run(config_path: &Path, env: Env) -> Result<(), Error> {
    let config = config::load(config_path, &env)?;
    telemetry::start(config.log.format, &config.log.level)?;
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let (stop, hangups) = (StopSignals::listen()?, hangups()?);
        let unsupervised = TaskGroup::new();
        let mut stopped = std::pin::pin!(stop.first(&unsupervised));
        // A start may take long, where a crash left much to look through; nobody who asks for a stop waits for it.
        let daemon = Daemon::start_unless(stopped.as_mut(), config, Some(config_path.to_owned()), env).await?;
        let Some(daemon) = daemon else { return Ok(()) };
        systemd::ready(&daemon.status_line());
        let ended = until_stopped(&daemon, stopped, hangups).await;
        systemd::stopping();
        daemon.stop().await;
        ended
    });
    // What blocks a thread even now waits for a disk that hangs; the process does not.
    runtime.shutdown_background();
    ended
}

/// The main runtime.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Error> {
    raise_descriptor_limit();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.clamp(2, RUNTIME_THREADS_MAX))
        .thread_name("skyvis-main")
        .enable_all()
        .build()
        .map_err(Error::Runtime)
}

/// Raises the soft limit of open files to the hard one: many clients must not starve the recorder of descriptors.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return;
    }
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, soft = limit.current, "the limit of open files stays low");
    }
}

/// SIGTERM and SIGINT. The first asks the daemon to stop in order; a second ends the process where it stands.
pub(super) struct StopSignals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

/// SIGHUP, heard from before the daemon serves: unheard, it would end the process.
fn hangups() -> Result<tokio::signal::unix::Signal, Error> {
    signal(SignalKind::hangup()).map_err(Error::Runtime)
}

impl StopSignals {
    pub(super) fn listen() -> Result<Self, Error> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(Error::Runtime)?,
            interrupt: signal(SignalKind::interrupt()).map_err(Error::Runtime)?,
        })
    }

    /// Waits for the first signal, and from then on lets a second one end the process.
    pub(super) async fn first(mut self, group: &TaskGroup) {
        tokio::select! {
            _ = self.terminate.recv() => tracing::info!("SIGTERM, stopping"),
            _ = self.interrupt.recv() => tracing::info!("SIGINT, stopping"),
        }
        group.spawn("second signal", async move {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            exit_at_once();
        });
    }
}

#[expect(clippy::exit, clippy::disallowed_methods, reason = "a second signal asks for just that")]
fn exit_at_once() -> ! {
    std::process::exit(1)
}

/// Serves SIGHUP as a reload; ends with the first stop signal, or with the failure of a room.
async fn until_stopped(
    daemon: &Daemon,
    mut stopped: Pin<&mut impl Future<Output = ()>>,
    mut hangups: tokio::signal::unix::Signal,
) -> Result<(), Error> {
    loop {
        tokio::select! {
            () = &mut stopped => return Ok(()),
            room = daemon.room_ended() => return Err(Error::RoomEnded(room)),
            _ = hangups.recv() => tokio::select! {
                // A reload waits for goodbyes to cameras that may hang; a stop does not wait for it.
                () = &mut stopped => return Ok(()),
                // The outcome is logged, and told to systemd, by the reload itself.
                _ = daemon.reload("SIGHUP") => {}
            },
        }
    }
}
