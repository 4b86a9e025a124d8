//! Which route a request means.

use super::{super::*, fixture::*};
use crate::proxy::config::{self, HashOn, HostPattern, PathChange, Target};
use proptest::prelude::*;
use std::net::IpAddr;

#[test]
fn the_host_decides_first_then_the_longest_prefix_then_the_file() {
    let table = table(vec![
        route("root", "/"),
        on(&["a.example.com"], route("exact", "/")),
        on(&["*.example.com"], route("below", "/api/")),
        on(&["*.b.example.com", "*.c.example.com"], route("deeper", "/api/")),
        route("api", "/api/"),
        route("api2", "/api/"),
        route("longest", "/api/v1/users"),
    ]);
    let at = |host, path| found(&table, "GET", host, path);
    assert_eq!(at("a.example.com", "/api/v1/users"), "exact", "an exact host beats any prefix");
    assert_eq!(at("A.Example.COM.:8080", "/x"), "exact", "in any case, with a port, with the last dot");
    assert_eq!(at("x.example.com", "/api/v1/users"), "below");
    assert_eq!(at("x.y.example.com", "/api/"), "below", "as in nginx, a star stands for several labels too");
    assert_eq!(at("x.b.example.com", "/api/"), "deeper", "the longer name first");
    assert_eq!(at("x.c.example.com", "/api/"), "deeper");
    assert_eq!(at("x.example.com", "/api"), "root", "a host whose routes do not fit falls back to any");
    assert_eq!(at("example.com", "/api/"), "api", "the star stands for something");
    assert_eq!(at(".example.com", "/api/"), "api");
    assert_eq!(at("[::1]:80", "/api/x"), "api", "the first in the file");
    assert_eq!(at("", "/api/v1/users7"), "longest", "a plain prefix, as in nginx");
    assert_eq!(at(&"x".repeat(5000), "/"), "root");
}

#[test]
fn suffixes_and_methods_let_the_next_prefix_have_it() {
    let mut media = route("media-files", "/files/");
    media.path_suffix = vec![".mp4".into(), ".jpg".into()];
    let mut read = route("read", "/files/");
    read.methods = vec!["GET".into()];
    let mut write = route("write", "/files/up/");
    write.methods = vec!["POST".into(), "PUT".into()];
    let table = table(vec![media, read, write]);
    assert_eq!(get(&table, "/files/a.mp4"), "media-files");
    assert_eq!(found(&table, "DELETE", "", "/files/up/a.jpg"), "media-files");
    assert_eq!(get(&table, "/files/a.png"), "read");
    assert_eq!(found(&table, "HEAD", "", "/files/a.png"), "read", "GET stands for HEAD as well");
    assert_eq!(found(&table, "PUT", "", "/files/up/x"), "write");
    assert_eq!(found(&table, "GET", "", "/files/up/x"), "read", "the shorter prefix has that method");
    assert_eq!(found(&table, "DELETE", "", "/files/up/x"), "405 GET, HEAD, POST, PUT");
    assert_eq!(found(&table, "get", "", "/files/x"), "405 GET, HEAD", "methods have a case");
    assert_eq!(get(&table, "/other"), "404");
}

#[test]
fn what_is_built_in_wins_over_shorter_prefixes_alone() {
    let table = table(vec![
        on(&["media.example.com"], route("site", "/")),
        on(&["own.example.com"], route("own", "/vod/")),
        route("longer", "/vod/special/"),
        route("root", "/"),
    ]);
    for host in ["", "media.example.com"] {
        assert_eq!(found(&table, "GET", host, "/vod/p1"), "(vod)");
        assert_eq!(found(&table, "POST", host, "/media/x"), "(media)");
    }
    assert_eq!(found(&table, "GET", "own.example.com", "/vod/p1"), "own", "an equal prefix of the file wins");
    assert_eq!(get(&table, "/vod/special/x"), "longer");
    assert_eq!(get(&table, "/vod"), "root");
    assert_eq!(get(&super::fixture::table(Vec::new()), "/vod/x"), "(vod)");
    assert_eq!(get(&super::fixture::table(Vec::new()), "/"), "404");
}

