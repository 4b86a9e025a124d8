//! Services and keys by the API, over a real registry.

use super::endpoint::house;
use serde_json::{Value, json};

const JSON: &str = "application/json";
const TEXT: &str = "text/plain";

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_is_registered_shown_picked_renewed_and_removed() {
    let house = house(None).await;
    let at = "/api/v1/services/web-api/instances/a";
    let body =
        r#"{"address": "10.0.0.5", "port": 9000, "weight": 3, "tags": ["blue"], "meta": {"zone": "1"}, "ttl": "1m"}"#;
    let (status, written) = house.send("PUT", at, JSON, body).await;
    assert_eq!((status, &written), (200, &json!({ "revision": 2, "changed": true, "created": true, "served": null })));
    // The type of content that curl sends by itself is no obstacle.
    let (_, again) = house.send("PUT", at, "application/x-www-form-urlencoded", body).await;
    assert_eq!(again, json!({ "revision": 2, "changed": false, "created": false, "served": null }));

    let instance = house.json(at).await;
    for (field, value) in [
        ("service", json!("web-api")),
        ("id", json!("a")),
        ("address", json!("10.0.0.5")),
        ("port", json!(9000)),
        ("weight", json!(3)),
        ("tags", json!(["blue"])),
        ("meta", json!({ "zone": "1" })),
        ("ttl", json!("1m")),
        ("check", Value::Null),
        ("deregister_after", json!("30s")),
        ("health", json!("passing")),
        ("reason", Value::Null),
        ("live", json!(true)),
        ("targets", json!(["10.0.0.5:9000"])),
        ("source", json!("api")),
        ("created", json!(2)),
    ] {
        assert_eq!(instance[field], value, "{field}");
    }
    let checked =
        r#"{"address": "::1", "port": 1, "check": {"http": "/health", "interval": "5s", "deregister_after": 30}}"#;
    assert_eq!(house.send("PUT", "/api/v1/services/web-api/instances/b", JSON, checked).await.0, 200);
    let service = house.json("/api/v1/services/web-api").await;
    assert_eq!((service["instances"].as_array().unwrap().len(), &service["live"]), (2, &json!(1)));
    assert_eq!(service["instances"][1]["check"]["http"], "/health");
    assert_eq!(
        (&service["instances"][1]["health"], &service["instances"][1]["reason"]),
        (&json!("critical"), &json!("not checked yet"))
    );
    let list = house.json("/api/v1/services").await;
    assert_eq!(list["items"][0]["health"], json!({ "passing": 1, "warning": 0, "critical": 1, "maintenance": 0 }));

    let picked = house.json("/api/v1/services/web-api/pick?tags=blue").await;
    assert_eq!((&picked["id"], &picked["target"]), (&json!("a"), &json!("10.0.0.5:9000")));
    let (status, none) = house.send("GET", "/api/v1/services/web-api/pick?tags=red", TEXT, "").await;
    assert!(
        status == 503 && none["detail"].as_str().unwrap().contains("`web-api` has no live instance with the tags red"),
        "{none}"
    );

    let (status, renewed) = house.send("POST", &format!("{at}/renew"), TEXT, "").await;
    assert_eq!((status, &renewed["ttl"], &renewed["written"]), (200, &json!("1m"), &json!(false)));
    let (status, refused) = house.send("POST", "/api/v1/services/web-api/instances/b/renew", TEXT, "").await;
    assert!(status == 409 && refused["detail"].as_str().unwrap().contains("no ttl"), "{refused}");
    assert_eq!(house.send("DELETE", at, TEXT, "").await.0, 200);
    assert_eq!(house.send("DELETE", at, TEXT, "").await.0, 404);
    assert_eq!(house.send("DELETE", "/api/v1/services/web-api", TEXT, "").await.0, 200);
    assert_eq!(house.send("GET", "/api/v1/services/web-api", TEXT, "").await.0, 404);
    assert_eq!(house.json("/api/v1/status").await["catalog_version"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn slips_of_a_registration_are_named() {
    let house = house(None).await;
    let at = "/api/v1/services/web/instances/a";
    for (body, said) in [
        ("", "EOF"),
        ("[]", "invalid"),
        (r#"{"address": "a"}"#, "missing field `port`"),
        (r#"{"address": "a", "port": 70000}"#, "70000"),
        (r#"{"address": "a", "port": 0}"#, "`port` must lie between 1 and 65535"),
        (r#"{"address": "0.0.0.0", "port": 1}"#, "nobody's"),
        (r#"{"address": "a", "port": 1, "wieght": 2}"#, "unknown field `wieght`"),
        (r#"{"address": "a", "port": 1, "ttl": "soon"}"#, "not a duration"),
        (r#"{"address": "a", "port": 1, "ttl": "10ms"}"#, "must lie between 1s"),
        (r#"{"address": "a", "port": 1, "check": {}}"#, "nothing to look at"),
        (r#"{"address": "a", "port": 1, "check": {"http": "/", "tcp": true}}"#, "more than one kind"),
        (r#"{"address": "a", "port": 1, "deregister_after": "30s"}"#, "means nothing without"),
    ] {
        let (status, problem) = house.send("PUT", at, JSON, body).await;
        let detail = problem["detail"].as_str().unwrap();
        assert!(status == 400 && detail.contains(said), "{body}: {detail}");
    }
    assert_eq!(house.json("/api/v1/services").await["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_written_read_compared_listed_waited_for_and_deleted() {
    let house = house(None).await;
    let put = |key: &'static str, value: &'static str| house.send("PUT", key, TEXT, value);
    let (status, written) = put("/api/v1/kv/app/a/one", "1").await;
    assert_eq!((status, &written["created"], &written["version"]), (200, &json!(2), &json!(1)));
    assert_eq!(put("/api/v1/kv/app/a/one", "1").await.1["modified"], 2, "the same again changes nothing");
    assert_eq!(
        put("/api/v1/kv/app/a/one", "2").await.1,
        json!({
            "key": "app/a/one", "value": "2", "base64": null, "created": 2, "modified": 3, "version": 2, "lease": null,
        })
    );
    assert_eq!(put("/api/v1/kv/app//odd%20key/", "x").await.1["key"], "app//odd key/");
    let (_, json_value) = house.send("PUT", "/api/v1/kv/j", JSON, r#"{"value": "from json"}"#).await;
    assert_eq!(json_value["value"], "from json");
    let (_, bytes) = house.send("PUT", "/api/v1/kv/b", JSON, r#"{"base64": "/wA="}"#).await;
    assert_eq!((&bytes["value"], &bytes["base64"]), (&Value::Null, &json!("/wA=")));
    let (status, refused) = house.send("PUT", "/api/v1/kv/j", JSON, r#"{"ip": "10.0.0.1"}"#).await;
    assert!(status == 400 && refused["detail"].as_str().unwrap().contains("any other content type"), "{refused}");
    let (status, raw) = house.send("GET", "/api/v1/kv/app/a/one?raw=true", TEXT, "").await;
    assert_eq!((status, raw), (200, json!(2)), "the value and nothing else");

    let (status, stale) = put("/api/v1/kv/app/a/one?if_revision=2", "3").await;
    assert!(status == 409 && stale["detail"].as_str().unwrap().contains("by revision 3"), "{stale}");
    assert_eq!(put("/api/v1/kv/app/a/one?if_revision=3", "3").await.0, 200);
    assert_eq!(put("/api/v1/kv/app/a/one?if_revision=0", "3").await.0, 409);
    assert_eq!(put("/api/v1/kv/app/b?if_revision=0", "new").await.0, 200);

    let (mut keys, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = house.json(&format!("/api/v1/kv?prefix=app/&limit=1{cursor}")).await;
        keys.extend(page["items"].as_array().unwrap().iter().map(|i| i["key"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(keys, ["app//odd key/", "app/a/one", "app/b"]);
    assert_eq!(house.json("/api/v1/kv/app/a?prefix=true").await["items"].as_array().unwrap().len(), 1);

    let revision = house.json("/api/v1/kv").await["revision"].as_u64().unwrap();
    let waited = house.json(&format!("/api/v1/kv?prefix=app/&after={revision}&wait=1ms")).await;
    assert_eq!(waited["revision"], revision, "what is there when the time is over");
    let path = format!("/api/v1/kv/app/b?after={revision}&wait=1m");
    let (seen, _) = tokio::join!(house.json(&path), async {
        house.send("PUT", "/api/v1/kv/other", TEXT, "x").await;
        house.send("PUT", "/api/v1/kv/app/b", TEXT, "newer").await
    });
    assert_eq!(seen["value"], "newer");

    assert_eq!(house.send("DELETE", "/api/v1/kv/app/b?if_revision=1", TEXT, "").await.0, 409);
    assert_eq!(house.send("DELETE", "/api/v1/kv/app/b", TEXT, "").await.1, json!({ "deleted": 1 }));
    assert_eq!(house.send("DELETE", "/api/v1/kv/app/b", TEXT, "").await.0, 404);
    assert_eq!(house.send("DELETE", "/api/v1/kv/app?prefix=true", TEXT, "").await.1, json!({ "deleted": 2 }));
    let (status, gone) = house.send("GET", "/api/v1/kv/app/a/one", TEXT, "").await;
    assert!(status == 404 && gone["detail"].as_str().unwrap().contains("`app/a/one`"), "{gone}");
}
