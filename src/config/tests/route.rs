//! `[[proxy.route]]`: what it comes to, and its faults by their words.

use super::{fault, ok, read};
use crate::{
    balance::Policy,
    proxy::{
        config::{Backend, Forward, HashOn, HostPattern, PathChange, Route, Target},
        cors::{Cors, Origin},
    },
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

/// Every key of a route.
const WHOLE: &str = r#"
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
        scheme = "http"
        redirect = { to = "https://{host}{uri}" }
        [[proxy.route]]
        name = "closed"
        path_prefix = "/closed"
        respond = { status = 503, body = '{"why": "closed"}' }
        [[proxy.route]]
        name = "app"
        path_prefix = "/app/"
        dir = "/srv/www"
        spa = true
        strip_prefix = "/app"
        cors = { origins = ["https://a.example", "https://*.b.example:8443", "null"], methods = ["GET"], headers = ["X-A"], credentials = true, max_age = "10m" }
        headers = { response_set = { Cache-Control = "no-cache" } }
        [[proxy.route]]
        name = "lines"
        path_prefix = "/lines"
        service = "web-api"
        tags = ["blue"]
        split = [{ when = { header = "X-Line=test" }, service = "web-api-test" }, { when = { cookie = "beta" }, tags = ["green"] }, { weight = 5, upstreams = ["http://10.0.0.9:80"] }]
        sticky = "cookie:lb"
    "#;

#[test]
fn every_key_is_read_and_printed_so_that_it_can_be_read_again() {
    let config = ok(WHOLE);
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
    let Target::Files { dir, spa, path } = &routes[4].to else { panic!() };
    assert_eq!((dir.to_str(), *spa, path), (Some("/srv/www"), true, &PathChange::Strip("/app".into())));
    let cors = routes[4].cors.as_ref().unwrap();
    assert_eq!(cors.origins[1], Origin::Below("https://".into(), ".b.example:8443".into()));
    assert_eq!((cors.credentials, cors.max_age), (true, Some(Duration::from_secs(600))));
    let lines: Vec<String> = forward(&routes[5]).split.iter().map(|line| line.when.to_string()).collect();
    assert_eq!(lines, ["header x-line=test", "cookie beta", "5 of 100"]);
    assert!(matches!(&forward(&routes[5]).split[1].to, Backend::Service { name, .. } if name.as_str() == "web-api"));
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
    assert!(fault(&format!("{bare}dir = \"\"")).contains("proxy.route.dir: is empty; write a directory"));
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
fn files_lie_where_the_configuration_does_and_take_no_keys_of_upstreams() {
    let bare = "[[proxy.route]]\nname = \"r\"\ndir = \"www\"\n";
    let Target::Files { dir, spa: false, path: PathChange::None } = &route("dir = \"www\"").to else { panic!() };
    assert!(dir.is_absolute() && dir.ends_with("www"), "{}", dir.display());
    for (line, key) in [("timeout = \"5s\"", "timeout"), ("balance = \"p2c\"", "balance"), ("tags = [\"a\"]", "tags")] {
        let said = fault(&format!("{bare}{line}"));
        assert!(said.contains(&format!("proxy.route.{key}: means nothing beside `dir`")), "{said}");
    }
    fault_says("spa = true", "spa", "means nothing without `dir`");
    let rules = fault(&format!("{bare}headers = {{ request_set = {{ X = \"1\" }} }}"));
    assert!(rules.contains("proxy.route.headers: has rules for requests"), "{rules}");
}

#[test]
fn lines_say_which_requests_they_get_and_where_they_lead() {
    for (split, says) in [
        ("{ service = \"b\" }", "split.weight: missing"),
        ("{ weight = 5 }", "split.service: missing"),
        ("{ weight = 0, service = \"b\" }", "must lie between 1 and 100"),
        ("{ weight = 60, service = \"b\" }, { weight = 41, service = \"c\" }", "split: has weights that add up to 101"),
        ("{ weight = 5, when = { header = \"a\" }, service = \"b\" }", "split.weight: stands beside `when`"),
        ("{ when = {}, service = \"b\" }", "split.when.header: missing"),
        ("{ when = { header = \"a b\" }, service = \"b\" }", "is no name and value"),
        ("{ weight = 5, service = \"b\", upstreams = [\"http://c\"] }", "split.upstreams: stands beside `service`"),
    ] {
        let said = fault(&format!("{ROUTE}split = [{split}]\n"));
        assert!(said.contains(says), "{split}: {said}");
    }
    fault_says("sticky = \"ip\"", "sticky", "write \"cookie:lb\"");
}

#[test]
fn cors_names_origins_as_browsers_write_them() {
    assert_eq!(route("service = \"a\"\ncors = {}").cors, None);
    let open = route("service = \"a\"\ncors = { origins = [\"*\"], methods = [\"*\"] }").cors;
    assert_eq!(open, Some(Cors { origins: vec![Origin::Any], ..Cors::default() }));
    for (cors, key, says) in [
        ("origins = [\"a.example\"]", "origins", "is not an origin; write for example"),
        ("origins = [\"https://a.example/\"]", "origins", "`https://a.example`"),
        ("origins = [\"https://a.example:443\"]", "origins", "is not as browsers write it"),
        ("origins = [\"https://A.example\"]", "origins", "is not as browsers write it"),
        ("origins = [\"https://a.*.example\"]", "origins", "is not"),
        ("origins = [\"*\"], credentials = true", "credentials", "name the origins"),
        ("methods = [\"GET\"]", "origins", "missing"),
        ("origins = [\"*\"], headers = [\"X A\"]", "headers", "is not a header"),
        ("origins = [\"*\"], max_age = \"2d\"", "max_age", "must lie between"),
    ] {
        fault_says(&format!("cors = {{ {cors} }}"), &format!("cors.{key}"), says);
    }
    let twice = "cors = { origins = [\"*\"] }\nheaders = { response_set = { Access-Control-Allow-Origin = \"*\" } }";
    fault_says(twice, "headers", "beside `cors`");
}

#[test]
fn faults_of_values_say_what_would_be_right() {
    for (line, key, says) in [
        ("host = [\"http://a\"]", "host", "is not a host; write for example"),
        ("host = [\"a.example:80\"]", "host", "has a port, which does not count"),
        ("host = [\"a.*.com\"]", "host", "a star that is not the first label"),
        ("host = [\"*.10.0.0.1\"]", "host", "has a star before an address"),
        ("scheme = \"htps\"", "scheme", "did you mean \"https\"?"),
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

#[test]
fn a_port_leads_to_one_service_or_to_several_by_name() {
    let text = r#"
        [[proxy.tcp]]
        listen = "0.0.0.0:5672"
        service = "rabbit"
        [[proxy.tcp]]
        listen = "0.0.0.0:443"
        sni = ["a.example.com"]
        upstreams = ["10.0.0.5:443", "db.internal:8443 weight=2"]
        proxy_protocol = "v2"
        max_connections = 10
        [[proxy.tcp]]
        listen = "0.0.0.0:443"
        service = "rest"
    "#;
    let config = ok(text);
    let names: Vec<&str> = config.proxy.routes.iter().map(|route| &*route.name).collect();
    assert_eq!(names, ["tcp 0.0.0.0:5672", "tcp 0.0.0.0:443 a.example.com", "tcp 0.0.0.0:443"]);
    let printed = config.to_toml();
    assert_eq!(ok(&printed).proxy.routes, config.proxy.routes, "{printed}");
    let tcp = "[[proxy.tcp]]\nservice = \"a\"\n";
    for (text, says) in [
        (tcp.to_owned(), "proxy.tcp.listen: missing"),
        (format!("{tcp}listen = \"0.0.0.0:8080\""), "is where HTTP is served too"),
        (format!("{tcp}listen = \"127.0.0.1:9080\""), "is where HTTP is served too"),
        ("[[proxy.tcp]]\nlisten = \"0.0.0.0:1\"".to_owned(), "proxy.tcp.service: missing"),
        (format!("{tcp}listen = \"0.0.0.0:1\"\nupstreams = [\"a:1\"]"), "stands beside `service`"),
        ("[[proxy.tcp]]\nlisten = \"0.0.0.0:1\"\nupstreams = [\"http://a:1\"]".to_owned(), "has a scheme"),
        ("[[proxy.tcp]]\nlisten = \"0.0.0.0:1\"\nupstreams = [\"a\"]".to_owned(), "has no port"),
        (format!("{tcp}listen = \"0.0.0.0:1\"\nbalance = \"hash\"\nhash_on = \"uri\""), "is always \"ip\" here"),
    ] {
        let said = fault(&text);
        assert!(said.contains(says), "{text}: {said}");
    }
    let twice = read(&format!("{tcp}listen = \"0.0.0.0:1\"\nname = \"x\"\n{tcp}listen = \"0.0.0.0:1\"\nname = \"y\""));
    assert!(twice.unwrap_err().to_string().contains("tell them apart by `sni`"));
    let before = ok(&format!("{tcp}listen = \"0.0.0.0:1\"\n"));
    let moved = ok(&format!("{tcp}listen = \"0.0.0.0:2\"\n"));
    assert_eq!(crate::config::restart_keys(&before, &moved), ["proxy.tcp.listen"]);
}
