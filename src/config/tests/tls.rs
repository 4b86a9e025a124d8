//! `[[proxy.tls]]`.

use super::*;
use crate::proxy::tls::{Identity, MinVersion};

const SITE: &str = "[[proxy.tls]]\nlisten = \"0.0.0.0:8443\"\ncert = \"tls/c.pem\"\nkey = \"/k.pem\"\n";

#[test]
fn certificates_are_read_with_their_names_and_paths() {
    let named = format!("{SITE}server_name = [\"Media.example.com\", \"*.example.com\"]\nmin_version = \"1.3\"\n");
    let c = ok(&format!("{SITE}{named}"));
    let [default, site] = &c.proxy.tls[..] else { panic!("{:?}", c.proxy.tls) };
    assert!(default.names.is_empty() && default.min_version == MinVersion::Tls12);
    let names: Vec<String> = site.names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["media.example.com", "*.example.com"]);
    assert_eq!(site.min_version, MinVersion::Tls13);
    let Identity::Files { cert, key } = &site.identity else { panic!("{site:?}") };
    assert_eq!((cert.as_path(), key.as_path()), (Path::new("/etc/skyvis/tls/c.pem"), Path::new("/k.pem")));
    assert_eq!(ok(&c.to_toml()).proxy.tls, c.proxy.tls, "what is shown gives it again");
    assert_eq!(c.to_view()["proxy"]["tls"][1]["min_version"], "1.3");
}

#[test]
fn what_cannot_be_served_is_told() {
    fault_is(
        "[[proxy.tls]]\nlisten = \"0.0.0.0:8443\"\ncert = \"c\"\n",
        "1: proxy.tls.key: missing; add for example key = \"/etc/skyvis/tls/key.pem\"",
    );
    assert!(fault(&format!("{SITE}{SITE}")).contains("has a default certificate already"));
    let named = format!("{SITE}server_name = [\"a.test\"]\n");
    assert!(fault(&format!("{named}{named}")).contains("`a.test` has a certificate at 0.0.0.0:8443 already"));
    assert!(fault(&SITE.replace("8443", "8080")).contains("is in proxy.listen too, which is without TLS"));
    assert!(fault(&SITE.replace("0.0.0.0:8443", "127.0.0.1:9080")).contains("is admin.listen too"));
    assert!(fault(&format!("{SITE}min_version = \"1.1\"\n")).contains("`1.1` is unknown"));
    assert!(fault(&format!("{SITE}server_name = [\"a.test:443\"]\n")).contains("has a port"));
}

#[test]
fn another_certificate_needs_no_restart_and_another_address_does() {
    let (old, other) = (ok(SITE), ok(&SITE.replace("/k.pem", "/l.pem")));
    assert_eq!(restart_keys(&old, &other), Vec::<String>::new());
    assert_eq!(restart_keys(&old, &ok(&SITE.replace("8443", "8444"))), ["proxy.tls.listen"]);
}

#[test]
fn certificates_are_ordered_for_names_that_can_be_proven() {
    let text = "[proxy.acme]\ncontact = [\"mailto:a@b.test\"]\neab_key_id = \"k\"\neab_key = \"c2VjcmV0\"\n\
                [[proxy.tls]]\nlisten = \"0.0.0.0:8443\"\nserver_name = [\"a.b.test\", \"b.test\"]\nacme = true\n";
    let c = ok(text);
    assert_eq!(c.proxy.tls[0].identity, Identity::Acme { file: "/var/lib/skyvis/acme/a.b.test.pem".into() });
    let acme = c.proxy.acme.as_ref().unwrap();
    assert_eq!(acme.directory, "https://acme-v02.api.letsencrypt.org/directory");
    assert_eq!(acme.external.as_ref().unwrap().0, "k");
    assert!(!c.to_toml().contains("c2VjcmV0") && !c.to_view().to_string().contains("c2VjcmV0"));
    assert!(ok("[proxy.acme]\n").proxy.acme.is_none(), "nothing is ordered");
    let site =
        |names: &str| format!("[[proxy.tls]]\nlisten = \"0.0.0.0:8443\"\nserver_name = [{names}]\nacme = true\n");
    for names in ["\"*.b.test\"", "\"10.0.0.1\"", "\"localhost\""] {
        assert!(fault(&site(names)).contains("cannot be proven to an authority"), "{names}");
    }
    assert!(fault(&format!("{}cert = \"c\"\n", site("\"b.test\""))).contains("means nothing beside `acme`"));
    let half = format!("[proxy.acme]\neab_key_id = \"k\"\n{}", site("\"b.test\""));
    assert!(fault(&half).contains("belong together"));
}