#[test]
fn a_path_is_refused_where_it_could_be_read_as_another_routes() {
    let table = table(vec![route("site", "/"), route("admin", "/admin/"), route("files", "/files/")]);
    for (path, expected) in [
        // Everybody reads these alike.
        ("/%61dmin/x", "admin"),
        ("//admin///x", "admin"),
        ("/admin/%7Eme", "admin"),
        ("/files/a%20b", "files"),
        // Odd, but they lead to the same route whoever reads them: GitLab and Nextcloud need that.
        ("/files/group%2Fproject", "files"),
        ("/files/a;v=1/b", "files"),
        ("/files/a%5cb\\c", "files"),
        ("/files/./a", "files"),
        ("/files/a/../b", "files"),
        ("/files/%zz", "files"),
        ("/a%2Fb", "site"),
        ("/files/x%00", "files"),
        // Somebody reads these as a path of another route.
        ("/files/../admin/x", "ambiguous_path"),
        ("/admin/../files/x", "ambiguous_path"),
        ("/files/%2e%2e/admin/x", "ambiguous_path"),
        ("/files/..%2fadmin/x", "ambiguous_path"),
        ("/files/..%2F..%2Fetc", "ambiguous_path"),
        ("/files/..\\admin\\x", "ambiguous_path"),
        ("/files/%2e%2e%5cadmin/x", "ambiguous_path"),
        ("/files/..;/admin/x", "ambiguous_path"),
        ("/files/..;a=b/admin/x", "ambiguous_path"),
        ("/;x/admin/", "ambiguous_path"),
        ("/admin%2fx", "ambiguous_path"),
        ("/admin\\x", "ambiguous_path"),
        ("/admin;/x", "ambiguous_path"),
        ("\\admin/x", "ambiguous_path"),
        ("/%2fadmin/x", "ambiguous_path"),
        ("/admin%00/x", "site"),
        // Nobody reads these.
        ("/..", "above_root"),
        ("/files/../../x", "above_root"),
    ] {
        assert_eq!(get(&table, path), expected, "{path}");
    }
    let mut php = route("php", "/");
    php.path_suffix = vec![".php".into()];
    let ends = super::fixture::table(vec![php, route("site", "/")]);
    assert_eq!(get(&ends, "/x.php%00.jpg"), "ambiguous_path", "a NUL ends the path for some");
    assert_eq!(get(&ends, "/x.php;.jpg"), "ambiguous_path", "parameters are cut off by some");
}

fn redirect(name: &str, to: &str) -> config::Route {
    let mut route = route(name, "/");
    route.to = Target::Redirect { to: Template::parse(to).unwrap(), status: 308 };
    route
}

#[test]
fn routes_of_a_scheme_go_before_those_for_all() {
    let to_https = of_scheme(Scheme::Http, redirect("to-https", "https://{host}{uri}"));
    let inside = on(&["in.example"], of_scheme(Scheme::Http, route("inside", "/in/")));
    let secret = of_scheme(Scheme::Https, route("secret", "/secret/"));
    let mut read = of_scheme(Scheme::Https, route("read", "/read/"));
    read.methods = vec!["GET".into()];
    let table =
        table(vec![on(&["a.example"], route("api", "/api/")), route("site", "/"), to_https, inside, secret, read]);
    let at = |scheme, host, path| found_by(scheme, &table, "GET", host, path);
    for path in ["/", "/api/x", "/secret/x", "/vod/p1"] {
        assert_eq!(at(Scheme::Http, "a.example", path), "to-https", "{path}");
    }
    assert_eq!(at(Scheme::Http, "in.example", "/in/x"), "inside", "among those of a scheme it is as everywhere");
    assert_eq!(at(Scheme::Http, "in.example", "/x"), "to-https");
    assert_eq!(at(Scheme::Https, "a.example", "/api/x"), "api");
    assert_eq!(at(Scheme::Https, "a.example", "/secret/x"), "secret");
    assert_eq!(at(Scheme::Https, "a.example", "/x"), "site");
    assert_eq!(at(Scheme::Https, "a.example", "/vod/p1"), "(vod)", "only a redirect takes what is built in, too");
    assert_eq!(found_by(Scheme::Https, &table, "PUT", "", "/read/x"), "site", "for all, where nothing else fits");
    let order: Vec<String> = table.routes(NOW).map(|r| r.name).collect();
    assert_eq!(order[..4], ["inside", "secret", "read", "to-https"]);
    let alone = super::fixture::table(vec![of_scheme(Scheme::Https, route("only", "/"))]);
    assert_eq!(found_by(Scheme::Http, &alone, "GET", "", "/"), "404");
}

#[test]
fn a_redirect_passes_over_who_is_there_already() {
    let table = table(vec![
        redirect("to-https", "https://{host}{uri}"),
        on(&["a.example", "www.a.example"], redirect("to-www", "https://www.a.example:8443{uri}")),
        route("site", "/"),
    ]);
    let at = |scheme, host| found_by(scheme, &table, "GET", host, "/x");
    assert_eq!(at(Scheme::Http, "b.example"), "to-https");
    assert_eq!(at(Scheme::Https, "b.example"), "site");
    assert_eq!(at(Scheme::Http, "www.a.example"), "to-www");
    assert_eq!(at(Scheme::Https, "a.example"), "to-www");
    assert_eq!(at(Scheme::Https, "WWW.a.example:8443"), "site");
    let alone = super::fixture::table(vec![redirect("to-https", "https://{host}{uri}")]);
    assert_eq!(found_by(Scheme::Https, &alone, "POST", "", "/"), "404");
}

