//! From catalog and configuration to the table in force: made off the workers, swapped whole.
//!
//! What comes while a table is made is taken in by the next one, so that a thousand changes a second cost as many
//! tables as there is time for. A table that cannot be made leaves the one before in force, and says so. Workers load
//! the table for each request, so once it is swapped every request that follows goes by it: that is when its revision
//! is told as served.

use super::{
    config::Route,
    counted::RouteCounts,
    resolve::Resolver,
    table::{Builder, BuiltIn, Explained, RequestView, Resolved, RouteMeters, RouteTable, RouteView},
};
use crate::{
    base::{
        Clock, Metrics,
        metrics::{Counter, Gauge},
        panic_message,
    },
    model::Catalog,
    outbound::Lookup,
};
use arc_swap::ArcSwap;
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

/// The table in force. Load it once for each request.
pub type Cell = Arc<ArcSwap<RouteTable>>;

/// A table that takes longer to make is followed by a rest as long: half of one thread is the most that tables take.
const QUICK: Duration = Duration::from_millis(1);

/// Microseconds of monotonic time, the same for all threads of a proxy; never 0.
#[derive(Clone, Debug)]
pub struct Time {
    clock: Clock,
    began: Instant,
}

impl Time {
    /// Begins at 1.
    pub fn new(clock: Clock) -> Self {
        Self { began: clock.now(), clock }
    }

    /// Now.
    pub fn micros(&self) -> u64 {
        u64::try_from((self.clock.now() - self.began).as_micros()).unwrap_or(u64::MAX).saturating_add(1)
    }
}

/// What tables are made of, and for whom.
pub struct Deps {
    /// All services.
    pub catalog: watch::Receiver<Arc<Catalog>>,
    /// Who knows the addresses of host names.
    pub lookup: Lookup,
    /// For rests.
    pub clock: Clock,
    /// The time of the proxy's threads.
    pub time: Time,
    /// Where tables and requests are counted.
    pub metrics: Metrics,
    /// Routes of the process itself.
    pub built_in: Vec<BuiltIn>,
    /// How many threads count requests.
    pub workers: usize,
}

/// What became of the last table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableState {
    /// The revision of the catalog that all workers serve.
    pub revision: u64,
    /// The number of the table in force.
    pub version: u64,
    /// Why the table after it could not be made, and for which revision; None: there is none.
    pub failed: Option<(u64, Arc<str>)>,
    /// Routes that have nobody to serve them now, with what is missing.
    pub down: BTreeMap<Arc<str>, String>,
}

/// The table, for whoever shows it, serves it or changes its routes. Cheap to clone.
#[derive(Clone)]
pub struct Routes {
    cell: Cell,
    time: Time,
    wanted: watch::Sender<Arc<[Arc<Route>]>>,
    served: watch::Receiver<u64>,
    state: watch::Receiver<TableState>,
}

/// Makes tables.
pub struct SyncTask {
    builder: Builder,
    cell: Cell,
    catalog: watch::Receiver<Arc<Catalog>>,
    wanted: watch::Receiver<Arc<[Arc<Route>]>>,
    resolved: watch::Receiver<Arc<Resolved>>,
    hosts: watch::Sender<BTreeSet<Arc<str>>>,
    resolver: Resolver,
    clock: Clock,
    time: Time,
    served: watch::Sender<u64>,
    state: watch::Sender<TableState>,
    counts: Arc<Mutex<Vec<Arc<RouteMeters>>>>,
    meters: Meters,
    /// What the builder knows.
    configured: Arc<[Arc<Route>]>,
}

struct Meters {
    tables: Counter,
    failures: Counter,
    routes: Gauge,
    revision: Gauge,
    build_micros: Gauge,
}

/// The first table is there at once, but for host names of fixed upstreams, which the task resolves.
pub fn build(routes: Vec<Route>, deps: Deps) -> (Routes, SyncTask) {
    let routes: Arc<[Arc<Route>]> = routes.into_iter().map(Arc::new).collect();
    let mut builder = Builder::new(deps.workers, deps.built_in);
    builder.configure(&routes);
    let first = Arc::new(Resolved::default());
    let mut catalog = deps.catalog;
    let now = catalog.borrow_and_update().clone();
    let (table, failed) = match builder.build(&now, &first, deps.time.micros()) {
        Ok(table) => (table, None),
        Err(error) => {
            tracing::error!(%error, "the first table of routes cannot be made, no route of a service is served");
            let failed = Some((now.revision, error.to_string().into()));
            (builder.empty(), failed)
        }
    };
    let state = TableState { revision: table.revision(), version: table.version(), failed, down: table.down() };
    let cell: Cell = Arc::new(ArcSwap::from_pointee(table));
    let configured = routes.clone();
    let (wanted_tx, wanted) = watch::channel(routes);
    let (hosts, hosts_rx) = watch::channel(builder.hosts());
    let (resolved_tx, resolved) = watch::channel(first);
    let (served, served_rx) = watch::channel(state.revision);
    let (state, state_rx) = watch::channel(state);
    let counts = Arc::new(Mutex::new(builder.meters()));
    deps.metrics.collect(RouteCounts(counts.clone()));
    let meters = Meters::new(&deps.metrics);
    meters.show(&cell.load(), Duration::ZERO);
    let resolver = Resolver { lookup: deps.lookup, clock: deps.clock.clone(), hosts: hosts_rx, resolved: resolved_tx };
    let handle =
        Routes { cell: cell.clone(), time: deps.time.clone(), wanted: wanted_tx, served: served_rx, state: state_rx };
    let task = SyncTask {
        builder,
        cell,
        catalog,
        wanted,
        resolved,
        hosts,
        resolver,
        clock: deps.clock,
        time: deps.time,
        served,
        state,
        counts,
        meters,
        configured,
    };
    (handle, task)
}

