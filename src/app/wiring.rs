//! All rooms built and wired in one place. Read it to see who knows whom.

use super::{
    Error, Rooms,
    alive::Alive,
    care,
    phases::{Phases, run_room},
    process,
    reload::Reloading,
    systemd,
};
use crate::{
    admin::{self, Phase},
    archive::{self, Archive},
    base::{Clock, Lanes, Metrics, metrics::Family, metrics::Gauge},
    camera,
    config::Config,
    consul,
    disk::Disk,
    etcd,
    events::{self, Events},
    live::Hub,
    outbound,
    playback::{
        self,
        plays::{self, Plays},
        whep::{self, Whep},
    },
    proxy::{self, PlaneTask, Proxy, table::BuiltIn},
    recorder::{self, Recorder},
    registry::{self, ChecksTask, Registry},
    serve::{self, Handler, Rpc},
    store::{self, Store},
    transcode::{self, Transcoder},
};
use std::{
    collections::BTreeSet,
    net::{SocketAddr, TcpListener},
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::DropGuard;

/// Threads that do all blocking work on files. Two streams' syncs can overlap on one disk; more would only queue there.
const DISK_THREADS: usize = 4;
/// What is sent to the media paths of the proxy: a password by form at most.
const MEDIA_BODY_BYTES_MAX: u64 = 64 << 10;

/// Opens what is kept, takes in what a crash left, and starts everything but the listeners.
pub(super) async fn build(
    config: &Config,
    phases: &Phases,
    sockets: Vec<TcpListener>,
    clock: Clock,
    ended: mpsc::Sender<&'static str>,
) -> Result<(Rooms, PlaneTask), Error> {
    let metrics = Metrics::default();
    count_build(&metrics);
    process::count(&metrics, phases.groups(), config.store_dir());
    make_data_dir(&config.data_dir)?;
    let disk = Disk::real(DISK_THREADS);
    // Footage is written on threads of its own: long reads do not hold it up, and where it hangs, the rest runs on. It is
    // synced on others again: what comes from the cameras reaches the system's memory however long a sync takes.
    let writing = disk.beside(DISK_THREADS).with_syncs(DISK_THREADS);
    let store = open_store(config.store_dir(), &disk, &metrics).await?;
    let (events, task) = events::build(store.clone(), clock.clone(), &metrics)?;
    run_room(&phases.keeping, "events", &ended, task.run(phases.keeping.stop_token()));
    let given_up = phases.cancel_on_drop();

    let registry = start_registry(config, phases, &ended, &disk, &store, &clock, &events, &metrics).await?;
    let archive = start_archive(config, phases, &ended, &disk, &writing, &store, &clock, &events, &metrics).await?;
    let lanes = Lanes::new(std::thread::available_parallelism().map_or(1, usize::from));
    let hub = Hub::new(lanes.clone());
    let recorder = start_recorder(config, phases, &ended, &hub, &archive, &writing, &store, &clock, &events, &metrics)?;
    let (sources, transcoder) =
        start_transcoder(config, phases, &ended, Hub::new(lanes.clone()), &hub, &clock, &events, &metrics);
    let deps = camera::Deps {
        hub: hub.clone(),
        sources,
        events: events.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        group: phases.cameras.clone(),
        store: Some(store.clone()),
    };
    let (cameras, task) = camera::build(config.cameras(), deps);
    run_room(&phases.cameras, "cameras", &ended, task.run(phases.cameras.stop_token()));

    let plays = start_plays(config, phases, &ended, &disk, &store, &clock, &events, &metrics, &registry).await?;
    let whep = start_whep(config, phases, &ended, &hub, &clock, &events, &metrics).await?;
    let deps = playback::Deps {
        footage: Arc::new(archive.clone()),
        plays: plays.clone(),
        whep: whep.clone(),
        group: phases.listeners.here(),
        hub: hub.clone(),
        disk: disk.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
    };
    let playback = playback::build(config.playback(), deps);
    let (proxy, plane) =
        start_proxy(config, phases, sockets, &ended, &clock, &metrics, &disk, &registry, playback.clone())?;
    registry.served_by(proxy.routes().served());
    let (phase, _) = watch::channel(Phase::Starting);
    let _running = given_up.map(DropGuard::disarm);
    let rooms = Rooms {
        disk,
        writing,
        lanes,
        store,
        events,
        hub,
        registry,
        archive,
        recorder,
        cameras,
        transcoder,
        playback,
        plays,
        whep,
        proxy,
        metrics,
        clock,
        phase,
    };
    Ok((rooms, plane))
}

/// Binds the listeners and begins to follow the catalog. What serves is run once everything else is there.
#[expect(clippy::too_many_arguments, reason = "this is the list of what the proxy knows")]
fn start_proxy(
    config: &Config,
    phases: &Phases,
    sockets: Vec<TcpListener>,
    ended: &mpsc::Sender<&'static str>,
    clock: &Clock,
    metrics: &Metrics,
    disk: &Disk,
    registry: &Registry,
    playback: Arc<dyn Handler>,
) -> Result<(Proxy, PlaneTask), Error> {
    let config = config.proxy();
    let listeners = proxy::Listeners::bind(&config, sockets)?;
    let built_in =
        |name, path_prefix| BuiltIn { name, path_prefix, body_max: MEDIA_BODY_BYTES_MAX, handler: playback.clone() };
    let deps = proxy::Deps {
        clock: clock.clone(),
        metrics: metrics.clone(),
        handlers: phases.listeners.here(),
        disk: disk.clone(),
        catalog: registry.catalog(),
        lookup: outbound::system_lookup(),
        built_in: vec![built_in("(vod)", "/vod/"), built_in("(media)", "/media/")],
        listeners,
    };
    let (proxy, tasks) = proxy::build(&config, deps)?;
    run_room(&phases.keeping, "routes", ended, tasks.routes.run(phases.keeping.stop_token()));
    run_room(&phases.keeping, "certificates", ended, tasks.tls.run(phases.keeping.stop_token()));
    if let Some(acme) = tasks.acme {
        run_room(&phases.keeping, "acme", ended, acme.run(phases.keeping.stop_token()));
    }
    Ok((proxy, tasks.plane))
}

/// Services and keys as they were, and those of the file.
#[expect(clippy::too_many_arguments, reason = "this is the list of what the registry knows")]
async fn start_registry(
    config: &Config,
    phases: &Phases,
    ended: &mpsc::Sender<&'static str>,
    disk: &Disk,
    store: &Store,
    clock: &Clock,
    events: &Events,
    metrics: &Metrics,
) -> Result<Registry, Error> {
    let deps = registry::Deps {
        store: store.clone(),
        events: events.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        lookup: outbound::system_lookup(),
    };
    // It reads all of its rows.
    let (registry, task) = disk.run(move |_| registry::build(deps)).await??;
    run_room(&phases.keeping, "registry", ended, task.run(phases.keeping.stop_token()));
    registry.apply(config.registry.clone()).await?;
    let checks = ChecksTask::new(registry.clone(), clock.clone(), metrics, outbound::system_lookup());
    run_room(&phases.keeping, "checks", ended, checks.run(phases.keeping.stop_token()));
    Ok(registry)
}

/// Plays as they were.
#[expect(clippy::too_many_arguments, reason = "this is the list of what plays know")]
async fn start_plays(
    config: &Config,
    phases: &Phases,
    ended: &mpsc::Sender<&'static str>,
    disk: &Disk,
    store: &Store,
    clock: &Clock,
    events: &Events,
    metrics: &Metrics,
    registry: &Registry,
) -> Result<Plays, Error> {
    let deps = plays::Deps {
        store: store.clone(),
        disk: disk.clone(),
        events: events.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        services: Arc::new(Live(registry.clone())),
    };
    let config = config.plays();
    let (plays, task) = disk.run(move |_| plays::build(config, deps)).await??;
    run_room(&phases.keeping, "plays", ended, task.run(phases.keeping.stop_token()));
    Ok(plays)
}

/// The port of WebRTC, where the configuration says so.
async fn start_whep(
    config: &Config,
    phases: &Phases,
    ended: &mpsc::Sender<&'static str>,
    hub: &Hub,
    clock: &Clock,
    events: &Events,
    metrics: &Metrics,
) -> Result<Whep, Error> {
    let listen = config.playback.webrtc_listen;
    let refused = |error| serve::Error::Listen {
        address: listen.address().map_or_else(String::new, |at| format!("{at} (webrtc)")),
        error,
    };
    let sockets = whep::Sockets::bind(listen).await.map_err(refused)?;
    let deps = whep::Deps {
        hub: hub.clone(),
        events: events.clone(),
        group: phases.listeners.here(),
        clock: clock.clone(),
        metrics: metrics.clone(),
    };
    let (whep, task) = whep::build(config.whep(), sockets, deps)?;
    if let Some(task) = task {
        run_room(&phases.listeners, "webrtc", ended, task.run());
    }
    Ok(whep)
}

/// Services by their names, for who asks one of them.
struct Live(Registry);

impl plays::Services for Live {
    fn targets(&self, service: &str) -> Option<Arc<[SocketAddr]>> {
        let name = service.parse().ok()?;
        let instance = self.0.pick(&name, &BTreeSet::new()).ok()?;
        Some(instance.map_or_else(|| Arc::from([]), |instance| instance.targets.clone()))
    }
}

/// What was recorded, with what a crash left taken in.
#[expect(clippy::too_many_arguments, reason = "this is the list of what the archive knows")]
async fn start_archive(
    config: &Config,
    phases: &Phases,
    ended: &mpsc::Sender<&'static str>,
    disk: &Disk,
    writing: &Disk,
    store: &Store,
    clock: &Clock,
    events: &Events,
    metrics: &Metrics,
) -> Result<Archive, Error> {
    let deps = archive::Deps {
        store: store.clone(),
        disk: disk.clone(),
        writing: writing.clone(),
        clock: clock.clone(),
        events: events.clone(),
        metrics: metrics.clone(),
    };
    let (archive, task) = archive::build(config.archive(), deps)?;
    if archive.recover().await?.adopted {
        care::tell_lost_store(disk, config.data_dir.join(store::EXPORTS_DIR)).await;
    }
    run_room(&phases.keeping, "archive", ended, task.run(phases.keeping.stop_token()));
    Ok(archive)
}

#[expect(clippy::too_many_arguments, reason = "this is the list of what the recorder knows")]
fn start_recorder(
    config: &Config,
    phases: &Phases,
    ended: &mpsc::Sender<&'static str>,
    hub: &Hub,
    archive: &Archive,
    disk: &Disk,
    store: &Store,
    clock: &Clock,
    events: &Events,
    metrics: &Metrics,
) -> Result<Recorder, Error> {
    let deps = recorder::Deps {
        hub: hub.clone(),
        archive: archive.clone(),
        disk: disk.clone(),
        clock: clock.clone(),
        events: events.clone(),
        metrics: metrics.clone(),
        store: store.clone(),
    };
    let (recorder, task) = recorder::build(config.recorder(), deps)?;
    run_room(&phases.recorder, "recorder", ended, task.run(phases.recorder.stop_token()));
    Ok(recorder)
}

/// It ends with the cameras: what they gave last is still answered, and recorded.
#[expect(clippy::too_many_arguments, reason = "this is the list of what the room knows")]
fn start_transcoder(
    config: &Config,
    phases: &Phases,
    ended: &mpsc::Sender<&'static str>,
    sources: Hub,
    hub: &Hub,
    clock: &Clock,
    events: &Events,
    metrics: &Metrics,
) -> (Hub, Transcoder) {
    let deps = transcode::Deps {
        sources: sources.clone(),
        hub: hub.clone(),
        clock: clock.clone(),
        events: events.clone(),
        metrics: metrics.clone(),
    };
    let (transcoder, task) = transcode::build(config.transcode(), deps);
    run_room(&phases.cameras, "transcode", ended, task.run(phases.cameras.stop_token()));
    (sources, transcoder)
}

/// The admin endpoint's handler: the one room that sees all handles.
pub(super) fn admin(config: &Config, rooms: &Rooms, phases: &Phases, reloading: Arc<Reloading>) -> Arc<dyn Handler> {
    let view = reloading.view();
    admin::build(
        admin::Config {
            token: config.admin.token.clone(),
            viewer_token: config.admin.viewer_token.clone(),
            node: config.node.clone(),
            data_dir: config.data_dir.clone(),
        },
        admin::Deps {
            cameras: rooms.cameras.clone(),
            recorder: rooms.recorder.clone(),
            transcoder: rooms.transcoder.clone(),
            registry: rooms.registry.clone(),
            archive: rooms.archive.clone(),
            store: rooms.store.clone(),
            events: rooms.events.clone(),
            hub: rooms.hub.clone(),
            routes: rooms.proxy.routes().clone(),
            playback: rooms.playback.clone(),
            plays: rooms.plays.clone(),
            metrics: rooms.metrics.clone(),
            clock: rooms.clock.clone(),
            group: phases.listeners.clone(),
            phase: rooms.phase.subscribe(),
            reloader: reloading,
            config: view,
        },
    )
}

/// Who answers clients of etcd at the address.
pub(super) fn etcd(config: &Config, rooms: &Rooms, address: SocketAddr) -> (Arc<dyn Handler>, Arc<dyn Rpc>) {
    let config = etcd::Config { node: config.node.clone(), address };
    etcd::build(config, etcd::Deps { registry: rooms.registry.clone(), clock: rooms.clock.clone() })
}

/// Who answers clients of Consul at the address.
pub(super) fn consul(config: &Config, rooms: &Rooms, address: SocketAddr) -> Arc<dyn Handler> {
    let config = consul::Config { node: config.node.clone(), address, token: config.fronts.consul_token.clone() };
    consul::build(config, consul::Deps { registry: rooms.registry.clone(), clock: rooms.clock.clone() })
}

/// What players by RTSP are served from.
pub(super) fn rtsp(config: &Config, rooms: &Rooms, phases: &Phases) -> playback::rtsp::Deps {
    playback::rtsp::Deps {
        token: config.playback.token.clone(),
        node: config.node.clone(),
        footage: Arc::new(rooms.archive.clone()),
        hub: rooms.hub.clone(),
        events: rooms.events.clone(),
        group: phases.listeners.here(),
        disk: rooms.disk.clone(),
        clock: rooms.clock.clone(),
        metrics: rooms.metrics.clone(),
    }
}

/// Feeds systemd's watchdog while the runtime, the disk threads and the store all get on.
pub(super) fn watchdog(rooms: &Rooms, alive: Arc<Alive>, phases: &Phases) {
    let (clock, stop) = (rooms.clock.clone(), phases.keeping.stop_token());
    phases.keeping.spawn("watchdog", async move {
        let check = |limit| {
            let alive = alive.clone();
            async move { alive.check(limit).await }
        };
        systemd::watchdog(clock, stop, check).await;
    });
}

/// Sled blocks, and at a start may read its whole log.
async fn open_store(dir: PathBuf, disk: &Disk, metrics: &Metrics) -> Result<Store, Error> {
    let metrics = metrics.clone();
    Ok(disk.run(move |files| Store::open(&dir, store::Options::default(), files, &metrics)).await??)
}

/// The data directory holds footage and secrets' neighbours: nobody else may look.
fn make_data_dir(dir: &Path) -> Result<(), Error> {
    let failed = |error| Error::DataDir { path: dir.to_owned(), error };
    if !dir.exists() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    }
    let found = std::fs::metadata(dir).map_err(failed)?;
    if !found.is_dir() {
        return Err(failed(std::io::ErrorKind::NotADirectory.into()));
    }
    if found.permissions().mode() & 0o007 != 0 {
        tracing::warn!(dir = %dir.display(), "data_dir is open to everybody, chmod 0700 it");
    }
    Ok(())
}

fn count_build(metrics: &Metrics) {
    let family = Family::<Vec<(String, String)>, Gauge>::default();
    family.get_or_create(&vec![("version".into(), env!("CARGO_PKG_VERSION").into())]).set(1);
    metrics.register("build_info", "Which skyvis this is", family);
}
