//! Whole command lines: arguments in, what a person and a script see out, against a daemon made of canned answers.

use super::{command::one_thread, *};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    path::Path,
    sync::{Arc, Mutex},
};

/// A writer whose text can be read while somebody else owns it.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

struct Ran {
    code: u8,
    stdout: String,
    stderr: String,
}

fn skyvis_in(env: &Env, args: &[&str]) -> Ran {
    let (stdout, stderr) = (Shared::default(), Shared::default());
    let mut out = Out::new(stdout.clone(), stderr.clone(), None);
    let all = std::iter::once("skyvis").chain(args.iter().copied()).map(OsString::from);
    let code = run(all, env, &mut out);
    let text = |s: Shared| String::from_utf8(s.0.lock().unwrap().clone()).unwrap();
    Ran { code, stdout: text(stdout), stderr: text(stderr) }
}

fn skyvis(args: &[&str]) -> Ran {
    skyvis_in(&Env::default(), args)
}

/// A daemon that knows these answers: `METHOD /path?query` to status line, further headers and body. It is asked
/// `requests` times at most, and gives back the heads that it got.
fn daemon(answers: &[(&str, &str, &str)]) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answers: BTreeMap<String, (String, String)> =
        answers.iter().map(|(at, head, body)| ((*at).into(), ((*head).into(), (*body).into()))).collect();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while reader.read_line(&mut head).unwrap() > 2 {}
            let at = head.split(" HTTP").next().unwrap().to_owned();
            seen.lock().unwrap().push(head);
            let none = ("404 Not Found".to_owned(), format!("{{\"title\":\"nothing at {at}\"}}"));
            let (head, body) = answers.get(&at).unwrap_or(&none);
            let length = if head.contains("Content-Length") {
                String::new()
            } else {
                format!("Content-Length: {}\r\n", body.len())
            };
            let _ = write!(stream, "HTTP/1.1 {head}\r\n{length}Connection: close\r\n\r\n{body}");
        }
    });
    (url, heads)
}

const OK: &str = "200 OK";

