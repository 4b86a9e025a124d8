//! Faults by their exact words, and what the file, the environment and the defaults come to together.

use super::*;
use crate::{
    archive::MinFree,
    base::Secret,
    camera::DeviceKind,
    model::{Checksum, Fingerprint, Profile, Trust},
    recorder::Sync,
};
use std::{path::Path, time::Duration};

/// A device that is right, from which tests depart.
mod keys;
mod recording;
mod registry;
mod route;
mod tls;

const DEVICE: &str =
    "[[device]]\nid = \"nvr1\"\nkind = \"nvr\"\naddress = \"10.0.0.1\"\nuser = \"admin\"\npassword = \"pw\"\n";

fn env(variables: &[(&str, &str)]) -> Env {
    Env::new(variables.iter().copied(), "host1")
}

fn read(text: &str) -> Result<Config, Faults> {
    parse(text, Path::new("/etc/skyvis/c.toml"), &env(&[]))
}

fn read_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, Faults> {
    parse(text, Path::new("/etc/skyvis/c.toml"), &env(variables))
}

fn ok(text: &str) -> Config {
    read(text).unwrap_or_else(|f| panic!("{f}"))
}

/// The only fault of a text, as it is printed.
#[track_caller]
fn fault(text: &str) -> String {
    let faults = read(text).expect_err("a fault");
    assert_eq!(faults.count(), 1, "{faults}");
    faults.to_string()
}

#[track_caller]
fn fault_is(text: &str, expected: &str) {
    assert_eq!(fault(text), format!("/etc/skyvis/c.toml:{expected}"));
}

/// `DEVICE` with one line replaced, or added.
fn device(key: &str, line: &str) -> String {
    let kept = DEVICE.lines().filter(|l| !l.starts_with(&format!("{key} ="))).collect::<Vec<_>>().join("\n");
    format!("{kept}\n{line}\n")
}

#[test]
fn a_comment_gives_the_defaults_of_the_contract() {
    let c = ok("# nothing set\n");
    assert_eq!(c.data_dir, Path::new("/var/lib/skyvis"));
    assert_eq!((c.node.as_str(), c.log.format, c.log.level.as_str()), ("host1", LogFormat::Text, "info"));
    let listen = AdminListen::Tcp("127.0.0.1:9080".parse().unwrap());
    assert_eq!(c.admin, Admin { listen, token: None, viewer_token: None });
    assert_eq!(
        c.proxy,
        Proxy {
            listen: vec!["0.0.0.0:8080".parse().unwrap()],
            wan_endpoint: None,
            tls: Vec::new(),
            acme: None,
            workers: 0,
            settings: Default::default(),
            routes: vec![]
        }
    );
    assert_eq!(c.cameras(), crate::camera::Config::default());
    assert_eq!(c.recorder().defaults, crate::recorder::Settings::default());
    assert_eq!(c.archive().defaults, crate::archive::Limits::default());
    assert_eq!((c.archive().dir.to_str(), c.archive().retain_bytes), (Some("/var/lib/skyvis/recordings"), None));
    assert_eq!((c.playback.token.as_ref(), c.notify_prefix.as_str()), (None, ""));
    assert_eq!(c.plays(), crate::playback::plays::Config::default());
}

