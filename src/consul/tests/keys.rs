//! Keys, sessions and transactions.

use super::*;

async fn session(room: &Room, body: Value) -> String {
    let answer = room.put("/v1/session/create", body).await.json();
    answer["ID"].as_str().unwrap().to_owned()
}

impl Room {
    async fn says(&self, path: &str, body: impl ToString, wanted: bool) {
        assert_eq!(self.put(path, body).await.json(), json!(wanted), "{path}");
    }

    async fn delete(&self, path: &str) -> Answer {
        self.send(http::Request::delete(path), "").await
    }
}

#[tokio::test]
async fn keys_are_written_and_read_in_every_way() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    room.says("/v1/kv/a/b?flags=3304740253564472344", "v1", true).await;
    let read = room.get("/v1/kv/a/b").await;
    let entry = read.json()[0].clone();
    let index = entry["ModifyIndex"].as_u64().unwrap();
    assert_eq!(read.index(), index);
    assert_eq!(
        entry,
        json!({ "LockIndex": 0, "Key": "a/b", "Flags": 3_304_740_253_564_472_344_u64, "Value": "djE=",
                "CreateIndex": index, "ModifyIndex": index })
    );
    // The same again is no change.
    room.says("/v1/kv/a/b?flags=3304740253564472344", "v1", true).await;
    assert_eq!(room.get("/v1/kv/a/b").await.index(), index);
    let raw = room.get("/v1/kv/a/b?raw").await;
    assert_eq!(
        (raw.text().as_str(), raw.field("content-type"), raw.field("x-content-type-options")),
        ("v1", "text/plain; charset=utf-8", "nosniff")
    );
    room.says("/v1/kv/empty", "", true).await;
    assert_eq!(room.get("/v1/kv/empty").await.json()[0]["Value"], Value::Null);
    // Encoded as a whole, with what is no letter.
    room.says("/v1/kv/a%2Fc%20%C3%BC%2B%25", "x", true).await;
    assert_eq!(room.get("/v1/kv/a/?keys").await.json(), json!(["a/b", "a/c ü+%"]));
    room.says("/v1/kv/a/d/e", "y", true).await;
    assert_eq!(room.get("/v1/kv/a/?keys=True&separator=/").await.json(), json!(["a/b", "a/c ü+%", "a/d/"]));
    assert_eq!(room.get("/v1/kv/?keys&separator=/").await.json(), json!(["a/", "empty"]));
    assert_eq!(room.get("/v1/kv/a?recurse=1").await.json().as_array().unwrap().len(), 3);
    for none in ["/v1/kv/none", "/v1/kv/none?recurse", "/v1/kv/none?keys"] {
        let answer = room.get(none).await;
        assert_eq!((answer.status, answer.text().as_str()), (404, ""), "{none}");
        assert!(answer.index() > 0);
    }
    // Compare and set.
    room.says("/v1/kv/a/b?cas=0", "no", false).await;
    room.says(&format!("/v1/kv/a/b?cas={index}"), "v2", true).await;
    room.says(&format!("/v1/kv/a/b?cas={index}"), "no", false).await;
    room.says("/v1/kv/new?cas=0", "yes", true).await;
    assert_eq!(room.get("/v1/kv/a/b").await.json()[0]["CreateIndex"], json!(index));
    assert_eq!(room.delete("/v1/kv/a/b?cas=1").await.json(), json!(false));
    assert_eq!(room.delete("/v1/kv/a/b?cas=0").await.json(), json!(false));
    let now = room.get("/v1/kv/a/b").await.index();
    assert_eq!(room.delete(&format!("/v1/kv/a/b?cas={now}")).await.json(), json!(true));
    assert_eq!(room.delete("/v1/kv/a/b").await.json(), json!(true));
    assert_eq!(room.delete("/v1/kv/a?recurse").await.json(), json!(true));
    assert_eq!(room.get("/v1/kv/?keys").await.json(), json!(["empty", "new"]));
    assert_eq!(room.refused("/v1/kv/", "x").await, (400, "Missing key name".to_owned()));
    assert_eq!(
        room.refused("/v1/kv/a?cas=1&acquire=x", "").await,
        (400, "Conflicting flags: ?cas, ?acquire\n".to_owned())
    );
    let (status, text) = room.refused("/v1/kv/big", "x".repeat((512 << 10) + 1)).await;
    assert_eq!((status, text.as_str()), (413, "Request body(524289 bytes) too large, max size: 524288 bytes."));
    room.says("/v1/kv/big", "x".repeat(512 << 10), true).await;
    room.end().await;
}