#[test]
fn help_and_version_are_answers_and_a_bad_line_is_a_complaint() {
    let help = skyvis(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    for command in ["run", "demo", "check-config", "simulate", "export", "restore"] {
        assert!(help.stdout.contains(command), "{}", help.stdout);
        assert_eq!(skyvis(&[command, "--help"]).code, 0);
    }
    assert_eq!(skyvis(&["--version"]).stdout, concat!("skyvis ", env!("CARGO_PKG_VERSION"), "\n"));
    for command in ["run", "status", "export", "hash-password"] {
        let ran = skyvis(&[command, "--version"]);
        assert_eq!((ran.code, ran.stdout.trim_end().ends_with(env!("CARGO_PKG_VERSION"))), (0, true), "{command}");
    }
    for line in [&["rnu"][..], &[], &["export"], &["status", "--nope"], &["simulate", "--fps", "x"], &["restore"]] {
        let ran = skyvis(line);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{line:?}");
        assert!(!ran.stderr.is_empty());
    }
}

#[test]
fn what_is_not_built_says_so() {
    let ran = skyvis(&["jobs"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("is not built yet in this version"), "{}", ran.stderr);
}

#[test]
fn check_config_prints_every_fault_and_ends_with_78() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    let path = file.to_str().unwrap();
    std::fs::write(&file, "nod = \"a\"\n[recording]\nsegment = 3\n").unwrap();
    let bad = skyvis(&["check-config", "--config", path]);
    assert_eq!((bad.code, bad.stdout.as_str()), (78, ""));
    assert!(bad.stderr.contains(&format!("{path}:1: nod: unknown key")), "{}", bad.stderr);
    assert!(bad.stderr.contains(&format!("{path}:3: recording.segment: ")), "{}", bad.stderr);
    std::fs::write(&file, "[admin]\ntoken = \"hunter2\"\n").unwrap();
    let fine = skyvis(&["check-config", "--config", path]);
    assert_eq!((fine.code, fine.stdout), (0, format!("{path}: fine, 0 devices\n")));
    let printed = skyvis_in(&Env::new([("SKYVIS_CONFIG", path)], "host1"), &["check-config", "--print"]);
    assert!(
        printed.stdout.contains("node = \"host1\"") && printed.stdout.contains("token = \"***\""),
        "{}",
        printed.stdout
    );
    assert!(!printed.stdout.contains("hunter2"));
    let json = skyvis(&["check-config", "--config", path, "--print", "--json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json.stdout).unwrap()["recording"]["segment"], "30s");
}

#[test]
fn a_daemon_that_is_not_there_is_one_sentence_with_what_to_do() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let ran = skyvis(&["status", "--admin", &format!("http://{free}")]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.starts_with(&format!("no daemon answers at {free} (")), "{}", ran.stderr);
    assert!(ran.stderr.contains("start it with `systemctl start skyvis`") && ran.stderr.lines().count() == 1);
}

#[test]
fn status_shows_whatever_the_daemon_says() {
    let body = r#"{"version":"0.1.0","uptime_seconds":3725,"phase":"running","disk":{"free_bytes":1073741824},"none":null,
        "counts":{"devices":{"offline":0,"online":2},"readers":0,"streams":{"running":0,"stopped":0}}}"#;
    let (url, _) = daemon(&[("GET /api/v1/status", OK, body)]);
    let ran = skyvis(&["status", "--admin", &url]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(
        ran.stdout,
        "phase           running\nversion         0.1.0\nuptime          1 h 02 min\ncounts devices  2 online\n\
         counts readers  0\ncounts streams  none\ndisk free       1.0 GiB\n"
    );
    let json = skyvis(&["status", "--json", "--admin", &url]).stdout;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["uptime_seconds"], 3725);
}

#[test]
fn cameras_follows_pages_and_aligns() {
    let devices = r#"{"items":[{"id":"nvr1","kind":"nvr","address":"10.0.0.1:80","presence":"online","since":null,"error":null,
        "channels":[{"presence":"online"},{"presence":"offline"}]}],"next":null}"#;
    let one = r#"{"items":[{"key":"nvr1/1/main","state":"running","codec":"h264","width":1920,"height":1080,"fps":25.0,"bitrate":4100000}],"next":"a b"}"#;
    let two = r#"{"items":[{"key":"nvr1/2/main","state":"offline","reason":"gone","fps":0.0,"bitrate":0,"width":null}],"next":null}"#;
    let (url, _) = daemon(&[
        ("GET /api/v1/devices", OK, devices),
        ("GET /api/v1/streams", OK, one),
        ("GET /api/v1/streams?cursor=a+b", OK, two),
    ]);
    let ran = skyvis(&["cameras", "--admin", &url]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(
        ran.stdout,
        "DEVICE  KIND  ADDRESS      PRESENCE  ONLINE\n\
         nvr1    nvr   10.0.0.1:80  online    1 of 2\n\n\
         STREAM       STATE    CODEC       SIZE   FPS        RATE  REASON\n\
         nvr1/1/main  running  h264   1920x1080  25.0  4.1 Mbit/s\n\
         nvr1/2/main  offline                                      gone\n"
    );
}

