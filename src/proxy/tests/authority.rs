//! An authority of ACME, which looks as real ones do: it asks for the token by HTTP, or for the certificate of the look by
//! TLS, at the ports where the proxy of the test listens.

use super::{
    pki::{Pki, s_client},
    rig::Origin,
};
use crate::{model::Trust, proxy::acme};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rcgen::{CertificateSigningRequestParams, Issuer, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

/// Where the names of a test lead.
#[derive(Clone, Copy)]
pub(super) struct Leads {
    pub(super) http: SocketAddr,
    pub(super) tls: SocketAddr,
}

/// What the authority knows.
#[derive(Default)]
pub(super) struct State {
    /// The thumbprint of each account's key, by its number.
    pub(super) accounts: Vec<String>,
    names: Vec<String>,
    proven: HashMap<usize, Result<(), String>>,
    certificate: Option<String>,
    pub(super) orders: usize,
    /// How it was looked.
    pub(super) looked: Vec<&'static str>,
}

pub(super) struct Authority {
    origin: Origin,
    pub(super) state: Arc<Mutex<State>>,
    pub(super) leads: Arc<Mutex<Option<Leads>>>,
}

/// What it answers by.
struct Desk {
    state: Arc<Mutex<State>>,
    leads: Arc<Mutex<Option<Leads>>>,
    issuer: Arc<Issuer<'static, KeyPair>>,
    dir: PathBuf,
    /// How it looks.
    kinds: &'static [&'static str],
    /// How long a certificate lives, from yesterday on.
    days: i64,
}

/// A signed request.
struct Asked<'a> {
    host: &'a str,
    path: &'a str,
    protected: Value,
    /// Null: it only looks.
    payload: Value,
}

impl Asked<'_> {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }

    /// The number at the end of the path.
    fn number(&self) -> usize {
        self.path.rsplit('/').next().unwrap().parse().unwrap()
    }
}

fn text(bytes: &[u8]) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(bytes).unwrap()
}

/// A key's thumbprint (RFC 7638).
fn thumbprint(jwk: &Value) -> String {
    let of = |name: &str| jwk[name].as_str().unwrap().to_owned();
    let canonical = json!({ "crv": of("crv"), "kty": of("kty"), "x": of("x"), "y": of("y") });
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical.to_string()))
}

fn answer(status: &str, more: &str, body: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\nReplay-Nonce: bm9uY2U\r\nContent-Type: application/json\r\n{more}");
    format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

impl Authority {
    /// One that looks in these ways.
    pub(super) fn new(pki: &Pki, kinds: &'static [&'static str], days: i64) -> Self {
        let (state, leads) = (Arc::<Mutex<State>>::default(), Arc::<Mutex<Option<Leads>>>::default());
        let dir = pki.dir.path().to_owned();
        let desk = Desk { state: state.clone(), leads: leads.clone(), issuer: pki.issuer(), dir, kinds, days };
        Self { origin: Origin::answering(move |head, body| desk.answer(head, body)), state, leads }
    }

    pub(super) fn config(&self, dir: &Path) -> acme::Config {
        acme::Config {
            directory: format!("http://{}/directory", self.origin.address),
            contact: vec!["mailto:a@a.test".into()],
            external: None,
            trust: Trust::SystemRoots,
            dir: dir.to_owned(),
        }
    }
}

