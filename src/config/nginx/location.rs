//! Locations of a server as routes.

use super::{
    parse::Directive,
    put::{self, Table},
    translate::Notes,
    upstream::{Group, Groups, with_port},
    values,
};
use crate::proxy::table::Rewrite;

/// Directives of outer blocks that hold within, until one of the same name stands there.
pub(super) const INHERITED: [&str; 16] = [
    "add_header",
    "client_max_body_size",
    "index",
    "proxy_connect_timeout",
    "proxy_hide_header",
    "proxy_next_upstream",
    "proxy_next_upstream_tries",
    "proxy_read_timeout",
    "proxy_send_timeout",
    "proxy_set_header",
    "proxy_pass_header",
    "proxy_ssl_name",
    "proxy_ssl_verify",
    "root",
    "try_files",
    "alias",
];

/// What stands around locations.
pub(super) struct Level<'a> {
    /// From the outermost block on.
    pub(super) outer: &'a [&'a [Directive]],
    pub(super) groups: &'a Groups,
}

impl Level<'_> {
    /// All directives of a name that hold in `block`: those of the innermost block that has any.
    fn of<'d>(&'d self, block: &'d [Directive], name: &str) -> Vec<&'d Directive> {
        let levels = [block].into_iter().chain(self.outer.iter().rev().copied());
        let found = levels.map(|level| level.iter().filter(|d| d.name == name).collect::<Vec<_>>());
        found.into_iter().find(|level| !level.is_empty()).unwrap_or_default()
    }

    fn one<'d>(&'d self, block: &'d [Directive], name: &str) -> Option<&'d Directive> {
        self.of(block, name).last().copied()
    }
}

/// How a location matches.
enum Match<'a> {
    Prefix(&'a str),
    /// A prefix that no regular expression gets before.
    Firm(&'a str),
    Exact(&'a str),
    /// Ends of paths, in any case or not.
    Suffixes(Vec<String>, bool),
    /// A regular expression of another kind, or a name.
    None(&'static str),
}

/// All routes of a server without a `return` of its own.
pub(super) fn all(block: &[Directive], level: &Level<'_>, notes: &mut Notes) -> Vec<Table> {
    let mut locations = Vec::new();
    gather(block, &mut locations);
    let prefixes: Vec<&str> = locations
        .iter()
        .filter_map(|location| match matched(location) {
            Match::Prefix(prefix) => Some(prefix),
            _ => None,
        })
        .collect();
    let (mut routes, mut behind) = (Vec::new(), Vec::new());
    for location in &locations {
        let kind = matched(location);
        match kind {
            Match::None(why) => notes.left(location, why),
            Match::Prefix(prefix) | Match::Firm(prefix) => {
                behind.extend(route(location, prefix, level, notes));
            }
            Match::Exact(path) => {
                let Some(mut exact) = route(location, path, level, notes) else { continue };
                if path != "/" {
                    exact.texts("path_suffix", &[path]);
                    notes.left(
                        location,
                        "taken over for paths that begin and end with it, of which it is nearly always the only one",
                    );
                } else {
                    notes.left(location, "taken over for all paths that no other location has");
                }
                routes.push(exact);
            }
            Match::Suffixes(suffixes, any_case) => {
                if any_case {
                    notes.left(location, "taken over for endings in small letters");
                }
                // There a regular expression gets before prefixes; here the longest prefix does, so it stands at each.
                let mut all = prefixes.clone();
                all.push("/");
                all.sort_unstable();
                all.dedup();
                for prefix in all {
                    let Some(mut one) = route(location, prefix, level, notes) else { continue };
                    one.texts("path_suffix", &suffixes);
                    routes.push(one);
                }
            }
        }
    }
    let has_root = level.one(block, "root").is_some();
    if has_root && !locations.iter().any(|l| matches!(matched(l), Match::Prefix("/") | Match::Firm("/"))) {
        behind.extend(files(block, "/", level, notes));
    }
    routes.append(&mut behind);
    routes
}

/// Locations within locations stand beside them here: the longest prefix wins there and here.
fn gather<'d>(block: &'d [Directive], all: &mut Vec<&'d Directive>) {
    for location in block.iter().filter(|d| d.name == "location") {
        all.push(location);
        gather(location.inner(), all);
    }
}

fn matched(location: &Directive) -> Match<'_> {
    match (location.arg(0), location.arg(1)) {
        ("=", path) => Match::Exact(path),
        ("^~", path) => Match::Firm(path),
        ("~", regex) => suffixes(regex, false),
        ("~*", regex) => suffixes(regex, true),
        (named, "") if named.starts_with('@') => Match::None("locations with a name are not jumped to"),
        (path, "") if path.starts_with('/') => Match::Prefix(path),
        _ => Match::None("it matches by what routes do not know: they have a begin and ends of paths"),
    }
}

/// `\.(jpg|png)$` and `\.php$`.
fn suffixes(regex: &str, any_case: bool) -> Match<'_> {
    let none = Match::None("a regular expression; routes have a begin (path_prefix) and ends (path_suffix) of paths");
    let Some(inner) = regex.strip_suffix('$').and_then(|r| r.strip_prefix("\\.")) else { return none };
    let inner =
        inner.strip_prefix("(?:").or(inner.strip_prefix('(')).and_then(|i| i.strip_suffix(')')).unwrap_or(inner);
    let plain = |e: &str| !e.is_empty() && e.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    let mut endings = Vec::new();
    for ending in inner.split('|') {
        // `jpe?g` is two.
        match ending.split_once('?') {
            None if plain(ending) => endings.push(format!(".{ending}")),
            Some((before, after)) if plain(before) && (after.is_empty() || plain(after)) => {
                endings.push(format!(".{before}{after}"));
                endings.push(format!(".{}{after}", &before[..before.len() - 1]));
            }
            _ => return none,
        }
    }
    Match::Suffixes(endings, any_case)
}

