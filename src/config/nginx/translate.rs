//! Servers, and what holds for all of them.

use super::{
    Imported,
    location::{self, Level},
    parse::Directive,
    put::{Table, one_line},
    stream::{self, listen},
    upstream::{self, Groups},
    values,
    why::why,
};
use std::collections::{BTreeMap, BTreeSet};

/// What was not taken over.
#[derive(Default)]
pub(super) struct Notes {
    notes: Vec<String>,
    told: BTreeSet<String>,
}

impl Notes {
    /// A directive, and why.
    pub(super) fn left(&mut self, directive: &Directive, why: &str) {
        let note = format!("{}: {}: {why}", directive.place, said(directive));
        if self.told.insert(note.clone()) {
            self.notes.push(note);
        }
    }

    /// One that nobody asked for: its reason is that of its name.
    pub(super) fn unknown(&mut self, directive: &Directive) {
        if let Some(why) = why(&directive.name) {
            self.left(directive, why);
        }
    }

    /// A word of a directive that was taken over otherwise.
    pub(super) fn word(&mut self, directive: &Directive, word: &str) {
        self.left(directive, &format!("`{word}` was left out, the rest is taken over"));
    }
}

/// A directive as it stands, shortened.
fn said(directive: &Directive) -> String {
    let words = [&[directive.name.clone()][..], &directive.args].concat().join(" ");
    one_line(&words.chars().take(100).collect::<String>())
}

/// What holds for all servers.
#[derive(Default)]
struct Whole {
    listen: Vec<String>,
    proxy: Table,
    trusted: Vec<String>,
    tls: Vec<Table>,
    routes: Vec<Table>,
    tcp: Vec<Table>,
    /// What routes are found by, so that two servers do not get in each other's way.
    taken: BTreeMap<String, String>,
    names: BTreeSet<String>,
    /// Some servers speak TLS alone, or never: what they do is not for clients of the other kind.
    by_scheme: bool,
}

/// All of a file.
pub(super) fn translate(main: &[Directive]) -> Imported {
    let (mut whole, mut notes) = (Whole::default(), Notes::default());
    for directive in main {
        match directive.name.as_str() {
            "http" => whole.http(directive, &mut notes),
            "stream" => whole.tcp.extend(stream::routes(directive, &mut notes)),
            _ => notes.unknown(directive),
        }
    }
    // A file that is included by another one, as those of sites are, begins with its servers.
    if main.iter().any(|d| d.name == "server") {
        let place = main[0].place.clone();
        let http = Directive { name: "http".into(), args: Vec::new(), block: Some(main.to_vec()), place };
        notes = Notes::default();
        whole.http(&http, &mut notes);
    }
    whole.print(&notes)
}

impl Whole {
    fn http(&mut self, http: &Directive, notes: &mut Notes) {
        let block = http.inner();
        let groups = upstream::groups(block, notes);
        let servers: Vec<&Directive> = block.iter().filter(|d| d.name == "server").collect();
        for directive in block {
            match directive.name.as_str() {
                "server" | "upstream" => {}
                name if location::INHERITED.contains(&name) => {}
                _ => self.setting(directive, notes),
            }
        }
        let schemes: BTreeSet<Option<&str>> = servers.iter().map(|server| scheme(server)).collect();
        self.by_scheme |= schemes.len() > 1;
        let mut first: BTreeSet<String> = BTreeSet::new();
        for server in servers {
            self.server(server, http, &groups, &mut first, notes);
        }
    }

    /// What holds for the whole proxy here.
    fn setting(&mut self, directive: &Directive, notes: &mut Notes) {
        let value = directive.arg(0);
        match directive.name.as_str() {
            "access_log" if value == "off" || value.is_empty() => {}
            "access_log" if self.proxy.get("access_log").is_none() && !value.contains('$') => {
                self.proxy.text("access_log", if value == "/dev/stdout" { "stdout" } else { value });
            }
            "keepalive_timeout" => match values::duration(value, 100, 86_400_000) {
                Some(time) if time != "0s" => self.proxy.text("idle_timeout", &time),
                _ => notes.left(directive, "the time cannot be read"),
            },
            "client_header_timeout" => match values::duration(value, 100, 600_000) {
                Some(time) => self.proxy.text("header_timeout", &time),
                None => notes.left(directive, "the time cannot be read"),
            },
            "set_real_ip_from" if !value.starts_with("unix:") => self.trusted.push(value.to_owned()),
            "real_ip_header" if matches!(value, "X-Forwarded-For" | "proxy_protocol" | "X-Real-IP") => {}
            "real_ip_recursive" => {}
            _ => notes.unknown(directive),
        }
    }

