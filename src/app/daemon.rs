//! A running daemon: all rooms built, wired and started in order, and stopped in order. `run`, `demo` and the tests
//! stand on it alike.

use super::{
    Error, Rooms,
    alive::Alive,
    care,
    phases::{Phases, STORE_CLOSE, run_room},
    reload::Reloading,
    systemd, tell, wiring,
};
use crate::{
    base::Clock,
    config::{Config, Env},
    playback::rtsp,
    serve::{self, Handler, Limits, Listener, ListenerKind, Server},
    store::EXPORTS_DIR,
};
use std::{
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    sync::Arc,
};
use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;

/// A daemon that serves. Call [`Daemon::stop`]; dropping it leaves its tasks to end on their own.
pub struct Daemon {
    phases: Phases,
    store: crate::store::Store,
    reloading: Arc<Reloading>,
    rooms: Rooms,
    /// Where it really listens, ports that were asked for as 0 included.
    admin: Option<SocketAddr>,
    proxy: Vec<SocketAddr>,
    etcd: Option<SocketAddr>,
    consul: Option<SocketAddr>,
    rtsp: Option<SocketAddr>,
    ended: tokio::sync::Mutex<mpsc::Receiver<&'static str>>,
}

impl Daemon {
    /// Starts everything that `config` says. `file` is what a reload reads; without one there is nothing to reload.
    pub async fn start(config: Config, file: Option<PathBuf>, env: Env) -> Result<Self, Error> {
        let started = Self::start_unless(std::future::pending(), config, file, env).await?;
        Ok(started.expect("only a stop gives a start up, and this one never comes"))
    }

    /// As [`Daemon::start`], but given up as soon as `stop` ends: None, with nothing left that runs.
    pub async fn start_unless(
        stop: impl Future<Output = ()>,
        config: Config,
        file: Option<PathBuf>,
        env: Env,
    ) -> Result<Option<Self>, Error> {
        let phases = Phases::default();
        let started = tokio::select! {
            biased;
            () = stop => None,
            started = Self::start_in(&phases, config, file, env) => Some(started),
        };
        match started.transpose() {
            Ok(Some(daemon)) => Ok(Some(daemon)),
            // What was started before must not outlive it.
            given_up => {
                phases.stop().await;
                given_up
            }
        }
    }

    async fn start_in(phases: &Phases, config: Config, file: Option<PathBuf>, env: Env) -> Result<Self, Error> {
        let clock = Clock::real();
        let began = clock.now();
        let (ended_tx, ended) = mpsc::channel(1);
        let mut sockets = systemd::tcp_sockets();
        let admin_socket = take_admin(&config, &mut sockets);
        let (rooms, plane) = wiring::build(&config, phases, sockets, clock.clone(), ended_tx.clone()).await?;
        let given_up = phases.cancel_on_drop();
        let reloading = Reloading::new(config.clone(), file, env, &rooms);
        let admin_handler = wiring::admin(&config, &rooms, phases, reloading.clone());

        // Listeners come last: whoever reaches one reaches a daemon that is ready.
        let admin = match admin_socket {
            Some(socket) => Listener::from_std_tcp(socket, ListenerKind::Admin)?,
            None => bind_admin(&config).await?,
        };
        let admin_address = admin.local_addr();
        let proxy_addresses = rooms.proxy.addresses().to_vec();
        let etcd = serve_etcd(&config, &rooms, phases, &ended_tx).await?;
        let consul = serve_consul(&config, &rooms, phases, &ended_tx).await?;
        let rtsp = serve_rtsp(&config, &rooms, phases, &ended_tx).await?;
        serve(phases, admin, admin_handler, &ended_tx);
        run_room(&phases.listeners, "proxy", &ended_tx, plane.run(phases.listeners.stop_token()));
        reloading.watch_file(&phases.listeners, clock.clone());
        let alive = Arc::new(Alive::new(&rooms, config.store_dir()));
        wiring::watchdog(&rooms, alive.clone(), phases);
        care::export_store(&rooms, phases, config.data_dir.join(EXPORTS_DIR), &ended_tx);
        care::watch_store(&rooms, alive, phases, &ended_tx);
        care::watch_clock(&rooms, phases);
        tell::watch_routes(&rooms, phases);
        tell::watch_certificates(&rooms, phases);
        rooms.ready();
        let _running = given_up.map(DropGuard::disarm);
        let daemon = Self {
            phases: phases.clone(),
            store: rooms.store.clone(),
            reloading,
            rooms,
            admin: admin_address,
            proxy: proxy_addresses,
            etcd,
            consul,
            rtsp,
            ended: tokio::sync::Mutex::new(ended),
        };
        let took_ms = u64::try_from((clock.now() - began).as_millis()).unwrap_or(u64::MAX);
        tracing::info!(admin = %config.admin.listen, bound = ?daemon.admin, proxy = ?daemon.proxy, etcd = ?daemon.etcd, consul = ?daemon.consul, rtsp = ?daemon.rtsp, webrtc = ?daemon.webrtc_address(), took_ms, "ready");
        Ok(daemon)
    }

