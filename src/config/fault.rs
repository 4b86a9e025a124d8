//! What is wrong with a configuration, all of it at once.

use std::{
    fmt,
    path::{Path, PathBuf},
};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The file as a whole.
    File,
    /// A line of the file, from 1.
    Line(usize),
    /// A variable of the environment.
    Environment(String),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// The key with its section, `recording.segment`; empty where no single key is at fault.
    pub key: String,
    /// What is wrong, and behind a semicolon what would be right. Never holds a secret.
    pub problem: String,
}

/// Everything that is wrong with one configuration; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    file: PathBuf,
    list: Vec<Fault>,
}

impl Faults {
    /// Sorted: the file from top to bottom, then the environment.
    pub(super) fn new(file: &Path, mut list: Vec<Fault>) -> Self {
        list.sort_by(|a, b| a.place.cmp(&b.place));
        list.dedup();
        Self { file: file.to_owned(), list }
    }

    /// One fault of the file as a whole.
    pub(super) fn of_file(file: &Path, problem: impl Into<String>) -> Self {
        Self::new(file, vec![Fault { place: Place::File, key: String::new(), problem: problem.into() }])
    }

    /// The faults in the order in which they are printed.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.list.iter()
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.list.len()
    }
}

impl fmt::Display for Faults {
    /// One line a fault: `FILE:LINE: key: what is wrong; what would be right`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.list.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            match &fault.place {
                Place::File => write!(f, "{}: ", self.file.display())?,
                Place::Line(line) => write!(f, "{}:{line}: ", self.file.display())?,
                Place::Environment(name) => write!(f, "environment {name}: ")?,
            }
            if !fault.key.is_empty() {
                write!(f, "{}: ", fault.key)?;
            }
            f.write_str(&fault.problem)?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
