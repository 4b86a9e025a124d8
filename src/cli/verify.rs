//! `verify`: rows and files compared, by the daemon while it runs and by this process while it does not.

use super::{
    Out, args,
    care::{data_config, open_store, why_neither},
    daemon::Daemon,
    error::Error,
    reindex::{STOP, bar, offline_archive},
    save::unless_interrupted,
};
use crate::{
    archive::{Report, Thorough},
    config::{Config, Env},
    store::Store,
};
use serde_json::{Value, json};

/// `skyvis verify`
pub(super) async fn verify(args: &args::Verify, env: &Env, out: &mut Out) -> Result<(), Error> {
    let report = match &args.admin.admin {
        Some(_) => by_daemon(args, env).await?,
        None => {
            let config = data_config(&args.admin.file, env)?;
            match open_store(&config, false) {
                Ok(store) => unless_interrupted(offline(&config, store, args.deep), "nothing was changed").await?,
                Err(refused) => match by_daemon(args, env).await {
                    Err(not_running @ Error::NotRunning { .. }) => return Err(why_neither(Some(refused), not_running)),
                    outcome => outcome?,
                },
            }
        }
    };
    match args.admin.json {
        true => out.json(&report),
        false => show(&report, out),
    }
    match report["faults"].as_object().map_or(0, |all| all.values().filter_map(Value::as_u64).sum()) {
        0 => Ok(()),
        faults => Err(Error::Unsound { faults, advice: report["advice"].as_str().unwrap_or_default().to_owned() }),
    }
}

async fn by_daemon(args: &args::Verify, env: &Env) -> Result<Value, Error> {
    let daemon = Daemon::of(&args.admin, env)?.patient();
    let path = format!("/api/v1/verify?deep={}", args.deep);
    unless_interrupted(daemon.post(&path), "the daemon goes on with it").await
}

async fn offline(config: &Config, store: Store, deep: bool) -> Result<Value, Error> {
    let (archive, group) = offline_archive(config, &store)?;
    let bar = bar();
    let outcome = archive
        .verify(Thorough { deep, gentle: false }, |at| {
            bar.set_length(at.items);
            bar.set_position(at.items_done);
            bar.set_message(format!("{} of {} streams", at.streams_done, at.streams));
        })
        .await;
    bar.finish_and_clear();
    group.stop(STOP).await;
    store.close().await;
    as_json(&outcome?)
}

fn as_json(report: &Report) -> Result<Value, Error> {
    let broken = |e: serde_json::Error| Error::Output(e.into());
    let mut value = serde_json::to_value(report).map_err(broken)?;
    value["sound"] = json!(report.faults() == 0);
    value["advice"] = json!(report.advice());
    Ok(value)
}

fn show(report: &Value, out: &mut Out) {
    let count = |key: &str| report[key].as_u64().unwrap_or_default();
    let some = |n: u64, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    let compared = format!(
        "{} and {} of {} compared",
        some(count("rows"), "row"),
        some(count("files"), "file"),
        some(count("streams"), "stream")
    );
    match report["sound"].as_bool() {
        Some(true) => out.line(format!("{compared}: all is as it should be")),
        _ => out.line(format!("{compared}:")),
    }
    for finding in report["findings"].as_array().map_or(&[][..], Vec::as_slice) {
        let text = |key: &str| finding[key].as_str().unwrap_or_default();
        out.line(format!("  {:14} {}: {}", text("fault"), text("path"), text("what")));
    }
    for (key, what) in [
        ("growing", "files are being written and were left alone"),
        ("without_checksum", "rows have no checksum yet"),
        ("unsettled", "files end where their last write failed; the daemon makes their rows say so"),
        ("unfinished", "files have no name yet; the next start lists what plays of them"),
        ("foreign", "entries are not footage and were left alone"),
    ] {
        if count(key) > 0 {
            out.line(format!("{} {what}", count(key)));
        }
    }
}
