//! A route as others may see it, and as the text of a file that would give it again.

use crate::{
    base::units::{format_duration, format_size},
    proxy::{
        config::{Backend, Forward, Guard, Line, PathChange, Route, Secure, Target, Tcp, Upstream, Via, When},
        cors::Cors,
        h1::Scheme,
        tcp::PreludeVersion,
    },
};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// Whether it is one of `[[proxy.tcp]]`.
pub(super) fn is_tcp(route: &Route) -> bool {
    matches!(route.to, Target::Tcp(_))
}

/// In the shape of the file.
pub(super) fn to_view(route: &Route) -> Value {
    if let Target::Tcp(tcp) = &route.to {
        return tcp_view(route, tcp);
    }
    let host: Vec<String> = route.host.iter().map(ToString::to_string).collect();
    let mut view = Map::new();
    let mut put = |key: &str, value: Value| drop(view.insert(key.to_owned(), value));
    put("name", json!(*route.name));
    put("scheme", json!(route.scheme.map_or("", Scheme::as_str)));
    put("host", json!(host));
    put("path_prefix", json!(*route.path_prefix));
    put("path_suffix", texts(&route.path_suffix));
    put("methods", texts(&route.methods));
    put("body_max", json!(format_size(route.body_max)));
    match &route.to {
        Target::Tcp(_) => {}
        Target::Forward(forward) => put_forward(forward, &mut put),
        Target::Files { dir, spa, path } => {
            put("dir", json!(dir.display().to_string()));
            put("spa", json!(spa));
            put_path(path, &mut put);
        }
        Target::Redirect { to, status } => put("redirect", json!({ "to": to.as_str(), "status": status })),
        Target::Respond { status, body, content_type } => {
            put("respond", json!({ "status": status, "body": body.as_str(), "type": **content_type }));
        }
    }
    if let Some(said) = &route.cors {
        put("cors", cors(said));
    }
    if let Some(asked) = &route.guard {
        put("auth", guard(asked));
    }
    let rules = &route.headers.written;
    let table = |set: &[(String, String)]| set.iter().map(|(n, v)| (n.clone(), json!(v))).collect::<Map<_, _>>();
    put(
        "headers",
        json!({
            "request_set": table(&rules.request_set),
            "request_remove": rules.request_remove,
            "response_set": table(&rules.response_set),
            "response_remove": rules.response_remove,
        }),
    );
    Value::Object(view)
}

/// An upstream as the file has it.
fn upstream(upstream: &Upstream) -> String {
    let via = upstream.via.as_ref();
    let mut text = format!("{}://{upstream} weight={}", Via::scheme(via), upstream.weight);
    if let Some(Secure { name, pin }) = via.and_then(|via| via.tls.as_ref()) {
        if *name != upstream.host {
            let _ = write!(text, " name={name}");
        }
        if let Some(pin) = pin {
            let _ = write!(text, " pin={}", pin.to_string().replace(':', ""));
        }
    }
    text
}

fn put_forward(forward: &Forward, put: &mut impl FnMut(&str, Value)) {
    put_backend(&forward.to, put);
    if !forward.split.is_empty() {
        put("split", forward.split.iter().map(line).collect());
    }
    put("sticky", json!(forward.sticky.as_ref().map(|name| format!("cookie:{name}")).unwrap_or_default()));
    let balance = &forward.balance;
    put("balance", json!(balance.policy.as_str()));
    if balance.policy == crate::balance::Policy::Hash {
        put("hash_on", json!(balance.hash_on.to_string()));
    }
    put("slow_start", json!(format_duration(balance.slow_start)));
    put_path(&forward.path, put);
    put("connect_timeout", json!(format_duration(forward.connect_timeout)));
    put("timeout", json!(format_duration(forward.timeout)));
    put("retries", json!(forward.retries));
    put("host_header", json!(forward.host_header.as_deref().unwrap_or("")));
}

fn put_backend(backend: &Backend, put: &mut impl FnMut(&str, Value)) {
    match backend {
        Backend::Service { name, tags } => {
            put("service", json!(name));
            put("tags", tags.iter().map(|tag| json!(**tag)).collect());
        }
        Backend::Upstreams(upstreams) => {
            let texts = upstreams.iter().map(|u| json!(upstream(u)));
            put("upstreams", texts.collect());
        }
    }
}