#[tokio::test]
async fn a_read_waits_for_news_of_its_keys_alone() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    room.says("/v1/kv/w/1", "x", true).await;
    room.says("/v1/kv/w/2", "x", true).await;
    let index = room.get("/v1/kv/w/?recurse").await.index();
    let mut tree = room.wait(&format!("/v1/kv/w/?recurse&index={index}&wait=30s"));
    let none = room.get("/v1/kv/none").await.index();
    let coming = room.wait(&format!("/v1/kv/none?index={none}&wait=30s"));
    room.says("/v1/kv/other", "x", true).await;
    room.says("/v1/kv/w/1", "x", true).await;
    assert!(tree.try_recv().is_err(), "nothing of it is news");
    // What is gone is news, and no step back.
    assert_eq!(room.delete("/v1/kv/w/2").await.json(), json!(true));
    let news = tree.await.unwrap();
    assert_eq!(news.json().as_array().unwrap().len(), 1);
    assert!(news.index() > index);
    assert_eq!(room.get("/v1/kv/w/?recurse").await.index(), news.index());
    room.says("/v1/kv/none", "x", true).await;
    assert_eq!(coming.await.unwrap().json()[0]["Key"], "none");
    let same = room.get(&format!("/v1/kv/w/1?index={}&wait=1ms", news.index())).await;
    assert_eq!(same.status, 200);
    room.end().await;
}

#[tokio::test]
async fn one_session_at_a_time_holds_a_key() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let one = session(&room, json!({ "Name": "one", "TTL": "10s", "LockDelay": "0s" })).await;
    let two = session(&room, json!({ "Name": "two", "Behavior": "delete", "LockDelay": 0 })).await;
    let info = room.get(&format!("/v1/session/info/{one}")).await;
    let shown = info.json()[0].clone();
    assert_eq!((&shown["Name"], &shown["TTL"], &shown["Behavior"]), (&json!("one"), &json!("10s"), &json!("release")));
    assert_eq!(
        (&shown["NodeChecks"], &shown["ServiceChecks"], &shown["Node"]),
        (&json!(["serfHealth"]), &Value::Null, &json!("n1"))
    );
    assert_eq!(room.get("/v1/session/list").await.json().as_array().unwrap().len(), 2);
    assert_eq!(room.get("/v1/session/node/n1").await.json().as_array().unwrap().len(), 2);
    assert_eq!(room.put(&format!("/v1/session/renew/{one}"), "").await.json()[0]["ID"], json!(one));
    room.says(&format!("/v1/kv/lock?acquire={one}"), "1", true).await;
    room.says(&format!("/v1/kv/lock?acquire={two}"), "2", false).await;
    room.says(&format!("/v1/kv/lock?release={two}"), "2", false).await;
    let held = room.get("/v1/kv/lock").await.json()[0].clone();
    assert_eq!((&held["Session"], &held["LockIndex"], &held["Value"]), (&json!(one), &json!(1), &json!("MQ==")));
    // Others may write it all the same, also as with etcd; the lock stays.
    room.says("/v1/kv/lock", "3", true).await;
    room.registry.put("lock".into(), "4".into(), 0, None).await.unwrap();
    assert_eq!(room.get("/v1/kv/lock").await.json()[0]["Session"], json!(one));
    room.says(&format!("/v1/kv/lock?release={one}"), "5", true).await;
    room.says(&format!("/v1/kv/lock?acquire={two}"), "6", true).await;
    assert_eq!(room.get("/v1/kv/lock").await.json()[0]["LockIndex"], json!(2));
    // Its keys go with the one, and are free after the other.
    room.says(&format!("/v1/kv/mine?acquire={one}"), "x", true).await;
    for id in [&two, &two, &one] {
        assert_eq!(room.put(&format!("/v1/session/destroy/{id}"), "").await.json(), json!(true));
    }
    assert_eq!(room.get("/v1/kv/lock").await.status, 404);
    let free = room.get("/v1/kv/mine").await.json()[0].clone();
    assert_eq!((free.get("Session"), &free["LockIndex"]), (None, &json!(1)));
    assert_eq!(room.get(&format!("/v1/session/info/{one}")).await.json(), json!([]));
    for (path, body, status, text) in [
        (format!("/v1/session/renew/{one}"), "", 404, format!("Session id '{one}' not found")),
        (format!("/v1/kv/mine?acquire={one}"), "", 500, format!("invalid session {one:?}")),
        (
            "/v1/session/create".to_owned(),
            r#"{"TTL":"5s"}"#,
            500,
            "Invalid Session TTL '5000000000', must be between [10s=24h0m0s]".to_owned(),
        ),
        ("/v1/session/create".to_owned(), r#"{"Behavior":"x"}"#, 500, "Invalid Behavior setting 'x'".to_owned()),
        ("/v1/session/create".to_owned(), r#"{"Node":"far"}"#, 500, "Missing node registration".to_owned()),
        (
            "/v1/session/create".to_owned(),
            r#"{"Checks":["none"]}"#,
            500,
            "Missing check 'none' registration".to_owned(),
        ),
    ] {
        assert_eq!(room.refused(&path, body).await, (status, text));
    }
    room.end().await;
}

#[tokio::test]
async fn a_session_ends_with_its_checks_and_what_it_held_rests_for_a_while() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    room.register(json!({ "Name": "web", "Check": { "TTL": "60s", "Status": "passing" } })).await;
    let one = session(&room, json!({ "Checks": ["serfHealth", "service:web"], "LockDelay": "60s" })).await;
    let two = session(&room, json!({ "Checks": [] })).await;
    room.says(&format!("/v1/kv/lock?acquire={one}"), "1", true).await;
    let index = room.get("/v1/kv/lock").await.index();
    let waiting = room.wait(&format!("/v1/kv/lock?index={index}&wait=30s"));
    room.done("/v1/agent/check/fail/service:web", "").await;
    assert_eq!(waiting.await.unwrap().json()[0].get("Session"), None);
    assert_eq!(room.get(&format!("/v1/session/info/{one}")).await.json(), json!([]));
    room.says(&format!("/v1/kv/lock?acquire={two}"), "2", false).await;
    let (status, text) = room.refused("/v1/session/create", json!({ "Checks": ["service:web"] })).await;
    assert_eq!((status, text.as_str()), (500, "Check 'service:web' is in critical state"));
    // One that has no delay can be held at once.
    let quick = session(&room, json!({ "LockDelay": 0 })).await;
    room.says(&format!("/v1/kv/quick?acquire={quick}"), "1", true).await;
    room.put(&format!("/v1/session/destroy/{quick}"), "").await;
    room.says(&format!("/v1/kv/quick?acquire={two}"), "2", true).await;
    room.end().await;
}

