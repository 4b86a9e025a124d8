//! `status`, `cameras` and `recordings`: what the daemon says, as tables for people or as it is for programs.

use super::{
    Out, args,
    daemon::{Daemon, query},
    error::Error,
    human,
    table::{
        Side::{Left, Right},
        Table,
    },
    when,
};
use crate::{
    base::{Clock, Wall, units::Human},
    model::StreamKey,
};
use serde_json::{Value, json};

/// What a person looks for first.
const STATUS_FIRST: [&str; 5] = ["phase", "version", "node", "time", "uptime_seconds"];

/// `skyvis status`
pub(super) async fn status(daemon: &Daemon, args: &args::Admin, out: &mut Out) -> Result<(), Error> {
    let status = daemon.get("/api/v1/status").await?;
    if args.json {
        out.json(&status);
        return Ok(());
    }
    let mut table = Table::new([("", Left), ("", Left)]);
    let mut rest = status;
    for key in STATUS_FIRST {
        if let Some(value) = rest.as_object_mut().and_then(|all| all.remove(key)) {
            lines_of(&mut table, &key.replace('_', " "), &value);
        }
    }
    lines_of(&mut table, "", &rest);
    // A table without heads begins with an empty line.
    out.text(table.render(out.columns()).trim_start_matches('\n'));
    Ok(())
}

/// One line a value, so that whatever a newer daemon adds is shown too.
fn lines_of(table: &mut Table, name: &str, value: &Value) {
    match value {
        Value::Object(keys) if !name.is_empty() && is_tally(keys) => {
            let some = keys.iter().filter(|(_, n)| **n != 0).map(|(what, n)| format!("{n} {what}"));
            let some = some.collect::<Vec<_>>().join(", ");
            table.row([name.to_owned(), if some.is_empty() { "none".to_owned() } else { some }]);
        }
        Value::Object(keys) => {
            for (key, value) in keys {
                let name = if name.is_empty() { key.clone() } else { format!("{name} {key}") };
                lines_of(table, &name.replace('_', " "), value);
            }
        }
        Value::Null => {}
        Value::Number(n) => {
            let number = n.as_u64().unwrap_or_default();
            let shown = match name.rsplit(' ').next() {
                Some("bytes") => Human(number).to_string(),
                Some("seconds") => human::length(i64::try_from(number).unwrap_or(i64::MAX).saturating_mul(1_000_000)),
                _ => n.to_string(),
            };
            table.row([name.trim_end_matches(" bytes").trim_end_matches(" seconds").to_owned(), shown]);
        }
        Value::Array(items) => {
            let all: Vec<String> = items.iter().map(plain).collect();
            table.row([name.to_owned(), all.join(", ")]);
        }
        other => table.row([name.to_owned(), plain(other)]),
    }
}

/// Numbers of things by name, such as streams by state.
fn is_tally(keys: &serde_json::Map<String, Value>) -> bool {
    let unit = |key: &str| key.ends_with("bytes") || key.ends_with("seconds");
    keys.len() > 1 && keys.iter().all(|(key, value)| value.is_u64() && !unit(key))
}

/// `skyvis cameras`
pub(super) async fn cameras(daemon: &Daemon, args: &args::Admin, out: &mut Out) -> Result<(), Error> {
    let devices = daemon.list("/api/v1/devices", "items").await?;
    let streams = daemon.list("/api/v1/streams", "items").await?;
    if args.json {
        out.json(&json!({ "devices": devices, "streams": streams }));
        return Ok(());
    }
    if devices.is_empty() {
        out.line("no device is configured; add a [[device]] to the config");
        return Ok(());
    }
    let now = Clock::real().wall();
    let columns = out.columns();
    out.text(devices_table(&devices, now).render(columns));
    let streams = streams_table(&streams, now);
    if !streams.is_empty() {
        out.line("");
        out.text(streams.render(columns));
    }
    Ok(())
}

fn devices_table(devices: &[Value], now: Wall) -> Table {
    let heads = [
        ("DEVICE", Left),
        ("NAME", Left),
        ("KIND", Left),
        ("MODEL", Left),
        ("ADDRESS", Left),
        ("PRESENCE", Left),
        ("SINCE", Right),
        ("ONLINE", Right),
        ("ERROR", Left),
    ];
    let mut table = Table::new(heads);
    for device in devices {
        let parts = parts(device, devices);
        let online = parts.iter().filter(|c| c["presence"] == "online").count();
        table.row([
            plain(&device["id"]),
            plain(&device["name"]),
            plain(&device["kind"]),
            plain(&device["model"]),
            plain(&device["address"]),
            plain(&device["presence"]),
            age(&device["since"], now),
            format!("{online} of {}", parts.len()),
            plain(if device["error"].is_null() { &device["warning"] } else { &device["error"] }),
        ]);
    }
    table
}

/// What a device is made of: its channels; of a gateway, the devices behind it.
fn parts<'a>(device: &'a Value, devices: &'a [Value]) -> Vec<&'a Value> {
    if device["kind"] == "gateway" {
        let behind = format!("{}:", plain(&device["id"]));
        return devices.iter().filter(|d| plain(&d["id"]).starts_with(&behind)).collect();
    }
    device["channels"].as_array().into_iter().flatten().collect()
}