impl Desk {
    fn answer(&self, head: &str, body: &[u8]) -> Vec<u8> {
        let host = head.lines().find_map(|l| l.strip_prefix("Host: ").or(l.strip_prefix("host: "))).unwrap();
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let mut asked = Asked { host, path, protected: Value::Null, payload: Value::Null };
        if method == "HEAD" {
            return b"HTTP/1.1 200 OK\r\nReplay-Nonce: bm9uY2U\r\nContent-Length: 0\r\n\r\n".to_vec();
        }
        if path == "/directory" {
            let body = json!({
                "newNonce": asked.url("/nonce"), "newAccount": asked.url("/account"), "newOrder": asked.url("/order"),
                "revokeCert": asked.url("/revoke"), "keyChange": asked.url("/key"),
            });
            return answer("200 OK", "", &body.to_string());
        }
        let signed: Value = serde_json::from_slice(body).unwrap();
        let part = |name: &str| text(signed[name].as_str().unwrap().as_bytes());
        asked.protected = serde_json::from_slice(&part("protected")).unwrap();
        let payload = part("payload");
        if !payload.is_empty() {
            asked.payload = serde_json::from_slice(&payload).unwrap();
        }
        let mut state = self.state.lock().unwrap();
        match path.split('/').nth(1).unwrap() {
            "account" => {
                state.accounts.push(thumbprint(&asked.protected["jwk"]));
                let location = format!("Location: {}\r\n", asked.url(&format!("/a/{}", state.accounts.len() - 1)));
                answer("201 Created", &location, r#"{"status":"valid"}"#)
            }
            "order" if asked.payload.is_null() => answer("200 OK", "", &state.order(&asked)),
            "order" => {
                state.begin(&asked.payload);
                answer("201 Created", &format!("Location: {}\r\n", asked.url("/order/1")), &state.order(&asked))
            }
            "authorization" => answer("200 OK", "", &self.authorization(&state, &asked)),
            "look" => answer("200 OK", "", &self.look(&mut state, &asked)),
            "finalize" => {
                state.certificate = Some(self.sign(asked.payload["csr"].as_str().unwrap()));
                answer("200 OK", "", &state.order(&asked))
            }
            "certificate" => answer("200 OK", "", state.certificate.as_ref().unwrap()),
            other => panic!("{method} {other}"),
        }
    }

    fn authorization(&self, state: &State, asked: &Asked<'_>) -> String {
        let n = asked.number();
        let status = match state.proven.get(&n) {
            None => "pending",
            Some(Ok(())) => "valid",
            Some(Err(_)) => "invalid",
        };
        let error = state.proven.get(&n).and_then(|p| p.as_ref().err());
        let challenge = |kind: &&str| {
            let url = asked.url(&format!("/look/{kind}/{n}"));
            let mut one = json!({ "type": kind, "url": url, "token": format!("token-{n}"), "status": status });
            if let Some(error) = error {
                one["error"] = json!({ "type": "urn:ietf:params:acme:error:connection", "detail": error });
            }
            one
        };
        let challenges: Vec<_> = self.kinds.iter().map(challenge).collect();
        let identifier = json!({ "type": "dns", "value": state.names[n] });
        json!({ "status": status, "identifier": identifier, "challenges": challenges }).to_string()
    }

    /// Looks, and remembers what it found.
    fn look(&self, state: &mut State, asked: &Asked<'_>) -> String {
        let (kind, n) = (asked.path.split('/').nth(2).unwrap(), asked.number());
        let account = asked.protected["kid"].as_str().unwrap().rsplit('/').next().unwrap();
        let expected = format!("token-{n}.{}", state.accounts[account.parse::<usize>().unwrap()]);
        let leads = loop {
            if let Some(leads) = *self.leads.lock().unwrap() {
                break leads;
            }
            std::thread::yield_now();
        };
        let name = state.names[n].clone();
        let found = match kind {
            "http-01" => look_by_http(leads.http, &name, &format!("token-{n}"), &expected),
            _ => look_by_tls(leads.tls, &name, &expected, &self.dir),
        };
        state.looked.push(if kind == "http-01" { "http-01" } else { "tls-alpn-01" });
        state.proven.insert(n, found);
        let (url, token) = (asked.url(asked.path), format!("token-{n}"));
        json!({ "type": kind, "url": url, "token": token, "status": "processing" }).to_string()
    }

    fn sign(&self, request: &str) -> String {
        let mut request = CertificateSigningRequestParams::from_der(&text(request.as_bytes()).into()).unwrap();
        let yesterday = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC).yesterday().unwrap().date();
        let day = |d: jiff::civil::Date| rcgen::date_time_ymd(d.year().into(), d.month() as u8, d.day() as u8);
        request.params.not_before = day(yesterday);
        request.params.not_after = day(yesterday.saturating_add(jiff::Span::new().days(self.days)));
        super::pki::pem("CERTIFICATE", request.signed_by(&*self.issuer).unwrap().der())
    }
}

