//! `[device.recording]`, what it changes for single channels, and schedules.

use super::*;

#[test]
fn a_channel_changes_what_its_device_changes_of_what_holds_for_all() {
    let c = ok(&format!(
        "[recording]\nfragment = \"1s\"\nretain_days = 7\n{DEVICE}[device.recording]\nsegment = \"1m\"\nretain_bytes = \"1GiB\"\n\
         schedule = \"mon-fri 07:00-19:00 Asia/Shanghai\"\n\
         per_channel = {{ 3 = {{ audio = false, schedule = \"\", retain_days = 1 }}, 4 = {{ enabled = false }} }}\n"
    ));
    let recorder = c.recorder();
    let of = |key: &str| recorder.settings(&key.parse().unwrap()).clone();
    let (one, three) = (of("nvr1/1/main"), of("nvr1/3/sub"));
    assert_eq!((one.segment, one.fragment), (Duration::from_secs(60), Duration::from_secs(1)));
    assert_eq!((three.segment, three.fragment), (Duration::from_secs(60), Duration::from_secs(1)));
    assert!(one.audio && !three.audio && one.schedule.is_some() && three.schedule.is_none());
    assert!(c.cameras().devices[0].audio, "others record it");
    let expects = |key: &str| recorder.expects(&key.parse().unwrap());
    assert!(expects("nvr1/3/main") && !expects("nvr1/4/main") && !expects("nvr1/3/sub") && !expects("x/1/main"));
    let (archive, device) = (c.archive(), "nvr1".parse().unwrap());
    assert_eq!(archive.retain_days(&"nvr1/3/main".parse().unwrap()), Some(1));
    assert_eq!(archive.retain_days(&"nvr1/1/main".parse().unwrap()), Some(7));
    assert_eq!((archive.limits(&device).retain_bytes, archive.channel_bytes(&device, 3)), (Some(1 << 30), None));
    // What is printed gives the same again.
    let printed = c.to_toml().replace("\"***\"", "\"pw\"");
    let again = ok(&printed);
    assert_eq!((again.recorder(), again.archive().devices), (recorder.clone(), archive.devices.clone()));
    assert_eq!(c.to_view()["device"][0]["recording"]["per_channel"]["3"]["audio"], false);
}

#[test]
fn what_a_channel_or_a_schedule_cannot_be_is_said() {
    for (text, why) in [
        ("per_channel = { 0 = { audio = false } }", "`0` is no channel; channels are numbered from 1"),
        ("per_channel = { three = { audio = false } }", "`three` is no channel; write its number"),
        ("per_channel = { 3 = { min_free = \"1%\" } }", "room on the disk is kept for whole devices"),
        ("per_channel = { 3 = { dir = \"x\" } }", "all footage lies in one directory"),
        ("per_channel = { 3 = { segmnt = \"3s\" } }", "did you mean `segment`?"),
        ("per_channel = { 3 = 4 }", "3 is a whole number; it must be a table"),
        ("per_channel = 3", "is a whole number; it must be a table of tables"),
        ("dir = \"x\"", "all footage lies in one directory; set it in [recording]"),
        (
            "schedule = \"mon-fri\"",
            "days are named without hours; write for example \"mon-fri 07:00-19:00 Asia/Shanghai\"",
        ),
        ("schedule = 7", "it must be text in quotes"),
    ] {
        let said = fault(&format!("{DEVICE}[device.recording]\n{text}"));
        assert!(said.contains(why), "{text}: {said}");
    }
    let said =
        fault(&format!("{DEVICE}channels = [1]\n[device.recording]\nper_channel = {{ 3 = {{ audio = false }} }}"));
    assert!(said.contains("channel 3 is not among `channels` of this device"), "{said}");
}
