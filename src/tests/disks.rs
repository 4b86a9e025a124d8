//! Real disks in their bad days, and system calls that fail under the whole program: the rigs of `benches/rig` in their
//! short forms. Each needs rights that not every machine gives; what is left out is said aloud.

use super::harness::as_skyvis;
use std::{io::Write, path::Path, process::Command};

/// Points of the short form; `benches/rig/iofail` alone takes hundreds.
const IOFAIL_POINTS: &str = "12";

/// Past the test runner's capture.
fn aloud(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Cuts of the short form of `benches/rig/keys`.
const CUTS: &str = "2";

fn works(command: &str, args: &[&str]) -> bool {
    Command::new(command).args(args).output().is_ok_and(|out| out.status.success())
}

fn rig(name: &str, args: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let rig = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/rig").join(name);
    let mut command = Command::new("python3");
    let out = command.arg(rig).args(args).arg("--binary").arg(as_skyvis(dir.path())).output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}\n{}", String::from_utf8_lossy(&out.stderr));
    aloud(said.lines().last().unwrap_or_default());
}

#[test]
fn a_disk_that_is_full_or_goes_away_is_told_and_recorded_on_again_once_it_is_mended() {
    if !rustix::process::geteuid().is_root() || !works("losetup", &["-f"]) {
        return aloud("SKIPPED benches/rig/baddisk: it needs root and loop devices");
    }
    rig("baddisk", &["--short"]);
}

#[test]
fn system_calls_that_fail_under_the_whole_program_lose_nothing() {
    if !works("strace", &["-f", "-qq", "-o", "/dev/null", "-e", "trace=openat", "true"]) {
        return aloud("SKIPPED benches/rig/iofail: strace may not trace here");
    }
    rig("iofail", &["--points", IOFAIL_POINTS, "--parallel", "2"]);
}

#[test]
fn what_was_acknowledged_to_clients_of_etcd_and_consul_is_there_after_a_power_cut() {
    if !rustix::process::geteuid().is_root() || !works("losetup", &["-f"]) {
        return aloud("SKIPPED benches/rig/keys: it needs root and loop devices");
    }
    rig("keys", &["--cuts", CUTS]);
}
