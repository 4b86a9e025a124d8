//! Services of the file.

use super::{fault_is, ok};
use crate::registry::{Check, CheckKind};
use std::time::Duration;

#[test]
fn services_are_read_and_shown_again() {
    let text = "[[registry.service]]\nname = \"web-api\"\ninstances = [\n\
        { id = \"b\", address = \"10.0.0.6\", port = 9000 },\n\
        { id = \"a\", address = \"API.lan\", port = 9001, weight = 0, tags = [\"x\"], meta = { zone = \"1\", \"a b\" = \"c\" }, \
          check = { http = \"/health\", interval = \"5s\", timeout = \"1s\", deregister_after = \"30s\" } },\n]\n\
        [[registry.service]]\nname = \"rpc\"\n[[registry.service.instances]]\nid = \"1\"\naddress = \"::1\"\nport = 1\n\
        check = { grpc = \"\" }\n";
    let config = ok(text);
    let names: Vec<String> =
        config.registry.instances.iter().map(|i| format!("{}/{}", i.key.service, i.key.id)).collect();
    assert_eq!(names, ["rpc/1", "web-api/a", "web-api/b"]);
    let [rpc, a, b] = &config.registry.instances[..] else { panic!() };
    assert_eq!(rpc.spec.check, Some(Check::new(CheckKind::Grpc("".into()))));
    assert_eq!((&*a.spec.address, a.spec.port, a.spec.weight), ("api.lan", 9001, 0));
    let check = a.spec.check.as_ref().unwrap();
    assert_eq!((&check.kind, check.interval), (&CheckKind::Http("/health".into()), Duration::from_secs(5)));
    assert_eq!((a.spec.deregister_after, a.spec.meta.len()), (Some(Duration::from_secs(30)), 2));
    assert_eq!((b.spec.weight, &b.spec.check), (1, &None));
    assert_eq!(ok(&config.to_toml()).registry, config.registry, "{}", config.to_toml());
    assert_eq!(config.to_view()["registry"]["service"][1]["instances"][0]["check"]["interval"], "5s");
}

#[test]
fn slips_are_named_with_their_line() {
    let one =
        |rest: &str| format!("[[registry.service]]\nname = \"web\"\ninstances = [\n  {{ id = \"a\", {rest} }},\n]\n");
    let right = "address = \"10.0.0.5\", port = 9000";
    ok(&one(right));
    for (text, said) in [
        (
            "[[registry.service]]\nname = \"a/b\"\ninstances = []".to_owned(),
            "2: registry.service.name: `a/b` is not the name of a service",
        ),
        (
            "[[registry.service]]\nname = \"web\"".to_owned(),
            "1: registry.service.instances: missing; add for example instances = [",
        ),
        (one("port = 9000"), "4: registry.service.instances.address: missing; add for example address = \"10.0.0.5\""),
        (
            one("address = \"10.0.0.5\", port = 0"),
            "4: registry.service.instances.port: must lie between 1 and 65535, not 0",
        ),
        (
            one("address = \"10.0.0\", port = 1"),
            "4: registry.service.instances.address: `10.0.0` is neither an IP address nor a host name",
        ),
        (
            one(&format!("{right}, weight = -1")),
            "4: registry.service.instances.weight: must lie between 0 and 65535, not -1",
        ),
        (
            one(&format!("{right}, wieght = 1")),
            "4: registry.service.instances.wieght: unknown key; did you mean `weight`?",
        ),
        (one(&format!("{right}, check = {{}}")), "4: registry.service.instances.check: says nothing to look at"),
        (
            one(&format!("{right}, check = {{ http = \"health\" }}")),
            "4: registry.service.instances.check.http: is not a path or a URL",
        ),
        (
            one(&format!("{right}, check = {{ tcp = true, fall = 0 }}")),
            "4: registry.service.instances.check.fall: must lie between 1 and 100",
        ),
        (
            one(&format!("{right}, check = {{ ttl = \"5s\", tcp = true }}")),
            "4: registry.service.instances.check.ttl: is for instances that register themselves",
        ),
        (format!("{}{}", one(right), one(right)), "1: registry.service: `web` has two instances `a`"),
    ] {
        let faults = super::fault(&text);
        assert!(faults.starts_with(&format!("/etc/skyvis/c.toml:{said}")), "{text}\n{faults}");
    }
    fault_is(
        "[registry]\nservice = 3",
        "2: registry.service: is a whole number; it must stand in double brackets, `[[registry.service]]`",
    );
}