#[test]
fn a_device_is_read_and_handed_to_each_room() {
    let c = ok(&format!(
        "{DEVICE}channels = [3, 1]\nstreams = [\"sub\", \"main\"]\nrtsp_port = 8554\n\
         [device.recording]\nsegment = \"1m\"\nsync = \"off\"\nchecksum = \"none\"\naudio = false\nretain_days = 0\nretain_bytes = \"1GiB\"\n\
         min_free = \"0\"\n[recording]\nfragment = \"1s\"\nretain_bytes = \"2TiB\"\n"
    ));
    let camera = &c.cameras().devices[0];
    assert_eq!((camera.host.as_str(), camera.http_port, camera.rtsp_port), ("10.0.0.1", 80, Some(8554)));
    assert_eq!((camera.kind, camera.user.as_str(), &camera.password), (DeviceKind::Nvr, "admin", &Secret::new("pw")));
    assert_eq!((&camera.channels, &camera.profiles), (&vec![3, 1], &vec![Profile::Sub, Profile::Main]));
    assert!(camera.enabled && !camera.audio);
    let own = c.recorder().settings(&"nvr1/1/main".parse().unwrap()).clone();
    assert_eq!((own.segment, own.fragment, own.sync), (Duration::from_secs(60), Duration::from_secs(1), Sync::Off));
    let (taken, other) = ("nvr1/1/main".parse().unwrap(), "nvr2/1/main".parse().unwrap());
    assert_eq!(
        (own.checksum, c.archive().checksum(&taken), c.archive().checksum(&other)),
        (Checksum::None, Checksum::None, Checksum::Sha256)
    );
    let (all, limits) = (c.archive(), c.archive().limits(&camera.id));
    assert_eq!((all.retain_bytes, limits.retain_bytes), (Some(2 << 40), Some(1 << 30)));
    assert_eq!((limits.limits.retain_days, limits.limits.min_free), (None, MinFree::Bytes(0)));
}

#[test]
fn each_slip_is_named_with_its_line_and_what_would_be_right() {
    fault_is("\ndatadir = \"/x\"", "2: datadir: unknown key; did you mean `data_dir`?");
    fault_is("[recording]\n\nretian_days = 3", "3: recording.retian_days: unknown key; did you mean `retain_days`?");
    fault_is("[recordings]\nsegment = \"30s\"", "1: recordings: unknown key; did you mean `recording`?");
    fault_is("retain_days = 3", "1: retain_days: unknown key here; it belongs into section `recording`");
    fault_is(
        "[hikvision]\ndata_dir = 3",
        "2: hikvision.data_dir: unknown key here; it belongs to the top of the file, before any section",
    );
    fault_is("[notify]\nzzzzzzzzzz = 3", "2: notify.zzzzzzzzzz: unknown key; known here are webhook, prefix");
    fault_is(
        "[recording]\nsegment = 30",
        "2: recording.segment: is a whole number; it must be a duration in quotes, for example \"30s\"",
    );
    fault_is(
        "[recording]\nsegment = \"30 parsecs\"",
        "2: recording.segment: `30 parsecs` is not a duration; write for example \"500ms\", \"30s\", \"5m\", \"24h\" or \"7d\"",
    );
    fault_is("[recording]\nsegment = \"1s\"", "2: recording.segment: must lie between 2s and 1h, not 1s");
    fault_is("[recording]\nfragment = \"99ms\"", "2: recording.fragment: must lie between 100ms and 10s, not 99ms");
    fault_is("[hikvision]\npoll_interval = \"0\"", "2: hikvision.poll_interval: must lie between 1s and 1h, not 0s");
    fault_is("[recording]\nretain_days = -1", "2: recording.retain_days: must lie between 0 and 36500, not -1");
    fault_is("[recording]\naudio = \"yes\"", "2: recording.audio: is text; it must be true or false, without quotes");
    fault_is("[log]\nformat = \"jsn\"", "2: log.format: `jsn` is unknown; did you mean \"json\"?");
    fault_is("[log]\nlevel = \"inof\"", "2: log.level: `inof` is not a level; did you mean \"info\"?");
    fault_is("node = 3", "1: node: is a whole number; it must be text in quotes");
    fault_is("log = 3", "1: log: is a whole number; it must be a section, `[log]`");
    fault_is("[device]\nid = \"a\"", "1: device: is a table; it must stand in double brackets, `[[device]]`");
    fault_is(
        "[recording]\nfragment = \"10s\"\nsegment = \"5s\"",
        "2: recording.fragment: fragment = 10s is longer than segment = 5s; make segment the longer one",
    );
}

