//! One ffmpeg process: started so that it ends with us, and killed with all that it started.

use super::{Error, tool::Tool};
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use std::{process::Stdio, time::Duration};
use tokio::{
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command},
    time::timeout,
};

/// Address space of one process. Ten times what a 4K stream takes; what leaks beyond it fails alone, not the host.
const MEMORY_BYTES_MAX: u64 = 4 << 30;
/// How long the end of a process is waited for whose output has ended.
const EXIT_WAIT_MAX: Duration = Duration::from_secs(1);

/// A running process. Dropping it kills it and its group.
pub struct Process {
    child: Child,
}

/// The three ends that are ours.
pub struct Pipes {
    /// Where pictures go.
    pub stdin: ChildStdin,
    /// Where answers come from.
    pub stdout: ChildStdout,
    /// Where it complains.
    pub stderr: ChildStderr,
}

impl Process {
    /// Starts ffmpeg.
    pub fn start(tool: &Tool, arguments: &[String]) -> Result<(Self, Pipes), Error> {
        let mut command = match &tool.setpriv {
            // The kernel kills it when we end, however we end. Without, the end of its stdin tells it.
            Some(setpriv) => {
                let mut command = Command::new(setpriv);
                command.args(["--pdeathsig", "KILL", "--"]).arg(&tool.path);
                command
            }
            None => Command::new(&tool.path),
        };
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Its environment may hold our secrets (SKYVIS_…__PASSWORD); it needs none of it but to find its libraries.
        command.env_clear().envs(std::env::vars_os().filter(|(name, _)| KEPT.iter().any(|k| name == k)));
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(|e| Error::Start(e.to_string()))?;
        if let Some(pid) = pid_of(&child) {
            let limit = Rlimit { current: Some(MEMORY_BYTES_MAX), maximum: Some(MEMORY_BYTES_MAX) };
            if let Err(error) = prlimit(Some(pid), Resource::As, limit) {
                tracing::debug!(%error, "the memory of an ffmpeg process is not limited");
            }
        }
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let process = Self { child };
        match (stdin, stdout, stderr) {
            (Some(stdin), Some(stdout), Some(stderr)) => Ok((process, Pipes { stdin, stdout, stderr })),
            _ => Err(Error::Start("it has no pipes".to_owned())),
        }
    }

    /// Its number, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// How it ended, once its output has; one that does not end is killed.
    pub async fn status(mut self) -> String {
        match timeout(EXIT_WAIT_MAX, self.child.wait()).await {
            Ok(Ok(status)) => status.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it closed its output and ran on".to_owned(),
        }
    }
}

/// Variables that a program may need to run at all.
const KEPT: [&str; 4] = ["PATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR"];

impl Drop for Process {
    fn drop(&mut self) {
        // Only while it was not waited for is the number its own.
        if let Some(pid) = pid_of(&self.child) {
            // One that ended in between is no failure.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
}
