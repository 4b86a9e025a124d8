//! Services and keys of a whole daemon: acknowledged before a SIGKILL is there after it, and the file has its say.

use super::harness::{Api, Process, until};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// How often the daemon is killed; more by hand: `KILLS=50 ./test services`.
fn kills() -> u32 {
    std::env::var("KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(5)
}

/// Those who write at the same time.
const WRITERS: usize = 4;

fn start(dir: &Path, more: &str) -> Process {
    let text = format!(
        "data_dir = '{dir}/data'\n[admin]\nlisten = 'unix:{dir}/admin.sock'\n[proxy]\nlisten = []\n{more}\n",
        dir = dir.display()
    );
    let file = dir.join("config.toml");
    std::fs::write(&file, text).unwrap();
    Process::start(&file, &dir.join("log"), &[])
}

async fn until_ready(api: &Api, process: &Process) {
    until(&format!("readiness: {}", process.log_text()), || async {
        api.try_get("/readyz").await.filter(|(status, _)| *status == 200)
    })
    .await;
}

/// What was acknowledged to one writer, by what it wrote.
type Told = Arc<Mutex<BTreeMap<String, u64>>>;

/// Writes until nobody answers: instances of its own, and keys.
async fn write(api: Api, writer: usize, round: u32, told: Told, stop: Arc<AtomicBool>) {
    for i in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let value = u64::from(round) * 1_000_000 + i;
        let (path, body) = match i % 2 {
            0 => {
                let port = 1_000 + value % 50_000;
                let body = json!({ "address": "10.0.0.1", "port": port, "meta": { "value": value.to_string() } });
                (format!("/api/v1/services/w{writer}/instances/a"), body.to_string())
            }
            _ => (format!("/api/v1/kv/w{writer}"), value.to_string()),
        };
        match api.put(&path, body).await {
            Some((200, _)) => drop(told.lock().unwrap().insert(path, value)),
            // It was killed: what became of this one is not known.
            _ => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_a_sigkill_is_there_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let api = Api::of(dir.path());
    let told: Told = Arc::default();
    let (mut last_revision, mut writes) = (0, 0);
    for round in 1..=kills() {
        let mut process = start(dir.path(), "");
        until_ready(&api, &process).await;
        let revision = check(&api, &told, round).await;
        assert!(revision >= last_revision, "round {round}: the revision went back from {last_revision} to {revision}");
        let stop = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> =
            (0..WRITERS).map(|w| Box::pin(write(api.clone(), w, round, told.clone(), stop.clone()))).collect();
        let moment = Duration::from_millis(rand::random_range(5..400));
        let killed = async {
            tokio::time::sleep(moment).await;
            process.kill();
            stop.store(true, Ordering::Relaxed);
        };
        tokio::join!(futures_util::future::join_all(writers), killed);
        writes += told.lock().unwrap().len();
        last_revision = revision;
    }
    let mut process = start(dir.path(), "");
    until_ready(&api, &process).await;
    check(&api, &told, kills() + 1).await;
    assert!(writes > 0, "nothing was written between the kills");
    assert!(process.terminate().await, "{}", process.log_text());
}

/// Everything acknowledged is there, or what was written later and not answered any more. The revision.
async fn check(api: &Api, told: &Told, round: u32) -> u64 {
    let acknowledged = told.lock().unwrap().clone();
    for (path, value) in &acknowledged {
        let found = api.json(path).await;
        let text = found["value"].as_str().or(found["meta"]["value"].as_str()).unwrap();
        let kept: u64 = text.parse().unwrap();
        assert!(kept >= *value, "round {round}: {path} is {kept}, and {value} was acknowledged");
        told.lock().unwrap().insert(path.clone(), kept);
    }
    api.json("/api/v1/kv").await["revision"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn services_of_the_file_come_stay_and_go_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let api = Api::of(dir.path());
    let service = |instances: &str| format!("[[registry.service]]\nname = 'web-api'\ninstances = [{instances}]\n");
    let (a, b) = (
        "{ id = 'a', address = '127.0.0.1', port = 9000, tags = ['x'] }",
        "{ id = 'b', address = '127.0.0.1', port = 9001 }",
    );
    let mut process = start(dir.path(), &service(&format!("{a}, {b}")));
    until_ready(&api, &process).await;
    let ids = |service: &Value| -> Vec<String> {
        service["instances"].as_array().unwrap().iter().map(|i| i["id"].as_str().unwrap().to_owned()).collect()
    };
    let first = api.json("/api/v1/services/web-api").await;
    assert_eq!((ids(&first), &first["instances"][0]["source"]), (vec!["a".into(), "b".into()], &json!("config")));
    let body = r#"{"address": "10.0.0.9", "port": 1}"#;
    assert_eq!(api.put("/api/v1/services/web-api/instances/a", body).await.unwrap().0, 409);
    assert_eq!(api.put("/api/v1/services/web-api/instances/mine", body).await.unwrap().0, 200);
    // A restart writes nothing anew: nobody who follows revisions is woken for it.
    let revision = api.json("/api/v1/kv").await["revision"].clone();
    assert!(process.terminate().await, "{}", process.log_text());
    let mut process = start(dir.path(), &service(&format!("{a}, {b}")));
    until_ready(&api, &process).await;
    assert_eq!(api.json("/api/v1/kv").await["revision"], revision);

    let file = dir.path().join("config.toml");
    let text = std::fs::read_to_string(&file).unwrap().replace(&format!("{a}, "), "");
    std::fs::write(&file, text).unwrap();
    process.signal(rustix::process::Signal::HUP);
    until("the file's change", || async {
        let found = api.json("/api/v1/services/web-api").await;
        (ids(&found) == ["b", "mine"]).then_some(())
    })
    .await;
    assert_eq!(api.json("/api/v1/config").await["registry"]["service"][0]["instances"][0]["id"], "b");
    let metrics = String::from_utf8(api.get("/metrics").await.to_vec()).unwrap();
    assert!(metrics.contains("skyvis_registry_instances{health=\"passing\"} 2"), "{metrics}");
    assert!(process.terminate().await, "{}", process.log_text());
}