#[test]
fn sizes_parts_and_sync_are_told_apart() {
    for (text, expected) in [
        ("min_free = \"5\"", "write a part of the file system such as \"5%\""),
        ("min_free = 5", "write a part of the file system such as \"5%\""),
        ("min_free = \"96%\"", "must lie between 0% and 95%, not 96%"),
        ("min_free = \"NaN%\"", "must lie between 0% and 95%"),
        ("retain_bytes = \"500\"", "is not a size"),
        ("retain_bytes = 500", "must be a size in quotes"),
        ("sync = \"sometimes\"", "write a duration such as \"500ms\", or \"segment\", or \"off\""),
        ("sync = \"1h\"", "must lie between 100ms and 1m, not 1h"),
        ("sync = false", "\"segment\", or \"off\""),
        ("checksum = \"md5\"", "it must be one of \"sha256\", \"crc32\", \"none\""),
    ] {
        let fault = fault(&format!("[recording]\n{text}"));
        assert!(fault.contains(expected) && fault.contains("c.toml:2: recording."), "{text}: {fault}");
    }
    for (text, expected) in [
        ("0", MinFree::Bytes(0)),
        ("\"0\"", MinFree::Bytes(0)),
        ("\"2.5%\"", MinFree::Percent(2.5)),
        ("\"1GiB\"", MinFree::Bytes(1 << 30)),
    ] {
        assert_eq!(ok(&format!("[recording]\nmin_free = {text}")).recording.min_free, expected);
    }
    assert_eq!(ok("[recording]\nsync = \"segment\"").recording.sync, Sync::Segment);
}

#[test]
fn a_device_that_cannot_be_guessed_says_what_is_missing() {
    fault_is(&device("user", ""), "1: device.user: missing; add for example user = \"admin\"");
    assert!(fault(&device("password", "")).contains("device.password: missing; add for example password ="));
    assert!(fault(&device("id", "")).contains(":1: device.id: missing"));
    let faults = read("[[device]]\n").unwrap_err();
    let keys: Vec<_> = faults.iter().map(|f| f.key.as_str()).collect();
    assert_eq!(keys, ["device.id", "device.kind", "device.address", "device.user", "device.password"]);
}

#[test]
fn a_device_that_is_wrong_says_where() {
    for (key, line, expected) in [
        ("id", "id = \"NVR 1\"", "6: device.id: `NVR 1` is not a device id"),
        ("kind", "kind = \"nvrr\"", "6: device.kind: `nvrr` is unknown; did you mean \"nvr\"?"),
        ("address", "address = \"10.0.0.1:99999\"", "6: device.address: `10.0.0.1:99999` has a port"),
        ("rtsp_port", "rtsp_port = 65536", "7: device.rtsp_port: must lie between 0 and 65535"),
        ("channels", "channels = [1,\n 2,\n 0]", "9: device.channels: must lie between 1 and 65535, not 0"),
        ("channels", "channels = [1, 2, 1]", "7: device.channels: 1 stands here twice"),
        (
            "streams",
            "streams = [\"third\"]",
            "7: device.streams: `third` is unknown; it must be one of \"main\", \"sub\"",
        ),
        ("streams", "streams = []", "7: device.streams: is empty"),
        ("streams", "streams = \"main\"", "7: device.streams: is text; it must be a list in square brackets"),
        ("user", "user = \"a:b\"", "6: device.user: `a:b` cannot be a user's name"),
        (
            "recording",
            "[device.recording]\nsegmnt = \"3s\"",
            "8: device.recording.segmnt: unknown key; did you mean `segment`?",
        ),
    ] {
        let text = device(key, line);
        let fault = fault(&text);
        assert!(fault.contains(&format!("c.toml:{expected}")), "{text}: {fault}");
    }
    let twins = format!("{DEVICE}{DEVICE}");
    fault_is(&twins, "8: device.id: `nvr1` is the id of the device at line 2 too; give each its own");
}

