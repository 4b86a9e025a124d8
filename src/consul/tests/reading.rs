//! The shapes of what is read, and which of it.

use super::*;
use crate::{
    model::{InstanceKey, service::Source},
    registry::Spec,
};

#[tokio::test]
async fn services_have_the_shapes_that_clients_take_apart() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    room.register(
        json!({ "Name": "web", "ID": "a", "Address": "10.0.0.1", "Port": 80, "Tags": ["x"], "Meta": { "k": "v" } }),
    )
    .await;
    let answer = room.get("/v1/catalog/service/web").await;
    for (name, value) in [
        ("content-type", "application/json"),
        ("x-consul-knownleader", "true"),
        ("x-consul-lastcontact", "0"),
        ("x-consul-effective-consistency", "leader"),
        ("x-consul-query-backend", "blocking-query"),
        ("x-consul-default-acl-policy", "allow"),
        ("vary", "Accept-Encoding"),
    ] {
        assert_eq!(answer.field(name), value, "{name}");
    }
    let all = answer.json();
    let mut shown = all[0].clone();
    let index = shown["ModifyIndex"].as_u64().unwrap();
    assert_eq!((answer.index(), &shown["CreateIndex"]), (index, &json!(index)));
    assert_eq!(shown["ID"].as_str().unwrap().len(), 36);
    shown["ID"] = json!("");
    assert_eq!(
        shown,
        json!({
            "ID": "", "Node": "n1", "Address": "127.0.0.1", "Datacenter": "dc1",
            "TaggedAddresses": { "lan": "127.0.0.1", "wan": "127.0.0.1" }, "NodeMeta": {},
            "ServiceKind": "", "ServiceID": "a", "ServiceName": "web", "ServiceTags": ["x"], "ServiceAddress": "10.0.0.1",
            "ServiceTaggedAddresses": { "lan_ipv4": { "Address": "10.0.0.1", "Port": 80 }, "wan_ipv4": { "Address": "10.0.0.1", "Port": 80 } },
            "ServiceWeights": { "Passing": 1, "Warning": 1 }, "ServiceMeta": { "k": "v" }, "ServicePort": 80,
            "ServiceSocketPath": "", "ServiceEnableTagOverride": false,
            "ServiceProxy": { "Mode": "", "MeshGateway": {}, "Expose": {} }, "ServiceConnect": {},
            "CreateIndex": index, "ModifyIndex": index,
        })
    );
    let health = room.get("/v1/health/service/web").await.json();
    assert_eq!(health[0]["Node"]["Node"], "n1");
    assert_eq!((&health[0]["Service"]["ID"], &health[0]["Service"]["Tags"]), (&json!("a"), &json!(["x"])));
    let alive = &health[0]["Checks"][0];
    assert_eq!((&alive["CheckID"], &alive["Status"]), (&json!("serfHealth"), &json!("passing")));
    assert_eq!((&alive["ServiceTags"], &alive["Definition"]), (&json!([]), &json!({})));
    assert_eq!(room.get("/v1/catalog/services").await.json(), json!({ "consul": [], "web": ["x"] }));
    assert_eq!(room.get("/v1/catalog/service/consul").await.json()[0]["ServicePort"], 8_300);
    assert_eq!(room.get("/v1/catalog/service/none").await.json(), json!([]));
    assert_eq!(room.get("/v1/catalog/datacenters").await.json(), json!(["dc1"]));
    assert_eq!(room.get("/v1/status/leader").await.json(), json!("127.0.0.1:8300"));
    assert_eq!(room.get("/v1/status/peers").await.json(), json!(["127.0.0.1:8300"]));
    let itself = room.get("/v1/agent/self").await.json();
    assert_eq!((&itself["Config"]["Datacenter"], &itself["Config"]["NodeName"]), (&json!("dc1"), &json!("n1")));
    assert_eq!(room.get("/v1/agent/members").await.json()[0]["Name"], "n1");
    let node = room.get("/v1/catalog/node/n1").await.json();
    assert_eq!(node["Services"].as_object().unwrap().keys().collect::<Vec<_>>(), ["a", "consul"]);
    assert_eq!(room.get("/v1/catalog/node-services/n1").await.json()["Services"].as_array().unwrap().len(), 2);
    assert_eq!(room.get("/v1/catalog/node/none").await.json(), Value::Null);
    assert!(room.get("/v1/catalog/nodes?pretty").await.text().contains("\n"));
    room.end().await;
}

