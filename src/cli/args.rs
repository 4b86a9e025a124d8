//! The command line as clap knows it. Says what can be typed, does nothing.

use crate::{
    base::units::parse_duration,
    sim::{Asks, Sound},
};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{net::IpAddr, path::PathBuf, time::Duration};

/// `skyvis …`
#[derive(Debug, Parser)]
#[command(
    name = "skyvis",
    bin_name = "skyvis",
    version,
    propagate_version = true,
    about = "A media gateway for Hikvision sites: finds the cameras, records them, plays any moment back",
    after_help = "Start with:  skyvis demo\nExit codes:  0 fine, 1 it ran and failed, 2 bad command line, 78 bad config",
    arg_required_else_help = true,
    max_term_width = 110
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the daemon in the foreground
    Run(ConfigFile),
    /// See it work with no camera and no config: a simulated NVR, recorded and played
    Demo(Demo),
    /// Check a config and print every fault of it; binds nothing
    CheckConfig(CheckConfig),
    /// Print what an nginx.conf comes to here, and what of it was not taken over
    ImportNginx(ImportNginx),
    /// Run a simulated Hikvision camera, NVR or gateway alone
    Simulate(Simulate),
    /// How the running daemon is
    Status(Admin),
    /// Devices and streams of the running daemon
    Cameras(Admin),
    /// What is recorded
    Recordings(Recordings),
    /// Save footage as an MP4 file
    Export(Export),
    /// Rebuild the index from the files of footage
    Reindex(Admin),
    /// Save the database to a file (the footage is not in it)
    Backup(Backup),
    /// Put back what `backup` saved; the daemon must be stopped
    Restore(Restore),
    /// Registered services and how their instances are
    Services(Admin),
    /// Queued jobs (not built yet)
    Jobs(Admin),
    /// Compare the index with the files of footage; changes nothing
    Verify(Verify),
    /// Read a password from the terminal, or a line of the standard input, and print its Argon2id string
    HashPassword,
}

/// Which config.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ConfigFile {
    /// The config file [default: $SKYVIS_CONFIG, else /etc/skyvis/config.toml]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
}

/// `import-nginx`
#[derive(Debug, Args)]
pub(super) struct ImportNginx {
    /// The nginx.conf; what it includes is read too
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
}

/// `check-config`
#[derive(Debug, Args)]
pub(super) struct CheckConfig {
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// Print the effective config, defaults and environment included, secrets blanked
    #[arg(long)]
    pub(super) print: bool,
    /// With --print: as JSON
    #[arg(long, requires = "print")]
    pub(super) json: bool,
}

/// Which daemon, and how it answers.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Admin {
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// The daemon's admin endpoint, http://HOST:PORT or unix:/PATH [default: from the config]
    #[arg(long, value_name = "URL")]
    pub(super) admin: Option<String>,
    /// A file that holds the admin token [default: from the config]
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long)]
    pub(super) json: bool,
}

/// `recordings`
#[derive(Debug, Args)]
pub(super) struct Recordings {
    #[command(flatten)]
    pub(super) admin: Admin,
    /// Only this stream, DEVICE/CHANNEL/main or …/sub
    #[arg(long, value_name = "KEY")]
    pub(super) stream: Option<String>,
    /// From this time: 2026-11-21T08:00:00Z, any offset; or -2h, before now
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(super) from: Option<String>,
    /// To this time, written alike; or now
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(super) to: Option<String>,
}

/// `verify`
#[derive(Debug, Args)]
pub(super) struct Verify {
    #[command(flatten)]
    pub(super) admin: Admin,
    /// Read every byte: the structure of each file, its sample table, its checksum
    #[arg(long)]
    pub(super) deep: bool,
}

/// `export`
#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    pub(super) admin: Admin,
    /// The stream, DEVICE/CHANNEL/main or …/sub
    #[arg(long, value_name = "KEY")]
    pub(super) stream: String,
    /// From this time: 2026-11-21T08:00:00Z, any offset; or -2h, before now
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(super) from: String,
    /// To this time, written alike; or now
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(super) to: String,
    /// The file to write
    #[arg(short, long, value_name = "FILE.mp4")]
    pub(super) output: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub(super) force: bool,
}

/// `backup`
#[derive(Debug, Args)]
pub(super) struct Backup {
    #[command(flatten)]
    pub(super) admin: Admin,
    /// The file to write
    #[arg(value_name = "FILE")]
    pub(super) output: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    pub(super) force: bool,
}

/// `restore`
#[derive(Debug, Args)]
pub(super) struct Restore {
    #[command(flatten)]
    pub(super) file: ConfigFile,
    /// A file that `backup` wrote
    #[arg(value_name = "FILE")]
    pub(super) input: PathBuf,
}

/// `demo`
#[derive(Debug, Args)]
pub(super) struct Demo {
    /// How many channels the simulated NVR has
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) channels: u32,
    /// Where footage and database go [default: a directory in your cache]
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// End after this long, with exit code 0
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub(super) length: Option<Duration>,
    /// What the simulated cameras send
    #[arg(long, default_value = "h264")]
    pub(super) codec: Codec,
}

