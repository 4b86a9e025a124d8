//! Logs: text for people, JSON for collectors, journald with its fields.

use crate::config::LogFormat;
use std::io::{self, IsTerminal};
use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// Logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter text is wrong.
    #[error("log.level `{level}` is not a filter: {why}; write for example \"info\" or \"info,skyvis::camera=debug\"")]
    Filter {
        /// As it was given.
        level: String,
        /// What the parser says.
        why: String,
    },
    /// There is no journal to write to.
    #[error("log.format = \"journald\", but its socket cannot be reached: {0}; use \"text\" outside systemd")]
    Journald(io::Error),
}

/// Whether `level` is a filter that [`start`] will take.
pub fn check_level(level: &str) -> Result<(), Error> {
    filter(level).map(drop)
}

/// Sends all log lines of the process to standard error or journald. A second call changes nothing: tests start many
/// daemons in one process.
pub fn start(format: LogFormat, level: &str) -> Result<(), Error> {
    let registry = tracing_subscriber::registry().with(filter(level)?);
    let started = match format {
        LogFormat::Text => registry
            .with(tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(io::stderr().is_terminal()))
            .try_init(),
        LogFormat::Json => registry.with(tracing_subscriber::fmt::layer().json().with_writer(io::stderr)).try_init(),
        LogFormat::Journald => registry.with(tracing_journald::layer().map_err(Error::Journald)?).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logs were set up before");
    }
    Ok(())
}

fn filter(level: &str) -> Result<EnvFilter, Error> {
    EnvFilter::try_new(level).map_err(|e| Error::Filter { level: level.to_owned(), why: e.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_named() {
        assert!(check_level("info,skyvis::camera=debug").is_ok());
        assert!(check_level("skyvis=loud").unwrap_err().to_string().contains("loud"));
    }
}
