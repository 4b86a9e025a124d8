//! TLS towards openssl and curl: which certificate, which version, what is resumed, and what becomes of bad pairs.

use super::{
    pki::{Pki, curl, s_client, secure, secure_with},
    rig::{Client, Origin, Rig, ok, route},
};
use crate::proxy::{
    Settings,
    config::{HeaderRules, Route, Target},
    h1::Scheme,
    table::Template,
    tls::{Identity, MinVersion, Site},
};
use std::{net::SocketAddr, path::Path, time::Duration};

/// A route that answers by itself.
fn respond(body: &str) -> Route {
    let body = Template::parse(body).unwrap();
    let to = Target::Respond { status: 200, body, content_type: "text/plain".into() };
    Route { to, headers: HeaderRules::default(), ..route(&[]) }
}

/// The serial number of the certificate that a client is shown, in hex.
fn shown(address: SocketAddr, dir: &Path, arguments: &str) -> Option<String> {
    let (_, text) = s_client(address, dir, &format!("{arguments} -showcerts"));
    let from = text.find("-----BEGIN CERTIFICATE-----")?;
    std::fs::write(dir.join("shown.pem"), &text[from..]).unwrap();
    let out = std::process::Command::new("openssl");
    let mut out = out;
    let out = out.args(["x509", "-noout", "-serial", "-in", "shown.pem"]).current_dir(dir).output().unwrap();
    Some(String::from_utf8(out.stdout).unwrap().trim().trim_start_matches("serial=").trim_start_matches('0').to_owned())
}

#[test]
fn a_name_picks_its_certificate_and_one_of_nobody_is_refused_where_there_is_no_default() {
    let pki = Pki::new();
    let dir = pki.dir.path();
    let named = [pki.site("a", &["a.test"], 0xa1), pki.site("w", &["*.w.test"], 0xb2)];
    let (_rig, address) = secure(vec![respond("x")], named.to_vec());
    let serial = |arguments: &str| shown(address, dir, arguments);
    assert_eq!(serial("-servername a.test").as_deref(), Some("A1"));
    assert_eq!(serial("-servername A.TEST").as_deref(), Some("A1"));
    assert_eq!(serial("-servername x.w.test").as_deref(), Some("B2"));
    assert_eq!(serial("-noservername").as_deref(), Some("A1"), "the first is for those that name none");
    for name in ["b.test", "w.test", "x.y.w.test"] {
        let (done, text) = s_client(address, dir, &format!("-servername {name}"));
        assert!(!done && text.contains("unrecognized name"), "{name}: {text}");
    }
    let with_default = [named.to_vec(), vec![pki.site("d", &[], 0xd4)]].concat();
    let (rig, address) = secure(vec![respond("x")], with_default);
    assert_eq!(shown(address, dir, "-servername b.test").as_deref(), Some("D4"));
    assert_eq!(shown(address, dir, "-noservername").as_deref(), Some("D4"));
    assert_eq!(shown(address, dir, "-servername a.test").as_deref(), Some("A1"));
    assert_eq!(rig.metric("skyvis_proxy_tls_handshakes_total{outcome=\"Full\"}"), 3.0);
}

