//! A host's clock that a test sets, for daemons in a process of their own: libfaketime moves it.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What Debian's faketime brings, by architecture.
const LIBRARIES: [&str; 2] = ["/usr/lib/x86_64-linux-gnu/faketime", "/usr/lib/aarch64-linux-gnu/faketime"];

/// The daemon's clock: a file that says how far it is off, in milliseconds.
pub(super) struct HostClock {
    file: PathBuf,
    pub off_ms: i64,
}

impl HostClock {
    pub(super) fn new(dir: &Path, off_ms: i64) -> Self {
        let mut clock = Self { file: dir.join("faketime"), off_ms: 0 };
        clock.set(off_ms);
        clock
    }

    pub(super) fn set(&mut self, off_ms: i64) {
        self.off_ms = off_ms;
        let new = self.file.with_extension("new");
        let sign = if off_ms < 0 { '-' } else { '+' };
        fs::write(&new, format!("{sign}{}.{:03}\n", off_ms.abs() / 1000, off_ms.abs() % 1000)).unwrap();
        fs::rename(new, &self.file).unwrap();
    }

    /// What a process is to be started with that lives by this clock.
    pub(super) fn env(&self) -> [(&'static str, String); 4] {
        let library = LIBRARIES.map(|dir| Path::new(dir).join("libfaketimeMT.so.1")).into_iter().find(|l| l.exists());
        let library = library.expect("faketime is installed by ./test");
        [
            ("LD_PRELOAD", library.to_str().unwrap().to_owned()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.to_str().unwrap().to_owned()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }
}