    fn server(
        &mut self,
        server: &Directive,
        http: &Directive,
        groups: &Groups,
        first: &mut BTreeSet<String>,
        notes: &mut Notes,
    ) {
        let block = server.inner();
        let of = |name: &'static str| block.iter().filter(move |d| d.name == name);
        let is_default = self.listens(server, first, notes);
        let (hosts, label) = hosts(server, is_default, notes);
        self.certificate(server, &hosts, notes);
        for directive in block {
            match directive.name.as_str() {
                "listen" | "server_name" | "ssl_certificate" | "ssl_certificate_key" | "ssl" => {}
                "location" | "return" | "rewrite" => {}
                "if" if host_of(directive).is_some() => {}
                name if location::INHERITED.contains(&name) => {}
                _ => self.setting(directive, notes),
            }
        }
        let level = Level { outer: &[http.inner(), block], groups };
        for rewrite in of("rewrite") {
            notes.left(
                rewrite,
                "a server's rewrite comes before its locations; write it into the location that it is for",
            );
        }
        let mut routes = Vec::new();
        for (host, said) in of("if").filter_map(host_of) {
            if let Some(mut route) = location::returned(said, "/", notes) {
                route.texts("host", &[host]);
                routes.push(route);
            }
        }
        match of("return").next() {
            Some(said) => routes.extend(location::returned(said, "/", notes)),
            None => routes.extend(location::all(block, &level, notes)),
        }
        let schemes = match scheme(server) {
            _ if !self.by_scheme => vec![None],
            Some(scheme) => vec![Some(scheme)],
            // Beside servers of one scheme it must be there for each, since they would go before it.
            None => vec![Some("http"), Some("https")],
        };
        for scheme in schemes {
            for mut route in routes.clone() {
                if let Some(scheme) = scheme {
                    route.text("scheme", scheme);
                }
                if !hosts.is_empty() && route.get("host").is_none() {
                    route.texts("host", &hosts);
                }
                self.add(route, server, &label, notes);
            }
        }
    }

    /// Takes a route, unless another server has one for the very same requests.
    fn add(&mut self, mut route: Table, server: &Directive, label: &str, notes: &mut Notes) {
        let key =
            ["scheme", "host", "path_prefix", "path_suffix", "methods"].map(|k| route.get(k).unwrap_or("")).join(" ");
        if let Some(other) = self.taken.get(&key) {
            let why = format!(
                "its {} is that of the server at {other}; routes hold for all ports of a scheme here, and the first one \
                 is kept",
                route.get("path_prefix").unwrap_or("path")
            );
            return notes.left(server, &why);
        }
        self.taken.insert(key, server.place.to_string());
        let of_scheme = route.get("scheme").map(|scheme| format!("{} ", scheme.trim_matches('"'))).unwrap_or_default();
        let base: String =
            format!("{of_scheme}{label} {}", route.get("path_prefix").unwrap_or("\"/\"").trim_matches('"'));
        let base: String = base.trim().chars().filter(char::is_ascii).take(56).collect();
        let mut name = base.clone();
        for n in 2.. {
            if self.names.insert(name.clone()) {
                break;
            }
            name = format!("{base} {n}");
        }
        let mut named = Table::default();
        named.text("name", &name);
        named.comments = std::mem::take(&mut route.comments);
        named.take_keys(route);
        self.routes.push(named);
    }

    /// Where it listens; whether it serves whatever no other server has a name for.
    fn listens(&mut self, server: &Directive, first: &mut BTreeSet<String>, notes: &mut Notes) -> bool {
        let mut is_default = false;
        let listens: Vec<&Directive> = server.inner().iter().filter(|d| d.name == "listen").collect();
        let has_certificate = server.inner().iter().any(|d| d.name == "ssl_certificate");
        if listens.is_empty() {
            is_default |= first.insert("0.0.0.0:80".into());
            self.listen("0.0.0.0:80".into());
        }
        for directive in listens {
            if directive.arg(0).starts_with("unix:") {
                notes.left(directive, "HTTP is served by TCP only");
                continue;
            }
            let address = listen(directive.arg(0));
            let is_tls = directive.args.iter().any(|word| word == "ssl");
            is_default |= first.insert(address.clone());
            is_default |= directive.args.iter().any(|word| word == "default_server" || word == "default");
            for word in directive.args.iter().skip(1) {
                match word.as_str() {
                    "ssl" | "default_server" | "default" | "http2" | "reuseport" | "deferred" => {}
                    "proxy_protocol" => self.proxy.raw("proxy_protocol", "true".into()),
                    word if word.contains('=') => {}
                    word => notes.word(directive, word),
                }
            }
            match (is_tls, has_certificate) {
                (false, _) => self.listen(address),
                (true, true) => {}
                (true, false) => notes.left(directive, "the server has no ssl_certificate"),
            }
        }
        is_default
    }