/// The normalised copy, and what the upstream gets.
fn target(change: PathChange, sent: &str) -> String {
    let mut route = route("r", "/");
    forward(&mut route).path = change;
    let table = table(vec![route]);
    let (path, query) = sent.split_once('?').map_or((sent, None), |(p, q)| (p, Some(q.as_bytes())));
    let view = RequestView { scheme: Scheme::Http, method: b"GET", host: b"", path: path.as_bytes() };
    let Found::Route(found) = table.find(&view) else { panic!("{sent} is refused") };
    let Action::Forward(forward) = &found.route.action else { panic!() };
    let mut out = b"GET ".to_vec();
    forward.target(path.as_bytes(), &found.path, query, &mut out);
    String::from_utf8(out.split_off(4)).unwrap()
}

#[test]
fn a_path_goes_on_as_it_was_sent_unless_it_is_changed() {
    for sent in ["/", "/a//b/./%41%2f?x=%zz&y", "/a?", "/%7e"] {
        assert_eq!(target(PathChange::None, sent), sent);
    }
    let strip = |sent| target(PathChange::Strip("/api".into()), sent);
    for (sent, expected) in [
        ("/api/x?q=1", "/x?q=1"),
        ("/api", "/"),
        ("/apix", "/x"),
        ("/api//evil.example/x", "/evil.example/x"),
        ("/%61pi/a%2Fb", "/a%2Fb"),
        ("/api/a/../b", "/b"),
        ("/other//x", "/other//x"),
    ] {
        assert_eq!(strip(sent), expected, "{sent}");
    }
    let rewrite = |from, to, sent| target(PathChange::Rewrite(Rewrite::new(from, to).unwrap()), sent);
    assert_eq!(rewrite("^/old/(.*)$", "/new/$1", "/old/a%2Fb?q"), "/new/a%2Fb?q");
    assert_eq!(rewrite("^/old/(.*)$", "/new/$1", "/x//y"), "/x//y", "what does not match goes on as it was sent");
    assert_eq!(rewrite("^/(.*)$", "/find?p=$1", "/a?b=c"), "/find?p=a&b=c");
    assert_eq!(rewrite("^/go(/.*)$", "/$1", "/go/evil.example"), "/evil.example", "never two slashes at the begin");
}

#[test]
fn what_stays_with_one_instance_is_hashed() {
    let hash = |hash_on: HashOn, client: &str, target: &str, cookies: &'static str| {
        let mut route = balanced(crate::balance::Policy::Hash, route("r", "/"));
        forward(&mut route).balance.hash_on = hash_on;
        let table = table(vec![route]);
        let view = RequestView { scheme: Scheme::Http, method: b"GET", host: b"", path: b"/" };
        let Found::Route(found) = table.find(&view) else { panic!() };
        let Action::Forward(forward) = &found.route.action else { panic!() };
        let header = |name: &str| match name {
            "cookie" => Some(cookies.as_bytes()),
            "x-user" => Some(&b"u1"[..]),
            _ => None,
        };
        forward.hash(client.parse::<IpAddr>().unwrap(), target.as_bytes(), header)
    };
    let ip = hash(HashOn::Ip, "10.0.0.1", "/", "");
    assert_eq!(ip, hash(HashOn::Ip, "::ffff:10.0.0.1", "/other", "a=b"));
    assert_ne!(ip, hash(HashOn::Ip, "10.0.0.2", "/", ""));
    let cookie = |cookies| hash(HashOn::Cookie("sid".into()), "10.0.0.1", "/", cookies);
    assert_eq!(cookie("a=1; sid=x; b=2"), cookie("sid=x"));
    assert_ne!(cookie("sid=x"), cookie("sid=y"));
    assert_eq!([cookie("asid=x"), cookie("sid="), cookie("sid")], [ip; 3], "who has none goes by its address");
    assert_ne!(hash(HashOn::Header("x-user".into()), "10.0.0.1", "/", ""), ip);
    assert_eq!(hash(HashOn::Header("x-none".into()), "10.0.0.1", "/", ""), ip);
    assert_ne!(hash(HashOn::Uri, "10.0.0.1", "/a", ""), hash(HashOn::Uri, "10.0.0.1", "/b", ""));
}

