//! Retina, ffmpeg, clients from PyPI and plain HTTP against the simulator.

mod faults;
mod isapi;
mod media;
mod wire;

use super::{encoder::sei::Mark, *};
use crate::base::TaskGroup;
use futures_util::StreamExt;
use retina::{
    client::{Credentials, Demuxed, Described, PlayOptions, Session, SessionOptions, SetupOptions},
    codec::{CodecItem, FrameFormat},
};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Far longer than anything here takes on an idle machine.
const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "Skyvis-2026";
const MAIN: &str = "/Streaming/Channels/101";

async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("in time")
}

/// The simulator, and the group that keeps it: dropping a group stops nothing, but the runtime of a test does.
async fn start(options: Options) -> (Running, TaskGroup) {
    let group = TaskGroup::new();
    (Simulator::start(options, &group).await.unwrap(), group)
}

fn nvr(channels: u32) -> Options {
    Options { kind: DeviceKind::Nvr, channels, ..Options::default() }
}

async fn describe(sim: &Running, path: &str, password: &str) -> Result<Session<Described>, retina::Error> {
    let url = format!("rtsp://{}{path}", sim.rtsp_addr).parse().unwrap();
    let credentials = Credentials { username: "admin".into(), password: password.into() };
    within(Session::describe(url, SessionOptions::default().creds(Some(credentials)))).await
}

async fn play(sim: &Running, path: &str) -> Demuxed {
    let mut session = describe(sim, path, PASSWORD).await.unwrap();
    for n in 0..session.streams().len() {
        if session.streams()[n].media() != "application" {
            let options = SetupOptions::default().frame_format(FrameFormat::MP4);
            within(session.setup(n, options)).await.unwrap();
        }
    }
    within(session.play(PlayOptions::default())).await.unwrap().demuxed().unwrap()
}

/// A video frame as a test sees it.
struct Seen {
    key: bool,
    mark: Mark,
    ticks: i64,
}

/// The next video frame; `None` where the session is over.
async fn next_video(session: &mut Demuxed) -> Option<Seen> {
    loop {
        match within(session.next()).await {
            None | Some(Err(_)) => return None,
            Some(Ok(CodecItem::VideoFrame(frame))) => {
                let mark = Mark::find(frame.data()).expect("a mark in every frame");
                let ticks = frame.timestamp().elapsed();
                return Some(Seen { key: frame.is_random_access_point(), mark, ticks });
            }
            Some(Ok(_)) => {}
        }
    }
}

/// Frames that were on their way may still come, but then the session ends.
async fn assert_ends(session: &mut Demuxed) {
    while next_video(session).await.is_some() {}
}

/// What a plain HTTP request got.
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|l| l.split_once(": "));
        fields.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }
}

async fn http(address: SocketAddr, method: &str, path: &str, authorization: Option<&str>, body: &str) -> Answer {
    let exchange = async {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let authorization = authorization.map(|a| format!("Authorization: {a}\r\n")).unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{authorization}\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).await.unwrap();
        bytes
    };
    let bytes = within(exchange).await;
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n").expect("a whole head");
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: bytes[end + 4..].to_vec() }
}

/// A request to ISAPI with digest: without credentials first, then as the challenge asks.
async fn isapi(sim: &Running, method: &str, path: &str, password: &str, body: &str) -> Answer {
    let refused = http(sim.http_addr, method, path, None, body).await;
    assert_eq!(refused.status, 401);
    let challenge = refused.header("www-authenticate").unwrap();
    let mut client = http_auth::PasswordClient::try_from(challenge).unwrap();
    let parameters =
        http_auth::PasswordParams { username: "admin", password, uri: path, method, body: Some(body.as_bytes()) };
    let authorization = client.respond(&parameters).unwrap();
    http(sim.http_addr, method, path, Some(&authorization), body).await
}

/// A document that must be there.
async fn document(sim: &Running, path: &str) -> String {
    let answer = isapi(sim, "GET", path, PASSWORD, "").await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.text()
}
