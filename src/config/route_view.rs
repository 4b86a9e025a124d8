//! A route as others may see it, and as the text of a file that would give it again.

use crate::{
    base::units::{format_duration, format_size},
    proxy::config::{Backend, Forward, PathChange, Route, Secure, Target, Upstream, Via},
};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// In the shape of the file.
pub(super) fn to_view(route: &Route) -> Value {
    let host: Vec<String> = route.host.iter().map(ToString::to_string).collect();
    let mut view = Map::new();
    let mut put = |key: &str, value: Value| drop(view.insert(key.to_owned(), value));
    put("name", json!(*route.name));
    put("host", json!(host));
    put("path_prefix", json!(*route.path_prefix));
    put("path_suffix", texts(&route.path_suffix));
    put("methods", texts(&route.methods));
    put("body_max", json!(format_size(route.body_max)));
    match &route.to {
        Target::Forward(forward) => put_forward(forward, &mut put),
        Target::Redirect { to, status } => put("redirect", json!({ "to": to.as_str(), "status": status })),
        Target::Respond { status, body, content_type } => {
            put("respond", json!({ "status": status, "body": body.as_str(), "type": **content_type }));
        }
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
    match &forward.to {
        Backend::Service { name, tags } => {
            put("service", json!(name));
            put("tags", tags.iter().map(|tag| json!(**tag)).collect());
        }
        Backend::Upstreams(upstreams) => {
            let texts = upstreams.iter().map(|u| json!(upstream(u)));
            put("upstreams", texts.collect());
        }
    }
    let balance = &forward.balance;
    put("balance", json!(balance.policy.as_str()));
    if balance.policy == crate::balance::Policy::Hash {
        put("hash_on", json!(balance.hash_on.to_string()));
    }
    put("slow_start", json!(format_duration(balance.slow_start)));
    match &forward.path {
        PathChange::None => put("strip_prefix", json!("")),
        PathChange::Strip(prefix) => put("strip_prefix", json!(**prefix)),
        PathChange::Rewrite(rewrite) => put("rewrite", json!({ "from": rewrite.from(), "to": rewrite.to() })),
    }
    put("connect_timeout", json!(format_duration(forward.connect_timeout)));
    put("timeout", json!(format_duration(forward.timeout)));
    put("retries", json!(forward.retries));
    put("host_header", json!(forward.host_header.as_deref().unwrap_or("")));
}

fn texts(list: &[std::sync::Arc<str>]) -> Value {
    list.iter().map(|text| json!(**text)).collect()
}

/// Writes the route behind `out`.
pub(super) fn to_toml(route: &Route, out: &mut String) {
    let Value::Object(view) = to_view(route) else { return };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "\n[[proxy.route]]");
    put_table(&view, "proxy.route", out);
}

/// JSON's text, numbers and lists are TOML's too; tables come last, under a header of their own.
fn put_table(table: &Map<String, Value>, header: &str, out: &mut String) {
    for (key, value) in table.iter().filter(|(_, value)| !value.is_object()) {
        let _ = writeln!(out, "{} = {value}", quoted(key));
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
