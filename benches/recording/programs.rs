//! The programs that are compared, each recording the same streams on core 0.

use crate::process;
use std::{
    error::Error,
    fs,
    net::SocketAddr,
    path::Path,
    process::{Child, Stdio},
};

/// Which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Reads and writes, and knows nothing.
    Floor,
    /// skyvis, which syncs a file when it is closed.
    Segment,
    /// The same, summed up by CRC-32.
    Crc,
    /// The same, and nothing is summed up: what a checksum costs is the difference.
    Unsummed,
    /// skyvis as it is installed.
    Default,
    /// One `ffmpeg -c copy -f segment` for each stream.
    Ffmpeg,
}

/// Where the streams are.
#[derive(Clone, Copy)]
pub struct Load {
    pub isapi: SocketAddr,
    pub rtsp: SocketAddr,
    pub streams: u32,
}

/// A program that runs. It ends when it is dropped.
pub struct Running {
    pub children: Vec<Child>,
}

impl Program {
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Segment => "skyvis sync=segment",
            Self::Crc => "skyvis sync=segment checksum=crc32",
            Self::Unsummed => "skyvis sync=segment checksum=none",
            Self::Default => "skyvis",
            Self::Ffmpeg => "ffmpeg",
        }
    }

    /// Whether it is skyvis, however it is set up.
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Segment | Self::Crc | Self::Unsummed | Self::Default)
    }

    /// Starts it in an empty directory.
    pub fn start(self, load: Load, dir: &Path, recording: &str) -> Result<Running, Box<dyn Error>> {
        let children = match self {
            Self::Floor => {
                let mut command = process::on_core(0, &std::env::current_exe()?.to_string_lossy());
                command.args(["--floor", &load.rtsp.to_string(), &load.streams.to_string()]).arg(dir);
                vec![command.spawn()?]
            }
            Self::Segment | Self::Crc | Self::Unsummed | Self::Default => {
                let sync = if self == Self::Default { "500ms" } else { "segment" };
                let checksum = match self {
                    Self::Unsummed => "none",
                    Self::Crc => "crc32",
                    _ => "sha256",
                };
                let recording = &format!("checksum = \"{checksum}\"\n{recording}");
                let config = dir.join("skyvis.toml");
                fs::write(&config, skyvis_config(load, dir, sync, recording))?;
                let mut command = process::on_core(0, env!("CARGO_BIN_EXE_skyvis"));
                command.args(["run", "--config"]).arg(&config);
                vec![command.stdout(Stdio::null()).stderr(fs::File::create(dir.join("skyvis.log"))?).spawn()?]
            }
            Self::Ffmpeg => {
                let mut children = Vec::new();
                for n in 1..=load.streams {
                    let to = dir.join(n.to_string());
                    fs::create_dir_all(&to)?;
                    let mut command = process::on_core(0, "ffmpeg");
                    command.args(["-v", "error", "-nostdin", "-rtsp_transport", "tcp", "-i"]);
                    command.arg(format!("rtsp://{}/Streaming/Channels/{n}01", load.rtsp));
                    command.args(["-c", "copy", "-f", "segment", "-segment_time", "30", "-segment_format", "mp4"]);
                    command.args(["-reset_timestamps", "1"]).arg(to.join("%d.mp4"));
                    children.push(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?);
                }
                children
            }
        };
        Ok(Running { children })
    }
}

impl Running {
    pub fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    /// Ends it; whether all of it ended well.
    pub fn end(mut self) -> bool {
        // All of them, also behind one that did not.
        let mut children = std::mem::take(&mut self.children);
        children.iter_mut().filter_map(|child| (!process::end(child)).then_some(())).count() == 0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn skyvis_config(load: Load, dir: &Path, sync: &str, recording: &str) -> String {
    format!(
        r#"
data_dir = {data:?}
[admin]
listen = "unix:{socket}"
[proxy]
listen = []
[[device]]
id = "nvr"
kind = "nvr"
address = "{isapi}"
rtsp_port = {rtsp}
user = "admin"
password = "Skyvis-2026"
[recording]
sync = "{sync}"
min_free = "0B"
{recording}
"#,
        data = dir.join("data").display().to_string(),
        socket = dir.join("admin.sock").display(),
        isapi = load.isapi,
        rtsp = load.rtsp.port(),
    )
}
