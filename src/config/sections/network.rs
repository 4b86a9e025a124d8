//! `[admin]` and `[proxy]`: where skyvis listens, and what others call it.

use super::{Origin, proxy, route, secret, tcp, tls};
use crate::config::{
    Admin, AdminListen, LogFormat, Proxy,
    fault::Place,
    reader::{Scope, as_text, clip},
    tree::Node,
};
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::Path,
};

/// What is ordered by ACME is kept here, below the data directory.
const ACME_DIR: &str = "acme";

const ADMIN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9080);
const PROXY_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);
/// What the kernel takes, less the ending zero.
const UNIX_PATH_LEN_BYTES_MAX: usize = 107;
const URL_LEN_BYTES_MAX: usize = 2_048;

/// `[admin]`
pub(super) fn admin(scope: &Scope<'_>, origin: &Origin<'_>) -> Admin {
    let listen = scope.value("listen", AdminListen::Tcp(ADMIN_DEFAULT), |n| admin_listen(&as_text(n)?));
    let token = secret::read(scope, "token", "token_file", origin);
    if let AdminListen::Tcp(address) = &listen
        && !address.ip().to_canonical().is_loopback()
        && token.is_none()
        && !secret::given(scope, "token", "token_file")
    {
        let problem = format!(
            "{address} can be reached by others and no token is set; set admin.token_file, or listen on 127.0.0.1:{}",
            address.port()
        );
        scope.fault("listen", problem);
    }
    let viewer_token = secret::read(scope, "viewer_token", "viewer_token_file", origin);
    let problem = match (&token, &viewer_token) {
        (None, Some(_)) if !secret::given(scope, "token", "token_file") => {
            Some("stands alone, and without admin.token_file nobody is asked for a token; set both or none")
        }
        (Some(token), Some(viewer)) if token == viewer => {
            Some("is the operator's token too; give those who only look a token of their own")
        }
        _ => None,
    };
    if let Some(problem) = problem {
        scope.fault("viewer_token_file", problem);
    }
    Admin { listen, token, viewer_token }
}

fn admin_listen(text: &str) -> Result<AdminListen, String> {
    let Some(path) = text.strip_prefix("unix:") else { return address(text).map(AdminListen::Tcp) };
    if !path.starts_with('/') || path.ends_with('/') || path.len() > UNIX_PATH_LEN_BYTES_MAX || path.contains('\0') {
        return Err(format!(
            "`{}` is not a socket; write unix: and a full path of at most {UNIX_PATH_LEN_BYTES_MAX} bytes, \
             for example \"unix:/run/skyvis/admin.sock\"",
            clip(text)
        ));
    }
    Ok(AdminListen::Unix(path.into()))
}

/// `[proxy]`. `None` after a fault in a route.
pub(super) fn proxy(
    scope: &Scope<'_>,
    origin: &Origin<'_>,
    data_dir: &Path,
    admin: &AdminListen,
    format: LogFormat,
) -> Option<Proxy> {
    let mut listen = scope.list("listen", vec![PROXY_DEFAULT], |n| address(&as_text(n)?));
    if let Some((name, port)) = origin.env.old_proxy_port() {
        match port.trim().parse() {
            Ok(port @ 1..) => match listen.first_mut() {
                Some(first) => first.set_port(port),
                None => listen.push(SocketAddr::new(PROXY_DEFAULT.ip(), port)),
            },
            _ => {
                let problem = format!("`{}` is not a port; write 1 to 65535", clip(port));
                scope.fault_at(&Place::Environment(name.into()), "listen", problem);
            }
        }
    }
    for (i, one) in listen.iter().enumerate().filter(|(_, a)| a.port() != 0) {
        if listen[..i].contains(one) {
            scope.fault("listen", format!("{one} stands here twice; remove one"));
        }
        if *admin == AdminListen::Tcp(*one) {
            scope.fault("listen", format!("{one} is admin.listen too; give one of them another port"));
        }
    }
    let wan = scope.value("wan_endpoint", String::new(), |n| base_url(&as_text(n)?));
    let wan = wan.trim_end_matches('/');
    let wan_endpoint = (!wan.is_empty()).then(|| wan.to_owned());
    let (workers, settings) = (proxy::workers(scope), proxy::settings(scope, origin, format));
    let acme_dir = data_dir.join(ACME_DIR);
    let tls = tls::all(scope, (origin, &acme_dir), &listen, admin);
    let acme = tls::acme(scope, origin, acme_dir, tls.as_deref().unwrap_or_default());
    let mut routes = route::all(scope, origin)?;
    routes.extend(tcp::all(scope, &tcp::Beside { http: &listen, admin, routes: &routes })?);
    Some(Proxy { listen, wan_endpoint, tls: tls?, acme, workers, settings, routes })
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        let why = match text.rsplit_once(':') {
            Some((host, _)) if host.parse::<IpAddr>().is_ok() => "is not an address, its port is not 0 to 65535",
            _ if text.parse::<IpAddr>().is_ok() => "has no port",
            _ => "is not an IP address and port",
        };
        format!("`{}` {why}; write for example \"127.0.0.1:9080\" or \"[::1]:9080\"", clip(text))
    })
}

/// An `http://` or `https://` URL that others are built on, or nothing.
pub(super) fn base_url(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Ok(String::new());
    }
    let right = "write for example \"https://media.example.com\"";
    let wrong = |why: &str| Err(format!("{why}; {right}"));
    let Ok(url) = url::Url::parse(text) else { return wrong(&format!("`{}` is not a URL", clip(text))) };
    match () {
        () if text.len() > URL_LEN_BYTES_MAX => wrong("is too long for a URL"),
        () if !matches!(url.scheme(), "http" | "https") => wrong("must begin with http:// or https://"),
        () if url.host_str().is_none_or(str::is_empty) => wrong("names no host"),
        () if !url.username().is_empty() || url.password().is_some() => wrong("must not hold a user or password"),
        () if url.query().is_some() || url.fragment().is_some() => wrong("must not hold `?` or `#`"),
        () => Ok(text.to_owned()),
    }
}

/// An address with a port, or none.
pub(super) fn listen(node: &Node, usual: &str) -> Result<Option<SocketAddr>, String> {
    match as_text(node)?.as_str() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            format!("`{text}` is not an address with a port; write for example \"{usual}\", or \"\" for none")
        }),
    }
}
