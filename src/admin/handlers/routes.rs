//! The table of routes: what is matched in which order, who serves, and which route a URL would meet.

use crate::{
    admin::{
        api::{Api, json},
        call::Call,
        failure::Failure,
        paging::page,
        views::RoutesView,
    },
    proxy::{
        h1::Scheme,
        table::{Explained, RequestView},
    },
    serve::Response,
};
use std::sync::Arc;

pub(in crate::admin) async fn list(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    if let Some(url) = call.text("url") {
        return json(&of_url(&api, url, call.text("method").unwrap_or("GET"))?);
    }
    if call.text("method").is_some() {
        return Err(Failure::parameter("method", "goes with `url`; give both"));
    }
    let routes = (1u64..).zip(api.deps.routes.list());
    let chosen = page(routes, |(number, _)| *number, call.cursor()?, call.limit()?);
    let items = chosen.items.into_iter().map(|(_, route)| route).collect();
    json(&RoutesView { items, next: chosen.next, status: None, why: None })
}

fn of_url(api: &Api, url: &str, method: &str) -> Result<RoutesView, Failure> {
    let bad =
        || Failure::parameter("url", "is no URL; give for example https://media.example.com/api/users or /api/users");
    // By hand: what a parser of URLs would tidy up is just what is asked about.
    let (scheme, host, rest) = match url.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => {
            let (host, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            (if scheme == "https" { Scheme::Https } else { Scheme::Http }, host, rest)
        }
        Some((scheme, _)) if !scheme.contains('/') => return Err(bad()),
        _ => (Scheme::Http, "", url),
    };
    let path = rest.split(['?', '#']).next().unwrap_or("");
    let path = if path.is_empty() && !host.is_empty() { "/" } else { path };
    if !path.starts_with('/') || host.contains(['@', ' ']) {
        return Err(bad());
    }
    let view = RequestView { scheme, method: method.as_bytes(), host: host.as_bytes(), path: path.as_bytes() };
    Ok(match api.deps.routes.explain(&view) {
        Explained::Route(route) => RoutesView { items: vec![route], next: None, status: None, why: None },
        Explained::Nothing(status, why) => {
            RoutesView { items: Vec::new(), next: None, status: Some(status), why: Some(why) }
        }
    })
}