#[tokio::test]
async fn locks_and_flags_are_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let one = session(&room, json!({ "Name": "one", "TTL": "60s" })).await;
    room.says(&format!("/v1/kv/lock?acquire={one}&flags=7"), "1", true).await;
    let paths = ["/v1/kv/lock".to_owned(), "/v1/session/list".to_owned(), "/v1/kv/?recurse".to_owned()];
    let look = async |room: &Room| {
        let mut all = Vec::new();
        for path in &paths {
            let answer = room.get(path).await;
            all.push((answer.json(), answer.index()));
        }
        all
    };
    let before = look(&room).await;
    room.end().await;
    let room = begin(dir.path()).await;
    assert_eq!(look(&room).await, before);
    // Who holds it still does, and it goes free with it.
    assert_eq!(room.put(&format!("/v1/session/destroy/{one}"), "").await.json(), json!(true));
    let free = room.get("/v1/kv/lock").await.json()[0].clone();
    assert_eq!((free.get("Session"), &free["Flags"]), (None, &json!(7)));
    room.end().await;
}

fn op(verb: &str, key: &str, more: Value) -> Value {
    let mut kv = json!({ "Verb": verb, "Key": key });
    more.as_object().unwrap().iter().for_each(|(name, value)| kv[name] = value.clone());
    json!({ "KV": kv })
}

impl Room {
    /// A transaction: its status, and its answer or the text of its refusal.
    async fn txn(&self, ops: &[Value]) -> (u16, Value) {
        let answer = self.put("/v1/txn", Value::from(ops)).await;
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_else(|_| json!(answer.text())))
    }
}

#[tokio::test]
async fn transactions_are_done_in_order_and_in_one_revision() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let (one, none) = (session(&room, json!({})).await, json!({}));
    let ops = [
        op("check-not-exists", "a", none.clone()),
        op("set", "a", json!({ "Value": "djE=", "Flags": 3 })),
        op("set", "t/b", json!({ "Value": "djI=" })),
        op("get", "a", none.clone()),
        op("lock", "l", json!({ "Value": "", "Session": one })),
        op("get-tree", "t/", none.clone()),
        op("get-or-empty", "none", none.clone()),
    ];
    let (status, done) = room.txn(&ops).await;
    assert_eq!((status, &done["Errors"]), (200, &Value::Null), "{done}");
    let shown = |result: &Value| format!("{}={}", result["KV"]["Key"], result["KV"]["Value"]).replace('"', "");
    let results: Vec<String> = done["Results"].as_array().unwrap().iter().map(shown).collect();
    assert_eq!(results, ["a=null", "t/b=null", "a=djE=", "l=null", "t/b=djI=", "none=null"]);
    let index = done["Results"][0]["KV"]["ModifyIndex"].clone();
    let is_of_it = |result: &Value| result["KV"]["ModifyIndex"] == index;
    assert!(done["Results"].as_array().unwrap().iter().take(5).all(is_of_it), "{done}");
    let ops = [
        op("unlock", "l", json!({ "Value": "", "Session": one })),
        op("check-index", "a", json!({ "Index": index })),
        op("delete-tree", "t/", none.clone()),
        op("delete", "a", none.clone()),
    ];
    let (status, done) = room.txn(&ops).await;
    assert_eq!((status, done["Results"].as_array().map(Vec::len)), (200, Some(2)), "{done}");
    assert_eq!(room.get("/v1/kv/?keys").await.json(), json!(["l"]));
    room.end().await;
}