#[test]
fn what_is_not_built_is_refused_and_its_default_is_not() {
    let refused = [
        ("[[proxy.route]]\nname = \"api\"\nservice = \"a\"\ncompress = true", "4: proxy.route.compress"),
        ("[[proxy.route]]\nname = \"api\"\nservice = \"a\"\nrate_limit = \"9r/s\"", "4: proxy.route.rate_limit"),
        (
            "[[proxy.route]]\nname = \"api\"\nservice = \"a\"\nauth = { basic_file = \"x\" }",
            "4: proxy.route.auth.basic_file",
        ),
        ("[registry]\nbackend = \"etcd\"", "2: registry.backend"),
        ("[archive]\nurl = \"s3://b\"", "2: archive.url"),
        ("[jobs]\nlease = \"30s\"", "2: jobs.lease"),
        ("[[notify.webhook]]\nurl = \"http://x\"", "1: notify.webhook"),
    ];
    for (text, at) in refused {
        fault_is(text, &format!("{at}: not built yet in this version; remove it"));
    }
    let line = "provision = { name = \"x\" }";
    assert!(fault(&format!("{DEVICE}{line}")).contains("not built yet in this version; remove it"), "{line}");
    assert_eq!(ok(&device("kind", "kind = \"gateway\"")).devices[0].kind, DeviceKind::Gateway);
    assert!(fault(&device("id", "id = \"gw:A1\"")).contains("use 1 to 32"), "a device behind one is no configured one");
    ok("[registry]\nbackend = \"embedded\"\n[jobs]\nttl = \"1d\"\nretries = 5\n[archive]\nurl = \"\"\n\
        [recording]\nmode = \"video\"\nschedule = \"\"\n[proxy]\ntrusted_proxies = []\nidle_timeout = \"75s\"\n");
    assert!(fault(&format!("{DEVICE}transport = \"multicast\"")).contains("tcp"));
    let udp = ok(&format!("{DEVICE}transport = \"udp\"\n"));
    assert_eq!(udp.devices[0].transport, crate::camera::Transport::Udp);
    ok(&format!("{DEVICE}transport = \"tcp\"\ntls_fingerprint = \"\"\n"));
}

#[test]
fn a_certificate_is_pinned_in_any_spelling_and_only_over_https() {
    let https = device("address", "address = \"https://10.0.0.1\"");
    assert_eq!(ok(&https).cameras().devices[0].tls, Some(Trust::SystemRoots));
    assert_eq!(ok(&https).cameras().devices[0].http_port, 443);
    assert_eq!(ok(DEVICE).cameras().devices[0].tls, None);
    let pin = Fingerprint::of(b"x");
    let figures = pin.to_string().replace("sha256:", "");
    for text in [pin.to_string(), figures.to_uppercase()] {
        let pinned = ok(&format!("{https}tls_fingerprint = \"{text}\"\n"));
        assert_eq!(pinned.devices[0].tls, Some(Trust::Pinned(pin)), "{text}");
        let again = ok(&pinned.to_toml().replace("\"***\"", "\"pw\""));
        assert_eq!(again.devices[0].tls, Some(Trust::Pinned(pin)), "printed and read again");
    }
    let wrong = fault(&format!("{https}tls_fingerprint = \"ab:cd\"\n"));
    assert!(wrong.contains("64 hexadecimal figures") && wrong.contains("device's error"), "{wrong}");
    let plain = fault(&format!("{DEVICE}tls_fingerprint = \"{pin}\"\n"));
    assert!(plain.contains("write address = \"https://…\""), "{plain}");
}

#[test]
fn all_faults_come_at_once_in_the_order_of_the_file() {
    let text = "dat_dir = \"x\"\n[recording]\nsegment = 3\nfragment = \"1h\"\n[proxy]\nworkers = -3\n[[device]]\nid = \"a\"\nkind = \"x\"\n";
    let faults = read_with(text, &[("SKYVIS_LOG__LEVL", "debug")]).unwrap_err();
    let seen: Vec<_> = faults.iter().map(|f| (f.place.clone(), f.key.as_str())).collect();
    use Place::{Environment, Line};
    assert_eq!(
        seen,
        [
            (Line(1), "dat_dir"),
            (Line(3), "recording.segment"),
            (Line(4), "recording.fragment"),
            (Line(6), "proxy.workers"),
            (Line(7), "device.address"),
            (Line(7), "device.user"),
            (Line(7), "device.password"),
            (Line(9), "device.kind"),
            (Environment("SKYVIS_LOG__LEVL".into()), "log.levl"),
        ]
    );
    assert_eq!(faults.to_string().lines().count(), faults.count());
}

