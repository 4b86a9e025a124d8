//! The table of routes and what is made of it; the endpoint over real rooms is in `endpoint`.

mod endpoint;
mod services;
mod sessions;

use crate::admin::{
    openapi,
    route::{self, Found},
    table::{NOT_BUILT, ROUTES},
};
use http::Method;
use serde_json::Value;
use std::collections::BTreeSet;

/// What the outside counts on, written by hand: not taken from the table that it checks.
const PROMISED: &[(&str, &str)] = &[
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/"),
    ("GET", "/api/v1/openapi.json"),
    ("GET", "/api/v1/status"),
    ("GET", "/api/v1/devices"),
    ("GET", "/api/v1/devices/{id}"),
    ("POST", "/api/v1/devices/{id}/reconnect"),
    ("GET", "/api/v1/media-urls"),
    ("GET", "/api/v1/streams"),
    ("GET", "/api/v1/streams/{key}"),
    ("GET", "/api/v1/recordings"),
    ("GET", "/api/v1/segments"),
    ("GET", "/api/v1/events"),
    ("GET", "/api/v1/config"),
    ("GET", "/api/v1/config/sources"),
    ("GET", "/api/v1/session"),
    ("POST", "/api/v1/session"),
    ("DELETE", "/api/v1/session"),
    ("GET", "/api/v1/routes"),
    ("POST", "/api/v1/reload"),
    ("POST", "/api/v1/backup"),
    ("POST", "/api/v1/reindex"),
    ("POST", "/api/v1/verify"),
    ("GET", "/api/v1/services"),
    ("GET", "/api/v1/services/{name}"),
    ("DELETE", "/api/v1/services/{name}"),
    ("GET", "/api/v1/services/{name}/pick"),
    ("GET", "/api/v1/services/{name}/instances/{id}"),
    ("PUT", "/api/v1/services/{name}/instances/{id}"),
    ("DELETE", "/api/v1/services/{name}/instances/{id}"),
    ("POST", "/api/v1/services/{name}/instances/{id}/renew"),
    ("GET", "/api/v1/kv"),
    ("GET", "/api/v1/kv/{key}"),
    ("PUT", "/api/v1/kv/{key}"),
    ("DELETE", "/api/v1/kv/{key}"),
    ("GET", "/api/v1/plays"),
    ("POST", "/api/v1/plays"),
    ("GET", "/api/v1/plays/{id}"),
    ("DELETE", "/api/v1/plays/{id}"),
    ("GET", "/media/{stream}/vod.mp4"),
    ("GET", "/media/{stream}/vod.m3u8"),
];

/// A path that fits a pattern.
pub(super) fn example(pattern: &str) -> String {
    pattern
        .replace("{id}", "nvr1")
        .replace("{name}", "web-api")
        .replace("{key}", "nvr1/3/main")
        .replace("{stream}", "nvr1/3/main")
        .replace("{rest}", "x/y")
        .replace("{file}", "main.js")
}

#[test]
fn the_description_has_every_promised_route_and_the_router_finds_it() {
    let described = openapi::describe(ROUTES);
    for (method, pattern) in PROMISED {
        let operation = &described["paths"][pattern][method.to_lowercase()];
        assert!(operation["responses"]["200"].is_object(), "{method} {pattern} is not described");
        let method: Method = method.parse().unwrap();
        match route::find(ROUTES, &method, &example(pattern)) {
            Found::Route(route, _) => assert_eq!(route.pattern, *pattern, "another route hides it"),
            _ => panic!("{method} {pattern} is not routed"),
        }
    }
}

#[test]
fn no_route_hides_another_and_none_is_both_built_and_not() {
    for route in ROUTES {
        let Found::Route(found, _) = route::find(ROUTES, &route.method, &example(route.pattern)) else {
            panic!("{} is not routed", route.pattern)
        };
        assert_eq!(found.pattern, route.pattern);
    }
    for (methods, pattern) in NOT_BUILT {
        for method in methods.split(' ') {
            let found = route::find(ROUTES, &method.parse().unwrap(), &example(pattern));
            assert!(!matches!(found, Found::Route(..)), "{method} {pattern} is built");
        }
    }
}

#[test]
fn a_wrong_method_names_the_right_ones() {
    let Found::OtherMethod(allow) = route::find(ROUTES, &Method::DELETE, "/api/v1/status") else { panic!() };
    assert_eq!(allow, "GET, HEAD");
    let Found::OtherMethod(allow) = route::find(ROUTES, &Method::GET, "/api/v1/reload") else { panic!() };
    assert_eq!(allow, "POST");
    assert!(matches!(route::find(ROUTES, &Method::GET, "/api/v1/statuses"), Found::Nothing));
}

#[test]
fn the_description_is_sound() {
    let described = openapi::describe(ROUTES);
    assert_eq!(described["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for (path, item) in described["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{at}: its id is not its own");
            let parameters = operation["parameters"].as_array().unwrap();
            let named: BTreeSet<_> =
                parameters.iter().filter(|p| p["in"] == "path").map(|p| p["name"].as_str().unwrap()).collect();
            let in_path: BTreeSet<_> = path.split(['{', '}']).skip(1).step_by(2).collect();
            assert_eq!(named, in_path, "{at}");
            for parameter in parameters {
                assert!(parameter["schema"].is_object() && parameter["description"].is_string(), "{at}: {parameter}");
            }
        }
    }
    check_references(&described, &described);
    let stream = &described["components"]["schemas"]["StreamView"]["properties"];
    for field in
        "key state reason codec width height fps bitrate audio packets_lost last_frame reconnects clock_skew_ms readers"
            .split(' ')
    {
        assert!(stream[field].is_object(), "StreamView lacks {field}");
    }
    assert!(!described.to_string().contains("$defs"));
}

/// Every `$ref` points to something in the document.
fn check_references(document: &Value, value: &Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                let pointer = reference.strip_prefix('#').expect("points into the document");
                assert!(document.pointer(pointer).is_some(), "{reference} points nowhere");
            }
            map.values().for_each(|v| check_references(document, v));
        }
        Value::Array(items) => items.iter().for_each(|v| check_references(document, v)),
        _ => {}
    }
}
