//! Every key of the proxy's routes works or is refused by name: none is ignored. What there is to know of keys is asked of
//! the reader itself, so that a key which it learns and nobody writes down here fails the test.

use super::{fault, ok};
use crate::config::{Env, Place, places};
use serde_json::Value;

/// What becomes of a key that is not its default.
enum Fate {
    /// It stands in the effective configuration, at this place of the first route.
    Works(&'static str),
    /// Refused, as not built.
    Refused,
}
use Fate::{Refused, Works};

/// A key, a value that is not its default (with what else it takes), and what becomes of it.
type Row = (&'static str, &'static str, Fate);

const SERVICE: &str = "service = \"a\"\n";
const DIR: &str = "dir = \"/srv\"\n";

const ROUTE: &[Row] = &[
    ("name", "name = \"x\"", Works("/name")),
    ("scheme", "scheme = \"https\"", Works("/scheme")),
    ("host", "host = [\"a.example\"]", Works("/host/0")),
    ("path_prefix", "path_prefix = \"/x\"", Works("/path_prefix")),
    ("path_suffix", "path_suffix = [\".x\"]", Works("/path_suffix/0")),
    ("methods", "methods = [\"GET\"]", Works("/methods/0")),
    ("service", "service = \"b\"", Works("/service")),
    ("upstreams", "upstreams = [\"http://10.0.0.1\"]", Works("/upstreams/0")),
    ("dir", "dir = \"/srv\"", Works("/dir")),
    ("spa", "spa = true", Works("/spa")),
    ("redirect", "redirect = { to = \"/x\" }", Works("/redirect/to")),
    ("respond", "respond = { status = 201 }", Works("/respond/status")),
    ("strip_prefix", "strip_prefix = \"/x\"", Works("/strip_prefix")),
    ("rewrite", "rewrite = { from = \"a\", to = \"/b\" }", Works("/rewrite/from")),
    ("balance", "balance = \"p2c\"", Works("/balance")),
    ("hash_on", "balance = \"hash\"\nhash_on = \"uri\"", Works("/hash_on")),
    ("slow_start", "slow_start = \"5s\"", Works("/slow_start")),
    ("tags", "tags = [\"x\"]", Works("/tags/0")),
    ("split", "split = [{ weight = 5, service = \"b\" }]", Works("/split/0/weight")),
    ("sticky", "sticky = \"cookie:x\"", Works("/sticky")),
    ("body_max", "body_max = \"2MiB\"", Works("/body_max")),
    ("connect_timeout", "connect_timeout = \"3s\"", Works("/connect_timeout")),
    ("timeout", "timeout = \"3s\"", Works("/timeout")),
    ("retries", "retries = 2", Works("/retries")),
    ("host_header", "host_header = \"x\"", Works("/host_header")),
    ("concurrency", "concurrency = 5", Refused),
    ("queue", "queue = 5", Refused),
    ("queue_timeout", "queue_timeout = \"5s\"", Refused),
    ("rate_limit", "rate_limit = \"100r/s\"", Refused),
    ("cors", "cors = { origins = [\"*\"] }", Works("/cors/origins/0")),
    ("headers", "headers = { response_remove = [\"X\"] }", Works("/headers/response_remove/0")),
    ("cache", "cache = { ttl = \"5s\" }", Refused),
    ("compress", "compress = true", Refused),
    ("auth", "auth = { forward = \"http://a/b\" }", Works("/auth/forward")),
];

const TCP: &[Row] = &[
    ("listen", "", Works("/listen")),
    ("name", "name = \"x\"", Works("/name")),
    ("sni", "sni = [\"*.a.example\"]", Works("/sni/0")),
    ("service", "service = \"b\"", Works("/service")),
    ("upstreams", "upstreams = [\"10.0.0.1:5672 weight=2\"]", Works("/upstreams/0")),
    ("tags", "tags = [\"x\"]", Works("/tags/0")),
    ("balance", "balance = \"least_conn\"", Works("/balance")),
    ("hash_on", "balance = \"hash\"", Works("/balance")),
    ("slow_start", "slow_start = \"5s\"", Works("/slow_start")),
    ("connect_timeout", "connect_timeout = \"3s\"", Works("/connect_timeout")),
    ("idle_timeout", "idle_timeout = \"3s\"", Works("/idle_timeout")),
    ("max_connections", "max_connections = 5", Works("/max_connections")),
    ("proxy_protocol", "proxy_protocol = \"v2\"", Works("/proxy_protocol")),
];

/// Tables within a route: what they must have, and each of their keys with a value.
const TABLES: &[(&str, &str, &[(&str, &str)])] = &[
    ("redirect", "to = \"/x\"", &[("to", "\"/y\""), ("status", "302")]),
    ("respond", "", &[("status", "404"), ("body", "\"x\""), ("type", "\"text/css\"")]),
    ("rewrite", "from = \"a\", to = \"/b\"", &[("from", "\"x\""), ("to", "\"/y\"")]),
    (
        "cors",
        "origins = [\"https://a\"]",
        &[
            ("origins", "[\"https://b\"]"),
            ("methods", "[\"PUT\"]"),
            ("headers", "[\"X-A\"]"),
            ("credentials", "true"),
            ("max_age", "\"5s\""),
        ],
    ),
    (
        "auth",
        "forward = \"http://a/b\"",
        &[
            ("forward", "\"http://10.0.0.5:9000/may?x=1\""),
            ("copy_headers", "[\"Remote-User\"]"),
            ("answer_headers", "[\"Set-Cookie\"]"),
            ("timeout", "\"3s\""),
            ("basic_file", "\"\""),
        ],
    ),
    (
        "headers",
        "",
        &[
            ("request_set", "{ X = \"1\" }"),
            ("request_remove", "[\"X\"]"),
            ("response_set", "{ X = \"1\" }"),
            ("response_remove", "[\"X\"]"),
        ],
    ),
];

/// What the reader knows, as it says itself where a key is unknown.
fn known(text: &str) -> Vec<String> {
    let said = fault(text);
    let list = said.split("known here are ").nth(1).unwrap_or_else(|| panic!("{said}"));
    let mut keys: Vec<String> = list.lines().next().unwrap().split(", ").map(str::to_owned).collect();
    keys.sort();
    keys
}

fn sorted(rows: impl Iterator<Item = &'static str>) -> Vec<String> {
    let mut keys: Vec<String> = rows.map(str::to_owned).collect();
    keys.sort();
    keys
}

#[test]
fn the_table_here_has_every_key_that_the_reader_knows() {
    let route = known("[[proxy.route]]\nname = \"r\"\nservice = \"a\"\nzzqqxx = 1\n");
    assert_eq!(route, sorted(ROUTE.iter().map(|row| row.0)));
    let tcp = known("[[proxy.tcp]]\nlisten = \"0.0.0.0:5672\"\nservice = \"a\"\nzzqqxx = 1\n");
    assert_eq!(tcp, sorted(TCP.iter().map(|row| row.0)));
    for (table, with, keys) in TABLES {
        let to = if matches!(*table, "redirect" | "respond") { "" } else { SERVICE };
        let comma = if with.is_empty() { "" } else { ", " };
        let text = format!("[[proxy.route]]\nname = \"r\"\n{to}{table} = {{ {with}{comma}zzqqxx = 1 }}\n");
        assert_eq!(known(&text), sorted(keys.iter().map(|key| key.0)), "{table}");
    }
}

/// The first entry of a list of the effective configuration.
fn view(text: &str, list: &str) -> Value {
    ok(text).to_view().pointer(&format!("/proxy/{list}/0")).cloned().unwrap_or_else(|| panic!("{text}"))
}

fn check(row: &Row, text: &str, least: &str, list: &str) {
    match row.2 {
        Refused => {
            let said = fault(text);
            assert!(said.contains(&format!(".{}: not built yet", row.0)), "{}: {said}", row.0);
        }
        Works(place) => {
            let (with, without) = (view(text, list), view(least, list));
            let said = with.pointer(place).unwrap_or_else(|| panic!("{} is not at {place} of {with}", row.0));
            assert!(without.pointer(place) != Some(said) || row.1.is_empty(), "{} changes nothing", row.0);
        }
    }
}

#[test]
fn every_key_of_a_route_changes_what_is_in_force_or_is_refused_by_name() {
    for row in ROUTE {
        let to = match row.0 {
            "service" | "upstreams" | "dir" | "redirect" | "respond" => "",
            "spa" => DIR,
            _ => SERVICE,
        };
        let name = if row.0 == "name" { "" } else { "name = \"r\"\n" };
        let least = format!("[[proxy.route]]\nname = \"r\"\n{}", if to.is_empty() { SERVICE } else { to });
        check(row, &format!("[[proxy.route]]\n{name}{to}{}\n", row.1), &least, "route");
    }
    for row in TCP {
        let to = if matches!(row.0, "service" | "upstreams") { "" } else { SERVICE };
        let head = "[[proxy.tcp]]\nlisten = \"0.0.0.0:5672\"\n";
        check(row, &format!("{head}{to}{}\n", row.1), &format!("{head}{SERVICE}"), "tcp");
    }
}

#[test]
fn every_key_of_a_table_within_a_route_changes_it() {
    for (table, with, keys) in TABLES {
        let to = if matches!(*table, "redirect" | "respond") { "" } else { SERVICE };
        let route = |inner: &str| format!("[[proxy.route]]\nname = \"r\"\n{to}{table} = {{ {inner} }}\n");
        for (key, value) in *keys {
            // What it must have, with this key instead of its own.
            let rest: Vec<&str> =
                with.split(", ").filter(|pair| !pair.is_empty() && !pair.starts_with(&format!("{key} "))).collect();
            let changed = [rest, vec![&*format!("{key} = {value}")]].concat().join(", ");
            if (*table, *key) == ("auth", "basic_file") {
                let said = fault(&route("basic_file = \"x\""));
                assert!(said.contains(".auth.basic_file: not built yet"), "{said}");
                continue;
            }
            let (before, after) = (view(&route(with), "route"), view(&route(&changed), "route"));
            assert_ne!(before[table][key], after[table][key], "{table}.{key}");
        }
    }
}

#[test]
fn each_value_says_where_it_comes_from() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    let text =
        "node = 'n'\n[recording]\nsegment = '5s'\n[[device]]\nid = 'a'\n[[device]]\nid = 'b'\nstreams = ['main']\n";
    std::fs::write(&file, text).unwrap();
    let env = Env::new([("SKYVIS_RECORDING__SEGMENT", "7s"), ("WAN_ENDPOINT", "http://w")], "h");
    let mut found = places(&file, &env);
    found.sort();
    let variable = |name: &str| Place::Environment(name.into());
    let expected = [
        ("device.0.id", Place::Line(5)),
        ("device.1.id", Place::Line(7)),
        ("device.1.streams", Place::Line(8)),
        ("node", Place::Line(1)),
        ("proxy.wan_endpoint", variable("WAN_ENDPOINT")),
        ("recording.segment", variable("SKYVIS_RECORDING__SEGMENT")),
    ];
    assert_eq!(found, expected.map(|(key, place)| (key.to_owned(), place)));
    assert!(places(&dir.path().join("none"), &env).is_empty());
}
