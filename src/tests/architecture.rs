//! The order of the rooms and the budgets that keep the house small, checked.
//! This table is the single place where the order is written.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Room, then what it may import. Order is the dependency order: a room may name only rooms above it.
const ROOMS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("model", &["base"]),
    ("media", &["base", "model"]),
    ("rtsp", &["base", "model", "media"]),
    ("disk", &["base"]),
    ("store", &["base", "model", "disk"]),
    ("events", &["base", "model", "store"]),
    ("serve", &["base", "model", "disk"]),
    ("outbound", &["base", "model"]),
    ("balance", &["base", "model"]),
    ("upkeep", &["base", "model"]),
    ("live", &["base", "model"]),
    ("registry", &["base", "model", "store", "events", "outbound", "balance"]),
    ("transcode", &["base", "model", "media", "events", "live"]),
    ("archive", &["base", "model", "media", "disk", "store", "events", "upkeep"]),
    ("hikvision", &["base", "model", "outbound"]),
    ("camera", &["base", "model", "media", "store", "events", "upkeep", "live", "hikvision"]),
    ("recorder", &["base", "model", "media", "disk", "store", "events", "live", "archive"]),
    (
        "playback",
        &["base", "model", "media", "rtsp", "disk", "store", "events", "serve", "outbound", "live", "archive"],
    ),
    ("proxy", &["base", "model", "disk", "serve", "outbound", "balance"]),
    ("etcd", &["base", "model", "serve", "registry"]),
    ("consul", &["base", "model", "serve", "registry"]),
    (
        "admin",
        &[
            "base",
            "model",
            "store",
            "events",
            "serve",
            "balance",
            "upkeep",
            "live",
            "registry",
            "transcode",
            "archive",
            "hikvision",
            "camera",
            "recorder",
            "playback",
            "proxy",
        ],
    ),
    ("sim", &["base", "model", "media", "rtsp", "serve", "hikvision"]),
    (
        "config",
        &[
            "base",
            "model",
            "disk",
            "store",
            "balance",
            "registry",
            "transcode",
            "archive",
            "camera",
            "recorder",
            "playback",
            "proxy",
            "admin",
        ],
    ),
    (
        "app",
        &[
            "base",
            "model",
            "media",
            "disk",
            "store",
            "events",
            "serve",
            "outbound",
            "balance",
            "upkeep",
            "live",
            "registry",
            "transcode",
            "archive",
            "hikvision",
            "camera",
            "recorder",
            "playback",
            "proxy",
            "etcd",
            "consul",
            "admin",
            "sim",
            "config",
        ],
    ),
    (
        "cli",
        &[
            "base", "model", "disk", "store", "events", "serve", "archive", "outbound", "camera", "recorder",
            "playback", "admin", "sim", "config", "app",
        ],
    ),
];

/// A file longer than this holds more than one thing.
const FILE_LINES_MAX: usize = 600;
/// A door shows what a room is; it does not do the work.
const DOOR_LINES_MAX: usize = 100;

#[test]
fn rooms_import_only_downward() {
    let mut faults = Vec::new();
    for (rank, (room, allowed)) in ROOMS.iter().enumerate() {
        for name in *allowed {
            let above = ROOMS[..rank].iter().any(|(r, _)| r == name);
            assert!(above, "table: {room} names {name}, which is not above it");
        }
        for (path, text) in files_under(&src().join(room)) {
            // A room's tests may stand on rooms below it, such as the simulator.
            if is_test_file(&path) {
                continue;
            }
            for name in imports(before_tests(&text)) {
                if name != *room && !allowed.contains(&name.as_str()) {
                    faults.push(format!("{}: {room} must not import {name}", path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_folder_is_a_room_of_the_table() {
    let faults: Vec<_> = fs::read_dir(src())
        .unwrap()
        .map(|e| e.unwrap())
        .filter(|e| e.path().is_dir())
        .map(|e| e.file_name().into_string().unwrap())
        .filter(|name| name != "tests" && !ROOMS.iter().any(|(room, _)| room == name))
        .collect();
    assert!(faults.is_empty(), "not in the table: {faults:?}");
}

#[test]
fn every_file_says_what_it_is_and_none_is_too_long() {
    let mut faults = Vec::new();
    for (path, text) in files_under(&src()) {
        let lines = text.lines().count();
        if !text.starts_with("//!") && !text.starts_with("#![doc") && path.file_name().is_none_or(|n| n != "tests.rs") {
            faults.push(format!("{}: no //! at its top", path.display()));
        }
        if lines > FILE_LINES_MAX {
            faults.push(format!("{}: {lines} lines, {FILE_LINES_MAX} at most", path.display()));
        }
        let is_door = path.strip_prefix(src()).is_ok_and(|p| p.ends_with("mod.rs") && p.components().count() == 2);
        if is_door && before_tests(&text).lines().count() > DOOR_LINES_MAX {
            faults.push(format!("{}: {lines} lines, a door has {DOOR_LINES_MAX} at most", path.display()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn sled_retina_and_hyper_stay_in_their_rooms() {
    let homes =
        [("sled::", "store"), ("retina::", "camera"), ("hyper::", "serve outbound"), ("h2::", "outbound proxy")];
    let mut faults = Vec::new();
    for (room, _) in ROOMS {
        for (path, text) in files_under(&src().join(room)) {
            for (name, home) in homes {
                let named = code_lines(before_tests(&text)).any(|l| l.contains(name));
                if named && !is_test_file(&path) && !home.split(' ').any(|h| h == *room) {
                    faults.push(format!("{}: names {name}, which belongs to {home}", path.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|c| c.as_os_str() == "tests")
        || path.file_stem().is_some_and(|n| n == "tests" || n == "fixture")
}

/// What stands before the file's test module.
fn before_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod ").next().unwrap_or(text)
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|l| !l.trim_start().starts_with("//"))
}

/// Names `x` that occur as `crate::x` or inside `use crate::{x, ..}`.
fn imports(text: &str) -> BTreeSet<String> {
    let code: String = code_lines(text).collect::<Vec<_>>().join("\n");
    let mut names = BTreeSet::new();
    for tail in code.split("crate::").skip(1) {
        let Some(group) = tail.strip_prefix('{') else {
            names.insert(word(tail));
            continue;
        };
        let mut depth = 0;
        let mut at_start = true;
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => at_start = true,
                c if at_start && !c.is_whitespace() => {
                    names.insert(word(&group[i..]));
                    at_start = false;
                }
                _ => {}
            }
        }
    }
    names
}

fn word(s: &str) -> String {
    s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn files_under(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap().map(|e| e.unwrap()) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_under(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    found
}