#[test]
fn faults_of_syntax_have_a_line_and_hide_no_other_fault() {
    let faults = read("node = \n[recording]\nsegment = 30s\nretain = 3\n").unwrap_err();
    let lines: Vec<_> = faults.iter().map(|f| f.place.clone()).collect();
    assert_eq!(lines, [Place::Line(1), Place::Line(3), Place::Line(4)], "{faults}");
    assert!(faults.to_string().contains("c.toml:3: not TOML: "), "{faults}");
    let faults = read("node = \"a\"\nnode = \"b\"\n").unwrap_err();
    assert!(faults.to_string().starts_with("/etc/skyvis/c.toml:2: not TOML: duplicate key"), "{faults}");
    let header = read("[recording\nsegment = \"30s\"\n").unwrap_err();
    assert_eq!((header.count(), header.iter().next().unwrap().place.clone()), (1, Place::Line(1)), "{header}");
}

#[test]
fn an_empty_or_unreadable_file_is_a_fault() {
    assert!(fault("").starts_with("/etc/skyvis/c.toml: is empty"));
    assert!(fault(" \n\t\n").contains("is empty"));
    let bytes = parse(b"a = 1\n\xff", Path::new("c.toml"), &env(&[])).unwrap_err();
    assert_eq!(bytes.to_string(), "c.toml: line 2 is not UTF-8; save the file as UTF-8");
    let dir = tempfile::tempdir().unwrap();
    let missing = load(&dir.path().join("none.toml"), &env(&[])).unwrap_err().to_string();
    assert!(
        missing.contains("none.toml: there is no such file; write one, or name another with --config"),
        "{missing}"
    );
    assert!(load(dir.path(), &env(&[])).unwrap_err().to_string().contains("cannot be read"));
}

#[test]
fn listening_to_others_needs_a_token() {
    let problem = fault("[admin]\nlisten = \"0.0.0.0:9080\"");
    assert!(
        problem.contains(
            ":2: admin.listen: 0.0.0.0:9080 can be reached by others and no token is set; set admin.token_file"
        ),
        "{problem}"
    );
    ok("[admin]\nlisten = \"0.0.0.0:9080\"\ntoken = \"t\"");
    ok("[admin]\nlisten = \"[::1]:9080\"");
    ok("[admin]\nlisten = \"unix:/run/skyvis/admin.sock\"");
    assert!(fault("[admin]\nlisten = \"unix:admin.sock\"").contains("a full path"));
    assert!(fault("[admin]\nlisten = \"127.0.0.1\"").contains("`127.0.0.1` has no port; write for example"));
    assert!(fault("[admin]\nlisten = \"127.0.0.1:99999\"").contains("its port is not 0 to 65535"));
    assert!(fault("[admin]\nlisten = \"localhost:80\"").contains("is not an IP address and port"));
    assert!(fault("[proxy]\nlisten = [\"127.0.0.1:9080\"]").contains("127.0.0.1:9080 is admin.listen too"));
    assert!(fault("[proxy]\nlisten = [\"1.1.1.1:1\", \"1.1.1.1:1\"]").contains("1.1.1.1:1 stands here twice"));
}

#[test]
fn what_is_transcoded_is_checked_and_reads_back() {
    let config = ok(&format!(
        "{DEVICE}transcode = {{ video = \"h264\", size = \"1280x720\", bitrate = \"1M\" }}\n[transcode]\nprocesses = 3"
    ));
    let transcode = config.devices[0].transcode.as_ref().unwrap();
    assert_eq!((transcode.size, transcode.bits_per_second), (Some((1280, 720)), Some(1_000_000)));
    assert_eq!(config.transcode().processes_max, 3);
    let again = ok(&config.to_toml().replace("***", "x"));
    assert_eq!(again.devices[0].transcode, config.devices[0].transcode);
    assert_eq!(ok(DEVICE).devices[0].transcode, None);
    for (key, expected) in [
        ("video = \"h263\"", "device.transcode.video: `h263` is unknown; did you mean \"h264\"?"),
        ("size = \"720p\"", "device.transcode.size: `720p` is not a size; write for example \"1280x720\""),
        ("bitrate = \"fast\"", "device.transcode.bitrate: `fast` is not a bit rate"),
        ("preset = \"fastest\"", "device.transcode.preset: `fastest` is unknown"),
        ("fps = 1000", "device.transcode.fps: must lie between 0 and 120"),
        ("streams = []", "device.transcode.streams: is empty"),
        ("scale = 2", "device.transcode.scale: unknown key"),
    ] {
        let found = fault(&format!("{DEVICE}transcode = {{ {key} }}"));
        assert!(found.contains(expected), "{key}: {found}");
    }
}

