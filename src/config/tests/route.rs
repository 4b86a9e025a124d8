//! `[[proxy.route]]`: what it comes to, and its faults by their words.

use super::{fault, ok, read};
use crate::{
    balance::Policy,
    proxy::config::{Backend, Forward, HashOn, HostPattern, PathChange, Route, Target},
};
use std::time::Duration;

const ROUTE: &str = "[[proxy.route]]\nname = \"r\"\nservice = \"web-api\"\n";

fn route(lines: &str) -> Route {
    ok(&format!("[[proxy.route]]\nname = \"r\"\n{lines}\n")).proxy.routes.remove(0)
}

fn forward(route: &Route) -> &Forward {
    match &route.to {
        Target::Forward(forward) => forward,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn fault_says(lines: &str, key: &str, says: &str) {
    let fault = fault(&format!("{ROUTE}{lines}\n"));
    assert!(fault.contains(&format!(": proxy.route.{key}: ")) && fault.contains(says), "{lines}: {fault}");
}

#[test]
fn a_name_and_a_service_give_the_defaults_of_the_contract() {
    let route = route("service = \"web-api\"");
    assert_eq!((&*route.name, &*route.path_prefix, route.body_max), ("r", "/", 1 << 20));
    assert!(route.host.is_empty() && route.path_suffix.is_empty() && route.methods.is_empty());
    let forward = forward(&route);
    assert_eq!(forward.to, Backend::Service { name: "web-api".parse().unwrap(), tags: Default::default() });
    assert_eq!((forward.balance.policy, forward.balance.slow_start), (Policy::RoundRobin, Duration::ZERO));
    assert_eq!((forward.connect_timeout, forward.timeout), (Duration::from_secs(2), Duration::from_secs(60)));
    assert_eq!((forward.retries, &forward.path, &forward.host_header), (1, &PathChange::None, &None));
}

#[test]
fn every_key_is_read_and_printed_so_that_it_can_be_read_again() {
    let text = r#"
        [[proxy.route]]
        name = "api"
        host = ["Media.Example.COM", "*.example.com", "[::1]", "bücher.example"]
        path_prefix = "/api/文/"
        path_suffix = [".mp4", "ü"]
        methods = ["GET", "POST"]
        service = "web-api"
        strip_prefix = "/api"
        balance = "hash"
        hash_on = "cookie:sid"
        slow_start = "30s"
        tags = ["v2", "eu"]
        body_max = "20MiB"
        connect_timeout = "500ms"
        timeout = "5m"
        retries = 0
        host_header = "api.internal:8080"
        headers = { request_set = { X-A = "1", "X-B.c" = "say \"x\"" }, request_remove = ["X-C"], response_set = { Server = "s" }, response_remove = ["X-D"] }
        [[proxy.route]]
        name = "fixed"
        upstreams = ["http://10.0.0.5:9000 weight=2", "http://web.example", "http://[::1]:81/"]
        rewrite = { from = '^/old/(.*)$', to = "/new/$1" }
        balance = "p2c"
        body_max = 0
        [[proxy.route]]
        name = "up"
        redirect = { to = "https://{host}{uri}" }
        [[proxy.route]]
        name = "closed"
        path_prefix = "/closed"
        respond = { status = 503, body = '{"why": "closed"}' }
    "#;
    let config = ok(text);
    let routes = &config.proxy.routes;
    let hosts: Vec<String> = routes[0].host.iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["media.example.com", "*.example.com", "[::1]", "xn--bcher-kva.example"]);
    assert_eq!(routes[0].host[1], HostPattern::Below(".example.com".into()));
    assert_eq!((&*routes[0].path_prefix, &*routes[0].path_suffix[1]), ("/api/%E6%96%87/", "%C3%BC"));
    assert_eq!(forward(&routes[0]).balance.hash_on, HashOn::Cookie("sid".into()));
    let Backend::Upstreams(upstreams) = &forward(&routes[1]).to else { panic!() };
    let upstreams: Vec<_> = upstreams.iter().map(|u| (u.to_string(), u.weight)).collect();
    assert_eq!(upstreams, [("10.0.0.5:9000".into(), 2), ("web.example:80".into(), 1), ("[::1]:81".into(), 1)]);
    assert!(matches!(&routes[2].to, Target::Redirect { status: 308, .. }));
    let Target::Respond { content_type, .. } = &routes[3].to else { panic!() };
    assert_eq!(&**content_type, "application/json");
    let printed = config.to_toml();
    assert_eq!(ok(&printed).proxy.routes, *routes, "{printed}");
    let view = config.to_view();
    assert_eq!(view["proxy"]["route"][0]["headers"]["request_set"]["X-B.c"], "say \"x\"");
    assert_eq!(view["proxy"]["route"][3]["respond"]["status"], 503);
}

#[test]
fn a_route_leads_to_exactly_one_place() {
    let bare = "[[proxy.route]]\nname = \"r\"\n";
    assert!(
        fault(bare).contains("1: proxy.route.service: missing; add for example service = \"web-api\", upstreams =")
    );
    assert!(fault(&format!("{bare}dir = \"/srv\"")).contains("proxy.route.dir: not built yet"));
    assert!(read(&format!("{bare}dir = \"\"")).is_err());
    fault_says("redirect = { to = \"/x\" }", "redirect", "stands beside `service`; a route leads to one of them");
    let two = fault(&format!("{bare}upstreams = [\"http://a\"]\nrespond = {{ status = 200 }}"));
    assert!(two.contains("4: proxy.route.respond: stands beside `upstreams`"), "{two}");
    let twins = fault(&format!("{ROUTE}{ROUTE}"));
    assert!(twins.contains(":5: proxy.route.name: `r` is the name of the route at line 2 too"), "{twins}");
    assert!(fault("[[proxy.route]]\nservice = \"a\"").contains("proxy.route.name: missing"));
    assert!(fault(&format!("{bare}service = \"a/b\"")).contains("is not the name of a service"));
    assert!(fault("[[proxy.route]]\nname = \"(vod)\"\nservice = \"a\"").contains("not in round brackets"));
    // A service that nobody has registered is fine: it may come.
    ok(&format!("{bare}service = \"nobody-yet\""));
}

#[test]
fn keys_that_contradict_each_other_are_told() {
    fault_says("strip_prefix = \"/a\"\nrewrite = { from = \"a\", to = \"/b\" }", "rewrite", "beside `strip_prefix`");
    fault_says("hash_on = \"ip\"", "hash_on", "means nothing without balance = \"hash\"");
    let fixed = fault("[[proxy.route]]\nname = \"r\"\nupstreams = [\"http://a\"]\ntags = [\"x\"]");
    assert!(fixed.contains("proxy.route.tags: choose among a service's instances"), "{fixed}");
    let redirect = fault("[[proxy.route]]\nname = \"r\"\nredirect = { to = \"/x\" }\nretries = 2");
    assert!(redirect.contains("proxy.route.retries: means nothing beside `redirect`"), "{redirect}");
    let respond = fault("[[proxy.route]]\nname = \"r\"\nrespond = { status = 204, body = \"x\" }");
    assert!(respond.contains("proxy.route.respond.body: cannot be there with status 204"), "{respond}");
}

#[test]
fn faults_of_values_say_what_would_be_right() {
    for (line, key, says) in [
        ("host = [\"http://a\"]", "host", "is not a host; write for example"),
        ("host = [\"a.example:80\"]", "host", "has a port, which does not count"),
        ("host = [\"a.*.com\"]", "host", "a star that is not the first label"),
        ("host = [\"*.10.0.0.1\"]", "host", "has a star before an address"),
        ("path_prefix = \"api/\"", "path_prefix", "does not begin with `/`"),
        ("path_prefix = \"/a//b\"", "path_prefix", "has `//`, `.` or `..` in it"),
        ("path_prefix = \"/a/../b\"", "path_prefix", "which no path keeps"),
        ("path_prefix = \"/a/*\"", "path_prefix", "is no pattern but a plain begin"),
        ("path_suffix = [\"*.mp4\"]", "path_suffix", "write for example \".mp4\""),
        ("methods = [\"get\"]", "methods", "write \"GET\""),
        ("methods = [\"CONNECT\"]", "methods", "never passed on"),
        ("balance = \"round-robin\"", "balance", "did you mean \"round_robin\"?"),
        ("balance = \"hash\"\nhash_on = \"header\"", "hash_on", "\"header:X-User\""),
        ("timeout = \"0s\"", "timeout", "must lie between"),
        ("retries = 100", "retries", "between 0 and 16"),
        ("host_header = \"http://x\"", "host_header", "is not a host"),
        ("rewrite = { from = \"(a\", to = \"/\" }", "rewrite.from", "is not a regular expression: unclosed group"),
        ("rewrite = { from = \"a\", to = \"/$1\" }", "rewrite.to", "names group 1, and `from` has 0"),
        ("rewrite = { to = \"/\" }", "rewrite.from", "missing"),
        ("headers = { request_set = { Host = \"x\" } }", "headers.request_set", "`host_header`"),
        ("headers = { response_remove = [\"Content-Length\"] }", "headers.response_remove", "set by the proxy itself"),
        ("headers = { request_set = { X = 1 } }", "headers.request_set", "X is a whole number; it must be text"),
        ("headers = { set = {} }", "headers.set", "unknown key"),
        ("body_max = \"1MX\"", "body_max", "MiB"),
        ("tag = [\"x\"]", "tag", "did you mean `tags`?"),
    ] {
        fault_says(line, key, says);
    }
    for (line, says) in [
        ("upstreams = []", "is empty; write for example [\"http://10.0.0.5:9000\"]"),
        ("upstreams = [\"10.0.0.5:9000\"]", "does not begin with http://"),
        ("upstreams = [\"h2://a name=b\"]", "`name=`, which is for TLS"),
        ("upstreams = [\"https://a pin=12\"]", "has the pin `12`"),
        ("upstreams = [\"http://a/path\"]", "has a path; remove it here, and use `rewrite`"),
        ("upstreams = [\"http://u:p@a\"]", "holds a user or password"),
        ("upstreams = [\"http://a wieght=2\"]", "did you mean `weight=`?"),
        ("upstreams = [\"http://a weight=0\"]", "write 1 to 65535"),
        ("upstreams = [\"http://a:80\", \"http://a\"]", "has a:80 twice"),
        ("redirect = { to = \"{hots}/x\" }", "is no place to go to"),
        ("redirect = { to = \"https://{hots}\" }", "did you mean `{host}`?"),
        ("redirect = { to = \"/x\", status = 200 }", "must be 301, 302, 303, 307 or 308, not 200"),
        ("respond = { status = 101 }", "must lie between 200 and 599"),
        ("respond = { statsu = 200 }", "did you mean `status`?"),
    ] {
        let fault = fault(&format!("[[proxy.route]]\nname = \"r\"\n{line}\n"));
        assert!(fault.contains(says), "{line}: {fault}");
    }
}

/// What the example says of a route, its comment signs taken off.
fn of_the_example() -> String {
    let text = include_str!("../../../config.example.toml");
    let block = text.lines().skip_while(|l| *l != "# [[proxy.route]]").take_while(|l| l.starts_with('#'));
    block.map(|l| l.trim_start_matches('#').strip_prefix(' ').unwrap_or("")).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_route_of_the_example_is_right_and_shows_the_defaults_and_every_key() {
    let text = of_the_example();
    let path = std::path::Path::new("/c.toml");
    let env = super::env(&[]);
    let (config, known) = crate::config::load::read(text.as_bytes(), path, &env);
    let routes = config.unwrap_or_else(|f| panic!("{f}\n{text}")).proxy.routes;
    let least = route("service = \"web-api\"\npath_prefix = \"/api/\"");
    assert_eq!(routes, [Route { name: "api".into(), ..least }]);
    for key in known.iter().filter_map(|key| key.strip_prefix("proxy.route.")) {
        let last = key.rsplit('.').next().unwrap();
        assert!(text.contains(&format!("{last} = ")), "`{key}` is not in the example");
    }
    for line in ["upstreams = [", "redirect = {", "respond = {", "rewrite = {", "hash_on = "] {
        assert!(text.contains(line), "{line}");
    }
}
