//! The only room that sees the whole: build, wiring, run, signals, systemd, telemetry.