#[tokio::test]
async fn of_many_those_are_shown_that_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    for (id, tags, status) in
        [("a", json!(["x", "y"]), "passing"), ("b", json!(["X"]), "warning"), ("c", json!([]), "critical")]
    {
        let check = json!({ "TTL": "60s", "Status": status });
        room.register(
            json!({ "Name": "web", "ID": id, "Port": 80, "Tags": tags, "Meta": { "id": id }, "Check": check }),
        )
        .await;
    }
    let ids = async |path: &str| {
        let all = room.get(path).await.json();
        let id = |one: &Value| {
            let id = [&one["ServiceID"], &one["Service"]["ID"]].into_iter().find_map(Value::as_str);
            id.unwrap().to_owned()
        };
        let mut ids: Vec<String> = all.as_array().unwrap().iter().map(id).filter(|id| !id.is_empty()).collect();
        ids.sort();
        ids.join("")
    };
    for (path, wanted) in [
        ("/v1/catalog/service/web", "abc"),
        ("/v1/catalog/service/web?tag=x", "ab"),
        ("/v1/catalog/service/web?tag=x&tag=y", "a"),
        ("/v1/catalog/service/web?filter=ServiceMeta.id==b", "b"),
        ("/v1/health/service/web", "abc"),
        ("/v1/health/service/web?passing", "a"),
        ("/v1/health/service/web?passing=true&tag=y&near=_agent&stale&cached", "a"),
        ("/v1/health/service/web?passing=false", "abc"),
        ("/v1/health/service/web?filter=Service.Tags%20contains%20x%20and%20not%20Service.ID==b", "a"),
        ("/v1/health/service/web?filter=Checks.Status==critical", "c"),
        ("/v1/health/state/passing", "a"),
        ("/v1/health/state/warning", "b"),
        ("/v1/health/state/critical", "c"),
        ("/v1/health/state/any", "abc"),
        ("/v1/health/checks/web", "abc"),
        ("/v1/health/node/n1", "abc"),
        ("/v1/health/service/none", ""),
    ] {
        assert_eq!(ids(path).await, wanted, "{path}");
    }
    let bad = room.get("/v1/catalog/service/web?filter=a%20b").await;
    assert_eq!(bad.status, 400);
    assert!(bad.text().starts_with("Failed to create boolean expression evaluator"), "{}", bad.text());
    assert_eq!(room.get("/v1/health/service/web?passing=x").await.text(), "Invalid value for ?passing");
    assert_eq!(room.get("/v1/agent/services?filter=Tags%20contains%20y").await.json().as_object().unwrap().len(), 1);
    assert_eq!(room.get("/v1/catalog/services?filter=ServiceMeta.id==a").await.json(), json!({ "web": ["x", "y"] }));
    room.end().await;
}

