//! What an nginx.conf comes to here: the common part of it as our TOML, and each directive that was not taken over by name
//! and line, with the reason. Nothing is left out in silence.
//!
//! Flow: text → [`parse`] (directives, includes put in their places) → [`translate`] server by server → TOML.

mod location;
mod parse;
mod put;
mod stream;
#[cfg(test)]
mod tests;
mod translate;
mod upstream;
mod values;
mod why;

use std::path::{Path, PathBuf};

pub use parse::Fault;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The configuration, with what was not taken over as comments at its top.
    pub toml: String,
    /// How many directives were not taken over.
    pub left: usize,
}

/// Reads the file and what it includes.
pub fn import(path: &Path) -> Result<Imported, Fault> {
    let read = |path: &Path| std::fs::read_to_string(path);
    let list = |dir: &Path| -> std::io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            found.push(entry?.path());
        }
        found.sort();
        Ok(found)
    };
    let directives = parse::file(path, &parse::Source { read: &read, list: &list })?;
    Ok(translate::translate(&directives))
}