#[test]
fn fixed_answers_and_redirects_have_no_group() {
    let mut respond = route("closed", "/closed");
    respond.to = Target::Respond {
        status: 503,
        body: Template::parse("{host} is closed").unwrap(),
        content_type: "text/plain".into(),
    };
    let table = table(vec![respond, redirect("up", "https://{host}{uri}")]);
    let vars = Vars {
        scheme: b"http",
        host: b"a.example",
        path: b"/x",
        query: Some(b"q"),
        method: b"GET",
        remote: "10.0.0.1".parse().unwrap(),
        request_id: b"",
    };
    let mut out = Vec::new();
    for path in ["/closed", "/x"] {
        let view = RequestView { scheme: Scheme::Http, method: b"GET", host: b"", path: path.as_bytes() };
        let Found::Route(found) = table.find(&view) else { panic!() };
        assert!(found.group.is_none());
        match &found.route.action {
            Action::Respond(respond) => respond.body(&vars, &mut out),
            Action::Redirect(redirect) => redirect.location(&vars, &mut out),
            _ => panic!(),
        }
        out.push(b'|');
    }
    assert_eq!(String::from_utf8(out).unwrap(), "a.example is closed|https://a.example/x?q|");
}

const HOSTS: [&str; 5] = ["a.example.com", "b.example.com", "*.example.com", "*.b.example.com", "*.com"];
const PREFIXES: [&str; 8] = ["/", "/a", "/a/", "/a/b", "/ab", "/a/b/c", "/b", "/vod/x"];

/// The rules of the contract, by looking at every route.
fn by_looking(routes: &[config::Route], scheme: Scheme, method: &str, host: &str, path: &str) -> String {
    let host_rank = |route: &config::Route| {
        let rank = |pattern: &HostPattern| match pattern {
            HostPattern::Exact(name) => (**name == *host).then_some(1000),
            HostPattern::Below(suffix) => {
                (host.ends_with(&**suffix) && host.len() > suffix.len()).then_some(suffix.len())
            }
        };
        if route.host.is_empty() { Some(0) } else { route.host.iter().filter_map(rank).max() }
    };
    let takes = |r: &config::Route| {
        let suffix = r.path_suffix.is_empty() || r.path_suffix.iter().any(|s| path.ends_with(&**s));
        let method =
            r.methods.is_empty() || r.methods.iter().any(|m| **m == *method || (&**m == "GET" && method == "HEAD"));
        r.scheme.is_none_or(|s| s == scheme) && path.starts_with(&*r.path_prefix) && suffix && method
    };
    let fitting = routes.iter().filter(|r| takes(r)).filter_map(|r| Some((host_rank(r)?, r)));
    let best = fitting.reduce(|best, next| {
        let weigh = |(host, route): (usize, &config::Route)| (route.scheme.is_some(), host, route.path_prefix.len());
        if weigh(next) > weigh(best) { next } else { best }
    });
    match best {
        Some((_, route)) if !path.starts_with("/vod/") || route.path_prefix.len() >= 5 => route.name.to_string(),
        _ if path.starts_with("/vod/") => "(vod)".into(),
        _ => "none".into(),
    }
}

proptest! {
    #[test]
    fn the_index_finds_what_looking_at_every_route_finds(
        routes in prop::collection::vec(
            (prop::collection::vec(0usize..5, 0..3), 0usize..8, prop::option::of(0usize..2), 0usize..3, 0usize..5), 0..12),
        requests in prop::collection::vec((0usize..2, 0usize..3, 0usize..6, "(/(a|b|ab|c|vod|x)){0,4}(\\.mp4|/)?"), 1..20),
    ) {
        let made: Vec<config::Route> = routes.iter().enumerate().map(|(i, (hosts, prefix, suffix, methods, scheme))| {
            let hosts: Vec<&str> = hosts.iter().map(|h| HOSTS[*h]).collect();
            let mut one = on(&hosts, route(&format!("r{i}"), PREFIXES[*prefix]));
            one.scheme = [None, None, None, Some(Scheme::Http), Some(Scheme::Https)][*scheme];
            one.path_suffix = suffix.iter().map(|s| [".mp4", "b"][*s].into()).collect();
            one.methods = [&[][..], &["GET"], &["POST", "PUT"]][*methods].iter().map(|m| (*m).into()).collect();
            one
        }).collect();
        let table = table(made.clone());
        for (scheme, method, host, path) in &requests {
            let scheme = [Scheme::Http, Scheme::Https][*scheme];
            let method = ["GET", "HEAD", "POST"][*method];
            let host = ["a.example.com", "b.example.com", "x.b.example.com", "example.com", "x.com", ""][*host];
            let path = format!("/{}", path.trim_start_matches('/'));
            let got = found_by(scheme, &table, method, host, &path);
            let got = if got.starts_with("40") { "none".into() } else { got };
            prop_assert_eq!(got, by_looking(&made, scheme, method, host, &path), "{:?} {} {} {}", scheme, method, host, path);
        }
    }
}
