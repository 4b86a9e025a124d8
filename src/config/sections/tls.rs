//! `[[proxy.tls]]`.

use super::{
    Origin,
    network::{address, base_url},
    route::host,
    secret,
};
use crate::{
    base::Secret,
    config::{
        AdminListen,
        reader::{Scope, as_choice, as_flag, as_text, clip},
    },
    model::Trust,
    proxy::{
        acme,
        config::HostPattern,
        tls::{Identity, MinVersion, Site},
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
};

/// Files of each are looked at every two seconds; who has more uses a wildcard.
const SITES_MAX: usize = 1_000;
/// Authorities take no more in one order.
const ORDERED_NAMES_MAX: usize = 100;
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
const VERSIONS: [(&str, MinVersion); 2] = [("1.2", MinVersion::Tls12), ("1.3", MinVersion::Tls13)];

/// All of them. `None` after a fault in one.
pub(super) fn all(
    scope: &Scope<'_>,
    (origin, acme_dir): (&Origin<'_>, &Path),
    http: &[SocketAddr],
    admin: &AdminListen,
) -> Option<Vec<Site>> {
    let mut before: Vec<Site> = Vec::new();
    let sites = scope.sections("tls", |scope| {
        let site = one(scope, origin, acme_dir)?;
        let Site { listen, names, .. } = &site;
        if listen.port() != 0 && http.contains(listen) {
            scope.fault(
                "listen",
                format!("{listen} is in proxy.listen too, which is without TLS; give one another port"),
            );
        }
        if listen.port() != 0 && *admin == AdminListen::Tcp(*listen) {
            scope.fault("listen", format!("{listen} is admin.listen too; give one of them another port"));
        }
        for other in before.iter().filter(|other| other.listen == *listen) {
            if names.is_empty() && other.names.is_empty() {
                scope.fault("server_name", format!("is empty, and {listen} has a default certificate already"));
            }
            if let Some(name) = names.iter().find(|name| other.names.contains(name)) {
                scope.fault("server_name", format!("`{name}` has a certificate at {listen} already; remove one"));
            }
        }
        before.push(site.clone());
        Some(site)
    });
    if sites.len() > SITES_MAX {
        scope.fault("tls", format!("stands here {} times; {SITES_MAX} are the most", sites.len()));
    }
    sites.into_iter().collect()
}

fn one(scope: &Scope<'_>, origin: &Origin<'_>, acme_dir: &Path) -> Option<Site> {
    let listen = scope.required("listen", "listen = \"0.0.0.0:8443\"", |n| address(&as_text(n)?));
    let names: Vec<HostPattern> = scope.list("server_name", Vec::new(), |n| host(&as_text(n)?));
    let min_version = scope.value("min_version", MinVersion::default(), |n| as_choice(n, &VERSIONS));
    let identity = if scope.value("acme", false, as_flag) {
        ordered(scope, &names, acme_dir)
    } else {
        let cert = file(scope, origin, "cert", "cert = \"/etc/skyvis/tls/cert.pem\"");
        let key = file(scope, origin, "key", "key = \"/etc/skyvis/tls/key.pem\"");
        cert.zip(key).map(|(cert, key)| Identity::Files { cert, key })
    };
    Some(Site { listen: listen?, names, identity: identity?, min_version })
}

/// One that is ordered by ACME.
fn ordered(scope: &Scope<'_>, names: &[HostPattern], dir: &Path) -> Option<Identity> {
    for key in ["cert", "key"] {
        scope.misplaced(key, "means nothing beside `acme`, which orders the certificate; remove one of them");
    }
    let is_name = |name: &HostPattern| match name {
        HostPattern::Exact(name) => name.parse::<IpAddr>().is_err() && name.contains('.'),
        HostPattern::Below(_) => false,
    };
    let Some(first) = names.first() else {
        scope.missing("server_name", "server_name = [\"media.example.com\"]");
        return None;
    };
    if let Some(other) = names.iter().find(|name| !is_name(name)) {
        let problem = format!("`{other}` cannot be proven to an authority by HTTP or TLS; use `cert` and `key` for it");
        scope.fault("server_name", problem);
    }
    if names.len() > ORDERED_NAMES_MAX {
        scope.fault("server_name", format!("has {} names; a certificate has {ORDERED_NAMES_MAX} at most", names.len()));
    }
    Some(Identity::Acme { file: dir.join(format!("{first}.pem")) })
}

/// `[proxy.acme]`: None where nothing is ordered.
pub(super) fn acme(scope: &Scope<'_>, origin: &Origin<'_>, dir: PathBuf, sites: &[Site]) -> Option<acme::Config> {
    let config = scope.section("acme", |scope| {
        let directory = scope.value("directory", DIRECTORY.to_owned(), |n| match base_url(&as_text(n)?)? {
            url if url.is_empty() => Err(format!("is empty; write for example \"{DIRECTORY}\"")),
            url => Ok(url),
        });
        let contact = scope.list("contact", Vec::new(), |n| match as_text(n)? {
            text if text.starts_with("mailto:") => Ok(text),
            text => Err(format!("`{}` does not begin with mailto:", clip(&text))),
        });
        let id = scope.value("eab_key_id", String::new(), as_text);
        let key = secret::read(scope, "eab_key", "eab_key_file", origin);
        let external = match (id.is_empty(), key) {
            (true, None) => None,
            (false, Some(key)) => match URL_SAFE_NO_PAD.decode(key.expose().trim_end_matches('=')) {
                Ok(key) => Some((id, Secret::new(URL_SAFE_NO_PAD.encode(key)))),
                Err(_) => {
                    scope.fault("eab_key", "is not base64url, as authorities give it");
                    None
                }
            },
            _ => {
                scope.fault("eab_key_id", "and `eab_key` (or `eab_key_file`) belong together; write both or none");
                None
            }
        };
        acme::Config { directory, contact, external, trust: Trust::SystemRoots, dir }
    });
    sites.iter().any(|site| matches!(site.identity, Identity::Acme { .. })).then_some(config)
}

fn file(scope: &Scope<'_>, origin: &Origin<'_>, key: &'static str, example: &str) -> Option<PathBuf> {
    scope.required(key, example, |n| match as_text(n)?.as_str() {
        "" => Err(format!("is empty; write the path of a PEM file, for example {example}")),
        path => Ok(origin.path(path)),
    })
}
