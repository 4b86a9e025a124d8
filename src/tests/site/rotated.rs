//! The access log as rotation treats it: moved away, SIGHUP, and a new one is there.

use super::peers::free_address;
use crate::{
    outbound::{Address, Client, Limits},
    tests::harness::{Api, Process, until},
};
use bytes::Bytes;
use rustix::process::Signal;
use std::fs;

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_moved_away_is_begun_anew_on_sighup_and_no_line_is_lost_by_the_stop() {
    let dir = tempfile::tempdir().unwrap();
    let (proxy, config) = (free_address(), dir.path().join("config.toml"));
    let (log, moved) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
    let text = format!(
        "data_dir = '{0}/data'\n[admin]\nlisten = 'unix:{0}/admin.sock'\n\
         [proxy]\nlisten = ['{proxy}']\naccess_log = '{0}/access.log'\n\
         [[proxy.route]]\nname = 'all'\nrespond = {{ body = 'x' }}\n",
        dir.path().display()
    );
    fs::write(&config, text).unwrap();
    let mut process = Process::start(&config, &dir.path().join("log"), &[]);
    let api = Api::of(dir.path());
    until("readiness", || async { api.try_get("/readyz").await.filter(|(status, _)| *status == 200) }).await;
    let client = Client::new(Address::Tcp { host: proxy.ip().to_string(), port: proxy.port() }, Limits::default());
    let get = async |path: &str| {
        client.request(http::Request::get(path).header("host", "a").body(Bytes::new()).unwrap()).await.unwrap()
    };
    assert_eq!(get("/one").await.status(), 200);
    until("the first line", || async { fs::read_to_string(&log).ok().filter(|text| text.ends_with('\n')) }).await;
    fs::rename(&log, &moved).unwrap();
    process.signal(Signal::HUP);
    // Before anything is asked: who rotates looks for it, gives it to others, or begins to compress the old one.
    until("the new file", || async { log.exists().then_some(()) }).await;
    assert_eq!(get("/two").await.status(), 200);
    assert!(process.terminate().await, "{}", process.log_text());
    let of = |path| fs::read_to_string(path).unwrap();
    assert!(of(&moved).contains("\"GET /one HTTP/1.1\" 200") && of(&moved).lines().count() == 1, "{}", of(&moved));
    assert!(of(&log).contains("\"GET /two HTTP/1.1\" 200"), "what was asked just before the stop: {:?}", of(&log));
}
