//! What tools ask that are not at hand here: their requests, one by one, as they send them.

use super::*;

/// One service with a check that passes, one with none.
async fn site(dir: &Path) -> Room {
    let room = begin(dir).await;
    let check = json!({ "TTL": "60s", "Status": "passing" });
    let tags = json!(["urlprefix-/api", "traefik.enable=true"]);
    room.register(
        json!({ "Name": "web", "ID": "web-1", "Address": "10.0.0.1", "Port": 80, "Tags": tags, "Check": check }),
    )
    .await;
    room.register(json!({ "Name": "db", "ID": "db-1", "Address": "10.0.0.2", "Port": 5432 })).await;
    room
}

#[tokio::test]
async fn consul_template_reads_lists_services_and_keys_and_waits() {
    let dir = tempfile::tempdir().unwrap();
    let room = site(dir.path()).await;
    assert_eq!(room.put("/v1/kv/app/a", "1").await.json(), json!(true));
    let mut waiting = Vec::new();
    for path in
        ["/v1/catalog/services", "/v1/health/service/web?passing=1", "/v1/catalog/service/web", "/v1/kv/app/?recurse="]
    {
        let sign = if path.contains('?') { '&' } else { '?' };
        let first = room.get(&format!("{path}{sign}stale=&wait=60000ms")).await;
        assert_eq!((first.status, first.field("x-consul-lastcontact")), (200, "0"), "{path}");
        waiting.push((
            path,
            first.index(),
            room.wait(&format!("{path}{sign}index={}&stale=&wait=60000ms", first.index())),
        ));
    }
    room.done("/v1/agent/service/deregister/web-1", "").await;
    assert_eq!(room.put("/v1/kv/app/a", "2").await.json(), json!(true));
    for (path, index, news) in waiting {
        assert!(news.await.unwrap().index() > index, "{path}");
    }
    room.end().await;
}

#[tokio::test]
async fn traefik_and_fabio_join_what_they_read_apart() {
    let dir = tempfile::tempdir().unwrap();
    let room = site(dir.path()).await;
    // Traefik: names with tags, then the instances of each, whatever their health.
    let names = room.get("/v1/catalog/services?dc=&stale=").await.json();
    assert_eq!(names["web"], json!(["traefik.enable=true", "urlprefix-/api"]));
    let web = room.get("/v1/health/service/web?stale=").await.json();
    let statuses: Vec<&Value> = web[0]["Checks"].as_array().unwrap().iter().map(|check| &check["Status"]).collect();
    assert_eq!(
        (web[0]["Service"]["Tags"][1].clone(), statuses),
        (json!("traefik.enable=true"), vec![&json!("passing"); 2])
    );
    // Fabio: who it talks to, all checks, and of those that pass their services.
    assert_eq!(room.get("/v1/agent/self").await.json()["Config"]["Datacenter"], "dc1");
    let all = room.get("/v1/health/state/any?index=0&wait=5m").await.json();
    let of_web = all.as_array().unwrap().iter().find(|check| check["ServiceName"] == "web").unwrap().clone();
    assert_eq!((&of_web["ServiceTags"][0], &of_web["Node"]), (&json!("urlprefix-/api"), &json!("n1")));
    assert!(all.as_array().unwrap().iter().any(|check| check["CheckID"] == "serfHealth" && check["Node"] == "n1"));
    let place = &room.get("/v1/catalog/service/web").await.json()[0];
    assert_eq!((&place["ServiceID"], &place["ServiceAddress"]), (&of_web["ServiceID"], &json!("10.0.0.1")));
    let own = json!({ "ID": "fabio-host-9998", "Name": "fabio", "Address": "10.0.0.9", "Port": 9998,
        "Check": { "HTTP": "http://10.0.0.9:9998/health", "Interval": "1h", "Timeout": "3s", "TTL": "" }, "Checks": null });
    room.register(own).await;
    room.end().await;
}

#[tokio::test]
async fn registrator_and_spring_say_how_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let room = site(dir.path()).await;
    assert_eq!(room.get("/v1/status/leader").await.json(), json!("127.0.0.1:8300"));
    let id = "host:web_1:80";
    room.register(
        json!({ "ID": id, "Name": "shop", "Address": "10.0.0.3", "Port": 80, "Tags": null, "Check": { "TTL": "30s" } }),
    )
    .await;
    assert!(room.get("/v1/agent/services").await.json().get(id).is_some());
    room.done(&format!("/v1/agent/check/pass/service:{id}"), "").await;
    assert_eq!(room.get("/v1/health/service/shop?passing=true&token=").await.json().as_array().unwrap().len(), 1);
    // Older ones say it by GET.
    let old = room.get(&format!("/v1/agent/check/fail/service:{id}?note=gone")).await;
    assert_eq!((old.status, old.text().as_str()), (200, ""));
    room.done(&format!("/v1/agent/service/deregister/{id}"), "").await;
    let config = room.get("/v1/kv/config/app/?recurse&wait=55s&index=-1").await;
    assert_eq!((config.status, config.text().as_str()), (400, "Invalid index"), "as the real one has it");
    assert_eq!(room.get("/v1/kv/config/app/?recurse&wait=55s").await.status, 404);
    room.end().await;
}

#[tokio::test]
async fn prometheus_learns_names_and_then_the_instances_of_each() {
    let dir = tempfile::tempdir().unwrap();
    let room = site(dir.path()).await;
    assert_eq!(room.get("/v1/agent/self").await.json()["Config"]["Datacenter"], "dc1");
    let names = room.get("/v1/catalog/services?dc=dc1&stale=&wait=120000ms").await;
    assert_eq!(names.json()["db"], json!([]));
    let path = "/v1/health/service/web?dc=dc1&stale=&tag=urlprefix-%2Fapi&wait=120000ms";
    let web = room.get(path).await;
    let one = &web.json()[0];
    assert_eq!(
        (&one["Service"]["Address"], &one["Service"]["Port"], &one["Node"]["Datacenter"]),
        (&json!("10.0.0.1"), &json!(80), &json!("dc1"))
    );
    assert_eq!((&one["Node"]["TaggedAddresses"]["lan"], &one["Node"]["Meta"]), (&json!("127.0.0.1"), &json!({})));
    assert!(one["Checks"].as_array().unwrap().iter().all(|check| check["Status"].is_string()));
    let news = room.wait(&format!("/v1/catalog/services?dc=dc1&index={}&stale=&wait=120000ms", names.index()));
    room.register(json!({ "Name": "new", "Port": 1 })).await;
    assert!(news.await.unwrap().json().get("new").is_some());
    room.end().await;
}
