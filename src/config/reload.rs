//! Which keys a running daemon cannot change.

use super::Config;
use crate::proxy::config::Target;
use std::{collections::BTreeSet, net::SocketAddr};

/// The keys that differ and need a restart, in the order of the file. Empty: `new` can be taken over as it is.
pub fn restart_keys(old: &Config, new: &Config) -> Vec<String> {
    let changed = [
        ("data_dir", old.data_dir != new.data_dir),
        ("node", old.node != new.node),
        ("log.format", old.log.format != new.log.format),
        ("log.level", old.log.level != new.log.level),
        ("admin.listen", old.admin.listen != new.admin.listen),
        ("admin.token", old.admin.token != new.admin.token),
        ("admin.viewer_token", old.admin.viewer_token != new.admin.viewer_token),
        ("proxy.listen", old.proxy.listen != new.proxy.listen),
        ("proxy.tls.listen", tls_listen(old) != tls_listen(new)),
        ("proxy.tcp.listen", tcp_listen(old) != tcp_listen(new)),
        ("proxy.acme", old.proxy.acme != new.proxy.acme),
        ("proxy.workers", old.proxy.workers != new.proxy.workers),
        ("registry.etcd_listen", old.fronts.etcd_listen != new.fronts.etcd_listen),
        ("registry.consul_listen", old.fronts.consul_listen != new.fronts.consul_listen),
        ("registry.consul_token", old.fronts.consul_token != new.fronts.consul_token),
        // Below the data directory unless set, hence no key of its own to name where that one moved.
        ("recording.dir", old.recording_dir != new.recording_dir && old.data_dir == new.data_dir),
        ("playback.rtsp_listen", old.playback.rtsp_listen != new.playback.rtsp_listen),
        ("playback.webrtc_listen", old.playback.webrtc_listen != new.playback.webrtc_listen),
        ("playback.token", old.playback.token != new.playback.token && old.admin.token == new.admin.token),
    ];
    changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key.to_owned()).collect()
}

/// Where TLS is spoken; by whose certificates can change.
fn tls_listen(config: &Config) -> BTreeSet<SocketAddr> {
    config.proxy.tls.iter().map(|site| site.listen).collect()
}

/// Where TCP routes listen; where they lead can change.
fn tcp_listen(config: &Config) -> BTreeSet<SocketAddr> {
    let listen = |route: &crate::proxy::config::Route| match &route.to {
        Target::Tcp(tcp) => Some(tcp.listen),
        _ => None,
    };
    config.proxy.routes.iter().filter_map(listen).collect()
}