fn line(line: &Line) -> Value {
    let mut view = Map::new();
    let value = |v: &Option<std::sync::Arc<str>>| v.as_deref().map(|v| format!("={v}")).unwrap_or_default();
    let (key, when) = match &line.when {
        When::Parts(parts) => ("weight", json!(parts)),
        When::Header(name, v) => ("when", json!({ "header": format!("{name}{}", value(v)) })),
        When::Cookie(name, v) => ("when", json!({ "cookie": format!("{name}{}", value(v)) })),
    };
    view.insert(key.to_owned(), when);
    put_backend(&line.to, &mut |key, value| drop(view.insert(key.to_owned(), value)));
    Value::Object(view)
}

fn put_path(path: &PathChange, put: &mut impl FnMut(&str, Value)) {
    match path {
        PathChange::None => put("strip_prefix", json!("")),
        PathChange::Strip(prefix) => put("strip_prefix", json!(**prefix)),
        PathChange::Rewrite(rewrite) => put("rewrite", json!({ "from": rewrite.from(), "to": rewrite.to() })),
    }
}

fn cors(cors: &Cors) -> Value {
    let origins: Vec<String> = cors.origins.iter().map(ToString::to_string).collect();
    let mut view = Map::new();
    view.insert("origins".to_owned(), json!(origins));
    view.insert("methods".to_owned(), texts(&cors.methods));
    view.insert("headers".to_owned(), texts(&cors.headers));
    view.insert("credentials".to_owned(), json!(cors.credentials));
    if let Some(age) = cors.max_age {
        view.insert("max_age".to_owned(), json!(format_duration(age)));
    }
    Value::Object(view)
}

fn guard(guard: &Guard) -> Value {
    json!({
        "forward": *guard.written,
        "copy_headers": guard.copied,
        "answer_headers": guard.told,
        "timeout": format_duration(guard.forward.timeout),
    })
}

fn texts(list: &[std::sync::Arc<str>]) -> Value {
    list.iter().map(|text| json!(**text)).collect()
}

/// Writes the route behind `out`.
pub(super) fn to_toml(route: &Route, out: &mut String) {
    let Value::Object(view) = to_view(route) else { return };
    // Writing to a String cannot fail.
    let section = if is_tcp(route) { "proxy.tcp" } else { "proxy.route" };
    let _ = writeln!(out, "\n[[{section}]]");
    put_table(&view, section, out);
}

fn tcp_view(route: &Route, tcp: &Tcp) -> Value {
    let sni: Vec<String> = tcp.sni.iter().map(ToString::to_string).collect();
    let mut view = Map::new();
    let mut put = |key: &str, value: Value| drop(view.insert(key.to_owned(), value));
    put("name", json!(*route.name));
    put("listen", json!(tcp.listen.to_string()));
    put("sni", json!(sni));
    match &tcp.forward.to {
        Backend::Upstreams(upstreams) => {
            put("upstreams", upstreams.iter().map(|u| json!(format!("{u} weight={}", u.weight))).collect());
        }
        service @ Backend::Service { .. } => put_backend(service, &mut put),
    }
    put("balance", json!(tcp.forward.balance.policy.as_str()));
    put("slow_start", json!(format_duration(tcp.forward.balance.slow_start)));
    put("connect_timeout", json!(format_duration(tcp.forward.connect_timeout)));
    put("idle_timeout", json!(format_duration(tcp.idle_timeout)));
    put("max_connections", json!(tcp.connections_max));
    let prelude = match tcp.prelude {
        None => "off",
        Some(PreludeVersion::V1) => "v1",
        Some(PreludeVersion::V2) => "v2",
    };
    put("proxy_protocol", json!(prelude));
    Value::Object(view)
}

/// A value as TOML has it within a line: JSON's, but for tables.
fn inline(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let pairs: Vec<String> = table.iter().map(|(k, v)| format!("{} = {}", quoted(k), inline(v))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        Value::Array(list) => format!("[{}]", list.iter().map(inline).collect::<Vec<_>>().join(", ")),
        plain => plain.to_string(),
    }
}

/// JSON's text, numbers and lists are TOML's too; tables come last, under a header of their own.
fn put_table(table: &Map<String, Value>, header: &str, out: &mut String) {
    for (key, value) in table.iter().filter(|(_, value)| !value.is_object()) {
        let _ = writeln!(out, "{} = {}", quoted(key), inline(value));
    }
    for (key, inner) in table.iter().filter_map(|(key, value)| Some((key, value.as_object()?))) {
        let header = format!("{header}.{}", quoted(key));
        let _ = writeln!(out, "\n[{header}]");
        put_table(inner, &header, out);
    }
}

/// A key as TOML takes it.
fn quoted(key: &str) -> String {
    let is_bare = key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if is_bare { key.to_owned() } else { json!(key).to_string() }
}