fn route(location: &Directive, prefix: &str, level: &Level<'_>, notes: &mut Notes) -> Option<Table> {
    let block = location.inner();
    for directive in block {
        match directive.name.as_str() {
            "location" | "proxy_pass" | "grpc_pass" | "return" | "rewrite" => {}
            name if INHERITED.contains(&name) => {}
            _ => notes.unknown(directive),
        }
    }
    if let Some(said) = block.iter().find(|d| d.name == "return") {
        let mut table = returned(said, prefix, notes)?;
        headers(block, level, &mut table, false, notes);
        return Some(table);
    }
    match block.iter().find(|d| matches!(d.name.as_str(), "proxy_pass" | "grpc_pass")) {
        Some(pass) => forward(pass, block, prefix, level, notes),
        None => files(block, prefix, level, notes),
    }
}

/// `return`
pub(super) fn returned(said: &Directive, prefix: &str, notes: &mut Notes) -> Option<Table> {
    let mut table = at(prefix);
    let (code, text) = match said.args.as_slice() {
        [to] if to.starts_with("http") || to.starts_with('$') => ("302", to.as_str()),
        [code] => (code.as_str(), ""),
        [code, text, ..] => (code.as_str(), text.as_str()),
        [] => ("", ""),
    };
    let Some(written) = values::template(text) else {
        notes.left(said, "it has a variable that texts here do not have");
        return None;
    };
    match code {
        "301" | "302" | "303" | "307" | "308" if !written.is_empty() => {
            table.raw("redirect", format!("{{ to = {}, status = {code} }}", put::quoted(&written)));
        }
        _ if code != "444" && code.parse().is_ok_and(|code: u16| (200..=599).contains(&code)) => {
            let body = if written.is_empty() { String::new() } else { format!(", body = {}", put::quoted(&written)) };
            table.raw("respond", format!("{{ status = {code}{body} }}"));
        }
        _ => {
            notes.left(said, "a connection cannot be closed without a word by a route");
            return None;
        }
    }
    Some(table)
}

fn at(prefix: &str) -> Table {
    let mut table = Table::default();
    table.text("path_prefix", prefix);
    table
}

