//! Restarts under load, the short form of `benches/rig/restart`: listeners are handed from one process to the next.

use crate::tests::harness::as_skyvis;
use std::{path::Path, process::Command};

/// More by hand: `RESTARTS=20 ./test tests::site::restart`.
fn restarts() -> String {
    std::env::var("RESTARTS").unwrap_or_else(|_| "3".into())
}

#[test]
fn no_request_is_lost_while_one_process_takes_over_from_another() {
    let dir = tempfile::tempdir().unwrap();
    let mut rig = Command::new("/usr/bin/python3");
    rig.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/rig/restart"));
    rig.args(["--without-systemd", "--restarts", &restarts(), "--rate", "500", "--binary"]).arg(as_skyvis(dir.path()));
    let out = rig.output().unwrap();
    let told = [out.stdout, out.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(out.status.success(), "{told:?}");
    let told: serde_json::Value = serde_json::from_str(&told[0]).unwrap();
    assert_eq!(told["failed"], 0, "{told}");
    assert_eq!(told["lines_in_log"], told["requests"], "each is a line, also those just before a stop: {told}");
    println!("{told}");
}
