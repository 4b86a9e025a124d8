//! The threads together: started, told of other settings, drained.

use super::{
    Error,
    access_log::Outlet,
    acme::AcmeTask,
    listener::Listeners,
    meters::Meters,
    places::Places,
    settings::{Config, Settings},
    sync::{self, Cell, Routes, SyncTask, Time},
    table::BuiltIn,
    tls::{self, Tls, TlsTask},
    worker,
};
use crate::{
    base::{Clock, Metrics, TaskGroup},
    disk::Disk,
    model::Catalog,
    outbound::Lookup,
};
use arc_swap::ArcSwap;
use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What requests in flight are given once the proxy stops.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// What all workers share.
pub(super) struct Shared {
    pub(super) clock: Clock,
    time: Time,
    pub(super) table: Cell,
    pub(super) tls: Tls,
    pub(super) settings: ArcSwap<Settings>,
    pub(super) places: Arc<Places>,
    pub(super) meters: Meters,
    pub(super) log: Outlet,
    /// Where handlers of this process run: never on a worker.
    pub(super) handlers: TaskGroup,
    pub(super) disk: Disk,
    /// Our name in `Via`: another one for each process, so that only a request that was here before names it.
    pub(super) via: String,
    /// Fires when the proxy stops, for answers without end.
    pub(super) stopping: CancellationToken,
    pub(super) panics: Arc<AtomicU64>,
}

/// What the data plane stands on.
pub struct Deps {
    /// What time it is.
    pub clock: Clock,
    /// Where connections are counted.
    pub metrics: Metrics,
    /// Runs the handlers of this process, on a runtime that is not a worker's.
    pub handlers: TaskGroup,
    /// Fills pipes from files.
    pub disk: Disk,
    /// All services.
    pub catalog: watch::Receiver<Arc<Catalog>>,
    /// Who knows the addresses of host names.
    pub lookup: Lookup,
    /// Routes of the process itself.
    pub built_in: Vec<BuiltIn>,
    /// The bound sockets.
    pub listeners: Listeners,
}

/// The running proxy. Cheap to clone.
#[derive(Clone)]
pub struct Proxy {
    routes: Routes,
    shared: Arc<Shared>,
    addresses: Arc<[SocketAddr]>,
    threads: Arc<std::sync::Mutex<Vec<tokio::runtime::Handle>>>,
}

/// What runs it.
pub struct PlaneTask {
    proxy: Proxy,
    listeners: Listeners,
}

/// All that runs it.
pub struct Tasks {
    /// Keeps the table; is to outlive the one that serves.
    pub routes: SyncTask,
    /// Keeps the certificates.
    pub tls: TlsTask,
    /// Orders them, where that is asked for.
    pub acme: Option<AcmeTask>,
    /// Serves.
    pub plane: PlaneTask,
}

/// Puts the room together; nothing runs before its tasks do.
pub fn build(config: &Config, deps: Deps) -> Result<(Proxy, Tasks), Error> {
    let Deps { clock, metrics, handlers, disk, catalog, lookup, built_in, listeners } = deps;
    let time = Time::new(clock.clone());
    let (tls, tls_task) = tls::build(config.tls.clone(), clock.clone())?;
    let acme = config.acme.clone().map(|acme| AcmeTask::new(tls.clone(), clock.clone(), acme));
    let (routes, sync) = sync::build(
        config.routes.clone(),
        sync::Deps {
            catalog,
            lookup,
            clock: clock.clone(),
            time: time.clone(),
            metrics: metrics.clone(),
            built_in,
            workers: listeners.of_workers.len(),
        },
    );
    let shared = Arc::new(Shared {
        clock,
        time,
        table: routes.cell().clone(),
        tls,
        settings: ArcSwap::from_pointee(config.settings.clone()),
        places: Arc::default(),
        meters: Meters::new(&metrics),
        log: Outlet::default(),
        handlers,
        disk,
        via: format!("skyvis-{:08x}", rand::random::<u32>()),
        stopping: CancellationToken::new(),
        panics: Arc::default(),
    });
    shared.log.follow(&config.settings.access_log);
    super::meters::gauge_places(&metrics, shared.places.clone());
    let proxy = Proxy { routes, shared, addresses: listeners.addresses().into(), threads: Arc::default() };
    let plane = PlaneTask { proxy: proxy.clone(), listeners };
    Ok((proxy, Tasks { routes: sync, tls: tls_task, acme, plane }))
}

impl Shared {
    /// Monotonic time, the same on all workers and in every table; never 0.
    pub(super) fn now_micros(&self) -> u64 {
        self.time.micros()
    }
}

impl Proxy {
    /// What it listens on, ports that were asked for as 0 included.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The routes: what they are, what they were made of, other ones.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The certificates: how they do, other ones.
    pub fn tls(&self) -> &Tls {
        &self.shared.tls
    }

    /// Connections from now on live under these settings, requests under these routes. Where it listens, and by how
    /// many threads, stays.
    pub fn apply(&self, config: Config) {
        self.shared.log.follow(&config.settings.access_log);
        self.shared.settings.store(Arc::new(config.settings));
        self.routes.apply(config.routes);
        self.shared.tls.apply(config.tls);
    }

    /// Ends once every thread has run a task: for a watchdog.
    pub async fn answer(&self) {
        let threads = self.threads.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        for thread in threads {
            // A thread whose runtime is being shut down has answered.
            let _ = thread.spawn(async {}).await;
        }
    }

    /// Panics of connections so far.
    pub fn panics(&self) -> u64 {
        self.shared.panics.load(std::sync::atomic::Ordering::Relaxed)
    }
}

impl PlaneTask {
    /// Serves until `stop`, then lets requests in flight finish. An error, or the end before, is a fault.
    pub async fn run(self, stop: CancellationToken) {
        let Self { proxy, listeners } = self;
        let (cut, _cut_on_drop) = {
            let cut = CancellationToken::new();
            (cut.clone(), cut.drop_guard())
        };
        let mut ends = Vec::new();
        for (id, of_worker) in listeners.of_workers.into_iter().enumerate() {
            match worker::start(id, proxy.shared.clone(), of_worker, stop.clone(), cut.clone()) {
                Ok((thread, end)) => {
                    proxy.threads.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(thread);
                    ends.push(end);
                }
                Err(error) => return tracing::error!(%error, "cannot start a thread of the proxy"),
            }
        }
        let mut all = std::pin::pin!(futures_util::future::try_join_all(ends));
        tokio::select! {
            ended = all.as_mut() => return tracing::error!(?ended, "a thread of the proxy ended by itself"),
            () = stop.cancelled() => {}
        }
        proxy.shared.stopping.cancel();
        if tokio::time::timeout(DRAIN_TIMEOUT, all.as_mut()).await.is_err() {
            tracing::warn!("requests still in flight at the end of the drain were cut");
            cut.cancel();
            // Threads end as soon as they see it.
            let _ = tokio::time::timeout(DRAIN_TIMEOUT, all).await;
        }
        proxy.shared.log.close().await;
    }
}
