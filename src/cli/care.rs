//! `backup`, `restore`: the data directory looked after, by the daemon while it runs and by this process while it does not.

use super::{
    Out, args,
    daemon::{Daemon, client_config, config_path},
    error::Error,
    save::{Target, fill, unless_interrupted},
};
use crate::{
    base::{Metrics, units::Human},
    config::{self, Config, Env},
    disk::Files,
    store::{self, Store},
};
use http::Method;
use serde_json::json;
use std::{io, os::unix::fs::MetadataExt, path::Path};

/// `skyvis backup`
pub(super) async fn backup(args: &args::Backup, env: &Env, out: &mut Out) -> Result<(), Error> {
    let target = Target::begin(&args.output, args.force)?;
    let offline = match &args.admin.admin {
        Some(_) => None,
        None => Some(open_store(&data_config(&args.admin.file, env)?, false)),
    };
    let bytes = match offline {
        Some(Ok(store)) => {
            // The store makes the file whole or not at all by itself.
            drop(target);
            let saved = store.backup(&std::path::absolute(&args.output).map_err(Error::Output)?);
            store.close().await;
            saved?.bytes
        }
        other => {
            let daemon = Daemon::of(&args.admin, env)?.patient();
            match by_daemon(&daemon, target).await {
                Err(Error::NotRunning { .. }) if matches!(other, Some(Err(_))) => {
                    return other.map_or(Ok(()), |o| o.map(drop));
                }
                outcome => outcome?,
            }
        }
    };
    match args.admin.json {
        true => out.json(&json!({ "file": args.output, "bytes": bytes })),
        false => out.line(format!("{}: {}", args.output.display(), Human(bytes))),
    }
    Ok(())
}

async fn by_daemon(daemon: &Daemon, mut target: Target) -> Result<u64, Error> {
    let work = async {
        let (download, length) = daemon.download(Method::POST, "/api/v1/backup").await?;
        fill(&mut target, daemon, download, length).await?;
        target.keep()
    };
    unless_interrupted(work, "nothing was kept").await
}

/// `skyvis restore`
pub(super) fn restore(args: &args::Restore, env: &Env, out: &mut Out) -> Result<(), Error> {
    let config = data_config(&args.file, env)?;
    if config.data_dir.exists() {
        check_owner(&config.data_dir)?;
    }
    let input = std::path::absolute(&args.input).map_err(Error::Output)?;
    let restored = store::restore(&config.store_dir(), &input, &Files::real())?;
    out.line(format!("{}: {} rows from {}", config.store_dir().display(), restored.rows, args.input.display()));
    if let Some(aside) = restored.moved_aside {
        out.line(format!("what was there before is in {}; remove it once all is well", aside.display()));
    }
    out.line("footage recorded since the backup was made is indexed by `skyvis reindex`");
    Ok(())
}

/// Where the data directory cannot be used and no daemon answers: the first says more, unless a process holds it.
pub(super) fn why_neither(refused: Option<Error>, not_running: Error) -> Error {
    match refused {
        None | Some(Error::Store(store::Error::Locked { .. })) => not_running,
        Some(refused) => refused,
    }
}

/// The config whose data directory is meant; the defaults where none is installed.
pub(super) fn data_config(file: &args::ConfigFile, env: &Env) -> Result<Config, Error> {
    match client_config(file, env)? {
        Some(config) => Ok(config),
        None => Ok(config::parse("# none is installed", &config_path(file, env), env)?),
    }
}

/// Opens the store of the data directory. One that is not there is made only where `make` says so.
pub(super) fn open_store(config: &Config, make: bool) -> Result<Store, Error> {
    check_owner(&config.data_dir)?;
    let dir = config.store_dir();
    if !make && !dir.is_dir() {
        return Err(Error::Nothing(format!("there is no database in {}; is data_dir right?", dir.display())));
    }
    Ok(Store::open(&dir, store::Options::default(), &Files::real(), &Metrics::default())?)
}

/// Files that another user than the daemon's leaves in its directory would keep it from starting.
fn check_owner(data_dir: &Path) -> Result<(), Error> {
    let owner = match std::fs::metadata(data_dir) {
        Ok(metadata) => metadata.uid(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(Error::Nothing(format!(
                "data_dir {} does not exist; is the right config read?",
                data_dir.display()
            )));
        }
        Err(e) => return Err(Error::Nothing(format!("data_dir {}: {e}", data_dir.display()))),
    };
    match owner == rustix::process::geteuid().as_raw() {
        true => Ok(()),
        false => Err(Error::Nothing(format!(
            "data_dir {} belongs to user {owner}; run this as that user: sudo -u '#{owner}' skyvis …",
            data_dir.display()
        ))),
    }
}
