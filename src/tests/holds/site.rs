//! A daemon whose proxy and API are on loopback, and what it uses.

use crate::tests::{
    harness::{Api, Process, TELL_HEAP, until},
    heap::Heap,
    soak::Usage,
};
use serde_json::json;
use std::{fs, net::SocketAddr, path::PathBuf};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

pub(super) struct Site {
    pub(super) api: Api,
    pub(super) proxy: SocketAddr,
    pub(super) process: Process,
    head: String,
    dir: TempDir,
}

/// A route to a service.
pub(super) fn route(name: &str, prefix: &str, service: &str) -> String {
    format!("[[proxy.route]]\nname = '{name}'\npath_prefix = '{prefix}'\nservice = '{service}'\n")
}

impl Site {
    /// `proxy` are keys of `[proxy]`, `more` is what follows.
    pub(super) async fn start(proxy: &str, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let head = format!(
            "data_dir = '{dir}/data'\n[admin]\nlisten = 'unix:{dir}/admin.sock'\n[proxy]\nlisten = ['127.0.0.1:0']\n{proxy}\n",
            dir = dir.path().display()
        );
        let (config, heap) = (dir.path().join("config.toml"), dir.path().join("heap"));
        fs::write(&config, format!("{head}{more}")).unwrap();
        let process = Process::start(&config, &dir.path().join("log"), &[(TELL_HEAP, heap.to_str().unwrap())]);
        let api = Api::of(dir.path());
        let proxy = until("readiness", || async {
            api.try_get("/readyz").await.filter(|(status, _)| *status == 200)?;
            let log = process.log_text();
            let (_, bound) = log.split_once("proxy=[")?;
            bound.split_once(']')?.0.parse().ok()
        })
        .await;
        Self { api, proxy, process, head, dir }
    }

    /// Other routes and whatever else follows `[proxy]`; they are in force when this returns.
    pub(super) async fn reload(&self, more: &str) {
        fs::write(self.dir.path().join("config.toml"), format!("{}{more}", self.head)).unwrap();
        let (status, body) = self.api.send("POST", "/api/v1/reload", &[]).await.expect("the API answers");
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    }

    /// The very next request may go there.
    pub(super) async fn register(&self, service: &str, id: &str, address: SocketAddr) {
        let body = json!({ "address": address.ip().to_string(), "port": address.port() }).to_string();
        let put = self.api.put(&format!("/api/v1/services/{service}/instances/{id}"), body).await;
        let (status, body) = put.expect("the API answers");
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    }

    /// The very next request does not go there.
    pub(super) async fn deregister(&self, service: &str, id: &str) {
        let path = format!("/api/v1/services/{service}/instances/{id}");
        let (status, _) = self.api.send("DELETE", &path, &[]).await.expect("the API answers");
        assert!(status == 200 || status == 204, "{status}");
    }

    /// What the daemon has now.
    pub(super) async fn usage(&self) -> Usage {
        let told: PathBuf = self.dir.path().join("heap");
        let _ = fs::remove_file(&told);
        until("its heap", || async { Heap::told(&told) }).await;
        Usage::of(&self.api, &told).await.expect("the daemon answers")
    }

    /// A metric by the begin of its line; 0 where it is not there.
    pub(super) async fn metric(&self, line: &str) -> f64 {
        let text = String::from_utf8(self.api.get("/metrics").await.to_vec()).unwrap();
        text.lines().filter_map(|l| l.strip_prefix(line)?.trim().parse::<f64>().ok()).sum()
    }

    /// Waits until nothing of clients is left.
    pub(super) async fn until_nobody_is_connected(&self) {
        until("all connections' ends", || async {
            (self.metric("skyvis_proxy_connections_open ").await == 0.0).then_some(())
        })
        .await;
    }

    pub(super) async fn connect(&self) -> Client {
        Client { socket: TcpStream::connect(self.proxy).await.unwrap(), read: Vec::new() }
    }

    /// One request on a connection of its own: its status.
    pub(super) async fn get(&self, path: &str) -> u16 {
        self.connect().await.get(path).await.map_or(0, |(status, _)| status)
    }

    /// Ends the daemon as its unit does.
    pub(super) async fn stop(mut self) {
        assert!(self.process.terminate().await, "{}", self.process.log_text());
        assert!(!self.process.log_text().contains("panicked"), "{}", self.process.log_text());
    }
}

/// A client of the proxy.
pub(super) struct Client {
    pub(super) socket: TcpStream,
    read: Vec<u8>,
}

impl Client {
    pub(super) async fn get(&mut self, path: &str) -> Option<(u16, Vec<u8>)> {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await
    }

    /// Status and body; None where the connection ended instead.
    pub(super) async fn ask(&mut self, wire: &str) -> Option<(u16, Vec<u8>)> {
        self.socket.write_all(wire.as_bytes()).await.ok()?;
        self.answer().await
    }

    pub(super) async fn answer(&mut self) -> Option<(u16, Vec<u8>)> {
        let end = loop {
            match self.read.windows(4).position(|w| w == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None => self.more().await?,
            }
        };
        let head = String::from_utf8_lossy(&self.read[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let length = head.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
        while self.read.len() < end + length {
            self.more().await?;
        }
        let body = self.read[end..end + length].to_vec();
        self.read.drain(..end + length);
        Some((status, body))
    }

    async fn more(&mut self) -> Option<()> {
        let n = self.socket.read_buf(&mut self.read).await.ok()?;
        (n > 0).then_some(())
    }
}
