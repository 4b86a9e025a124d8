//! Who is let in: tokens, sessions of the console, pages that are not ours; and the console's own files.

use super::{endpoint::House, endpoint::house, example};
use crate::{
    admin::{auth::Access, table},
    serve::Response,
};
use http::Method;
use serde_json::{Value, json};

const TOKEN: &str = "t0ken";
/// As `house` sets it.
const VIEWER: &str = "for-eyes-only";
const HOST: (&str, &str) = ("host", "nvr.example:9080");
const PAGE: (&str, &str) = ("origin", "http://nvr.example:9080");

/// A session begun with a token: its cookie as a browser sends it back.
async fn begin(house: &House, token: &str) -> String {
    let response = house.with_body(Method::POST, "/api/v1/session", &[HOST, PAGE], &json!({ "token": token })).await;
    assert_eq!(response.status(), 200);
    let set = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=604800"] {
        assert!(set.contains(part), "{set}");
    }
    set.split(';').next().unwrap().to_owned()
}

async fn body(response: Response) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_guards_every_route_but_probes_and_the_shell() {
    let house = house(Some("t0ken")).await;
    for route in table::ROUTES {
        let path = example(route.pattern);
        let open = matches!(path.as_str(), "/" | "/healthz" | "/readyz")
            || path.starts_with("/console/")
            || path == "/api/v1/session"
            || ["/media/", "/vod/"].iter().any(|own| path.starts_with(own));
        let response = house.ask(route.method.clone(), &path, &[("host", "nvr.example")]).await;
        assert_eq!(response.status() == 401, !open, "{path}");
    }
    for path in ["/api/v1/gaps", "/api/v1/nothing", "/secret"] {
        assert_eq!(house.problem(Method::GET, path, &[]).await.0, 401, "{path} tells nothing to strangers");
    }
    let told = house.ask(Method::GET, "/api/v1/config", &[("authorization", "Bearer t0ken")]).await;
    assert!(!String::from_utf8_lossy(&told.into_body().collect().await.unwrap()).contains("t0ken"));
    let rebound = super::endpoint::house(None).await.problem(Method::GET, "/", &[("host", "evil.example")]).await;
    assert_eq!(rebound.0, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_console_holds_only_what_its_policy_allows() {
    let house = house(None).await;
    let page = house.ask(Method::GET, "/", &[]).await;
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    let tag = page.headers()["etag"].to_str().unwrap().to_owned();
    let html = String::from_utf8(page.into_body().collect().await.unwrap().to_vec()).unwrap();
    assert!(!html.contains("style=") && !html.contains("<style") && !html.contains(" onclick"), "nothing inline");
    for (_, rest) in html.match_indices("console/").map(|(i, _)| html.split_at(i)) {
        let path = rest.split('"').next().unwrap();
        assert_eq!(house.ask(Method::GET, &format!("/{path}"), &[]).await.status(), 200, "{path}");
    }
    let again = house.ask(Method::GET, "/", &[("if-none-match", &tag)]).await;
    assert_eq!(again.status(), 304);
    let zipped = house.ask(Method::GET, "/console/main.js", &[("accept-encoding", "gzip, br")]).await;
    assert_eq!(zipped.headers()["content-encoding"], "gzip");
    assert_eq!(zipped.headers()["vary"], "accept-encoding");
    let plain = house.ask(Method::GET, "/console/main.js", &[]).await;
    assert!(!plain.headers().contains_key("content-encoding") && plain.headers()["etag"] != zipped.headers()["etag"]);
    let built = house.json("/api/v1/status").await["console"].as_str().unwrap().to_owned();
    assert!(html.contains(&format!("content=\"{built}\"")), "a page knows its own build");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_given_once_becomes_a_session_that_counts_for_our_own_pages() {
    let house = house(Some(TOKEN)).await;
    let nobody = body(house.ask(Method::GET, "/api/v1/session", &[HOST]).await).await;
    assert_eq!(nobody, json!({ "role": null, "expires": null, "needs_token": true }));
    let cookie = begin(&house, TOKEN).await;
    let cookie = ("cookie", cookie.as_str());
    let known = body(house.ask(Method::GET, "/api/v1/session", &[HOST, cookie]).await).await;
    assert!(known["role"] == "operator" && known["expires"].is_string(), "{known}");
    let status =
        async |method: Method, path: &str, headers: &[(&str, &str)]| house.ask(method, path, headers).await.status();
    assert_eq!(status(Method::GET, "/api/v1/status", &[HOST, cookie]).await, 200);
    assert_eq!(status(Method::POST, "/api/v1/verify", &[HOST, cookie, PAGE]).await, 200);
    let evil = ("origin", "https://evil.example");
    for method in [Method::GET, Method::POST] {
        let path = if method == Method::GET { "/api/v1/status" } else { "/api/v1/verify" };
        assert_eq!(status(method.clone(), path, &[HOST, cookie, evil]).await, 403, "{method} of another page");
        let site = ("sec-fetch-site", "cross-site");
        assert_eq!(status(method.clone(), path, &[HOST, cookie, site]).await, 403, "{method} of another site");
    }
    assert_eq!(status(Method::POST, "/api/v1/verify", &[HOST, cookie]).await, 403, "of a plain form");
    let login = house.with_body(Method::POST, "/api/v1/session", &[HOST, evil], &json!({ "token": TOKEN })).await;
    assert_eq!(login.status(), 403, "nobody is signed in by another page");
    let left = house.ask(Method::DELETE, "/api/v1/session", &[HOST, cookie, PAGE]).await;
    assert!(left.headers()["set-cookie"].to_str().unwrap().contains("Max-Age=0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_viewers_session_changes_nothing_and_reads_no_secrets_neighbours() {
    let house = house(Some(TOKEN)).await;
    let cookie = begin(&house, VIEWER).await;
    for route in table::ROUTES.iter().filter(|r| matches!(r.access, Access::Viewer | Access::Operator)) {
        let path = example(route.pattern);
        let headers = [HOST, PAGE, ("cookie", cookie.as_str())];
        let status = house.ask(route.method.clone(), &path, &headers).await.status().as_u16();
        let is_kept = status == 403;
        assert_eq!(is_kept, route.access == Access::Operator, "{} {path}: {status}", route.method);
        let reads = route.method == Method::GET;
        let private = path.contains("/kv") || path.contains("/config");
        assert_eq!(route.access == Access::Viewer, reads && !private, "{} {path}", route.method);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_tokens_are_told_nothing_and_slowed() {
    let house = house(Some(TOKEN)).await;
    let try_one = async |token: &str| {
        let begun = tokio::time::Instant::now();
        let response =
            house.with_body(Method::POST, "/api/v1/session", &[HOST, PAGE], &json!({ "token": token })).await;
        assert!(!response.headers().contains_key("set-cookie"));
        let wait = response.headers().get("retry-after").map(|v| v.to_str().unwrap().to_owned());
        (response.status().as_u16(), wait, begun.elapsed())
    };
    let mut last = std::time::Duration::ZERO;
    for n in 0..5 {
        let (status, _, took) = try_one(&format!("guess {n}")).await;
        assert_eq!(status, 401);
        last = took;
    }
    assert!(last.as_millis() >= 1_500, "the fifth answer is held back: {last:?}");
    let (status, wait, _) = try_one(TOKEN).await;
    assert!(status == 429 && wait.is_some_and(|w| w.parse::<u64>().unwrap() > 0), "{status}");
    let garbled = house.with_body(Method::POST, "/api/v1/session", &[HOST, PAGE], &json!({ "tokne": TOKEN })).await;
    assert_eq!(garbled.status(), 400);
    assert!(!body(garbled).await.to_string().contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_config_says_where_its_values_come_from() {
    let house = house(None).await;
    let told = house.json("/api/v1/config/sources").await;
    assert_eq!(told, json!({ "file": "/c.toml", "sources": [{ "key": "node", "line": 1, "variable": null }] }));
    let local = body(house.ask(Method::GET, "/api/v1/session", &[("host", "localhost")]).await).await;
    assert_eq!(local, json!({ "role": "operator", "expires": null, "needs_token": false }));
}