#[test]
fn only_sound_versions_and_ciphers_are_spoken() {
    let pki = Pki::new();
    let dir = pki.dir.path();
    let modern = Site { min_version: MinVersion::Tls13, ..pki.site("m", &["m.test"], 2) };
    let (_rig, address) = secure(vec![respond("x")], vec![pki.site("a", &["a.test"], 1), modern]);
    let says = |arguments: &str| s_client(address, dir, arguments);
    for (arguments, version) in [
        ("-servername a.test -verify_return_error", "TLSv1.3"),
        ("-servername a.test -verify_return_error -tls1_2", "TLSv1.2"),
        ("-servername m.test -verify_return_error", "TLSv1.3"),
    ] {
        let (done, text) = says(arguments);
        assert!(done && text.contains(version) && text.contains("Verification: OK"), "{arguments}: {text}");
    }
    for arguments in [
        "-servername m.test -tls1_2",
        "-servername a.test -tls1_1 -cipher ALL:@SECLEVEL=0",
        "-servername a.test -tls1 -cipher ALL:@SECLEVEL=0",
        "-servername a.test -tls1_2 -cipher AES128-SHA:AES256-SHA:AES128-GCM-SHA256:@SECLEVEL=0",
        "-servername a.test -tls1_2 -cipher ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384:@SECLEVEL=0",
        "-servername a.test -tls1_2 -cipher NULL:aNULL:eNULL:EXPORT:LOW:@SECLEVEL=0",
    ] {
        let (done, text) = says(arguments);
        assert!(!done && text.contains("alert"), "{arguments}: {text}");
    }
    // Of protocols that both speak one is chosen; where there is none, the handshake ends.
    let (_, text) = says("-servername a.test -alpn http/1.1");
    assert!(text.contains("ALPN protocol: http/1.1"), "{text}");
    let (done, text) = says("-servername a.test -alpn gopher");
    assert!(!done && text.contains("no application protocol"), "{text}");
    // What is no TLS gets an alert, and neither an answer in the clear nor a crash.
    let mut plain = Client::connect(address);
    plain.send(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(plain.take(1), [0x15]);
    // What is too old is told so even where it begins as a handshake does.
    let (done, _) = says("-servername a.test -no_tls1_3 -no_tls1_2 -cipher ALL:@SECLEVEL=0");
    assert!(!done);
}

#[test]
fn a_session_is_resumed_also_after_its_certificate_was_renewed() {
    let pki = Pki::new();
    let dir = pki.dir.path();
    let site = pki.site("a", &["a.test"], 0xa1);
    let Identity::Files { cert, key } = &site.identity else { panic!("{site:?}") };
    let (rig, address) = secure(vec![respond("x")], vec![site.clone()]);
    let resumed = |version: &str| {
        let (_, text) = s_client(address, dir, &format!("-servername a.test {version} -sess_in {version}.session"));
        text.contains("Reused, ")
    };
    for version in ["-tls1_3", "-tls1_2"] {
        let begin = format!("-servername a.test {version} -sess_out {version}.session");
        // The tickets of TLS 1.3 come behind the handshake: a request waits for what comes.
        ask_by_openssl(address, dir, &begin);
        assert!(resumed(version), "{version}");
    }
    let (chain, secret) = pki.issue(&["a.test"], 0xb2);
    let mut states = rig.proxy.tls().watch();
    states.borrow_and_update();
    std::fs::write(cert, chain).unwrap();
    std::fs::write(key, secret).unwrap();
    rig.wait(async {
        while shown(address, dir, "-servername a.test").as_deref() != Some("B2") {
            tokio::task::yield_now().await;
        }
    });
    for version in ["-tls1_3", "-tls1_2"] {
        assert!(resumed(version), "{version}: the renewal cost it");
    }
    assert!(rig.metric("skyvis_proxy_tls_handshakes_total{outcome=\"Resumed\"}") >= 4.0);
}

/// A request by `openssl s_client`, which stays until the answer has come.
fn ask_by_openssl(address: SocketAddr, dir: &Path, arguments: &str) -> String {
    use std::{io::Write, process::Stdio};
    let mut command = std::process::Command::new("openssl");
    command.args(["s_client", "-connect", &address.to_string(), "-CAfile", "ca.pem", "-ign_eof"]);
    command.args(arguments.split(' ')).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").unwrap();
    String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
}

#[test]
fn a_bad_pair_keeps_the_old_one_and_says_so_until_it_is_mended() {
    let pki = Pki::new();
    let dir = pki.dir.path();
    let site = pki.site("a", &["a.test"], 0xa1);
    let Identity::Files { cert, key } = &site.identity else { panic!("{site:?}") };
    let absent = Site { names: site.names.clone(), ..pki.site("z", &["z.test"], 9) };
    let absent = Site { identity: Identity::Files { cert: dir.join("none.pem"), key: key.clone() }, ..absent };
    let absent = Site { names: vec![crate::proxy::config::HostPattern::Exact("z.test".into())], ..absent };
    let (rig, address) = secure(vec![respond("x")], vec![site.clone(), absent.clone()]);
    let mut states = rig.proxy.tls().watch();
    let fault = |at: usize| states.borrow().get(at).and_then(|s| s.fault.clone());
    assert_eq!(fault(0), None);
    assert!(fault(1).is_some_and(|f| f.contains("none.pem cannot be read")), "one without a certificate stops nobody");
    let (done, text) = s_client(address, dir, "-servername z.test");
    assert!(!done && text.contains("internal error"), "{text}");

    let bad = |rig: &super::rig::Rig, states: &mut tokio::sync::watch::Receiver<_>, words: &str| {
        let is_told = |s: &std::sync::Arc<[crate::proxy::tls::SiteState]>| {
            s[0].fault.as_ref().is_some_and(|fault| fault.contains(words))
        };
        rig.wait(async { states.wait_for(is_told).await.map(|_| ()) }).unwrap();
        assert_eq!(shown(address, dir, "-servername a.test").as_deref(), Some("A1"), "{words}");
    };
    let (chain, secret) = pki.issue(&["a.test"], 0xb2);
    std::fs::write(cert, &chain).unwrap();
    bad(&rig, &mut states, "the key is not that of the certificate");
    std::fs::write(key, "no key").unwrap();
    bad(&rig, &mut states, "no private key");
    std::fs::write(cert, "").unwrap();
    bad(&rig, &mut states, "there is no certificate");
    std::fs::remove_file(cert).unwrap();
    bad(&rig, &mut states, "cannot be read");
    // All entries are made anew by a reload; what is not on the disk any more is still in force.
    let more = pki.site("m", &["m.test"], 0xc3);
    rig.proxy.tls().apply(vec![site.clone(), absent, more]);
    rig.wait(async { states.wait_for(|s| s.len() == 3 && s[2].not_after.is_some()).await.map(|_| ()) }).unwrap();
    assert_eq!(shown(address, dir, "-servername m.test").as_deref(), Some("C3"));
    bad(&rig, &mut states, "cannot be read");
    // By rename, as careful tools do it.
    for (path, text) in [(key, &secret), (cert, &chain)] {
        let beside = path.with_extension("new");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(beside, path).unwrap();
    }
    rig.wait(async { states.wait_for(|s| s[0].fault.is_none()).await.map(|_| ()) }).unwrap();
    assert_eq!(shown(address, dir, "-servername a.test").as_deref(), Some("B2"));
}

#[test]
fn requests_and_bodies_get_through_whole_and_the_origin_is_told_how_they_came() {
    let pki = Pki::new();
    let dir = pki.dir.path();
    let large: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    let answer = ok(&large);
    let origin = Origin::answering(move |head, body| match head.starts_with("GET /large") {
        true => answer.clone(),
        false => ok(&[head.as_bytes(), body].concat()),
    });
    let (rig, address) = secure(vec![route(&[origin.address])], vec![pki.site("a", &["a.test"], 1)]);
    let url = |path: &str| format!("https://a.test:{}{path}", address.port());
    let (done, text) = curl(address, dir, "a.test", &[&url("/x?y=1")]);
    let lower = text.to_ascii_lowercase();
    assert!(done && text.starts_with("GET /x?y=1 HTTP/1.1"), "{text}");
    assert!(lower.contains("\r\nx-forwarded-proto: https\r\n") && lower.contains("\r\nx-real-ip: 127.0.0.1\r\n"));
    let (done, _) = curl(address, dir, "a.test", &["-o", "got", &url("/large"), "-o", "again", &url("/large")]);
    assert!(done && std::fs::read(dir.join("got")).unwrap() == large);
    assert!(std::fs::read(dir.join("again")).unwrap() == large);
    // Sent by length and in chunks.
    std::fs::write(dir.join("body"), &large[..1_000_000]).unwrap();
    for chunked in [&["-H", "Transfer-Encoding: chunked"][..], &[]] {
        let post = url("/post");
        let arguments = [&["--data-binary", "@body", "-o", "got", &post][..], chunked].concat();
        let (done, text) = curl(address, dir, "a.test", &arguments);
        let got = std::fs::read(dir.join("got")).unwrap();
        assert!(done && got.ends_with(&large[..1_000_000]), "{text}");
    }
    let (done, text) = curl(address, dir, "b.test", &[&format!("https://b.test:{}/", address.port())]);
    assert!(!done && text.contains("unrecognized name"), "{text}");
    assert_eq!(rig.proxy.panics(), 0);
}

/// A redirect of all to https, by what a route says of its scheme.
fn to_https(scheme: Option<Scheme>) -> Route {
    let to = Template::parse("https://{host}{uri}").unwrap();
    Route { name: "to-https".into(), scheme, to: Target::Redirect { to, status: 308 }, ..route(&[]) }
}

#[test]
fn what_comes_in_the_clear_is_sent_to_https_and_what_came_so_is_served() {
    let pki = Pki::new();
    let dir = pki.dir.path();
    let api = Route { name: "api".into(), path_prefix: "/api/".into(), ..respond("api {scheme}") };
    for (scheme, prefixes_win) in [(Some(Scheme::Http), false), (None, true)] {
        let routes = vec![to_https(scheme), Route { name: "site".into(), ..respond("site {scheme}") }, api.clone()];
        let trusted = crate::proxy::h1::Trust::new(vec!["127.0.0.0/8".parse().unwrap()]);
        let settings = Settings { trusted, ..Settings::default() };
        let (rig, address) = secure_with(routes.clone(), vec![pki.site("a", &["a.test"], 1)], Settings::default());
        let plain = |path: &str| rig.ask(&format!("GET {path} HTTP/1.1\r\nHost: a.test:80\r\n\r\n"));
        let sent = plain("/x?y=%20");
        assert_eq!((sent.status, sent.field("location")), (308, Some("https://a.test/x?y=%20")));
        assert_eq!(plain("/api/x").status, if prefixes_win { 200 } else { 308 }, "{scheme:?}");
        for version in ["--http1.1", "--http2"] {
            for (path, expected) in [("/x", "site https"), ("/api/x", "api https")] {
                let url = format!("https://a.test:{}{path}", address.port());
                assert_eq!(curl(address, dir, "a.test", &[version, &url]), (true, expected.to_owned()));
            }
        }
        // Behind a proxy that speaks TLS for us, and says so.
        let behind = Rig::with(routes, settings, Vec::new());
        for (proto, status) in [("http", 308), ("https", 200), ("https, http", 200)] {
            let head = format!("GET /x HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-Proto: {proto}\r\n\r\n");
            assert_eq!(behind.ask(&head).status, status, "{proto}");
            let stranger = rig.ask(&head);
            assert_eq!(stranger.status, 308, "whoever may not be believed is not");
        }
    }
}

#[test]
fn a_host_of_another_certificate_is_misdirected_unless_a_trusted_proxy_asks() {
    let pki = Pki::new();
    let dir = pki.dir.path();
    let sites = vec![pki.site("a", &["a.test", "c.test"], 1), pki.site("b", &["b.test"], 2)];
    let trusting =
        Settings { trusted: crate::proxy::h1::Trust::new(vec!["127.0.0.0/8".parse().unwrap()]), ..Settings::default() };
    for (settings, misdirected) in [(Settings::default(), "421"), (trusting, "200")] {
        let (_rig, address) = secure_with(vec![respond("x")], sites.clone(), settings);
        for (host, status) in
            [("a.test", "200"), ("A.test.", "200"), ("c.test", "200"), ("b.test", misdirected), ("d.test", misdirected)]
        {
            let url = format!("https://a.test:{}/", address.port());
            let header = format!("Host: {host}");
            let arguments = ["-o", "/dev/null", "-w", "%{http_code}", "-H", &header, &url];
            assert_eq!(curl(address, dir, "a.test", &arguments), (true, status.to_owned()), "{host}");
        }
    }
}

#[test]
fn handshakes_are_bounded_in_time_and_number_and_the_header_of_a_proxy_comes_before_them() {
    let pki = Pki::new();
    let dir = pki.dir.path();
    let settings = Settings { header_timeout: Duration::from_millis(300), handshakes_max: 4, ..Settings::default() };
    let (rig, address) = secure_with(vec![respond("x")], vec![pki.site("a", &["a.test"], 1)], settings);
    // Four of each of the two workers stay, and others are closed at once.
    let mut silent: Vec<_> = (0..40).map(|_| Client::connect(address)).collect();
    for client in &mut silent {
        assert!(client.ended(), "nothing is said before a hello");
    }
    assert!(rig.metric("skyvis_proxy_tls_handshakes_total{outcome=\"TurnedAway\"}") >= 32.0);
    assert!((1.0..=8.0).contains(&rig.metric("skyvis_proxy_tls_handshakes_total{outcome=\"Slow\"}")));
    let (done, _) = s_client(address, dir, "-servername a.test");
    assert!(done, "there is room again");

    let settings = Settings { proxy_protocol: true, ..Settings::default() };
    let (_rig, address) = secure_with(vec![respond("{remote_addr}")], vec![pki.site("a", &["a.test"], 1)], settings);
    let url = format!("https://a.test:{}/", address.port());
    let (done, text) = curl(address, dir, "a.test", &["--haproxy-protocol", &url]);
    assert!(done && text.starts_with("127.0.0.1"), "{text}");
    let (done, _) = curl(address, dir, "a.test", &[&url]);
    assert!(!done, "it is not optional");
}