#[test]
fn a_base_url_is_one() {
    assert_eq!(
        ok("[proxy]\nwan_endpoint = \"https://m.example.com/x/\"").proxy.wan_endpoint.unwrap(),
        "https://m.example.com/x"
    );
    for (url, why) in [
        ("m.example.com", "is not a URL"),
        ("ftp://m", "must begin with http:// or https://"),
        ("http://a:b@m", "must not hold a user or password"),
        ("http://m/?a", "must not hold `?` or `#`"),
    ] {
        let fault = fault(&format!("[proxy]\nwan_endpoint = \"{url}\""));
        assert!(fault.contains(why) && fault.contains("https://media.example.com"), "{url}: {fault}");
    }
}

#[test]
fn secrets_come_from_files_and_never_come_out() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    std::fs::write(dir.path().join("pw"), "hunter2\n").unwrap();
    std::fs::write(dir.path().join("empty"), "\n").unwrap();
    std::fs::write(dir.path().join("long"), "x".repeat(5000)).unwrap();
    let read = |line: &str| parse(device("password", line), &file, &env(&[]));
    let config = read("password_file = \"pw\"").unwrap();
    assert_eq!(config.devices[0].password, Secret::new("hunter2"));
    for text in [config.to_view().to_string(), config.to_toml(), format!("{config:?}")] {
        assert!(!text.contains("hunter2") && text.contains("***"), "{text}");
    }
    for (line, why) in [
        ("password_file = \"none\"", "/none does not exist"),
        ("password_file = \"empty\"", "/empty is empty"),
        ("password_file = \"long\"", "/long is longer than 4 KiB"),
        ("password_file = \".\"", "is not a file"),
        ("password_file = \"pw\"\npassword = \"hunter2\"", "`password` is set too; remove one of them"),
        ("password = 12345", "is a whole number; it must be text in quotes"),
    ] {
        let faults = read(line).unwrap_err();
        assert_eq!(faults.count(), 1, "{faults}");
        assert!(faults.to_string().contains(why) && !faults.to_string().contains("12345"), "{faults}");
    }
}

#[test]
fn the_media_token_is_the_admins_unless_it_has_its_own() {
    assert_eq!(ok("[admin]\ntoken = \"a\"").playback.token, Some(Secret::new("a")));
    assert_eq!(ok("[admin]\ntoken = \"a\"\n[playback]\ntoken = \"b\"").playback.token, Some(Secret::new("b")));
}

#[test]
fn the_environment_outweighs_old_names_which_outweigh_the_file() {
    let text = "[proxy]\nlisten = [\"1.1.1.1:1\", \"2.2.2.2:2\"]\nwan_endpoint = \"http://file\"\n[notify]\nprefix = \"http://file\"";
    let old = [("WAN_ENDPOINT", "http://old:1/"), ("NGINX_PORT", "8081"), ("NOTIFY_PREFIX", "http://old/notify")];
    let c = read_with(text, &old).unwrap();
    assert_eq!(c.proxy.wan_endpoint.as_deref(), Some("http://old:1"));
    assert_eq!(c.proxy.listen, ["1.1.1.1:8081".parse().unwrap(), "2.2.2.2:2".parse().unwrap()]);
    assert_eq!(c.notify_prefix, "http://old/notify");
    let ours = [
        ("SKYVIS_PROXY__WAN_ENDPOINT", "http://ours"),
        ("SKYVIS_PROXY__LISTEN", "3.3.3.3:3, 4.4.4.4:4"),
        ("SKYVIS_NOTIFY__PREFIX", "\"http://ours\""),
    ];
    let c = read_with(text, &[&old[..], &ours[..]].concat()).unwrap();
    assert_eq!((c.proxy.wan_endpoint.as_deref(), c.notify_prefix.as_str()), (Some("http://ours"), "http://ours"));
    assert_eq!(c.proxy.listen, ["3.3.3.3:3".parse().unwrap(), "4.4.4.4:4".parse().unwrap()]);
}

