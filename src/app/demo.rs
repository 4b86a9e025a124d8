//! `skyvis demo`: the main job with no hardware and no config. A simulated NVR on loopback, recorded by a real daemon.

use super::{Daemon, Error, run, telemetry};
use crate::{
    base::TaskGroup,
    config::{self, Env},
    model::{Range, VideoCodec},
    sim,
};
use std::{
    io::Write,
    net::{SocketAddr, TcpListener},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// What the demo is asked for.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Channels of the simulated NVR.
    pub channels: u32,
    /// Where database and footage stay; None: a directory in the user's cache.
    pub dir: Option<PathBuf>,
    /// Ends by itself after so long.
    pub run_for: Option<Duration>,
    /// What the simulated cameras send.
    pub codec: VideoCodec,
}

const PASSWORD: &str = "Skyvis-2026";
const ADMIN_PORT: u16 = 9080;
const PROXY_PORT: u16 = 8080;
/// Between two looks for the first footage.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Runs the demo until its time is up or a signal comes. What a person needs to know goes to `out`.
pub fn demo(options: &DemoOptions, env: &Env, out: &mut (dyn Write + Send)) -> Result<(), Error> {
    telemetry::start(config::LogFormat::Text, "warn")?;
    let dir = match &options.dir {
        Some(dir) => dir.clone(),
        None => cache_dir(env).join("skyvis/demo"),
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .map_err(|error| Error::DemoDir { path: dir.clone(), error })?;
    let dir = dir.canonicalize().map_err(|error| Error::DemoDir { path: dir.clone(), error })?;
    run::runtime()?.block_on(async {
        let stop = run::StopSignals::listen()?;
        let sim_group = TaskGroup::new();
        let nvr = sim::Simulator::start(simulated(options), &sim_group).await?;
        // The demo has no config: what the environment would change in one is left out.
        let plain = Env::new::<&str, &str>([], env.host_name());
        let text = demo_config(&dir, nvr.http_addr, nvr.rtsp_addr);
        let config = config::parse(text, &dir.join("demo.toml"), &plain)?;
        let daemon = Daemon::start(config, None, plain).await?;
        let told = async {
            tell(out, &daemon, options, &dir).await;
            std::future::pending::<()>().await;
        };
        let time_up = async {
            match options.run_for {
                Some(time) => tokio::time::sleep(time).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            () = told => Ok(()),
            () = time_up => Ok(()),
            () = stop.first(&sim_group) => Ok(()),
            room = daemon.room_ended() => Err(Error::RoomEnded(room)),
        };
        daemon.stop().await;
        sim_group.stop(Duration::from_secs(2)).await;
        ended
    })
}

fn simulated(options: &DemoOptions) -> sim::Options {
    sim::Options {
        kind: sim::DeviceKind::Nvr,
        channels: options.channels,
        password: crate::base::Secret::new(PASSWORD),
        codec: options.codec,
        audio: true,
        ..sim::Options::default()
    }
}

/// A config as an operator would write it, for what was just started.
fn demo_config(dir: &Path, isapi: SocketAddr, rtsp: SocketAddr) -> String {
    format!(
        r#"
data_dir = {dir:?}

[admin]
listen = "127.0.0.1:{admin}"

[proxy]
listen = ["127.0.0.1:{proxy}"]

[hikvision]
poll_interval = "2s"

[[device]]
id        = "demo"
kind      = "nvr"
address   = "{isapi}"
rtsp_port = {rtsp_port}
user      = "admin"
password  = "{PASSWORD}"

[recording]
retain_days  = 1
retain_bytes = "2GiB"
"#,
        dir = dir.display().to_string(),
        admin = free_port(ADMIN_PORT),
        proxy = free_port(PROXY_PORT),
        rtsp_port = rtsp.port(),
    )
}

/// `wanted` where it is free, else 0, which takes any.
fn free_port(wanted: u16) -> u16 {
    TcpListener::bind(("127.0.0.1", wanted)).map_or(0, |_| wanted)
}

/// Waits for the first footage and then prints where to look. A reader that closed its end is no reason to stop.
async fn tell(out: &mut (dyn Write + Send), daemon: &Daemon, options: &DemoOptions, dir: &Path) {
    let began = tokio::time::Instant::now();
    let Some(admin) = daemon.admin_address() else { return };
    let console = format!("http://{admin}/");
    let _ = writeln!(
        out,
        "simulated NVR with {} channels; recording to {}\n\n  console   {console}",
        options.channels,
        dir.display()
    );
    let _ = out.flush();
    let stream = match "demo/1/main".parse() {
        Ok(stream) => stream,
        Err(_) => return,
    };
    loop {
        let found = daemon.rooms().archive.segments(&stream, Range::ALL, usize::MAX).await.unwrap_or_default();
        // Footage of an earlier demo is there at once; what is waited for is that of now.
        if let Some(newest) = found.last().filter(|s| !s.closed) {
            let from = newest.start;
            let to = from.plus(Duration::from_secs(60));
            let _ = writeln!(
                out,
                "  live      {console}#live/{stream}\n  playback  {console}media/{stream}/vod.mp4?from={from}&to={to}\n\n\
                 first second on disk {:.1} s after the start; Ctrl-C ends it, the footage stays",
                began.elapsed().as_secs_f64()
            );
            let _ = out.flush();
            return;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn cache_dir(env: &Env) -> PathBuf {
    let absolute = |name: &str| env.get(name).map(PathBuf::from).filter(|p| p.is_absolute());
    absolute("XDG_CACHE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demos_config_is_one_that_an_operator_could_write() {
        let address = "127.0.0.1:1234".parse().unwrap();
        let text = demo_config(Path::new("/somewhere/with \"quotes\""), address, address);
        config::parse(&text, Path::new("demo.toml"), &Env::new::<&str, &str>([], "host")).unwrap();
    }
}