impl Routes {
    /// Where workers load the table from.
    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    /// The revision of the catalog that every request from now on goes by.
    pub fn served(&self) -> watch::Receiver<u64> {
        self.served.clone()
    }

    /// What became of the last table.
    pub fn state(&self) -> TableState {
        self.state.borrow().clone()
    }

    /// The same, as it changes.
    pub fn watch_state(&self) -> watch::Receiver<TableState> {
        self.state.clone()
    }

    /// Takes other routes. Those that did not change go on as they are, with what is counted of them.
    pub fn apply(&self, routes: Vec<Route>) {
        self.wanted.send_replace(routes.into_iter().map(Arc::new).collect());
    }

    /// All routes in the order in which they are matched.
    pub fn list(&self) -> Vec<RouteView> {
        self.cell.load().routes(self.time.micros()).collect()
    }

    /// What a request would meet.
    pub fn explain(&self, view: &RequestView<'_>) -> Explained {
        self.cell.load().explain(view, self.time.micros())
    }
}

impl SyncTask {
    /// Makes tables until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let Self {
            mut builder,
            cell,
            mut catalog,
            mut wanted,
            mut resolved,
            hosts,
            resolver,
            clock,
            time,
            served,
            state,
            counts,
            meters,
            mut configured,
        } = self;
        let syncing = async {
            loop {
                tokio::select! {
                    Ok(()) = catalog.changed() => {}
                    Ok(()) = wanted.changed() => {}
                    Ok(()) = resolved.changed() => {}
                    else => std::future::pending().await,
                }
                let began = clock.now();
                let routes = wanted.borrow_and_update().clone();
                let (now, names) = (catalog.borrow_and_update().clone(), resolved.borrow_and_update().clone());
                let others = (!Arc::ptr_eq(&routes, &configured)).then_some(&*routes);
                let made = make(&mut builder, others, &now, &names, time.micros());
                if made.is_ok() && others.is_some() {
                    configured = routes.clone();
                    *counts.lock().unwrap_or_else(PoisonError::into_inner) = builder.meters();
                    hosts.send_replace(builder.hosts());
                }
                match made {
                    Ok(table) => {
                        let (revision, version) = (table.revision(), table.version());
                        let down = table.down();
                        cell.store(Arc::new(table));
                        state.send_replace(TableState { revision, version, failed: None, down });
                        served.send_replace(revision);
                        meters.show(&cell.load(), clock.now() - began);
                    }
                    Err(error) => {
                        meters.failures.inc();
                        let failed = Some((now.revision, Arc::from(error.as_str())));
                        if state.send_if_modified(|s| std::mem::replace(&mut s.failed, failed.clone()) != failed) {
                            tracing::error!(%error, "the table of routes cannot be made, the one before stays in force");
                        }
                    }
                }
                let took = clock.now() - began;
                if took > QUICK {
                    clock.sleep(took).await;
                }
            }
        };
        tokio::select! {
            () = syncing => {}
            () = resolver.run() => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Makes a table, of other routes where there are some. A panic in there is a failure as any other: the routes and the
/// table before stay in force, and the builder, whose parts are replaced whole, takes the next change from there.
fn make(
    builder: &mut Builder,
    others: Option<&[Arc<Route>]>,
    catalog: &Catalog,
    resolved: &Arc<Resolved>,
    now_micros: u64,
) -> Result<RouteTable, String> {
    let making = || {
        if let Some(routes) = others {
            builder.configure(routes);
        }
        builder.build(catalog, resolved, now_micros)
    };
    match catch_unwind(AssertUnwindSafe(making)) {
        Ok(made) => made.map_err(|error| error.to_string()),
        Err(payload) => Err(format!("making it panicked, which is a bug: {}", panic_message(payload.as_ref()))),
    }
}

impl Meters {
    fn new(metrics: &Metrics) -> Self {
        Self {
            tables: metrics.register("proxy_tables", "Tables of routes made", Counter::default()),
            failures: metrics.register(
                "proxy_table_failures",
                "Tables of routes that could not be made",
                Counter::default(),
            ),
            routes: metrics.register("proxy_routes", "Routes", Gauge::default()),
            revision: metrics.register(
                "proxy_catalog_revision",
                "The revision of the catalog that is served",
                Gauge::default(),
            ),
            build_micros: metrics.register(
                "proxy_table_build_microseconds",
                "What the last table took to be made",
                Gauge::default(),
            ),
        }
    }

    fn show(&self, table: &RouteTable, took: Duration) {
        self.tables.inc();
        self.routes.set(i64::try_from(table.len()).unwrap_or(i64::MAX));
        self.revision.set(i64::try_from(table.revision()).unwrap_or(i64::MAX));
        self.build_micros.set(i64::try_from(took.as_micros()).unwrap_or(i64::MAX));
    }
}

#[cfg(test)]
mod tests;