fn streams_table(streams: &[Value], now: Wall) -> Table {
    let heads = [
        ("STREAM", Left),
        ("NAME", Left),
        ("STATE", Left),
        ("CODEC", Left),
        ("SIZE", Right),
        ("FPS", Right),
        ("RATE", Right),
        ("LAST FRAME", Right),
        ("REASON", Left),
    ];
    let mut table = Table::new(heads);
    for stream in streams {
        let size = match (stream["width"].as_u64(), stream["height"].as_u64()) {
            (Some(width), Some(height)) => format!("{width}x{height}"),
            _ => String::new(),
        };
        table.row([
            plain(&stream["key"]),
            plain(&stream["name"]),
            plain(&stream["state"]),
            plain(&stream["codec"]),
            size,
            stream["fps"].as_f64().filter(|fps| *fps > 0.0).map_or(String::new(), |fps| format!("{fps:.1}")),
            human::rate(stream["bitrate"].as_u64().unwrap_or_default()),
            age(&stream["last_frame"], now),
            plain(&stream["reason"]),
        ]);
    }
    table
}

/// `skyvis recordings`
pub(super) async fn recordings(daemon: &Daemon, args: &args::Recordings, out: &mut Out) -> Result<(), Error> {
    let now = Clock::real().wall();
    let mut times = Vec::new();
    for (name, text) in [("from", &args.from), ("to", &args.to)] {
        if let Some(text) = text {
            times.push((name, when::parse(text, now)?.to_string()));
        }
    }
    let key = args.stream.as_ref().map(|key| key.parse::<StreamKey>()).transpose()?.map(|key| key.to_string());
    let mut pairs: Vec<(&str, &str)> = key.iter().map(|key| ("stream", key.as_str())).collect();
    pairs.extend(times.iter().map(|(name, time)| (*name, time.as_str())));
    let joint = if pairs.is_empty() { "" } else { "?" };
    let spans = daemon.list(&format!("/api/v1/recordings{joint}{}", query(&pairs)), "spans").await?;
    let mut streams: Vec<(String, Vec<Value>)> = key.iter().map(|key| (key.clone(), Vec::new())).collect();
    for span in spans {
        let of = span["stream"].as_str().or(key.as_deref()).unwrap_or_default();
        match streams.last_mut().filter(|(key, _)| key == of) {
            Some((_, spans)) => spans.push(span),
            None => streams.push((of.to_owned(), vec![span])),
        }
    }
    let mut missing = Vec::new();
    for (key, _) in &streams {
        let mut pairs = vec![("stream", key.as_str())];
        pairs.extend(times.iter().map(|(name, time)| (*name, time.as_str())));
        let path = format!("/api/v1/gaps?{}", query(&pairs));
        let coverage = daemon.get(&format!("{path}&limit=1")).await?["coverage"].clone();
        missing.push((coverage, daemon.list(&path, "gaps").await?));
    }
    if args.admin.json {
        let one = |((key, spans), (coverage, gaps)): (&(String, Vec<Value>), &(Value, Vec<Value>))| json!({ "stream": key, "spans": spans, "coverage": coverage, "gaps": gaps });
        out.json(&json!({ "recordings": streams.iter().zip(&missing).map(one).collect::<Vec<_>>() }));
        return Ok(());
    }
    let table = spans_table(&streams);
    if table.is_empty() && missing.iter().all(|(_, gaps)| gaps.is_empty()) {
        out.line("nothing is recorded there");
        return Ok(());
    }
    let columns = out.columns();
    if !table.is_empty() {
        out.text(table.render(columns));
    }
    let gaps = gaps_table(&streams, &missing, now);
    if !gaps.is_empty() {
        out.line("");
        out.text(gaps.render(columns));
    }
    out.line("");
    for ((key, _), (coverage, gaps)) in streams.iter().zip(&missing) {
        let part = coverage.as_f64().unwrap_or_default();
        out.line(format!("{key}: {} of the wanted time is recorded, {} gaps", human::part(part), gaps.len()));
    }
    Ok(())
}

fn gaps_table(streams: &[(String, Vec<Value>)], missing: &[(Value, Vec<Value>)], now: Wall) -> Table {
    let heads = [("GAP OF", Left), ("FROM", Left), ("TO", Left), ("LENGTH", Right), ("CAUSE", Left)];
    let mut table = Table::new(heads);
    for ((key, _), (_, gaps)) in streams.iter().zip(missing) {
        for gap in gaps {
            let length = time(&gap["start"]).map(|start| time(&gap["end"]).unwrap_or(now).micros_since(start));
            let end = plain(&gap["end"]);
            table.row([
                key.clone(),
                plain(&gap["start"]),
                if end.is_empty() { "still".to_owned() } else { end },
                length.map_or(String::new(), human::length),
                plain(&gap["cause"]),
            ]);
        }
    }
    table
}

fn spans_table(streams: &[(String, Vec<Value>)]) -> Table {
    let heads = [("STREAM", Left), ("FROM", Left), ("TO", Left), ("LENGTH", Right), ("SIZE", Right), ("FILES", Right)];
    let mut table = Table::new(heads);
    for (key, spans) in streams {
        for span in spans {
            let length = match (time(&span["start"]), time(&span["end"])) {
                (Some(start), Some(end)) => human::length(end.micros_since(start)),
                _ => String::new(),
            };
            table.row([
                key.clone(),
                plain(&span["start"]),
                plain(&span["end"]),
                length,
                span["bytes"].as_u64().map_or(String::new(), |b| Human(b).to_string()),
                plain(&span["segments"]),
            ]);
        }
    }
    table
}

/// A value without quotes; nothing for null.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn time(value: &Value) -> Option<Wall> {
    value.as_str()?.parse().ok()
}

pub(super) fn age(value: &Value, now: Wall) -> String {
    time(value).map_or(String::new(), |then| human::age(then, now))
}
