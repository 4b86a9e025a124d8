//! Certificates by ACME: ordered, proven in both ways, kept, renewed, and never waited for.

use super::{
    authority::{Authority, Leads},
    pki::{Pki, s_client},
    rig::{Rig, route},
};
use crate::proxy::{
    Settings, acme,
    config::{HostPattern, Route, Target},
    table::Template,
    tls::{Identity, MinVersion, Site},
};
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

fn site(dir: &Path, names: &[&str]) -> Site {
    Site {
        listen: "127.0.0.1:0".parse().unwrap(),
        names: names.iter().map(|n| HostPattern::Exact((*n).into())).collect(),
        identity: Identity::Acme { file: dir.join(format!("{}.pem", names[0])) },
        min_version: MinVersion::Tls12,
    }
}

/// A route of a host that sends all to https, as sites have it.
fn all_to_https() -> Route {
    let to = Target::Redirect { to: Template::parse("https://{host}{uri}").unwrap(), status: 308 };
    Route { to, host: vec![HostPattern::Exact("a.test".into())], ..route(&[]) }
}

fn rig(authority: &Authority, dir: &Path, names: &[&str]) -> (Rig, SocketAddr) {
    *authority.leads.lock().unwrap() = None;
    let rig = Rig::with_acme(vec![all_to_https()], Settings::default(), vec![site(dir, names)], authority.config(dir));
    let tls = rig.proxy.addresses()[1];
    *authority.leads.lock().unwrap() = Some(Leads { http: rig.address, tls });
    (rig, tls)
}

#[test]
fn a_certificate_is_ordered_by_http_and_kept_and_the_account_with_it() {
    let pki = Pki::new();
    let authority = Authority::new(&pki, &["http-01", "tls-alpn-01"], 90);
    let dir = pki.dir.path().join("acme");
    let (running, tls) = rig(&authority, &dir, &["a.test", "b.test"]);
    let mut states = running.proxy.tls().watch();
    running.wait(async { states.wait_for(|s| s[0].not_after.is_some()).await.map(|_| ()) }).unwrap();
    let (done, text) = s_client(tls, pki.dir.path(), "-servername b.test -verify_return_error -verify_hostname b.test");
    assert!(done && text.contains("Verification: OK"), "{text}");
    assert_eq!(authority.state.lock().unwrap().looked, ["http-01", "http-01"]);
    use std::os::unix::fs::PermissionsExt;
    for file in ["account.json", "a.test.pem"] {
        let mode = std::fs::metadata(dir.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    // What was a look is none any more.
    assert_eq!(running.get("/.well-known/acme-challenge/token-0").status, 404);
    drop(running);
    // The next start has what it needs at once, and asks nobody.
    let (again, tls) = rig(&authority, &dir, &["a.test", "b.test"]);
    let (done, _) = s_client(tls, pki.dir.path(), "-servername a.test -verify_return_error");
    assert!(done);
    drop(again);
    let state = authority.state.lock().unwrap();
    assert_eq!((state.orders, state.accounts.len()), (1, 1));
}

#[test]
fn a_short_life_is_renewed_with_the_same_account_and_what_hinders_it_is_told() {
    let pki = Pki::new();
    let dir = pki.dir.path().join("acme");
    // One that has lived for more than half of its hour: not_before is an hour ago.
    let short = Authority::new(&pki, &["http-01"], 0);
    let (running, _) = rig(&short, &dir, &["a.test"]);
    let kept = || std::fs::read(dir.join("a.test.pem")).ok();
    running.wait(async {
        while kept().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let first = kept();
    drop(running);
    let (running, _) = rig(&short, &dir, &["a.test"]);
    running.wait(async {
        while kept() == first {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    drop(running);
    let state = short.state.lock().unwrap();
    assert_eq!((state.orders, state.accounts.len()), (2, 1), "renewed by the same account");
    drop(state);

    // An authority that looks by TLS alone: the first try cannot work, and says so; the start waited for neither.
    let dir = pki.dir.path().join("other");
    let by_tls = Authority::new(&pki, &["tls-alpn-01"], 90);
    let (running, _) = rig(&by_tls, &dir, &["c.test"]);
    let mut states = running.proxy.tls().watch();
    let told = |s: &Arc<[crate::proxy::tls::SiteState]>| {
        s[0].fault.as_ref().is_some_and(|fault| fault.contains("does not look by Http"))
    };
    running.wait(async { states.wait_for(told).await.map(|_| ()) }).unwrap();
}

#[test]
fn a_name_is_proven_by_tls() {
    let pki = Pki::new();
    let dir = pki.dir.path().join("acme");
    let authority = Authority::new(&pki, &["tls-alpn-01"], 90);
    let sites = vec![site(&dir, &["a.test"])];
    let (rig, tls) = super::pki::secure(Vec::new(), sites);
    *authority.leads.lock().unwrap() = Some(Leads { http: rig.address, tls });
    let config = authority.config(&dir);
    let store = rig.proxy.tls().clone();
    let pair = rig.wait(async move {
        let account = acme::account(&config).await.unwrap();
        let names = ["a.test".to_owned()];
        acme::order(&account, &names, acme::Proof::Tls, store.challenges(), store.provider()).await
    });
    let pair = pair.unwrap();
    assert!(pair.contains("PRIVATE KEY") && pair.contains("BEGIN CERTIFICATE"));
    assert_eq!(authority.state.lock().unwrap().looked, ["tls-alpn-01"]);
    assert_eq!(rig.metric("skyvis_proxy_tls_handshakes_total{outcome=\"Challenge\"}"), 1.0);
    // To a client that speaks it without being expected, nothing is shown.
    let (done, text) = s_client(tls, pki.dir.path(), "-servername a.test -alpn acme-tls/1");
    assert!(!done, "{text}");
}