#[tokio::test]
async fn a_transaction_of_which_a_part_cannot_be_done_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let (one, two, none) = (session(&room, json!({})).await, session(&room, json!({})).await, json!({}));
    room.says("/v1/kv/a", "v1", true).await;
    room.says(&format!("/v1/kv/l?acquire={one}"), "", true).await;
    let ops = [
        op("set", "a", json!({ "Value": "bm8=" })),
        op("cas", "a", json!({ "Value": "bm8=", "Index": 1 })),
        op("lock", "l", json!({ "Session": two })),
        op("get", "none", none.clone()),
        op("delete-cas", "a", json!({ "Index": 1 })),
        op("check-session", "l", json!({ "Session": one })),
    ];
    let errors = json!([
        { "OpIndex": 1, "What": "failed to set key \"a\", index is stale" },
        { "OpIndex": 2, "What": "failed to lock key \"l\", lock is already held" },
        { "OpIndex": 3, "What": "key \"none\" doesn't exist" },
        { "OpIndex": 4, "What": "failed to delete key \"a\", index is stale" },
    ]);
    assert_eq!(room.txn(&ops).await, (409, json!({ "Results": null, "Errors": errors })));
    assert_eq!(room.get("/v1/kv/a?raw").await.text(), "v1", "nothing of it was done");
    let (status, text) = room.txn(&vec![op("get-or-empty", "a", none); 129]).await;
    assert_eq!((status, text), (413, json!("Transaction contains too many operations (129 > 128)")));
    assert_eq!(room.txn(&[json!({ "Service": {} })]).await.0, 501);
    assert_eq!(room.txn(&[op("lock", "l", json!({ "Session": "none" }))]).await.0, 409);
    room.end().await;
}

#[tokio::test]
async fn keys_of_services_are_the_same_with_both_fronts() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    // Readers of them leave out the slash that they begin with.
    room.says("/v1/kv/s/web/a", r#"{"ip":"10.0.0.1","port":80}"#, true).await;
    assert_eq!(room.health("web", "a"), Some(Health::Passing));
    assert!(room.registry.get(b"/s/web/a").is_some());
    room.register(json!({ "Name": "web", "ID": "b", "Address": "10.0.0.2", "Port": 80 })).await;
    assert_eq!(room.get("/v1/kv/s/web?keys").await.json(), json!(["s/web/a", "s/web/b"]));
    room.says("/v1/kv/plain", "x", true).await;
    assert_eq!(room.get("/v1/kv/?keys").await.json(), json!(["plain", "s/web/a", "s/web/b"]));
    let index = room.get("/v1/kv/s/?recurse").await.index();
    let waiting = room.wait(&format!("/v1/kv/s/?recurse&index={index}&wait=30s"));
    room.done("/v1/agent/service/deregister/b", "").await;
    assert_eq!(waiting.await.unwrap().json().as_array().unwrap().len(), 1);
    assert_eq!(room.delete("/v1/kv/s/?recurse").await.json(), json!(true));
    assert_eq!(room.health("web", "a"), None);
    room.end().await;
}

#[tokio::test]
async fn events_are_passed_on_to_those_who_wait() {
    let dir = tempfile::tempdir().unwrap();
    let room = begin(dir.path()).await;
    let none = room.get("/v1/event/list").await;
    assert_eq!(none.json(), json!([]));
    let waiting = room.wait(&format!("/v1/event/list?name=deploy&index={}&wait=30s", none.index()));
    room.put("/v1/event/fire/other", "").await;
    let fired = room.put("/v1/event/fire/deploy?tag=x", "body").await.json();
    assert_eq!((&fired["Payload"], &fired["TagFilter"]), (&json!("Ym9keQ=="), &json!("x")));
    let heard = waiting.await.unwrap();
    assert_eq!(heard.json(), json!([fired]));
    assert_eq!(room.get("/v1/event/list").await.json().as_array().unwrap().len(), 2);
    room.end().await;
}