    /// The admin endpoint's bound address; None on a unix socket.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The proxy listeners' bound addresses.
    pub fn proxy_addresses(&self) -> &[SocketAddr] {
        &self.proxy
    }

    /// The bound address for clients of etcd, where there is one.
    pub fn etcd_address(&self) -> Option<SocketAddr> {
        self.etcd
    }

    /// The bound address for clients of Consul, where there is one.
    pub fn consul_address(&self) -> Option<SocketAddr> {
        self.consul
    }

    /// The bound address for players by RTSP, where there is one.
    pub fn rtsp_address(&self) -> Option<SocketAddr> {
        self.rtsp
    }

    /// The bound address for viewers by WebRTC, where there is one.
    pub fn webrtc_address(&self) -> Option<SocketAddr> {
        self.rooms.whep.address()
    }

    /// The rooms' handles, for who drives the daemon from within its process.
    pub fn rooms(&self) -> &Rooms {
        &self.rooms
    }

    /// Reads the file again, all or nothing. The outcome is logged and told to systemd; the names of what changed.
    pub async fn reload(&self, cause: &str) -> Result<Vec<String>, Error> {
        self.reloading.reload(cause).await
    }

    /// One line for `systemctl status`.
    pub fn status_line(&self) -> String {
        self.reloading.status_line()
    }

    /// Ends when the task of a room ends while it should run: its name.
    pub async fn room_ended(&self) -> &'static str {
        match self.ended.lock().await.recv().await {
            Some(room) => room,
            None => std::future::pending().await,
        }
    }

    /// Stops in order. True where every phase ended in its time.
    pub async fn stop(self) -> bool {
        self.rooms.stopping();
        let mut in_time = self.phases.stop().await;
        if tokio::time::timeout(STORE_CLOSE, self.store.close()).await.is_err() {
            // Nothing is lost by it: what was acknowledged is durable.
            tracing::error!(deadline_s = STORE_CLOSE.as_secs(), "the store did not close in time, going on without it");
            in_time = false;
        }
        tracing::info!(in_time, "stopped");
        in_time
    }
}

fn serve(phases: &Phases, listener: Listener, handler: Arc<dyn Handler>, ended: &mpsc::Sender<&'static str>) {
    let stop = phases.listeners.stop_token();
    run_room(&phases.listeners, "listener", ended, Server::run(listener, handler, Limits::default(), stop));
}

/// Clients hold a connection each, and more of them than people.
const ETCD_CONNECTIONS_MAX: usize = 4_096;

/// Serves clients of etcd, where the configuration says so. Where it did.
async fn serve_etcd(
    config: &Config,
    rooms: &Rooms,
    phases: &Phases,
    ended: &mpsc::Sender<&'static str>,
) -> Result<Option<SocketAddr>, Error> {
    let Some(wanted) = config.fronts.etcd_listen else { return Ok(None) };
    let listener = Listener::tcp(wanted, ListenerKind::Registry).await?;
    let address = listener.local_addr().unwrap_or(wanted);
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "whoever reaches the etcd listener can change every key and service");
    }
    let (handler, rpc) = wiring::etcd(config, rooms, address);
    let limits = Limits { connections_max: ETCD_CONNECTIONS_MAX, ..Limits::default() };
    let stop = phases.listeners.stop_token();
    run_room(&phases.listeners, "etcd listener", ended, Server::run_rpc(listener, handler, rpc, limits, stop));
    Ok(Some(address))
}

