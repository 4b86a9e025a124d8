//! Servers of others, and an authority for their certificates.

use crate::tests::harness::PATIENCE;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use sha2::{Digest, Sha256};
use std::{
    fs,
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};
use tempfile::TempDir;

/// An address that nobody listens on: whoever is told it has to listen soon.
pub(in crate::tests) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A server of its own in a process of its own.
pub(in crate::tests) struct Server {
    child: Child,
    pub(super) dir: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        // By a signal that it hears it takes its children along.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts it in `dir`; it listens at all of these when this returns.
    pub(super) fn start(program: &str, args: &[&str], dir: TempDir, listens: &[SocketAddr]) -> Self {
        let out = fs::File::create(dir.path().join("out")).unwrap();
        let mut command = Command::new(program);
        command.args(args).current_dir(dir.path()).stdin(Stdio::null());
        command.stdout(out.try_clone().unwrap()).stderr(out);
        let child = command.spawn().unwrap_or_else(|e| panic!("{program}: {e}; ./test installs it"));
        let mut server = Self { child, dir };
        let mut looks = PATIENCE.as_millis() / 20;
        while listens.iter().any(|address| TcpStream::connect(address).is_err()) {
            let out = || fs::read_to_string(server.dir.path().join("out")).unwrap_or_default();
            assert!(server.child.try_wait().unwrap().is_none() && looks > 0, "{program} does not listen: {}", out());
            looks -= 1;
            thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// Debian's nginx with these lines in `http`.
    pub(in crate::tests) fn nginx(lines: &str, dir: TempDir, listens: &[SocketAddr]) -> Self {
        let at = dir.path().display();
        let user = if rustix::process::getuid().is_root() { "user root;" } else { "" };
        let temporary: String =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|k| format!("{k}_temp_path {at}/{k};")).concat();
        let text = format!(
            "daemon off; {user} worker_processes 1; pid {at}/pid; error_log {at}/error.log;\n\
             events {{ worker_connections 512; }}\nhttp {{ {temporary}\n{lines}\n}}\n"
        );
        let file = dir.path().join("nginx.conf");
        fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap().to_owned();
        Self::start("/usr/sbin/nginx", &["-c", &file], dir, listens)
    }
}

/// What signs certificates, and the directory in which they lie.
pub(in crate::tests) struct Authority {
    pub(super) dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

/// Whether a certificate is what it should be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::tests) enum Made {
    Well,
    /// Its time is over.
    Expired,
    /// By itself, and not by the authority.
    Alone,
}

impl Authority {
    /// `ca.pem` in `dir` is its own.
    pub(in crate::tests) fn new(dir: &Path) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        fs::write(dir.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { dir: dir.to_owned(), issuer: Issuer::new(params, key) }
    }

    /// `<file>.pem` and `<file>.key` for a name; the certificate's SHA-256.
    pub(in crate::tests) fn issue(&self, file: &str, name: &str, made: Made) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::DnsName(name.try_into().unwrap())];
        if made == Made::Expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2021, 1, 1);
        }
        let certificate = match made {
            Made::Alone => params.self_signed(&key),
            _ => params.signed_by(&key, &self.issuer),
        };
        let certificate = certificate.unwrap();
        fs::write(self.dir.join(format!("{file}.pem")), certificate.pem()).unwrap();
        let mut secret = fs::File::create(self.dir.join(format!("{file}.key"))).unwrap();
        secret.write_all(key.serialize_pem().as_bytes()).unwrap();
        Sha256::digest(certificate.der()).iter().map(|b| format!("{b:02x}")).collect()
    }
}