#[tokio::test]
async fn services_of_other_nodes_stand_beside_our_own() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    for (node, address) in [("far", "10.1.0.1"), ("farther", "10.1.0.2")] {
        let body = json!({ "Node": node, "Address": address, "NodeMeta": { "zone": node },
            "Service": { "Service": "db", "ID": "db", "Port": 5432, "Tags": ["t"] },
            "Checks": [{ "Name": "alive", "Status": "passing" }, { "CheckID": "own", "Name": "own", "Status": "passing", "ServiceID": "db" }] });
        assert_eq!(room.put("/v1/catalog/register", body).await.json(), json!(true));
    }
    let all = room.get("/v1/health/service/db?passing").await.json();
    assert_eq!(all.as_array().unwrap().len(), 2);
    let checks: Vec<&Value> = all[0]["Checks"].as_array().unwrap().iter().map(|check| &check["CheckID"]).collect();
    assert_eq!((checks, &all[0]["Node"]["Address"]), (vec![&json!("alive"), &json!("own")], &json!("10.1.0.1")));
    assert_eq!(room.key("db/far").unwrap(), r#"{"ip":"10.1.0.1","port":5432,"weight":1}"#);
    for (near, first) in [("far", "far"), ("farther", "farther"), ("_agent", "far"), ("nowhere", "far")] {
        for (path, place) in
            [("health/service/db", "/0/Node/Node"), ("catalog/service/db", "/0/Node"), ("health/checks/db", "/0/Node")]
        {
            let all = room.get(&format!("/v1/{path}?near={near}")).await.json();
            assert_eq!(all.pointer(place), Some(&json!(first)), "{path} near {near}");
        }
    }
    assert_eq!(room.get("/v1/catalog/nodes?near=_agent").await.json()[0]["Node"], "n1");
    assert_eq!(room.get("/v1/catalog/nodes?node-meta=zone:far").await.json().as_array().unwrap().len(), 1);
    // What a node's check says holds for what is on it.
    let ill = json!({ "Node": "far", "SkipNodeUpdate": true, "Check": { "CheckID": "alive", "Name": "alive", "Status": "critical" } });
    assert_eq!(room.put("/v1/catalog/register", ill).await.json(), json!(true));
    assert_eq!((room.health("db", "far"), room.key("db/far")), (Some(Health::Critical), None));
    assert_eq!(room.get("/v1/health/service/db?passing").await.json().as_array().unwrap().len(), 1);
    for gone in [json!({ "Node": "far" }), json!({ "Node": "far" }), json!({ "Node": "farther", "ServiceID": "db" })] {
        assert_eq!(room.put("/v1/catalog/deregister", gone).await.json(), json!(true));
    }
    assert_eq!(room.get("/v1/catalog/service/db").await.json(), json!([]));
    let nodes = room.get("/v1/catalog/nodes").await.json();
    let names: Vec<&Value> = nodes.as_array().unwrap().iter().map(|node| &node["Node"]).collect();
    assert_eq!(names, [&json!("farther"), &json!("n1")]);
    room.end().await;
}

#[tokio::test]
async fn what_came_by_other_doors_is_seen_here() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let value = r#"{"ip":"10.0.0.7","port":7,"weight":3,"zone":"a"}"#;
    room.registry.put(format!("{PREFIX}web/host7").into(), value.into(), 0, None).await.unwrap();
    let key = InstanceKey { service: "web".parse().unwrap(), id: "api".parse().unwrap() };
    let spec = Spec { ttl: Some(Duration::from_secs(60)), ..Spec::new("10.0.0.8", 8) };
    room.registry.register(key, spec, Source::Api).await.unwrap();
    let (lease, _) = room.registry.grant(0x2a, Duration::from_secs(60)).await.unwrap();
    room.registry.put(format!("{PREFIX}db/host8").into(), value.into(), lease, None).await.unwrap();
    let leased = room.get("/v1/health/checks/db").await.json();
    assert_eq!((&leased[0]["CheckID"], &leased[0]["Node"]), (&json!("lease:2a"), &json!("host8")));
    let all = room.get("/v1/health/service/web?passing").await.json();
    let seen: Vec<[&Value; 4]> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            [
                &one["Node"]["Node"],
                &one["Service"]["ID"],
                &one["Service"]["Address"],
                &one["Service"]["Weights"]["Passing"],
            ]
        })
        .collect();
    assert_eq!(seen[0], [&json!("n1"), &json!("web:api"), &json!("10.0.0.8"), &json!(1)]);
    assert_eq!(seen[1], [&json!("host7"), &json!("web:host7"), &json!("10.0.0.7"), &json!(3)]);
    assert_eq!(all[1]["Service"]["Meta"], json!({ "zone": "a" }));
    assert_eq!(all[0]["Checks"][1]["CheckID"], "service:web:api");
    assert!(room.get("/v1/agent/services").await.json().get("web:api").is_some());
    room.done("/v1/agent/service/deregister/web:api", "").await;
    assert_eq!(room.get("/v1/catalog/service/web").await.json().as_array().unwrap().len(), 1);
    room.end().await;
}