    fn listen(&mut self, address: String) {
        // IPv6 of the same port is the same address where all of IPv4 is listened on.
        if !self.listen.contains(&address) {
            self.listen.push(address);
        }
    }

    fn certificate(&mut self, server: &Directive, hosts: &[String], notes: &mut Notes) {
        let of = |name: &str| server.inner().iter().find(|d| d.name == name);
        let (Some(cert), Some(key)) = (of("ssl_certificate"), of("ssl_certificate_key")) else { return };
        if cert.arg(0).contains('$') {
            return notes.left(cert, "certificates are files with a fixed name");
        }
        let listens = server.inner().iter().filter(|d| d.name == "listen" && d.args.iter().any(|w| w == "ssl"));
        for directive in listens {
            let mut tls = Table::default();
            tls.text("listen", &listen(directive.arg(0)));
            tls.texts("server_name", hosts);
            tls.text("cert", cert.arg(0));
            tls.text("key", key.arg(0));
            if !self.tls.contains(&tls) {
                self.tls.push(tls);
            }
        }
    }

    fn print(mut self, notes: &Notes) -> Imported {
        let mut toml = String::new();
        if !notes.notes.is_empty() {
            toml.push_str("# Not taken over:\n");
            notes.notes.iter().for_each(|note| toml.push_str(&format!("#   {}\n", one_line(note))));
        }
        if !self.listen.is_empty() || !self.routes.is_empty() {
            self.proxy.texts("listen", &self.listen);
        }
        self.proxy.texts("trusted_proxies", &self.trusted);
        self.proxy.write("[proxy]", &mut toml);
        self.tls.iter().for_each(|table| table.write("[[proxy.tls]]", &mut toml));
        self.routes.iter().for_each(|table| table.write("[[proxy.route]]", &mut toml));
        self.tcp.iter().for_each(|table| table.write("[[proxy.tcp]]", &mut toml));
        Imported { toml, left: notes.notes.len() }
    }
}

/// `if ($host = a.example) { return …; }`, as it is written into many a file by a client of ACME: the host, and what it
/// gets.
fn host_of(directive: &Directive) -> Option<(String, &Directive)> {
    let condition = directive.args.join(" ");
    let condition = condition.strip_prefix('(')?.strip_suffix(')')?.trim();
    let host = condition.strip_prefix("$host")?.trim_start().strip_prefix('=')?.trim();
    let is_name = !host.is_empty() && !host.contains(['$', ' ', '"', '\'']);
    match directive.inner() {
        [said] if is_name && said.name == "return" => Some((host.to_ascii_lowercase(), said)),
        _ => None,
    }
}

/// What alone is spoken with a server; None: both.
fn scheme(server: &Directive) -> Option<&'static str> {
    let block = server.inner();
    let has_certificate = block.iter().any(|d| d.name == "ssl_certificate");
    let is_tls = |listen: &Directive| has_certificate && listen.args.iter().any(|word| word == "ssl");
    let listens: Vec<&Directive> = block.iter().filter(|d| d.name == "listen").collect();
    match (listens.iter().any(|listen| is_tls(listen)), listens.iter().all(|listen| is_tls(listen))) {
        (true, true) => Some("https"),
        (false, _) => Some("http"),
        (true, false) => None,
    }
}

/// The hosts of a server, in our words; none: any. And a name for its routes.
fn hosts(server: &Directive, is_default: bool, notes: &mut Notes) -> (Vec<String>, String) {
    let mut hosts = Vec::new();
    let mut is_any = is_default;
    let directives = server.inner().iter().filter(|d| d.name == "server_name");
    for directive in directives {
        for name in &directive.args {
            match name.as_str() {
                "_" | "" => is_any = true,
                regex if regex.starts_with('~') => notes.left(directive, "names are exact, or begin with `*.`"),
                star if star.ends_with(".*") => notes.left(directive, "names are exact, or begin with `*.`"),
                both if both.starts_with('.') => hosts.extend([both[1..].to_owned(), format!("*{both}")]),
                name => hosts.push(name.to_ascii_lowercase()),
            }
        }
    }
    let label = hosts.first().cloned().unwrap_or_default();
    if is_any {
        hosts.clear();
    }
    (hosts, label)
}