impl State {
    fn begin(&mut self, payload: &Value) {
        let names = payload["identifiers"].as_array().unwrap();
        let names = names.iter().map(|n| n["value"].as_str().unwrap().to_owned()).collect();
        let (accounts, looked) = (std::mem::take(&mut self.accounts), std::mem::take(&mut self.looked));
        *self = Self { accounts, names, orders: self.orders + 1, looked, ..Self::default() };
    }

    fn order(&self, asked: &Asked<'_>) -> String {
        let all = (0..self.names.len()).all(|n| matches!(self.proven.get(&n), Some(Ok(()))));
        let bad = self.proven.values().any(Result::is_err);
        let status = match (&self.certificate, bad, all) {
            (Some(_), ..) => "valid",
            (_, true, _) => "invalid",
            (_, _, true) => "ready",
            _ => "pending",
        };
        let authorizations: Vec<_> = (0..self.names.len()).map(|n| asked.url(&format!("/authorization/{n}"))).collect();
        let identifiers: Vec<_> = self.names.iter().map(|n| json!({ "type": "dns", "value": n })).collect();
        let mut order = json!({
            "status": status, "authorizations": authorizations, "finalize": asked.url("/finalize"),
            "identifiers": identifiers,
        });
        if self.certificate.is_some() {
            order["certificate"] = json!(asked.url("/certificate"));
        }
        order.to_string()
    }
}

fn look_by_http(place: SocketAddr, name: &str, token: &str, expected: &str) -> Result<(), String> {
    let mut client = super::rig::Client::connect(place);
    client.send(format!("GET /.well-known/acme-challenge/{token} HTTP/1.1\r\nHost: {name}\r\n\r\n").as_bytes());
    let answer = client.answer(false);
    let said = String::from_utf8_lossy(&answer.body).into_owned();
    if answer.status == 200 && said == expected { Ok(()) } else { Err(format!("{}: {said}", answer.status)) }
}

fn look_by_tls(place: SocketAddr, name: &str, expected: &str, dir: &Path) -> Result<(), String> {
    let (_, said) = s_client(place, dir, &format!("-servername {name} -alpn acme-tls/1 -showcerts"));
    let Some(from) = said.find("-----BEGIN CERTIFICATE-----") else { return Err(said) };
    let certificate = dir.join(format!("look-{name}.pem"));
    std::fs::write(&certificate, &said[from..]).unwrap();
    let mut command = std::process::Command::new("openssl");
    let out = command.args(["x509", "-noout", "-text", "-in"]).arg(&certificate).output().unwrap();
    let shown = String::from_utf8_lossy(&out.stdout).replace([':', '\n', ' '], "").to_lowercase();
    let digest: String = Sha256::digest(expected).iter().map(|b| format!("{b:02x}")).collect();
    // The digest is an octet string, 32 bytes long, in a critical extension of its own.
    let is_right = shown.contains("1.3.6.1.5.5.7.1.31critical") && said.contains("ALPN protocol: acme-tls/1");
    let shows = std::fs::read(&certificate).is_ok() && der_of(&certificate).windows(64).any(|w| w == digest.as_bytes());
    if is_right && shows { Ok(()) } else { Err(shown) }
}

/// A certificate's bytes in hex.
fn der_of(certificate: &Path) -> Vec<u8> {
    let mut command = std::process::Command::new("openssl");
    let out = command.args(["x509", "-outform", "der", "-in"]).arg(certificate).output().unwrap();
    out.stdout.iter().flat_map(|b| format!("{b:02x}").into_bytes()).collect()
}