#[test]
fn the_environment_is_typed_by_the_key() {
    let c = read_with(
        "[recording]\nretain_days = 1\n[admin]\ntoken_file = \"/none\"\n",
        &[
            ("SKYVIS_CONFIG", "/x.toml"),
            ("SKYVIS_DATA_DIR", "/data"),
            ("SKYVIS_NODE", "123"),
            ("SKYVIS_RECORDING__RETAIN_DAYS", "7"),
            ("SKYVIS_RECORDING__AUDIO", "false"),
            ("SKYVIS_RECORDING__SEGMENT", "1m"),
            ("SKYVIS_PROXY__LISTEN", "[\"1.1.1.1:1\"]"),
            ("SKYVIS_ADMIN__TOKEN", "from the environment"),
            ("NGINX_PORT", ""),
        ],
    )
    .unwrap_or_else(|f| panic!("{f}"));
    assert_eq!((c.data_dir.to_str(), c.node.as_str()), (Some("/data"), "123"));
    assert_eq!((c.recording.retain_days, c.recording.audio), (7, false));
    assert_eq!(c.recording.segment, Duration::from_secs(60));
    assert_eq!(c.proxy.listen, ["1.1.1.1:1".parse().unwrap()]);
    assert_eq!(c.admin.token, Some(Secret::new("from the environment")));
}

#[test]
fn faults_of_the_environment_name_the_variable() {
    for (name, value, expected) in [
        (
            "SKYVIS_RECORDING__RETIAN_DAYS",
            "7",
            "environment SKYVIS_RECORDING__RETIAN_DAYS: recording.retian_days: unknown key; did you mean SKYVIS_RECORDING__RETAIN_DAYS?",
        ),
        (
            "SKYVIS_LOG_LEVEL",
            "x",
            "environment SKYVIS_LOG_LEVEL: log_level: unknown key; did you mean SKYVIS_LOG__LEVEL?",
        ),
        (
            "SKYVIS_SOMEWHERE",
            "x",
            "environment SKYVIS_SOMEWHERE: somewhere: unknown key; known here are data_dir, node, log, ",
        ),
        (
            "SKYVIS_RETAIN_DAYS",
            "7",
            "environment SKYVIS_RETAIN_DAYS: retain_days: unknown key; did you mean SKYVIS_RECORDING__RETAIN_DAYS?",
        ),
        (
            "SKYVIS_RECORDING__RETAIN_DAYS",
            "x",
            "environment SKYVIS_RECORDING__RETAIN_DAYS: recording.retain_days: `x` is not a whole number",
        ),
        (
            "SKYVIS_DEVICE__PASSWORD",
            "x",
            "environment SKYVIS_DEVICE__PASSWORD: device.password: `device` is not a section",
        ),
        ("SKYVIS_RECORDING", "x", "environment SKYVIS_RECORDING: recording: is a section and not a key; name the key"),
        ("SKYVIS_LOG", "x", "environment SKYVIS_LOG: log: is text; it must be a section"),
        ("NGINX_PORT", "x", "environment NGINX_PORT: proxy.listen: `x` is not a port; write 1 to 65535"),
        ("WAN_ENDPOINT", "x", "environment WAN_ENDPOINT: proxy.wan_endpoint: `x` is not a URL"),
    ] {
        let faults = read_with(&format!("[recording]\naudio = true\n{DEVICE}"), &[(name, value)]).unwrap_err();
        assert!(faults.to_string().starts_with(expected) && faults.count() == 1, "{faults}");
    }
}

#[test]
fn what_is_printed_reads_back_to_the_same() {
    let config = ok(&format!(
        "{DEVICE}[device.recording]\nsegment = \"90s\"\n[recording]\nmin_free = \"7%\"\nretain_bytes = \"1.5TB\"\n\
         [log]\nlevel = \"info,skyvis=debug\"\n"
    ));
    let again = ok(&config.to_toml().replace("***", "pw"));
    assert_eq!(again, config);
    let view = config.to_view();
    assert_eq!(view["device"][0]["recording"]["segment"], "1m30s");
    assert_eq!(view["device"][0]["password"], "***");
    assert_eq!(view["recording"]["dir"], "/var/lib/skyvis/recordings");
}