/// Reads that wait for news hold a connection each.
const CONSUL_CONNECTIONS_MAX: usize = 16_384;

/// Serves clients of Consul, where the configuration says so. Where it did.
async fn serve_consul(
    config: &Config,
    rooms: &Rooms,
    phases: &Phases,
    ended: &mpsc::Sender<&'static str>,
) -> Result<Option<SocketAddr>, Error> {
    let Some(wanted) = config.fronts.consul_listen else { return Ok(None) };
    let listener = Listener::tcp(wanted, ListenerKind::Registry).await?;
    let address = listener.local_addr().unwrap_or(wanted);
    if !address.ip().is_loopback() && config.fronts.consul_token.is_none() {
        tracing::warn!(%address, "whoever reaches the consul listener can change every service; set registry.consul_token_file");
    }
    let handler = wiring::consul(config, rooms, address);
    let limits = Limits { connections_max: CONSUL_CONNECTIONS_MAX, ..Limits::default() };
    let stop = phases.listeners.stop_token();
    run_room(&phases.listeners, "consul listener", ended, Server::run(listener, handler, limits, stop));
    Ok(Some(address))
}

/// Serves players by RTSP, where the configuration says so. Where it did.
async fn serve_rtsp(
    config: &Config,
    rooms: &Rooms,
    phases: &Phases,
    ended: &mpsc::Sender<&'static str>,
) -> Result<Option<SocketAddr>, Error> {
    let Some(wanted) = config.playback.rtsp_listen else { return Ok(None) };
    let bound = tokio::net::TcpListener::bind(wanted).await;
    let listener = bound.map_err(|error| serve::Error::Listen { address: wanted.to_string(), error })?;
    let address = listener.local_addr().unwrap_or(wanted);
    if !address.ip().is_loopback() && config.playback.token.is_none() {
        tracing::warn!(%address, "no token is set, so players on this host alone are served; set playback.token_file");
    }
    run_room(&phases.listeners, "rtsp listener", ended, rtsp::serve(listener, wiring::rtsp(config, rooms, phases)));
    Ok(Some(address))
}

/// The socket that systemd has bound to the admin endpoint's address, if it has. What is left is the proxy's.
fn take_admin(config: &Config, sockets: &mut Vec<TcpListener>) -> Option<TcpListener> {
    let crate::config::AdminListen::Tcp(address) = &config.admin.listen else { return None };
    let at = sockets.iter().position(|socket| socket.local_addr().is_ok_and(|bound| bound == *address))?;
    Some(sockets.swap_remove(at))
}

async fn bind_admin(config: &Config) -> Result<Listener, Error> {
    use crate::config::AdminListen;
    Ok(match &config.admin.listen {
        AdminListen::Tcp(address) => Listener::tcp(*address, ListenerKind::Admin).await?,
        // The group may talk to it: operators are put into the service's group.
        AdminListen::Unix(path) => Listener::unix(path, 0o660, ListenerKind::Admin)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_start_is_given_up_for_a_stop_and_leaves_nothing_that_holds_up_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config.toml");
        let (data, socket) = (dir.path().join("data"), dir.path().join("admin.sock"));
        let text = format!(
            "data_dir = '{}'\n[admin]\nlisten = 'unix:{}'\n[proxy]\nlisten = []\n",
            data.display(),
            socket.display()
        );
        std::fs::write(&file, text).unwrap();
        let env = Env::new::<&str, &str>([], "test");
        let config = crate::config::load(&file, &env).unwrap();
        assert!(Daemon::start(config.clone(), None, env.clone()).await.unwrap().stop().await);
        // In the middle of it: the store is being opened, the endpoint is not there yet.
        let stop = tokio::task::yield_now();
        let given_up = Daemon::start_unless(stop, config.clone(), None, env.clone()).await.unwrap();
        assert!(given_up.is_none() && !socket.exists());
        let daemon = Daemon::start(config, None, env).await.unwrap();
        assert!(daemon.stop().await);
    }
}