/// `simulate`
#[derive(Debug, Args)]
pub(super) struct Simulate {
    /// The address to listen on
    #[arg(long, default_value = "127.0.0.1", value_name = "IP")]
    pub(super) listen: IpAddr,
    /// The port of ISAPI; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub(super) http_port: u16,
    /// The port of ISAPI over HTTPS, with a certificate of its own making; 0 takes a free one. Not given: none
    #[arg(long, value_name = "PORT")]
    pub(super) https_port: Option<u16>,
    /// The port of RTSP; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub(super) rtsp_port: u16,
    /// The port that faults are driven by over HTTP; 0 takes a free one
    #[arg(long, default_value_t = 0, value_name = "PORT")]
    pub(super) control: u16,
    /// What it is
    #[arg(long, default_value = "camera")]
    pub(super) kind: Kind,
    /// How many devices a gateway has behind it
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(super) devices: u32,
    /// How many channels it has, or each device behind it
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub(super) channels: u32,
    /// Its only account
    #[arg(long, default_value = "admin")]
    pub(super) user: String,
    /// The account's password
    #[arg(long, default_value = "Skyvis-2026")]
    pub(super) password: String,
    /// What the streams are coded in
    #[arg(long, default_value = "h264")]
    pub(super) codec: Codec,
    /// Frames per second
    #[arg(long, default_value_t = 25, value_name = "N")]
    pub(super) fps: u32,
    /// From one key frame to the next
    #[arg(long, default_value = "1s", value_name = "DURATION", value_parser = duration)]
    pub(super) key_interval: Duration,
    /// The main stream's picture; the sub stream has half of each side
    #[arg(long, default_value = "640x352", value_name = "WxH", value_parser = size)]
    pub(super) size: (u16, u16),
    /// Sound as a second track
    #[arg(long)]
    pub(super) audio: bool,
    /// What the sound is coded in: aac, alaw, ulaw, l16, pcm or mp2
    #[arg(long, default_value = "aac", value_name = "CODEC")]
    pub(super) sound: Sound,
    /// Parameter sets come in the stream alone
    #[arg(long)]
    pub(super) in_band: bool,
    /// Small NAL units of a picture share a packet
    #[arg(long)]
    pub(super) aggregate: bool,
    /// Fill each main stream up to this many bits per second; 0: no filler
    #[arg(long, default_value_t = 0, value_name = "BITS")]
    pub(super) bitrate: u64,
    /// Send no RTCP sender reports
    #[arg(long)]
    pub(super) no_sender_reports: bool,
    /// Tell the true H.264 profile in the SDP, which real devices do not
    #[arg(long)]
    pub(super) true_profile: bool,
    /// A third track of metadata in the SDP, which never sends anything
    #[arg(long)]
    pub(super) metadata_track: bool,
    /// Digest without qop, as old firmware has it
    #[arg(long)]
    pub(super) no_qop: bool,
    /// What is asked for: digest-md5, digest-sha256, both, basic or digest+basic
    #[arg(long, default_value = "digest-md5", value_name = "LOGIN")]
    pub(super) auth: Asks,
    /// The same for RTSP alone [default: as --auth]
    #[arg(long, value_name = "LOGIN")]
    pub(super) rtsp_auth: Option<Asks>,
    /// How long a nonce is good for [default: 5m for ISAPI, as long as its connection for RTSP]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(super) nonce_lifetime: Option<Duration>,
    /// A nonce is good for one URL, as newer firmware has it
    #[arg(long)]
    pub(super) nonce_per_url: bool,
    /// Refusals do not tell whether the account is locked, as older firmware has it
    #[arg(long)]
    pub(super) hide_lock: bool,
    /// Wrong logins from one address until it is locked out
    #[arg(long, default_value_t = 7, value_name = "N")]
    pub(super) wrong_logins: u32,
    /// How long a lockout lasts
    #[arg(long, default_value = "30m", value_name = "DURATION", value_parser = duration)]
    pub(super) lock: Duration,
    /// From one heartbeat on the event stream to the next
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = duration)]
    pub(super) heartbeat: Duration,
    /// An RTSP session without a request for this long is ended
    #[arg(long, default_value = "60s", value_name = "DURATION", value_parser = duration)]
    pub(super) session_timeout: Duration,
    /// How far the device's clock is ahead, in milliseconds
    #[arg(long, default_value_t = 0, value_name = "MS", allow_hyphen_values = true)]
    pub(super) clock_skew_ms: i64,
}

/// What a simulated device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// One camera
    Camera,
    /// A recorder with channels
    Nvr,
    /// A Hik Device Gateway: devices with channels
    Gateway,
}

/// What simulated pictures are coded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Codec {
    /// AVC
    H264,
    /// HEVC
    H265,
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|e| e.to_string())
}

fn size(text: &str) -> Result<(u16, u16), String> {
    let sides = text.split_once('x').and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
    sides.ok_or_else(|| "write width x height, for example 640x352".into())
}
