//! `[[proxy.tls]]`.

use super::{Origin, network::address, route::host};
use crate::{
    config::{
        AdminListen,
        reader::{Scope, as_choice, as_text},
    },
    proxy::{
        config::HostPattern,
        tls::{Identity, MinVersion, Site},
    },
};
use std::{net::SocketAddr, path::PathBuf};

/// Files of each are looked at every two seconds; who has more uses a wildcard.
const SITES_MAX: usize = 1_000;
const VERSIONS: [(&str, MinVersion); 2] = [("1.2", MinVersion::Tls12), ("1.3", MinVersion::Tls13)];

/// All of them. `None` after a fault in one.
pub(super) fn all(
    scope: &Scope<'_>,
    origin: &Origin<'_>,
    http: &[SocketAddr],
    admin: &AdminListen,
) -> Option<Vec<Site>> {
    let mut before: Vec<Site> = Vec::new();
    let sites = scope.sections("tls", |scope| {
        let site = one(scope, origin)?;
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

fn one(scope: &Scope<'_>, origin: &Origin<'_>) -> Option<Site> {
    let listen = scope.required("listen", "listen = \"0.0.0.0:8443\"", |n| address(&as_text(n)?));
    let names: Vec<HostPattern> = scope.list("server_name", Vec::new(), |n| host(&as_text(n)?));
    let min_version = scope.value("min_version", MinVersion::default(), |n| as_choice(n, &VERSIONS));
    let cert = file(scope, origin, "cert", "cert = \"/etc/skyvis/tls/cert.pem\"");
    let key = file(scope, origin, "key", "key = \"/etc/skyvis/tls/key.pem\"");
    Some(Site { listen: listen?, names, identity: Identity::Files { cert: cert?, key: key? }, min_version })
}

fn file(scope: &Scope<'_>, origin: &Origin<'_>, key: &'static str, example: &str) -> Option<PathBuf> {
    scope.required(key, example, |n| match as_text(n)?.as_str() {
        "" => Err(format!("is empty; write the path of a PEM file, for example {example}")),
        path => Ok(origin.path(path)),
    })
}
