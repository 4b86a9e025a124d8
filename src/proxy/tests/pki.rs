//! A certificate authority for a test, and clients that trust it.

use super::rig::Rig;
use crate::proxy::{
    Settings,
    config::{HostPattern, Route},
    tls::{Identity, MinVersion, Site},
};
use base64::Engine;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Output, Stdio},
    sync::Arc,
};

/// An authority and a directory for what it issues.
pub(super) struct Pki {
    pub(super) dir: tempfile::TempDir,
    issuer: Arc<Issuer<'static, KeyPair>>,
}

impl Pki {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let root = params.self_signed(&key).unwrap();
        std::fs::write(dir.path().join("ca.pem"), pem("CERTIFICATE", root.der())).unwrap();
        Self { dir, issuer: Arc::new(Issuer::new(params, key)) }
    }

    /// What signs.
    pub(super) fn issuer(&self) -> Arc<Issuer<'static, KeyPair>> {
        self.issuer.clone()
    }

    /// Issues a certificate for these names, with `serial` as its number; gives back the two texts.
    pub(super) fn issue(&self, names: &[&str], serial: u64) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names = names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        params.serial_number = Some(serial.into());
        params.distinguished_name.push(DnType::CommonName, names[0].clone());
        let certificate = params.signed_by(&key, &*self.issuer).unwrap();
        (pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", &key.serialize_der()))
    }

    /// An entry with a certificate for the names, which are also those of its certificate.
    pub(super) fn site(&self, file: &str, names: &[&str], serial: u64) -> Site {
        let (cert, key) = (self.dir.path().join(format!("{file}.pem")), self.dir.path().join(format!("{file}.key")));
        let (chain, secret) = self.issue(if names.is_empty() { &["default.test"] } else { names }, serial);
        std::fs::write(&cert, chain).unwrap();
        std::fs::write(&key, secret).unwrap();
        let pattern = |name: &&str| match name.strip_prefix('*') {
            Some(suffix) => HostPattern::Below(suffix.into()),
            None => HostPattern::Exact((*name).into()),
        };
        Site {
            listen: "127.0.0.1:0".parse().unwrap(),
            names: names.iter().map(pattern).collect(),
            identity: Identity::Files { cert, key },
            min_version: MinVersion::Tls12,
        }
    }
}

pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|l| std::str::from_utf8(l).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// A proxy over TLS, and where that is.
pub(super) fn secure(routes: Vec<Route>, sites: Vec<Site>) -> (Rig, SocketAddr) {
    secure_with(routes, sites, Settings::default())
}

pub(super) fn secure_with(routes: Vec<Route>, sites: Vec<Site>, settings: Settings) -> (Rig, SocketAddr) {
    let rig = Rig::over_tls(routes, settings, Vec::new(), sites);
    let address = rig.proxy.addresses()[1];
    (rig, address)
}

/// Runs `openssl s_client` to its end; what it says.
pub(super) fn s_client(address: SocketAddr, dir: &Path, arguments: &str) -> (bool, String) {
    let mut command = Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string(), "-CAfile", "ca.pem"]);
    command.args(arguments.split(' ').filter(|a| !a.is_empty())).current_dir(dir).stdin(Stdio::null());
    told(command.output().expect("openssl is installed by ./test"))
}

/// Runs curl for a host that is at `address`.
pub(super) fn curl(address: SocketAddr, dir: &Path, host: &str, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new("curl");
    command.args(["-sS", "--max-time", "20"]);
    if dir.join("ca.pem").exists() {
        command.args(["--cacert", "ca.pem"]);
    }
    command.arg("--resolve").arg(format!("{host}:{}:127.0.0.1", address.port())).args(arguments).current_dir(dir);
    told(command.output().expect("curl is installed by ./test"))
}

fn told(out: Output) -> (bool, String) {
    let text = [out.stdout, out.stderr].concat();
    (out.status.success(), String::from_utf8_lossy(&text).into_owned())
}