fn forward(pass: &Directive, block: &[Directive], prefix: &str, level: &Level<'_>, notes: &mut Notes) -> Option<Table> {
    let mut table = at(prefix);
    let to = pass.arg(0);
    let spoken = SPOKEN.iter().find_map(|(theirs, ours, port)| Some((to.strip_prefix(theirs)?, *ours, *port)));
    let spoken = spoken.or_else(|| (pass.name == "grpc_pass").then_some((to, "h2", 80)));
    let fixed = spoken.filter(|(rest, ..)| !rest.contains('$') && !rest.starts_with("unix:"));
    let Some((rest, scheme, port)) = fixed else {
        notes.left(pass, "upstreams are reached by http:// or https:// at a fixed place, or as a service");
        return None;
    };
    let (place, uri) = rest.find('/').map_or((rest, None), |at| (&rest[..at], Some(&rest[at..])));
    let direct = Group { servers: vec![(with_port(place, port), 1)], ..Group::default() };
    let group = level.groups.get(place).unwrap_or(&direct);
    if group.servers.is_empty() {
        notes.left(pass, "the upstream has no server that was taken over");
        return None;
    }
    let name = secured(scheme, block, level, &mut table, notes);
    let servers = group.servers.iter().map(|(at, weight)| match weight {
        1 => format!("{scheme}://{at}{name}"),
        weight => format!("{scheme}://{at}{name} weight={weight}"),
    });
    table.texts("upstreams", &servers.collect::<Vec<_>>());
    if let Some(balance) = group.balance {
        table.text("balance", balance);
    }
    if let Some(on) = &group.hash_on {
        table.text("hash_on", on);
    }
    match uri {
        None => rewritten(block, &mut table, notes),
        Some("/") if prefix.ends_with('/') => table.text("strip_prefix", prefix),
        Some(uri) => {
            let from = format!("^{}", values::escaped(prefix));
            rewrite(&from, &uri.replace('$', "$$"), &mut table);
        }
    }
    times(block, level, &mut table, notes);
    if let Some(size) = level.one(block, "client_max_body_size") {
        match values::size(size.arg(0)) {
            Some(size) => table.text("body_max", &size),
            None => notes.left(size, "the size cannot be read"),
        }
    }
    host_header(block, level, place, &mut table);
    headers(block, level, &mut table, true, notes);
    Some(table)
}

/// What is spoken with upstreams: there, here, and the port where none is said.
const SPOKEN: [(&str, &str, u16); 4] =
    [("http://", "http", 80), ("https://", "https", 443), ("grpc://", "h2", 80), ("grpcs://", "h2s", 443)];

/// The name that upstreams are asked for over TLS, as it stands behind their address. Who they are is always verified
/// here, and there only where that is said.
fn secured(scheme: &str, block: &[Directive], level: &Level<'_>, table: &mut Table, notes: &mut Notes) -> String {
    if !matches!(scheme, "https" | "h2s") {
        return String::new();
    }
    if level.one(block, "proxy_ssl_verify").is_none_or(|d| d.arg(0) != "on") {
        let comment = "certificates of upstreams are verified here; where no authority has signed one, write \
                       pin= and its SHA-256 behind the address";
        table.comments.push(comment.to_owned());
    }
    match level.one(block, "proxy_ssl_name") {
        Some(name) if name.arg(0).contains('$') => {
            notes.left(name, "upstreams are asked for by a fixed name, name= behind the address");
            String::new()
        }
        Some(name) => format!(" name={}", name.arg(0)),
        None => String::new(),
    }
}

fn rewrite(from: &str, to: &str, table: &mut Table) {
    table.raw("rewrite", format!("{{ from = {}, to = {} }}", put::quoted(from), put::quoted(to)));
}

/// `rewrite … break` before `proxy_pass`.
fn rewritten(block: &[Directive], table: &mut Table, notes: &mut Notes) {
    for directive in block.iter().filter(|d| d.name == "rewrite") {
        let (from, to, flag) = (directive.arg(0), directive.arg(1), directive.arg(2));
        match Rewrite::new(from, to) {
            _ if !matches!(flag, "break" | "last" | "") => {
                notes.left(directive, "a route redirects to one place for all paths, see `redirect`");
            }
            Ok(_) if table.get("rewrite").is_none() => rewrite(from, to, table),
            Ok(_) => notes.left(directive, "a route has one rewrite"),
            Err(_) => notes.left(directive, "its expression or what it becomes is not as those here"),
        }
    }
}

