//! The same through a whole daemon: `PUT` and `DELETE` over the API's socket, answered once they are durable and the
//! proxy serves by them, and in turn with each of them one durable commit of a store on the same disk.

use super::{Result, durable::show, process};
use skyvis::{
    base::Metrics,
    disk::Files,
    outbound::{Address, Client, Connection, Limits},
    store::{Batch, Codec, Keyspace, Options, Store},
};
use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const ROWS: Keyspace<String> = Keyspace::new(0x50, "one row", Codec::Json);
/// A site has a route or two for each of its services.
const SERVICES: usize = 20;

/// A daemon that is ready, until it is dropped.
pub struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        process::end(&mut self.0);
    }
}

impl Daemon {
    /// With its data, its socket and its log in this directory, and `more` in its configuration.
    pub async fn start(dir: &Path, more: &str) -> Result<Self> {
        fs::create_dir_all(dir)?;
        let text =
            format!("data_dir = '{dir}/data'\n[admin]\nlisten = 'unix:{dir}/admin.sock'\n{more}", dir = dir.display());
        let config = dir.join("config.toml");
        fs::write(&config, text)?;
        let mut command = Command::new(env!("CARGO_BIN_EXE_skyvis"));
        command.args(["run", "--config"]).arg(&config).stdin(Stdio::null()).stderr(fs::File::create(dir.join("log"))?);
        let daemon = Self(command.spawn()?);
        let client = Client::new(Address::Unix(dir.join("admin.sock")), Limits::default());
        let ready = || http::Request::get("/readyz").body(bytes::Bytes::new());
        let began = Instant::now();
        while client.request(ready()?).await.map_or(0, |a| a.status().as_u16()) != 200 {
            if began.elapsed() > Duration::from_secs(30) {
                return Err(format!("the daemon is not ready: {}", fs::read_to_string(dir.join("log"))?).into());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(daemon)
    }
}

/// A store of one's own on the same disk: what one durable commit takes.
pub struct Beside(Store);

impl Beside {
    pub fn open(dir: &Path) -> Result<Self> {
        Ok(Self(Store::open(&dir.join("beside"), Options::default(), &Files::real(), &Metrics::default())?))
    }

    pub async fn commit(&self, n: usize) -> Result<Duration> {
        let at = Instant::now();
        self.0.commit(Batch::new().put(&ROWS, format!("{n}").as_bytes(), &"x".repeat(300))?).await?;
        Ok(at.elapsed())
    }

    pub async fn close(self) {
        self.0.close().await;
    }
}

pub async fn served(dir: &Path, writes: usize) -> Result<()> {
    let dir = dir.join("daemon");
    let mut more = "[proxy]\nlisten = ['127.0.0.1:0']\n".to_owned();
    for n in 0..SERVICES {
        more += &format!("[[proxy.route]]\nname = 'r{n}'\npath_prefix = '/{n}/'\nservice = 's{n}'\n");
    }
    let _daemon = Daemon::start(&dir, &more).await?;
    let client = Client::new(Address::Unix(dir.join("admin.sock")), Limits::default());
    let beside = Beside::open(&dir)?;
    let mut api = client.connect().await?;
    let (mut commits, mut puts, mut deletes) = (Vec::new(), Vec::new(), Vec::new());
    let began = Instant::now();
    for n in 0..writes {
        commits.push(beside.commit(n).await?);
        let path = format!("/api/v1/services/s{}/instances/i{}", n % SERVICES, n % 500);
        let at = Instant::now();
        write(&mut api, "PUT", &path, format!("{{\"address\": \"10.0.0.1\", \"port\": {}}}", 1 + n % 60_000)).await?;
        puts.push(at.elapsed());
        if n % 4 == 0 {
            let at = Instant::now();
            write(&mut api, "DELETE", &path, String::new()).await?;
            deletes.push(at.elapsed());
        }
    }
    let took = began.elapsed();
    show("one commit of the store", took, commits);
    show("… in turn with PUT of an instance, durable and served", took, puts);
    show("… and with DELETE, durable and served", took, deletes);
    beside.close().await;
    Ok(())
}

async fn write(api: &mut Connection, method: &str, path: &str, body: String) -> Result<()> {
    let answer = api.request(http::Request::builder().method(method).uri(path).body(body.into())?).await?;
    let told = String::from_utf8_lossy(answer.body());
    match answer.status().as_u16() == 200 && told.contains("\"served\":true") {
        true => Ok(()),
        false => Err(format!("{method} {path}: {} {told}", answer.status()).into()),
    }
}
