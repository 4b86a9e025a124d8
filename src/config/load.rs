//! From a path, or the bytes of a file, to a checked configuration or all of its faults.

use super::{
    Config, Env, Faults,
    fault::Place,
    reader::Sink,
    sections::{self, Origin},
    tree,
};
use std::{
    collections::BTreeSet,
    io::Read,
    path::{Path, PathBuf},
};

/// Where the file is looked for when nothing names it.
const FILE_DEFAULT: &str = "/etc/skyvis/config.toml";
/// A file longer than this is not a configuration.
const FILE_LEN_BYTES_MAX: u64 = 4 << 20;

/// The file that is read where no `--config` names one.
pub fn default_path(env: &Env) -> PathBuf {
    env.config_file().unwrap_or(FILE_DEFAULT).into()
}

/// Reads and checks the file at `path`, overlaid with the environment. Reads secret files, changes nothing.
pub fn load(path: &Path, env: &Env) -> Result<Config, Faults> {
    let bytes = read_bounded(path).map_err(|problem| Faults::of_file(path, problem))?;
    parse(&bytes, path, env)
}

/// As [`load`], with the content at hand. `path` is what faults name and what relative paths are relative to.
pub fn parse(content: impl AsRef<[u8]>, path: &Path, env: &Env) -> Result<Config, Faults> {
    read(content.as_ref(), path, env).0
}

/// Where each key that is set stands, by its full name; of a list of tables with its number, `device.0.id`. What is not
/// named has its default. Empty where the file cannot be read: [`load`] says why.
pub fn places(path: &Path, env: &Env) -> Vec<(String, Place)> {
    let Ok(bytes) = read_bounded(path) else { return Vec::new() };
    let Ok(text) = std::str::from_utf8(&bytes) else { return Vec::new() };
    let mut table = tree::parse(text).table;
    // What is wrong there is said where the configuration is read.
    let _ = env.lay_over(&mut table);
    let mut found = Vec::new();
    tree::places(&table, "", &mut found);
    found
}

/// The outcome, and every key that was asked for.
pub(super) fn read(content: &[u8], path: &Path, env: &Env) -> (Result<Config, Faults>, BTreeSet<String>) {
    let refused = |problem: String| (Err(Faults::of_file(path, problem)), BTreeSet::new());
    if content.trim_ascii().is_empty() {
        return refused(
            "is empty; every key has a default, so a comment is enough, but an empty file may be half written".into(),
        );
    }
    let text = match std::str::from_utf8(content) {
        Ok(text) => text,
        Err(e) => {
            let line = content[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
            return refused(format!("line {line} is not UTF-8; save the file as UTF-8"));
        }
    };
    let tree::Parsed { mut table, mut faults, unreliable } = tree::parse(text);
    if unreliable {
        return (Err(Faults::new(path, faults)), BTreeSet::new());
    }
    let sink = Sink::default();
    sink.partial.set(!faults.is_empty());
    let bad_lines: BTreeSet<Place> = faults.iter().map(|f| f.place.clone()).collect();
    faults.extend(env.lay_over(&mut table));
    // Absolute, so that what is read does not depend on where the process was started.
    let file = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let dir = file.parent().unwrap_or(Path::new("/"));
    let config = sink.read(&table, |scope| sections::root(scope, &Origin { dir, env }));
    let known = sink.known();
    // A value that TOML did not understand is one fault, not two.
    faults.extend(sink.into_faults().into_iter().filter(|f| !bad_lines.contains(&f.place)));
    match config {
        Some(config) if faults.is_empty() => (Ok(config), known),
        _ => (Err(Faults::new(path, faults)), known),
    }
}

fn read_bounded(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => "there is no such file; write one, or name another with --config".to_owned(),
        _ => format!("cannot be read ({e}); see that it is a file which this user may read"),
    };
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(FILE_LEN_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_LEN_BYTES_MAX {
        return Err("is longer than 4 MiB; this is no configuration of skyvis".into());
    }
    Ok(bytes)
}
