//! `upstream NAME { … }`, and what `proxy_pass` leads to.

use super::{parse::Directive, translate::Notes};
use std::collections::BTreeMap;

/// A group of servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Group {
    /// `host:port` and its weight.
    pub(super) servers: Vec<(String, u32)>,
    pub(super) balance: Option<&'static str>,
    pub(super) hash_on: Option<String>,
}

/// All groups, by name.
pub(super) type Groups = BTreeMap<String, Group>;

/// Reads the groups of a block.
pub(super) fn groups(block: &[Directive], notes: &mut Notes) -> Groups {
    let of = |directive: &Directive, notes: &mut Notes| (directive.arg(0).to_owned(), group(directive, notes));
    block.iter().filter(|d| d.name == "upstream").map(|d| of(d, notes)).collect()
}

fn group(directive: &Directive, notes: &mut Notes) -> Group {
    let mut group = Group::default();
    for inner in directive.inner() {
        match (inner.name.as_str(), inner.arg(0)) {
            ("server", address) if address.starts_with("unix:") => {
                notes.left(inner, "upstreams are reached by TCP only")
            }
            ("server", address) => {
                let mut weight = 1;
                let mut is_out = false;
                for word in inner.args.iter().skip(1) {
                    match word.split_once('=') {
                        Some(("weight", number)) => weight = number.parse().unwrap_or(1),
                        _ if word == "down" => is_out = true,
                        _ if word == "backup" => {
                            is_out = true;
                            notes.left(inner, "a backup server: there is none here, it is left out");
                        }
                        // What failed is taken out and asked again by rules of our own.
                        Some(("max_fails" | "fail_timeout", _)) => {}
                        _ => notes.word(inner, word),
                    }
                }
                if !is_out {
                    group.servers.push((with_port(address, 80), weight));
                }
            }
            ("least_conn", _) => group.balance = Some("least_conn"),
            ("random", _) => group.balance = Some("p2c"),
            ("ip_hash", _) => group.balance = Some("hash"),
            ("hash", key) => {
                let name = key.trim_start_matches('$');
                let on = match name {
                    "remote_addr" | "binary_remote_addr" => Some("ip".to_owned()),
                    "request_uri" | "uri" => Some("uri".to_owned()),
                    _ => name
                        .strip_prefix("http_")
                        .map(|header| format!("header:{}", header.replace('_', "-")))
                        .or_else(|| name.strip_prefix("cookie_").map(|cookie| format!("cookie:{cookie}"))),
                };
                match on {
                    Some(on) => (group.balance, group.hash_on) = (Some("hash"), Some(on)),
                    None => notes.left(inner, "only the address, the URI, one header or one cookie can be hashed"),
                }
            }
            _ => notes.unknown(inner),
        }
    }
    group
}

/// The address with a port, this one where none is said.
pub(super) fn with_port(address: &str, port: u16) -> String {
    let has_port = match address.strip_prefix('[') {
        Some(v6) => v6.contains("]:"),
        None => address.contains(':'),
    };
    if has_port { address.to_owned() } else { format!("{address}:{port}") }
}