#[test]
fn a_reload_refuses_keys_that_need_a_restart_by_name() {
    let old = ok(DEVICE);
    let live = ok(&format!("{DEVICE}channels = [1]\n[recording]\nretain_days = 3\n[hikvision]\ntimeout = \"3s\"\n"));
    assert!(restart_keys(&old, &live).is_empty());
    assert_ne!(old.cameras(), live.cameras());
    let restart = ok(&format!("data_dir = \"/x\"\n[log]\nformat = \"json\"\n[admin]\ntoken = \"t\"\n{DEVICE}"));
    let keys = restart_keys(&old, &restart);
    assert_eq!(keys, ["data_dir", "log.format", "admin.token"]);
    let moved = ok(&format!("[recording]\ndir = \"/y\"\n{DEVICE}"));
    assert_eq!(restart_keys(&old, &moved), ["recording.dir"]);
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    let c = ok("data_dir = \"data\"\n[recording]\ndir = \"../footage\"");
    assert_eq!(c.data_dir, Path::new("/etc/skyvis/data"));
    assert_eq!(c.recording_dir, Path::new("/etc/skyvis/../footage"));
    assert_eq!(default_path(&env(&[("SKYVIS_CONFIG", "/x.toml")])), Path::new("/x.toml"));
    assert_eq!(default_path(&env(&[])), Path::new("/etc/skyvis/config.toml"));
}

#[test]
fn the_example_passes_and_names_every_key() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let (config, known) = load::read(text.as_bytes(), &path, &env(&[]));
    let config = config.unwrap_or_else(|f| panic!("{f}"));
    assert!(!config.devices.is_empty() && known.contains("device.password_file"));
    // A key counts as named where its line stands in its own section, set or behind a comment sign.
    let mut section = String::new();
    let mut named = std::collections::BTreeSet::new();
    for line in text.lines().map(|l| l.trim_start_matches(['#', ' '])) {
        if let Some(name) = line.strip_prefix('[') {
            section = format!("{}.", name.trim_start_matches('[').split(']').next().unwrap());
        } else if let Some((key, _)) = line.split_once('=') {
            named.insert(format!("{section}{}", key.trim()));
        }
    }
    let missing: Vec<_> = known.difference(&named).collect();
    assert!(missing.is_empty(), "not in the example: {missing:?}");
}

#[test]
fn the_example_shows_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
    let example = load(&path, &env(&[])).unwrap_or_else(|f| panic!("{f}"));
    let defaults = parse("#", &path, &env(&[])).unwrap();
    assert_eq!(Config { devices: Vec::new(), ..example }, defaults);
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..256)) {
        let _ = parse(&bytes, Path::new("c.toml"), &env(&[]));
    }

    #[test]
    fn no_text_that_looks_like_toml_makes_it_panic(
        text in "(\\[{0,2}(device|recording|proxy|[a-z.]{0,6})\\]{0,2}\n?|(id|listen|segment|sync|min_free|channels|[a-z]{1,4}) ?= ?(\"[^\"]{0,9}\"|-?[0-9.]{0,20}|\\[.{0,8}\\]?|\\{|\"\"\")\n?){0,12}",
        name in "SKYVIS_[A-Z_]{0,12}", value in ".{0,20}",
    ) {
        let _ = read_with(&text, &[(&name, &value), ("NGINX_PORT", &value)]);
    }

    #[test]
    fn any_cut_of_the_example_is_read_or_refused(cut in 0usize..20_000, flip in 0usize..20_000, byte in proptest::prelude::any::<u8>()) {
        let mut bytes = include_bytes!("../../config.example.toml").to_vec();
        let at = flip % bytes.len();
        bytes[at] = byte;
        bytes.truncate(cut);
        let _ = parse(&bytes, Path::new("c.toml"), &env(&[]));
    }
}
