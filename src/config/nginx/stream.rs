//! `stream { server { … } }`: TCP routes.

use super::{
    parse::Directive,
    put::Table,
    translate::Notes,
    upstream::{self, with_port},
    values,
};

/// The routes of a block.
pub(super) fn routes(stream: &Directive, notes: &mut Notes) -> Vec<Table> {
    let groups = upstream::groups(stream.inner(), notes);
    let mut routes = Vec::new();
    for directive in stream.inner() {
        match directive.name.as_str() {
            "upstream" => {}
            "server" => routes.extend(server(directive, &groups, notes)),
            _ => notes.unknown(directive),
        }
    }
    routes
}

fn server(server: &Directive, groups: &upstream::Groups, notes: &mut Notes) -> Option<Table> {
    let mut table = Table::default();
    for directive in server.inner() {
        match (directive.name.as_str(), directive.arg(0)) {
            ("listen", _) if directive.args.iter().any(|word| word == "udp" || word == "ssl") => {
                notes.left(directive, "TCP alone is carried, as it comes");
                return None;
            }
            ("listen", address) if table.get("listen").is_none() => table.text("listen", &listen(address)),
            ("listen", _) => notes.left(directive, "a TCP route listens at one address; write another one"),
            ("proxy_pass", to) => match groups.get(to) {
                Some(group) => {
                    let servers = group.servers.iter().map(|(at, weight)| format!("{at} weight={weight}"));
                    table.texts("upstreams", &servers.collect::<Vec<_>>());
                    if let Some(balance) = group.balance {
                        table.text("balance", balance);
                    }
                }
                None if to.contains('$') || to.starts_with("unix:") => {
                    notes.left(directive, "only fixed addresses and services can be led to");
                    return None;
                }
                None => table.texts("upstreams", &[with_port(to, 80)]),
            },
            ("proxy_connect_timeout", time) => match values::duration(time, 10, 60_000) {
                Some(time) => table.text("connect_timeout", &time),
                None => notes.left(directive, "the time cannot be read"),
            },
            ("proxy_timeout", time) => match values::duration(time, 100, 604_800_000) {
                Some(time) => table.text("idle_timeout", &time),
                None => notes.left(directive, "the time cannot be read"),
            },
            ("proxy_protocol", "on") => table.text("proxy_protocol", "v1"),
            _ => notes.unknown(directive),
        }
    }
    (table.get("listen").is_some() && table.get("upstreams").is_some()).then_some(table)
}

/// `443`, `*:443` or `10.0.0.1:443` as we write it.
pub(super) fn listen(address: &str) -> String {
    match address.rsplit_once(':') {
        None if address.bytes().all(|b| b.is_ascii_digit()) => format!("0.0.0.0:{address}"),
        None => format!("{address}:80"),
        Some(("*", port)) => format!("0.0.0.0:{port}"),
        Some(_) if address.ends_with(']') => format!("{address}:80"),
        Some(("localhost", port)) => format!("127.0.0.1:{port}"),
        Some(_) => address.to_owned(),
    }
}
