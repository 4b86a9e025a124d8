//! Registering, saying how it is, and what is refused.

use super::*;

#[tokio::test]
async fn a_service_comes_is_told_of_and_goes() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    assert_eq!(room.get("/v1/agent/services").await.json(), json!({}));
    let web = json!({ "name": "web", "id": "web-1", "address": "10.0.0.1", "port": 80, "tags": ["b", "a"],
                      "meta": { "zone": "x" }, "check": { "ttl": "60s", "deregister_critical_service_after": "1h" } });
    room.register(web.clone()).await;
    let shown = room.get("/v1/agent/services").await.json();
    let own = &shown["web-1"];
    assert_eq!((&own["Service"], &own["Port"], &own["Address"]), (&json!("web"), &json!(80), &json!("10.0.0.1")));
    assert_eq!((&own["Tags"], &own["Meta"]), (&json!(["b", "a"]), &json!({ "zone": "x" })));
    assert_eq!(own["TaggedAddresses"]["lan_ipv4"], json!({ "Address": "10.0.0.1", "Port": 80 }));
    assert_eq!(own["Weights"], json!({ "Passing": 1, "Warning": 1 }));
    // Nobody has said that it is well.
    assert_eq!((room.health("web", "web-1"), room.key("web/web-1")), (Some(Health::Critical), None));
    room.done("/v1/agent/check/pass/service:web-1?note=all%20well", "").await;
    assert_eq!(room.health("web", "web-1"), Some(Health::Passing));
    assert_eq!(room.key("web/web-1").unwrap(), r#"{"ip":"10.0.0.1","port":80,"weight":1}"#);
    let checks = room.get("/v1/agent/checks").await.json();
    let check = &checks["service:web-1"];
    assert_eq!(
        (&check["Status"], &check["Output"], &check["Type"]),
        (&json!("passing"), &json!("all well"), &json!("ttl"))
    );
    assert_eq!((&check["Name"], &check["ServiceTags"]), (&json!("Service 'web' check"), &json!(["b", "a"])));
    assert_eq!(check["Definition"]["DeregisterCriticalServiceAfter"], json!("1h0m0s"));
    // The same registration again keeps what was said.
    room.register(web).await;
    assert_eq!(room.health("web", "web-1"), Some(Health::Passing));
    // A path that was encoded as a whole, as some clients do.
    room.done("/v1/agent/check/warn/service%3Aweb-1", "").await;
    assert_eq!(room.health("web", "web-1"), Some(Health::Warning));
    room.done("/v1/agent/check/update/service:web-1", json!({ "Status": "critical", "Output": "no" })).await;
    assert_eq!((room.health("web", "web-1"), room.key("web/web-1")), (Some(Health::Critical), None));
    room.done("/v1/agent/service/deregister/web-1", "").await;
    assert_eq!(room.get("/v1/agent/services").await.json(), json!({}));
    assert_eq!(room.get("/v1/agent/checks").await.json(), json!({}));
    room.end().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_in_the_words_of_the_api() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    room.register(json!({ "Name": "web" })).await;
    room.done("/v1/agent/check/register", json!({ "Name": "seen", "HTTP": "http://127.0.0.1:1/", "Interval": "1h" }))
        .await;
    let unknown_check = "Unknown check ID \"x\". Ensure that the check ID is passed, not the check name.";
    for (path, body, status, text) in [
        ("/v1/agent/service/register", "{}", 400, "Missing service name"),
        ("/v1/agent/service/register", r#"{"Name":"a/b"}"#, 400, "Invalid service: `a/b` is not the name of a service"),
        ("/v1/agent/service/register", "{", 400, "Request decode failed"),
        (
            "/v1/agent/service/deregister/x",
            "",
            404,
            "Unknown service ID \"x\". Ensure that the service ID is passed, not the service name.",
        ),
        ("/v1/agent/check/pass/x", "", 404, unknown_check),
        ("/v1/agent/check/deregister/x", "", 404, unknown_check),
        ("/v1/agent/check/pass/seen", "", 500, "CheckID \"seen\" does not have associated TTL"),
        ("/v1/agent/check/update/seen", r#"{"Status":"fine"}"#, 400, "Invalid check status: 'fine'"),
        ("/v1/agent/check/register", r#"{"TTL":"5s"}"#, 400, "Missing check name"),
        ("/v1/agent/check/register", r#"{"Name":"a","TTL":"5s","Status":"x"}"#, 400, "Bad check status"),
        (
            "/v1/agent/check/register",
            r#"{"Name":"a","TTL":"5s","ServiceID":"x"}"#,
            404,
            "ServiceID \"x\" does not exist",
        ),
        ("/v1/agent/service/maintenance/web", "", 400, "Missing value for enable"),
        ("/v1/agent/service/maintenance/web?enable=x", "", 400, "Invalid value for enable: \"x\""),
        ("/v1/agent/service/maintenance/x?enable=true", "", 404, "No service registered with ID \"x\""),
        ("/v1/catalog/register", "{}", 500, "Must provide node"),
        ("/v1/catalog/register", r#"{"Node":"a"}"#, 500, "Must provide address if SkipNodeUpdate is not set"),
        ("/v1/connect/ca/roots", "", 501, "skyvis does not serve /v1/connect/ca/roots"),
        ("/v1/acl/token", "", 401, "ACL support disabled"),
        ("/v1/nothing", "", 404, "Invalid URL path: not a recognized HTTP API endpoint"),
        ("/other", "", 404, "Invalid URL path: if attempting to use the HTTP API, ensure the path starts with '/v1/'"),
        ("/v1/agent/services", "", 405, "method PUT not allowed"),
    ] {
        let (found, words) = room.refused(path, body).await;
        assert!(found == status && words.starts_with(text), "{path} {body}: {found} {words}");
    }
    let unknown = room.get("/v1/agent/service/x").await;
    assert_eq!((unknown.status, unknown.text().as_str()), (404, "unknown service ID: x"));
    let options = room.send(http::Request::options("/v1/agent/services"), "").await;
    assert_eq!((options.status, options.field("allow")), (200, "OPTIONS,GET"));
    let head = room.send(http::Request::head("/v1/agent/services"), "").await;
    assert_eq!(head.status, 405);
    room.end().await;
}

#[tokio::test]
async fn a_check_that_is_not_told_runs_out_and_its_service_goes_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let check = json!({ "TTL": "1s", "Status": "passing", "DeregisterCriticalServiceAfter": "1s" });
    room.register(json!({ "Name": "web", "ID": "a", "Address": "10.0.0.1", "Port": 80, "Check": check })).await;
    assert!(room.key("web/a").is_some());
    let late = room.until("/v1/health/checks/web", |all| all[0]["Status"] == "critical").await;
    assert_eq!(late[0]["Output"], "TTL expired");
    assert_eq!(room.key("web/a"), None);
    room.until("/v1/catalog/service/web", |all| all == &json!([])).await;
    let (status, _) = room.refused("/v1/agent/check/pass/service:a", "").await;
    assert_eq!(status, 404, "which is how clients learn that they have to register again");
    room.end().await;
}

#[tokio::test]
async fn several_checks_of_one_service_come_to_the_worst_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let peer = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let tcp = json!({ "TCP": peer.local_addr().unwrap().to_string(), "Interval": "1s" });
    let ttl = json!({ "TTL": "60s", "Status": "passing" });
    room.register(json!({ "Name": "web", "Port": 80, "Checks": [ttl, tcp] })).await;
    let checks = "/v1/health/checks/web";
    let well = room.until(checks, |all| all[1]["Status"] == "passing").await;
    let ids: Vec<&Value> = well.as_array().unwrap().iter().map(|check| &check["CheckID"]).collect();
    assert_eq!(ids, [&json!("service:web:1"), &json!("service:web:2")]);
    assert_eq!((room.health("web", "n1"), &well[1]["Interval"]), (Some(Health::Passing), &json!("1s")));
    drop(peer);
    room.until(checks, |all| all[1]["Status"] == "critical").await;
    assert_eq!(room.health("web", "n1"), Some(Health::Critical));
    assert_eq!(room.get("/v1/health/service/web?passing").await.json(), json!([]));
    room.done("/v1/agent/check/deregister/service:web:2", "").await;
    assert_eq!(room.health("web", "n1"), Some(Health::Passing));
    // Registered anew with the wish that nothing else is there.
    room.done("/v1/agent/check/register", json!({ "Name": "more", "TTL": "9s", "ServiceID": "web" })).await;
    assert_eq!(room.health("web", "n1"), Some(Health::Critical));
    let again = json!({ "Name": "web", "Port": 80, "Check": { "TTL": "60s", "Status": "passing" } });
    room.done("/v1/agent/service/register?replace-existing-checks=true", again).await;
    let checks = room.get("/v1/agent/checks").await.json();
    assert_eq!(checks.as_object().unwrap().keys().collect::<Vec<_>>(), ["service:web"]);
    room.end().await;
}

#[tokio::test]
async fn maintenance_takes_services_out_one_by_one_and_all_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    room.register(json!({ "Name": "web", "ID": "a", "Address": "10.0.0.1", "Port": 80 })).await;
    room.register(json!({ "Name": "web", "ID": "b", "Address": "10.0.0.2", "Port": 80 })).await;
    room.done("/v1/agent/service/maintenance/a?enable=true&reason=moving", "").await;
    assert_eq!((room.health("web", "a"), room.key("web/a")), (Some(Health::Maintenance), None));
    let out = room.get("/v1/agent/health/service/id/a").await;
    assert_eq!((out.status, out.field("x-consul-reason")), (503, "maintenance"));
    let check = &room.get("/v1/agent/checks").await.json()["_service_maintenance:a"];
    assert_eq!((&check["Notes"], &check["Status"]), (&json!("moving"), &json!("critical")));
    assert_eq!(room.get("/v1/health/service/web?passing=1").await.json().as_array().unwrap().len(), 1);
    room.done("/v1/agent/maintenance?enable=true", "").await;
    assert_eq!(room.health("web", "b"), Some(Health::Maintenance));
    // What comes meanwhile is out as well.
    room.register(json!({ "Name": "web", "ID": "c", "Address": "10.0.0.3", "Port": 80 })).await;
    assert_eq!(room.health("web", "c"), Some(Health::Maintenance));
    room.done("/v1/agent/maintenance?enable=false", "").await;
    room.done("/v1/agent/maintenance?enable=false", "").await;
    let healths = ["a", "b", "c"].map(|id| room.health("web", id).unwrap());
    assert_eq!(healths, [Health::Maintenance, Health::Passing, Health::Passing]);
    room.done("/v1/agent/service/maintenance/a?enable=false", "").await;
    assert_eq!(room.health("web", "a"), Some(Health::Passing));
    let by_name = room.get("/v1/agent/health/service/name/web?format=text").await;
    assert_eq!((by_name.status, by_name.text().as_str()), (200, "passing"));
    assert_eq!(room.get("/v1/agent/health/service/name/none").await.status, 404);
    room.end().await;
}

#[tokio::test]
async fn what_was_registered_is_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let check = json!({ "HTTP": "http://127.0.0.1:1/h", "Method": "POST", "Header": { "X": ["1"] }, "Interval": "1h" });
    let web = json!({ "Name": "web", "ID": "a", "Address": "10.0.0.1", "Port": 80, "Tags": ["z", "y"], "Checks": [check, { "TTL": "1h" }] });
    room.register(web).await;
    room.done("/v1/agent/check/pass/service:a:2?note=kept", "").await;
    room.done("/v1/agent/maintenance?enable=true&reason=moving", "").await;
    let node = json!({ "Node": "far", "Address": "10.1.0.1", "NodeMeta": { "k": "v" }, "Service": { "Service": "db", "Port": 5432 },
                       "Check": { "Name": "alive", "Status": "passing" } });
    assert_eq!(room.put("/v1/catalog/register", node).await.json(), json!(true));
    let look = async |room: &Room| {
        let mut all = Vec::new();
        for path in ["/v1/agent/services", "/v1/health/state/any", "/v1/catalog/nodes", "/v1/health/service/db"] {
            let mut shown = room.get(path).await.json();
            // What a look saw is looked at again.
            for check in shown.as_array_mut().into_iter().flatten().filter(|one| one["Type"] == "http") {
                check["Output"] = Value::Null;
            }
            all.push(shown);
        }
        all
    };
    let before = look(&room).await;
    let index = room.get("/v1/catalog/nodes").await.index();
    room.end().await;
    let room = begin(dir.path()).await;
    assert_eq!(look(&room).await, before);
    assert!(room.get("/v1/catalog/nodes").await.index() >= index);
    assert_eq!(room.health("web", "a"), Some(Health::Maintenance));
    room.end().await;
}

#[tokio::test]
async fn an_id_that_is_given_to_another_service_moves() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    room.register(json!({ "Name": "old", "ID": "a", "Port": 1 })).await;
    room.register(json!({ "Name": "new", "ID": "a", "Port": 2 })).await;
    let all = room.get("/v1/agent/services").await.json();
    assert_eq!((all.as_object().unwrap().len(), &all["a"]["Service"]), (1, &json!("new")));
    // Two ids that would have the same place in the registry have two.
    room.register(json!({ "Name": "web", "ID": "web", "Port": 3 })).await;
    room.register(json!({ "Name": "web", "ID": "n1", "Port": 4 })).await;
    let all = room.get("/v1/agent/services").await.json();
    assert_eq!((&all["web"]["Port"], &all["n1"]["Port"]), (&json!(3), &json!(4)));
    for id in ["web", "n1", "a"] {
        room.done(&format!("/v1/agent/service/deregister/{id}"), "").await;
    }
    assert_eq!(room.get("/v1/agent/services").await.json(), json!({}));
    room.end().await;
}

#[tokio::test]
async fn a_token_is_asked_for_where_one_is_set() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin_with(dir.path(), Some("s3cret")).await;
    let path = "/v1/agent/self";
    for (request, status) in [
        (http::Request::get(path), 403),
        (http::Request::get(path).header("x-consul-token", "s3cret"), 200),
        (http::Request::get(path).header("authorization", "Bearer s3cret"), 200),
        (http::Request::get(format!("{path}?token=s3cret")), 200),
        (http::Request::get(path).header("x-consul-token", "s3cre"), 403),
    ] {
        let answer = room.send(request, "").await;
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    room.end().await;
    let open = begin(dir.path()).await;
    let page = open.send(http::Request::get(path).header("origin", "http://evil.example"), "").await;
    assert_eq!((page.status, page.text().as_str()), (403, "Permission denied"));
    open.end().await;
}