fn times(block: &[Directive], level: &Level<'_>, table: &mut Table, notes: &mut Notes) {
    let mut time = |name: &str, least: u64, most: u64| {
        let directive = level.one(block, name)?;
        let time = values::duration(directive.arg(0), least, most);
        if time.is_none() {
            notes.left(directive, "the time cannot be read");
        }
        Some((values::millis(directive.arg(0))?, time?))
    };
    if let Some((_, time)) = time("proxy_connect_timeout", 10, 60_000) {
        table.text("connect_timeout", &time);
    }
    let longest = [time("proxy_read_timeout", 10, 86_400_000), time("proxy_send_timeout", 10, 86_400_000)];
    if let Some((_, time)) = longest.into_iter().flatten().max() {
        table.text("timeout", &time);
    }
    let next = level.one(block, "proxy_next_upstream").map(|d| d.arg(0));
    let tries = level.one(block, "proxy_next_upstream_tries").and_then(|d| d.arg(0).parse::<u32>().ok());
    match (next, tries) {
        (Some("off"), _) => table.raw("retries", "0".into()),
        (_, Some(tries @ 1..)) => table.raw("retries", (tries - 1).min(16).to_string()),
        _ => {}
    }
}

/// Unless told otherwise, nginx names the upstream as it stands in `proxy_pass`.
fn host_header(block: &[Directive], level: &Level<'_>, place: &str, table: &mut Table) {
    let set = level.of(block, "proxy_set_header");
    let host = set.iter().rev().find(|d| d.arg(0).eq_ignore_ascii_case("host")).map(|d| d.arg(1));
    match host {
        None | Some("$proxy_host") => table.text("host_header", place),
        Some(host) if host.starts_with('$') => {}
        Some(host) => table.text("host_header", host),
    }
}

/// Header fields in both directions.
fn headers(block: &[Directive], level: &Level<'_>, table: &mut Table, forwards: bool, notes: &mut Notes) {
    let (mut request, mut request_remove) = (Vec::new(), Vec::new());
    for directive in level.of(block, "proxy_set_header").into_iter().filter(|_| forwards) {
        let (name, value) = (directive.arg(0), directive.arg(1));
        let lower = name.to_ascii_lowercase();
        let is_ours = matches!(lower.as_str(), "host" | "upgrade" | "connection" | "x-real-ip" | "forwarded")
            || lower.starts_with("x-forwarded-");
        match value {
            _ if is_ours => {}
            "" => request_remove.push(name.to_owned()),
            value if value.contains('$') => notes.left(directive, "values of headers are fixed texts here"),
            _ if has(&request, name) => notes.left(directive, ONCE),
            value => request.push((name.to_owned(), put::quoted(value))),
        }
    }
    let (mut response, mut cors) = (Vec::new(), Vec::new());
    for directive in level.of(block, "add_header") {
        let (name, value) = (directive.arg(0), directive.arg(1));
        match name.to_ascii_lowercase().strip_prefix("access-control-") {
            Some(of) => cors.push((of.to_owned(), value.to_owned(), directive)),
            None if value.contains('$') => notes.left(directive, "values of headers are fixed texts here"),
            None if has(&response, name) => notes.left(directive, ONCE),
            None => response.push((name.to_owned(), put::quoted(value))),
        }
    }
    let hidden: Vec<&str> = level.of(block, "proxy_hide_header").iter().map(|d| d.arg(0)).collect();
    let mut rules = Vec::new();
    let mut rule = |key: &str, value: String, is_there: bool| {
        if is_there {
            rules.push((key.to_owned(), value));
        }
    };
    rule("request_set", put::table(&request), !request.is_empty());
    rule("request_remove", put::list(&request_remove), !request_remove.is_empty());
    rule("response_set", put::table(&response), !response.is_empty());
    rule("response_remove", put::list(&hidden), !hidden.is_empty() && forwards);
    if !rules.is_empty() {
        table.raw("headers", put::table(&rules));
    }
    if !cors.is_empty() {
        self::cors(&cors, table, notes);
    }
}

