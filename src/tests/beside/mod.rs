//! A site's everyday server, beside nginx: an app with history routing, a directory by another name, seven services and a
//! WebSocket, as an nginx.conf and as our file. The same requests go to both; what differs is written here, with the
//! reason, or is a fault.

mod asks;
mod differences;
mod guarded;
mod origin;
mod servers;

use asks::{Ask, asks};
use differences::DIFFERENCES;
use servers::{Answer, Files, Gateway, Nginx};
use std::collections::BTreeMap;

/// Fields that mean something to a client. `Date`, `Server` and what is said of the connection do not.
const FIELDS: [&str; 18] = [
    "accept-ranges",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "allow",
    "cache-control",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "etag",
    "last-modified",
    "location",
    "set-cookie",
    "upgrade",
    "vary",
    "www-authenticate",
    "x-origin",
];

/// Where the answers to one request are not the same: what, there, here.
fn compare(ask: &Ask, there: &Answer, here: &Answer) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    let mut put = |what: &str, there: String, here: String| {
        if there != here {
            found.push((what.to_owned(), there, here));
        }
    };
    put("status", there.status.to_string(), here.status.to_string());
    for field in FIELDS {
        put(field, there.field(field), here.field(field));
    }
    if ask.method != "HEAD" {
        put("body", there.text(), here.text());
    }
    found
}

/// Asks both, and holds every difference against the list. How often each entry was needed, by its reason.
fn hold(asks: &[Ask], nginx: &Nginx, gateway: &Gateway, used: &mut BTreeMap<&'static str, usize>) -> Vec<String> {
    let mut faults = Vec::new();
    for ask in asks {
        let (there, here) = (nginx.ask(ask), gateway.ask(ask));
        for (what, a, b) in compare(ask, &there, &here) {
            let known = DIFFERENCES.iter().find(|d| d.what.contains(&&*what) && (d.holds)(ask, &there, &here));
            match known {
                Some(known) => *used.entry(known.why).or_default() += 1,
                None => faults.push(format!("{} {}: {what}: nginx {a:?}, here {b:?}", ask.method, ask.label())),
            }
        }
    }
    faults
}

#[test]
fn a_site_gets_the_same_answers_from_nginx_and_from_here() {
    let (files, services) = (Files::new(), origin::Services::new());
    let nginx = Nginx::start(&files, &services);
    let asks = asks();
    assert!(asks.len() >= 200, "{}", asks.len());
    let mut used = BTreeMap::new();
    for (how, toml) in [("written by hand", servers::toml(&files, &services)), ("imported", nginx.imported())] {
        let gateway = Gateway::start(&toml);
        let faults = hold(&asks, &nginx, &gateway, &mut used);
        assert!(faults.is_empty(), "{how}: {} differences:\n{}\n{toml}", faults.len(), faults.join("\n"));
    }
    let unused: Vec<&str> = DIFFERENCES.iter().map(|d| d.why).filter(|why| !used.contains_key(why)).collect();
    assert!(unused.is_empty(), "differences that are none: {unused:?}");
}

#[test]
fn a_websocket_is_the_same_from_both() {
    let (files, services) = (Files::new(), origin::Services::new());
    let nginx = Nginx::start(&files, &services);
    let gateway = Gateway::start(&servers::toml(&files, &services));
    let said = [nginx.address, gateway.address].map(|address| {
        let mut client = servers::connect(address);
        servers::upgrade(&mut client, "/ws/room/7?a=b")
    });
    assert_eq!(said[0], said[1]);
    assert!(said[0].starts_with("101 echo hello"), "{}", said[0]);
}
