//! The console as people use it, in headless Chromium: each page's main act, how it looks, reads and is reached by
//! keyboard, what it makes of hostile names, and what it weighs.

use super::{
    harness::{Site, key, nvr, until},
    real_peers::{peer, python},
};
use crate::{app::Daemon, model::Range, sim};
use std::{path::Path, process::Output, time::Duration};

const TOKEN: &str = "a token that nobody guesses";
/// A script of a person's acts is over by then.
const SCRIPT_MAX: Duration = Duration::from_secs(600);
const ROUTES: &str = "[[proxy.route]]\nname = 'api'\npath_prefix = '/api/'\nservice = 'web-api'\n\
    [[registry.service]]\nname = 'web-api'\n\
    instances = [{ id = 'a', address = '127.0.0.1', port = 9 }, \
    { id = 'b', address = '127.0.0.1', port = 9, check = { tcp = true, interval = '2s' } }]\n";

/// A site whose console is reached by TCP, with some seconds of footage.
async fn open(options: sim::Options) -> (Site, Daemon, String) {
    let site = Site::new(options).await;
    let socket = format!("'unix:{}/admin.sock'", site.dir.path().display());
    let text = site.config(ROUTES).replace(&socket, &format!("'127.0.0.1:0'\ntoken = '{TOKEN}'"));
    let text = text.replace("listen = []", "listen = ['127.0.0.1:0']\nworkers = 1");
    let text = text.replace("kind = 'nvr'\n", "kind = 'nvr'\nstreams = ['main', 'sub']\n");
    let daemon = site.daemon_of(&text).await;
    until("6 s of footage", || async {
        let found = daemon.rooms().archive.segments(&key("nvr/1/main"), Range::ALL, 1000).await.unwrap();
        (found.iter().map(|s| s.duration_ticks).sum::<u64>() >= 6 * 90_000).then_some(())
    })
    .await;
    let address = format!("http://{}/", daemon.admin_address().unwrap());
    (site, daemon, address)
}

/// Runs a script at the console; what it says.
async fn run(script: &str, site: &Site, address: &str) -> String {
    let control = format!("http://{}", site.nvr.control_addr.unwrap());
    let mut command = tokio::process::Command::new(python());
    command.arg(peer(script)).args([address, TOKEN, &control]).arg(site.dir.path()).kill_on_drop(true);
    let ran = tokio::time::timeout(SCRIPT_MAX, command.output()).await;
    let Output { status, stdout, stderr } =
        ran.unwrap_or_else(|_| panic!("{script}: not over in {SCRIPT_MAX:?}")).unwrap();
    if let Some(kept) = std::env::var_os("KEEP_SCREENSHOTS") {
        for shot in std::fs::read_dir(site.dir.path()).unwrap().flatten().map(|e| e.path()) {
            if shot.extension().is_some_and(|e| e == "png") {
                let _ = std::fs::copy(&shot, Path::new(&kept).join(shot.file_name().unwrap()));
            }
        }
    }
    let said = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{script}: {said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn chromium_does_at_each_page_what_it_is_for() {
    let (site, daemon, address) = open(sim::Options { audio: true, ..nvr(2) }).await;
    eprintln!("{}", run("console_acts.py", &site, &address).await);
    daemon.stop().await;
    site.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_is_read_reached_and_not_fooled() {
    // As somebody at the recorder's own menu may type it: markup, a change of writing direction, and no end.
    let name = format!("<img src=x onerror=fooled()> \u{202e}gnp.exe {}", "A".repeat(10_000));
    let (site, daemon, address) = open(sim::Options { channel_name: Some(name), ..nvr(2) }).await;
    eprintln!("{}", run("console_looks.py", &site, &address).await);
    daemon.stop().await;
    site.stop().await;
}
