//! Finding ffmpeg, and asking what it is.

use super::Error;
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use tokio::{process::Command, time::timeout};

/// A program that does not say its version within so long is not asked to do anything else.
const VERSION_WAIT_MAX: Duration = Duration::from_secs(5);
/// What is shown of a version's text.
const VERSION_CHARS_MAX: usize = 40;
/// The name in the search path.
const NAME: &str = "ffmpeg";
/// A part of util-linux that has a process end with ours.
const SETPRIV: &str = "setpriv";

/// An ffmpeg that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Where it is.
    pub path: PathBuf,
    /// Which it is.
    pub version: Version,
    /// What ties its life to ours; None where the host has no such program, and the end of its stdin must do.
    pub setpriv: Option<PathBuf>,
}

/// Which ffmpeg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// In its own words.
    pub text: String,
    /// Major and minor; None for builds between versions, which are taken for new.
    pub number: Option<(u32, u32)>,
}

impl Version {
    /// Since 5.1 `-fps_mode` has the place of `-vsync`.
    pub fn has_fps_mode(&self) -> bool {
        self.number.is_none_or(|n| n >= (5, 1))
    }

    /// From the first line of `ffmpeg -version`.
    fn parse(line: &str) -> Option<Self> {
        let text: String = line.strip_prefix("ffmpeg version ")?.split(' ').next()?.to_owned();
        let mut parts = text.trim_start_matches('n').split(|c: char| !c.is_ascii_digit());
        let number = |part: Option<&str>| part.and_then(|p| p.parse().ok());
        let number = number(parts.next()).map(|major| (major, number(parts.next()).unwrap_or(0)));
        Some(Self { text: text.chars().take(VERSION_CHARS_MAX).collect(), number })
    }
}

/// Finds ffmpeg and asks it for its version.
pub async fn find(wanted: Option<&Path>) -> Result<Tool, Error> {
    let path = match wanted {
        Some(path) => path.to_owned(),
        None => in_path(NAME).ok_or_else(|| Error::Missing(NAME.to_owned()))?,
    };
    let strange = |what: String| Error::NotFfmpeg { path: path.clone(), what };
    let mut command = Command::new(&path);
    command.arg("-version").stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = match timeout(VERSION_WAIT_MAX, command.output()).await {
        Err(_) => return Err(strange(format!("no version within {VERSION_WAIT_MAX:?}"))),
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Missing(path.display().to_string()));
        }
        Ok(Err(e)) => return Err(strange(e.to_string())),
        Ok(Ok(output)) => output,
    };
    let said = String::from_utf8_lossy(&output.stdout);
    let version = said.lines().next().and_then(Version::parse);
    let version = version.ok_or_else(|| strange("its first line names no version".to_owned()))?;
    Ok(Tool { path, version, setpriv: in_path(SETPRIV) })
}

fn in_path(name: &str) -> Option<PathBuf> {
    let dirs = std::env::var_os("PATH")?;
    std::env::split_paths(&dirs).map(|dir| dir.join(name)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (line, number) in [
            ("ffmpeg version 5.1.9-0+deb12u1 Copyright (c) 2000-2026 the FFmpeg developers", Some((5, 1))),
            ("ffmpeg version n4.4 Copyright", Some((4, 4))),
            ("ffmpeg version 7 Copyright", Some((7, 0))),
            ("ffmpeg version N-109468-gd39b34123d Copyright", None),
        ] {
            assert_eq!(Version::parse(line).map(|v| v.number), Some(number), "{line}");
        }
        assert_eq!(Version::parse("bash: ffmpeg: not found"), None);
    }

    #[tokio::test]
    async fn what_is_not_ffmpeg_is_told_by_name() {
        assert!(find(None).await.unwrap().version.has_fps_mode(), "./test installs it");
        let missing = find(Some(Path::new("/nowhere/ffmpeg"))).await.unwrap_err();
        assert_eq!(missing.reason(), "no_ffmpeg");
        assert!(missing.to_string().contains("/nowhere/ffmpeg is not installed"), "{missing}");
        let other = find(Some(Path::new("/bin/true"))).await.unwrap_err();
        assert_eq!((other.reason(), other.to_string().contains("names no version")), ("no_ffmpeg", true), "{other}");
    }
}
