//! A daemon without cameras, in this process, whose proxy listens: what tests of services and routes stand on.

use super::harness::{Api, until};
use crate::{
    app::Daemon,
    config::{self, Env},
    outbound::{Address, Client, Connection, Limits},
};
use bytes::Bytes;
use serde_json::Value;
use std::net::SocketAddr;
use tempfile::TempDir;

/// The daemon, and where it keeps things.
pub(super) struct Gate {
    pub api: Api,
    pub dir: TempDir,
    pub proxy: SocketAddr,
    daemon: Daemon,
}

/// Everything goes to this service.
pub(super) const ALL_TO_WEB: &str = "[[proxy.route]]\nname = 'all'\npath_prefix = '/'\nservice = 'web'\n";

impl Gate {
    /// With two workers, and `more` in its configuration.
    pub(super) async fn open(more: &str) -> Self {
        Self::open_in(tempfile::tempdir().unwrap(), more).await
    }

    /// As [`Gate::open`], over what is there already.
    pub(super) async fn open_in(dir: TempDir, more: &str) -> Self {
        let text = format!(
            "data_dir = '{dir}/data'\n[admin]\nlisten = 'unix:{dir}/admin.sock'\n\
             [proxy]\nlisten = ['127.0.0.1:0']\nworkers = 2\n{more}\n",
            dir = dir.path().display()
        );
        let file = dir.path().join("config.toml");
        std::fs::write(&file, text).unwrap();
        let env = Env::new::<&str, &str>([], "test");
        let config = config::load(&file, &env).unwrap_or_else(|faults| panic!("{faults}"));
        let daemon = Daemon::start(config, Some(file), env).await.unwrap();
        Self { api: Api::of(dir.path()), dir, proxy: daemon.proxy_addresses()[0], daemon }
    }

    /// Stops; what it kept stays.
    pub(super) async fn close(self) -> TempDir {
        assert!(self.daemon.stop().await, "it did not stop in time");
        self.dir
    }

    /// Where clients of Consul are served, which its configuration has to say.
    pub(super) fn consul(&self) -> SocketAddr {
        self.daemon.consul_address().expect("[registry] consul_listen is set")
    }

    /// Where clients of etcd are served, which its configuration has to say.
    pub(super) fn etcd(&self) -> SocketAddr {
        self.daemon.etcd_address().expect("[registry] etcd_listen is set")
    }

    /// A connection to the proxy that stays.
    pub(super) async fn connection(&self) -> Connection {
        let address = Address::Tcp { host: self.proxy.ip().to_string(), port: self.proxy.port() };
        Client::new(address, Limits::default()).connect().await.unwrap()
    }

    /// Puts an instance; it was served when that was answered.
    pub(super) async fn register(&self, id: &str, body: Value) {
        let path = format!("/api/v1/services/web/instances/{id}");
        let (status, answer) = self.api.put(&path, body.to_string()).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        assert_eq!((status, &answer["served"]), (200, &Value::Bool(true)), "{answer}");
    }

    /// Waits until an instance is so; what the API says of it.
    pub(super) async fn until(&self, id: &str, health: &str) -> Value {
        let path = format!("/api/v1/services/web/instances/{id}");
        until(&format!("{id} {health}"), || async {
            let (status, body) = self.api.try_get(&path).await?;
            let view: Value = serde_json::from_slice(&body).ok().filter(|_| status == 200)?;
            (view["health"] == health).then_some(view)
        })
        .await
    }
}

/// One request, its status and its body.
pub(super) async fn get(connection: &mut Connection, path: &str) -> (u16, String) {
    let answer = connection.request(http::Request::get(path).body(Bytes::new()).unwrap()).await.unwrap();
    (answer.status().as_u16(), String::from_utf8_lossy(answer.body()).into_owned())
}