/// Why a second field of a name is left.
const ONCE: &str = "a header is set once here, and was above";

fn has(fields: &[(String, String)], name: &str) -> bool {
    fields.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
}

fn cors(said: &[(String, String, &Directive)], table: &mut Table, notes: &mut Notes) {
    let get = |name: &str| said.iter().find(|(n, ..)| n == name).map(|(_, value, _)| value.as_str());
    let words = |text: &str| text.split(',').map(|w| w.trim().to_owned()).filter(|w| !w.is_empty()).collect::<Vec<_>>();
    let with_credentials = get("allow-credentials") == Some("true");
    let directive = said[0].2;
    let origin = match get("allow-origin") {
        Some("*") if with_credentials => None,
        Some(origin) if !origin.contains('$') => Some(origin),
        _ => None,
    };
    let Some(origin) = origin else {
        return notes.left(directive, "name the origins that may ask in `cors`; whoever asks cannot be let in unseen");
    };
    let mut pairs = vec![("origins".to_owned(), put::list(&[origin]))];
    for (theirs, ours) in [("allow-methods", "methods"), ("allow-headers", "headers")] {
        match get(theirs).map(words) {
            Some(list) if !list.is_empty() && !list.iter().any(|w| w == "*" || w.contains('$')) => {
                pairs.push((ours.to_owned(), put::list(&list)));
            }
            _ => {}
        }
    }
    if with_credentials {
        pairs.push(("credentials".to_owned(), "true".to_owned()));
    }
    if let Some(age) = get("max-age").and_then(|age| age.parse::<u64>().ok()) {
        pairs.push(("max_age".to_owned(), put::quoted(&format!("{}s", age.min(86_400)))));
    }
    for (name, _, directive) in said {
        if !["allow-origin", "allow-methods", "allow-headers", "allow-credentials", "max-age"].contains(&name.as_str())
        {
            notes.left(directive, "set it by headers.response_set");
        }
    }
    table.raw("cors", put::table(&pairs));
}

/// `root` and `alias`.
fn files(block: &[Directive], prefix: &str, level: &Level<'_>, notes: &mut Notes) -> Option<Table> {
    let alias = block.iter().find(|d| d.name == "alias");
    let root = level.one(block, "root");
    let mut table = at(prefix);
    let directive = alias.or(root)?;
    if directive.arg(0).contains('$') {
        notes.left(directive, "a directory has a fixed name");
        return None;
    }
    let dir = directive.arg(0);
    let mut index = prefix.to_owned();
    if alias.is_some() {
        table.text("dir", if dir == "/" { dir } else { dir.trim_end_matches('/') });
        if prefix != "/" {
            table.text("strip_prefix", prefix);
        }
    } else {
        table.text("dir", dir);
        index = "/".to_owned();
    }
    let index = format!("{}/index.html", index.trim_end_matches('/'));
    if let Some(tries) = level.one(block, "try_files") {
        let tried: Vec<&str> = tries.args.iter().map(String::as_str).collect();
        match tried.as_slice() {
            [first @ .., last] if first.iter().all(|t| matches!(*t, "$uri" | "$uri/")) && *last == index => {
                table.raw("spa", "true".into());
            }
            [first @ .., "=404"] if first.iter().all(|t| matches!(*t, "$uri" | "$uri/")) => {}
            _ => {
                notes.left(tries, "files are looked for as they are, then as index.html, and with `spa` at /index.html")
            }
        }
    }
    if let Some(index) = level.one(block, "index").filter(|d| d.arg(0) != "index.html") {
        notes.left(index, "a directory shows its index.html");
    }
    for directive in block.iter().filter(|d| d.name == "rewrite") {
        notes.left(directive, "files have a path of their own; use `rewrite` of the route");
    }
    headers(block, level, &mut table, false, notes);
    Some(table)
}
