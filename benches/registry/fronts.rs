//! Registered as with Consul, heard of as with etcd, routed by the proxy: how long each takes, and how much of it is the
//! durable commit. Each registration moves the one instance to the other of two origins, so that a request that comes
//! from the right one was routed by that very revision. And how long it takes until all have heard who wait as with Consul.

use super::{
    Result,
    daemon::{Beside, Daemon},
    durable::show,
    wire::Peer,
};
use futures_util::future::join_all;
use skyvis::{
    base::TaskGroup,
    outbound::{Address, Client, Connection, Limits},
    serve::{self, HandlerFn, Listener, ListenerKind, Response, Server},
};
use std::{
    error::Error,
    net::{SocketAddr, TcpListener},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

const ORIGINS: [&str; 2] = ["one", "other"];
/// Reads that wait, a connection each: as many as any host has room for.
const READERS: usize = 400;
/// Time for them to arrive.
const ARRIVAL: Duration = Duration::from_millis(100);

pub async fn fronts(dir: &Path, writes: usize) -> Result<()> {
    let dir = dir.join("fronts");
    let (consul, etcd, proxy) = (free_port()?, free_port()?, free_port()?);
    let more = format!(
        "[proxy]\nlisten = ['{proxy}']\n[[proxy.route]]\nname = 'all'\npath_prefix = '/'\nservice = 'web'\n\
         [registry]\nconsul_listen = '{consul}'\netcd_listen = '{etcd}'\nservice_prefix = '/s/'\n"
    );
    let _daemon = Daemon::start(&dir, &more).await?;
    let (beside, group) = (Beside::open(&dir)?, TaskGroup::new());
    let origins = [origin(ORIGINS[0], &group).await?, origin(ORIGINS[1], &group).await?];
    let mut watch = Peer::connect(etcd).await?.watch("/s/", "/s0", 1).await?;
    let (mut registering, mut asking) = (connection(consul).await?, connection(proxy).await?);
    let (mut commits, mut heard, mut served, mut routed) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let began = Instant::now();
    for n in 0..writes {
        commits.push(beside.commit(n).await?);
        let body = registration(origins[n % 2].port());
        let at = Instant::now();
        let hearing = async {
            watch.take_events(1).await?;
            Ok::<_, Box<dyn Error>>(at.elapsed())
        };
        let answering = async {
            let answer = send(&mut registering, "PUT", "/v1/agent/service/register", body).await?;
            Ok(answer.is_empty().then(|| at.elapsed()).ok_or(answer)?)
        };
        let (hears, answers) = tokio::try_join!(hearing, answering)?;
        let by = send(&mut asking, "GET", "/", String::new()).await?;
        if by != ORIGINS[n % 2] {
            return Err(format!("registration {n} was answered, and a request still went to {by}").into());
        }
        routed.push(at.elapsed());
        heard.push(hears);
        served.push(answers);
    }
    let took = began.elapsed();
    let commit = show("one commit of the store", took, commits);
    show("… in turn with a registration as with Consul, until a watch of etcd has heard of it", took, heard);
    let answered = show("… until it is answered, durable and routed", took, served);
    show("… until a request has come back from where it leads", took, routed);
    println!("| … from commit to route, by the medians | | {:.2?} | |", answered.saturating_sub(commit));
    readers(consul, &mut registering, (writes / 100).max(2)).await?;
    beside.close().await;
    group.stop(Duration::from_secs(5)).await;
    Ok(())
}

fn registration(port: u16) -> String {
    format!("{{\"Name\": \"web\", \"ID\": \"a\", \"Address\": \"127.0.0.1\", \"Port\": {port}}}")
}

/// From a registration to the answer of the last that waits for it.
async fn readers(consul: SocketAddr, registering: &mut Connection, rounds: usize) -> Result<()> {
    let mut waiting = Vec::new();
    for _ in 0..READERS {
        waiting.push(connection(consul).await?);
    }
    let path = "/v1/health/service/web";
    let request = |path: &str| http::Request::get(path).body(bytes::Bytes::new());
    let began = Instant::now();
    let mut times = Vec::new();
    for n in 0..rounds {
        let now = registering.request(request(path)?).await?;
        let index = now.headers().get("x-consul-index").ok_or("a read has an index")?.to_str()?;
        let path = format!("{path}?index={index}&wait=60s");
        let reads =
            waiting.iter_mut().map(async |reader| Ok::<_, Box<dyn Error>>(reader.request(request(&path)?).await?));
        let written = async {
            tokio::time::sleep(ARRIVAL).await;
            let at = Instant::now();
            send(registering, "PUT", "/v1/agent/service/register", registration(1 + n as u16)).await?;
            Ok::<_, Box<dyn Error>>(at)
        };
        let (at, read) = tokio::join!(written, join_all(reads));
        times.push(at?.elapsed());
        for answer in read {
            let port = format!("\"Port\":{}", 1 + n);
            let told = answer?;
            if !String::from_utf8_lossy(told.body()).contains(&port) {
                return Err(format!("a read did not hear of {port}").into());
            }
        }
    }
    show(&format!("a registration until {READERS} reads that waited are answered"), began.elapsed(), times);
    Ok(())
}

fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A server that says its name.
async fn origin(name: &'static str, group: &TaskGroup) -> Result<SocketAddr> {
    let listener = Listener::tcp("127.0.0.1:0".parse()?, ListenerKind::Admin).await?;
    let address = listener.local_addr().ok_or("a port was asked for")?;
    let answers = Arc::new(HandlerFn(move |_| async move { Response::new(name.into()) }));
    group.spawn("origin", Server::run(listener, answers, serve::Limits::default(), group.stop_token()));
    Ok(address)
}

async fn connection(to: SocketAddr) -> Result<Connection> {
    let to = Address::Tcp { host: to.ip().to_string(), port: to.port() };
    Ok(Client::new(to, Limits::default()).connect().await?)
}

async fn send(to: &mut Connection, method: &str, path: &str, body: String) -> Result<String> {
    let answer = to.request(http::Request::builder().method(method).uri(path).body(body.into())?).await?;
    let told = String::from_utf8_lossy(answer.body()).into_owned();
    match answer.status().as_u16() {
        200 => Ok(told),
        status => Err(format!("{method} {path}: {status} {told}").into()),
    }
}