#[test]
fn recordings_are_listed_for_people_and_for_programs() {
    let spans = r#"{"spans":[{"start":"2026-11-21T08:00:00.000Z","end":"2026-11-21T08:03:05.000Z","bytes":94371840,"segments":7,"tier":"local"}]}"#;
    let at = "GET /api/v1/recordings?stream=nvr1%2F1%2Fmain&from=2026-11-21T08%3A00%3A00.000Z";
    let gaps = r#"{"coverage":0.99995,"gaps":[{"stream":"nvr1/1/main","start":"2026-11-21T08:03:05.000Z","end":"2026-11-21T08:03:17.400Z","cause":"offline","backfilled":false}],"next":null}"#;
    let of = "GET /api/v1/gaps?stream=nvr1%2F1%2Fmain&from=2026-11-21T08%3A00%3A00.000Z";
    let (url, _) = daemon(&[(at, OK, spans), (of, OK, gaps), (&format!("{of}&limit=1"), OK, gaps)]);
    let line = ["recordings", "--stream", "nvr1/1/main", "--from", "2026-11-21T16:00:00+08:00", "--admin", &url];
    let ran = skyvis(&line);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(
        ran.stdout,
        "STREAM       FROM                      TO                            LENGTH      SIZE  FILES\n\
         nvr1/1/main  2026-11-21T08:00:00.000Z  2026-11-21T08:03:05.000Z  3 min 05 s  90.0 MiB      7\n\n\
         GAP OF       FROM                      TO                        LENGTH  CAUSE\n\
         nvr1/1/main  2026-11-21T08:03:05.000Z  2026-11-21T08:03:17.400Z  12.4 s  offline\n\n\
         nvr1/1/main: 99.99 % of the wanted time is recorded, 1 gaps\n"
    );
    let json = skyvis(&[&line[..], &["--json"]].concat()).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["recordings"][0]["spans"][0]["segments"], 7);
    assert_eq!(json["recordings"][0]["gaps"][0]["cause"], "offline");
    let span = |stream: &str| format!(r#"{{"stream":"{stream}","start":null,"end":null,"bytes":1,"segments":1}}"#);
    let all = [span("gone/1/main"), span("nvr1/1/main"), span("nvr1/1/main")].join(",");
    let none = r#"{"coverage":1.0,"gaps":[],"next":null}"#;
    let of = ["gone", "nvr1"].map(|device| format!("GET /api/v1/gaps?stream={device}%2F1%2Fmain"));
    let [first, second] = of.clone().map(|path| format!("{path}&limit=1"));
    let (url, _) = daemon(&[
        ("GET /api/v1/recordings", OK, &format!(r#"{{"spans":[{all}],"next":null}}"#)),
        (&of[0], OK, none),
        (&of[1], OK, none),
        (&first, OK, none),
        (&second, OK, none),
    ]);
    let json = skyvis(&["recordings", "--json", "--admin", &url]).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let spans =
        |n: usize| (json["recordings"][n]["stream"].as_str(), json["recordings"][n]["spans"].as_array().map(Vec::len));
    assert_eq!((spans(0), spans(1)), ((Some("gone/1/main"), Some(1)), (Some("nvr1/1/main"), Some(2))));
    assert_eq!(skyvis(&["recordings", "--stream", "nvr1"]).code, 2);
    assert_eq!(skyvis(&["recordings", "--from", "yesterday", "--admin", &url]).code, 2);
}

#[test]
fn refusals_and_wrong_tokens_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    std::fs::write(&token, "sesame\n").unwrap();
    let (url, heads) = daemon(&[("GET /api/v1/status", "401 Unauthorized", "{}")]);
    let ran = skyvis(&["status", "--admin", &url]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("asks for a token; name its file with --token-file"), "{}", ran.stderr);
    let ran = skyvis(&["status", "--admin", &url, "--token-file", token.to_str().unwrap()]);
    assert!(ran.stderr.contains("a token other than the one that was sent"), "{}", ran.stderr);
    assert!(heads.lock().unwrap().last().unwrap().to_lowercase().contains("authorization: bearer sesame"));
    let (url, _) =
        daemon(&[("GET /api/v1/status", "503 Service Unavailable", r#"{"title":"Busy","detail":"not yet"}"#)]);
    assert_eq!(skyvis(&["status", "--admin", &url]).stderr, "the daemon refused: not yet\n");
}

const EXPORT_AT: &str =
    "GET /media/nvr1/1/main/vod.mp4?from=2026-11-21T08%3A00%3A00.000Z&to=2026-11-21T08%3A01%3A00.000Z";

fn export(url: &str, file: &Path, more: &[&str]) -> Ran {
    let line = [
        "export",
        "--stream",
        "nvr1/1/main",
        "--from",
        "2026-11-21T08:00:00Z",
        "--to",
        "2026-11-21T08:01:00Z",
        "--admin",
        url,
        "-o",
    ];
    skyvis(&[&line[..], &[file.to_str().unwrap()], more].concat())
}

fn names_in(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_export_is_whole_and_never_replaces_a_file_unasked() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.mp4");
    let (url, _) = daemon(&[(EXPORT_AT, OK, "footage")]);
    std::fs::write(dir.path().join("a.mp4.part"), "of a command that was killed").unwrap();
    let ran = export(&url, &file, &[]);
    assert_eq!((ran.code, ran.stdout), (0, format!("{}: 7 B\n", file.display())), "{}", ran.stderr);
    assert_eq!(std::fs::read(&file).unwrap(), b"footage");
    std::fs::write(&file, "old").unwrap();
    let again = export(&url, &file, &[]);
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("exists; give another name, or --force to replace it"), "{}", again.stderr);
    assert_eq!(std::fs::read(&file).unwrap(), b"old");
    assert_eq!(export(&url, &file, &["--force"]).code, 0);
    assert_eq!(std::fs::read(&file).unwrap(), b"footage");
    assert_eq!(names_in(dir.path()), ["a.mp4"]);
}

#[test]
fn an_export_that_breaks_off_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a.mp4");
    let (url, _) = daemon(&[(EXPORT_AT, "200 OK\r\nContent-Length: 100", "half")]);
    let ran = export(&url, &file, &[]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.starts_with("talking to the daemon at"), "{}", ran.stderr);
    let (url, _) = daemon(&[(
        EXPORT_AT,
        "404 Not Found",
        r#"{"title":"No footage","detail":"nothing is recorded in that range"}"#,
    )]);
    assert_eq!(export(&url, &file, &[]).stderr, "the daemon refused: nothing is recorded in that range\n");
    assert_eq!(names_in(dir.path()), [""; 0]);
    let backwards = ["export", "--stream", "nvr1/1/main", "--from", "now", "--to", "-1h", "-o", "x", "--admin", &url];
    assert_eq!(skyvis(&backwards).code, 2);
}

/// A config with a data directory, and the environment that names it.
fn data_dir(dir: &Path, admin: &str) -> Env {
    let file = dir.join("c.toml");
    std::fs::write(&file, format!("data_dir = \"data\"\n[admin]\nlisten = \"{admin}\"\n")).unwrap();
    Env::new([("SKYVIS_CONFIG", file.to_str().unwrap())], "host1")
}

#[test]
fn backup_and_restore_without_a_daemon() {
    use crate::{base::Metrics, disk::Files, store};
    let dir = tempfile::tempdir().unwrap();
    let env = data_dir(dir.path(), "127.0.0.1:9");
    let file = dir.path().join("b.backup");
    let file_arg = file.to_str().unwrap();
    let nothing = skyvis_in(&env, &["backup", file_arg]);
    assert_eq!(nothing.code, 1);
    assert!(nothing.stderr.contains("does not exist; is the right config read?"), "{}", nothing.stderr);
    assert!(!dir.path().join("data").exists(), "a backup of nothing makes nothing");

    std::fs::create_dir(dir.path().join("data")).unwrap();
    let store_dir = dir.path().join("data/store");
    let open = || store::Store::open(&store_dir, store::Options::default(), &Files::real(), &Metrics::default());
    let rows = store::Keyspace::<String>::new(9, "test", store::Codec::Json);
    one_thread(async {
        let store = open()?;
        store.commit(store::Batch::new().put(&rows, b"a", &"kept".to_owned())?).await?;
        store.close().await;
        Ok(())
    })
    .unwrap();
    let saved = skyvis_in(&env, &["backup", file_arg]);
    assert_eq!(saved.code, 0, "{}", saved.stderr);
    assert_eq!(skyvis_in(&env, &["backup", file_arg]).code, 1, "it exists");
    std::fs::remove_dir_all(&store_dir).unwrap();
    let restored = skyvis_in(&env, &["restore", file_arg]);
    assert_eq!(restored.code, 0, "{}", restored.stderr);
    let held = open().unwrap();
    assert_eq!(held.get(&rows, b"a").unwrap().as_deref(), Some("kept"));
    let refused = skyvis_in(&env, &["restore", file_arg]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("is in use by another process; stop it first"), "{}", refused.stderr);
    one_thread(async {
        held.close().await;
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_held_store_is_backed_up_by_the_daemon_that_holds_it() {
    use crate::{base::Metrics, disk::Files, store};
    let dir = tempfile::tempdir().unwrap();
    let (url, _) = daemon(&[("POST /api/v1/backup", OK, "rows")]);
    let env = data_dir(dir.path(), url.trim_start_matches("http://"));
    std::fs::create_dir(dir.path().join("data")).unwrap();
    let held = store::Store::open(
        &dir.path().join("data/store"),
        store::Options::default(),
        &Files::real(),
        &Metrics::default(),
    )
    .unwrap();
    let file = dir.path().join("b");
    let ran = skyvis_in(&env, &["backup", file.to_str().unwrap()]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let mut text = String::new();
    std::fs::File::open(&file).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "rows");
    one_thread(async {
        held.close().await;
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_lost_index_comes_back_out_of_the_files() {
    use crate::archive::fixture::{Bench, noon, stream};
    let dir = tempfile::tempdir().unwrap();
    let env = data_dir(dir.path(), "127.0.0.1:9");
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    one_thread(async {
        let bench = Bench::open(&data).await;
        let frames = crate::media::fixture::clip(Default::default()).frames(1, noon());
        bench.lay(&stream("cam/1/main"), &frames, 0, 10).await;
        bench.end().await;
        Ok(())
    })
    .unwrap();
    std::fs::remove_dir_all(data.join("store")).unwrap();
    let ran = skyvis_in(&env, &["reindex"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, "files in the index: 1\nhad no row, or a wrong one: 1\n"),
        "{}",
        ran.stderr
    );
    let again: serde_json::Value = serde_json::from_str(&skyvis_in(&env, &["reindex", "--json"]).stdout).unwrap();
    assert_eq!((&again["segments"], &again["mended"]), (&1.into(), &0.into()));
}

#[test]
fn verify_says_what_is_wrong_in_words_and_by_its_exit_code() {
    use crate::archive::fixture::{Bench, noon, stream};
    let dir = tempfile::tempdir().unwrap();
    let env = data_dir(dir.path(), "127.0.0.1:9");
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let mut path = None;
    one_thread(async {
        let bench = Bench::open(&data).await;
        let frames = crate::media::fixture::clip(Default::default()).frames(1, noon());
        let segment = bench.lay(&stream("cam/1/main"), &frames, 0, 10).await;
        bench.archive.hash_pending().await?;
        path = Some(bench.archive.path(&segment));
        bench.end().await;
        Ok(())
    })
    .unwrap();
    let sound = skyvis_in(&env, &["verify", "--deep"]);
    assert_eq!(
        (sound.code, sound.stdout.as_str()),
        (0, "1 row and 1 file of 1 stream compared: all is as it should be\n"),
        "{}",
        sound.stderr
    );
    let path = path.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(skyvis_in(&env, &["verify"]).code, 0, "the length is right");
    let flipped = skyvis_in(&env, &["verify", "--deep"]);
    assert_eq!(flipped.code, 1);
    assert!(
        flipped.stdout.contains("checksum") && flipped.stdout.contains(path.to_str().unwrap()),
        "{}",
        flipped.stdout
    );
    assert!(flipped.stderr.contains("skyvis reindex"), "{}", flipped.stderr);
    std::fs::remove_file(&path).unwrap();
    let gone = skyvis_in(&env, &["verify", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&gone.stdout).unwrap();
    assert_eq!((gone.code, &report["faults"]["no_file"], &report["sound"]), (1, &1.into(), &false.into()));
    std::fs::rename(data.join("recordings"), data.join("elsewhere")).unwrap();
    let away = skyvis_in(&env, &["verify"]);
    assert!(away.code == 1 && away.stderr.contains("mount its disk"), "{}", away.stderr);
}
