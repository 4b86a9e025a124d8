//! The effective configuration as others may see it: secrets are `***`.

use super::{Config, Device, Playback, Proxy, Recording, route_view};
use crate::{
    archive::MinFree,
    base::{
        Secret,
        units::{format_duration, format_size},
    },
    camera::{DeviceKind, Transport},
    model::Trust,
    proxy::{
        AccessLog, acme,
        tls::{Identity, Site},
    },
    recorder::{Mode, Sync},
    registry::{Check, CheckKind, StaticInstance},
    transcode,
};
use serde_json::{Map, Value, json};
use std::{fmt::Write, net::SocketAddr, path::Path};

/// One section: its keys in the order of the contract.
type Keys = Vec<(&'static str, Value)>;

impl Config {
    /// The effective configuration as JSON, in the shape of the file.
    pub fn to_view(&self) -> Value {
        let mut all = object(self.top());
        for (name, keys) in self.sections() {
            all.insert(name.into(), Value::Object(object(keys)));
        }
        let device = |d: &Device| {
            let mut view = object(device_keys(d));
            let mut recording = object(recording_keys(&d.recording));
            let channel = |(n, r): (&u32, &Recording)| (n.to_string(), Value::Object(object(recording_keys(r))));
            let channels: Map<String, Value> = d.per_channel.iter().map(channel).collect();
            recording.insert("per_channel".into(), Value::Object(channels));
            view.insert("recording".into(), Value::Object(recording));
            if let Some(transcode) = &d.transcode {
                view.insert("transcode".into(), Value::Object(object(transcode_keys(transcode))));
            }
            Value::Object(view)
        };
        if let Some(Value::Object(registry)) = all.get_mut("registry") {
            registry.insert("service".into(), services(&self.registry.instances).into());
        }
        all.insert("device".into(), self.devices.iter().map(device).collect());
        if let Some(Value::Object(proxy)) = all.get_mut("proxy") {
            if let Some(acme) = &self.proxy.acme {
                proxy.insert("acme".into(), Value::Object(object(acme_keys(acme))));
            }
            proxy.insert("tls".into(), self.proxy.tls.iter().map(|s| Value::Object(object(tls_keys(s)))).collect());
            let (tcp, http): (Vec<_>, Vec<_>) = self.proxy.routes.iter().partition(|route| route_view::is_tcp(route));
            proxy.insert("route".into(), http.into_iter().map(route_view::to_view).collect());
            proxy.insert("tcp".into(), tcp.into_iter().map(route_view::to_view).collect());
        }
        Value::Object(all)
    }

    /// The effective configuration as the text of a file that would give it again, but for the secrets.
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        put(&mut out, None, self.top());
        for (name, keys) in self.sections() {
            put(&mut out, Some(format!("[{name}]")), keys);
        }
        if let Some(acme) = &self.proxy.acme {
            put(&mut out, Some("[proxy.acme]".into()), acme_keys(acme));
        }
        for site in &self.proxy.tls {
            put(&mut out, Some("[[proxy.tls]]".into()), tls_keys(site));
        }
        self.proxy.routes.iter().for_each(|route| route_view::to_toml(route, &mut out));
        for one in &self.registry.instances {
            put(&mut out, Some("[[registry.service]]".into()), vec![("name", json!(one.key.service))]);
            put(&mut out, Some("[[registry.service.instances]]".into()), instance_keys(one));
            let check = one.spec.check.as_ref().map(|check| check_keys(check, one)).unwrap_or_default();
            put(&mut out, Some("[registry.service.instances.check]".into()), check);
            if !one.spec.meta.is_empty() {
                out.push_str("\n[registry.service.instances.meta]\n");
                one.spec.meta.iter().for_each(|(k, v)| out.push_str(&format!("{} = {}\n", json!(&**k), json!(&**v))));
            }
        }
        for device in &self.devices {
            put(&mut out, Some("[[device]]".into()), device_keys(device));
            put(&mut out, Some("[device.recording]".into()), changed_keys(&device.recording, &self.recording));
            for (channel, recording) in &device.per_channel {
                let header = format!("[device.recording.per_channel.{channel}]");
                let base = Recording { retain_bytes: 0, ..device.recording.clone() };
                put(&mut out, Some(header), changed_keys(recording, &base));
            }
            let transcode = device.transcode.as_ref().map(transcode_keys).unwrap_or_default();
            put(&mut out, Some("[device.transcode]".into()), transcode);
        }
        out
    }

    fn top(&self) -> Keys {
        vec![("data_dir", json!(self.data_dir.to_string_lossy())), ("node", json!(self.node))]
    }

    fn registry_keys(&self) -> Keys {
        vec![
            ("consul_listen", address(self.fronts.consul_listen)),
            ("consul_token", blank(self.fronts.consul_token.as_ref())),
            ("etcd_listen", address(self.fronts.etcd_listen)),
            ("service_prefix", json!(self.registry.service_prefix)),
        ]
    }

    fn sections(&self) -> [(&'static str, Keys); 9] {
        let mut recording = recording_keys(&self.recording);
        recording.insert(1, ("dir", json!(self.recording_dir.to_string_lossy())));
        let listen: Vec<String> = self.proxy.listen.iter().map(ToString::to_string).collect();
        let hikvision = &self.hikvision;
        [
            ("log", vec![("format", json!(self.log.format.as_str())), ("level", json!(self.log.level))]),
            (
                "admin",
                vec![
                    ("listen", json!(self.admin.listen.to_string())),
                    ("token", blank(self.admin.token.as_ref())),
                    ("viewer_token", blank(self.admin.viewer_token.as_ref())),
                ],
            ),
            (
                "proxy",
                vec![
                    ("listen", json!(listen)),
                    ("wan_endpoint", json!(self.proxy.wan_endpoint.as_deref().unwrap_or(""))),
                ]
                .into_iter()
                .chain(proxy_keys(&self.proxy))
                .collect(),
            ),
            ("registry", self.registry_keys()),
            (
                "hikvision",
                vec![
                    ("poll_interval", json!(format_duration(hikvision.poll_interval))),
                    ("age_out", json!(format_duration(hikvision.age_out))),
                    ("timeout", json!(format_duration(hikvision.timeout))),
                ],
            ),
            ("recording", recording),
            ("playback", playback_keys(&self.playback)),
            (
                "transcode",
                vec![
                    ("ffmpeg", json!(self.ffmpeg.as_deref().unwrap_or(Path::new("")).to_string_lossy())),
                    ("processes", json!(self.ffmpeg_processes_max)),
                ],
            ),
            ("notify", vec![("prefix", json!(self.notify_prefix))]),
        ]
    }
}

/// `[playback]`
fn playback_keys(playback: &Playback) -> Keys {
    let authorize = playback.authorize.as_ref().map_or("", |asking| asking.as_str());
    vec![
        ("play_expiry_default", json!(format_duration(playback.play_expiry_default))),
        ("token", blank(playback.token.as_ref())),
        ("authorize", json!(authorize)),
        ("rtsp_listen", address(playback.rtsp_listen)),
        ("webrtc_listen", address(playback.webrtc_listen.address())),
        ("webrtc_addresses", json!(playback.webrtc_addresses.iter().map(reachable).collect::<Vec<_>>())),
    ]
}

/// Without a port where it is the one that is listened at.
fn reachable(at: &SocketAddr) -> String {
    if at.port() == 0 { at.ip().to_string() } else { at.to_string() }
}

/// Empty where nothing listens.
fn address(at: Option<SocketAddr>) -> Value {
    json!(at.map_or_else(String::new, |at| at.to_string()))
}

/// `[proxy]` behind its addresses.
fn proxy_keys(proxy: &Proxy) -> Keys {
    let settings = &proxy.settings;
    let trusted: Vec<String> = settings.trusted.networks().iter().map(ToString::to_string).collect();
    let access_log = match &settings.access_log {
        AccessLog::Off => "off".into(),
        AccessLog::Stdout { .. } => "stdout".into(),
        AccessLog::Journald { .. } => "journald".into(),
        AccessLog::File { path, .. } => path.to_string_lossy().into_owned(),
    };
    vec![
        ("trusted_proxies", json!(trusted)),
        ("proxy_protocol", json!(settings.proxy_protocol)),
        ("access_log", json!(access_log)),
        ("max_connections", json!(settings.connections_max)),
        ("max_connections_per_address", json!(settings.connections_per_address_max)),
        ("workers", json!(proxy.workers)),
        ("header_timeout", json!(format_duration(settings.header_timeout))),
        ("idle_timeout", json!(format_duration(settings.idle_timeout))),
    ]
}

/// `[proxy.acme]`
fn acme_keys(acme: &acme::Config) -> Keys {
    let mut keys = vec![("directory", json!(acme.directory)), ("contact", json!(acme.contact))];
    if let Some((id, key)) = &acme.external {
        keys.extend([("eab_key_id", json!(id)), ("eab_key", blank(Some(key)))]);
    }
    keys
}

/// One `[[proxy.tls]]`.
fn tls_keys(site: &Site) -> Keys {
    let names: Vec<String> = site.names.iter().map(ToString::to_string).collect();
    let mut keys = vec![("listen", json!(site.listen.to_string())), ("server_name", json!(names))];
    match &site.identity {
        Identity::Files { cert, key } => {
            keys.push(("cert", json!(cert.to_string_lossy())));
            keys.push(("key", json!(key.to_string_lossy())));
        }
        Identity::Acme { .. } => keys.push(("acme", json!(true))),
    }
    keys.push(("min_version", json!(site.min_version.as_str())));
    keys
}

/// Instances as the file has them: by service.
fn services(all: &[StaticInstance]) -> Vec<Value> {
    let by_service = all.chunk_by(|a, b| a.key.service == b.key.service);
    let instance = |one: &StaticInstance| {
        let mut view = object(instance_keys(one));
        let meta: Map<String, Value> = one.spec.meta.iter().map(|(k, v)| (k.to_string(), json!(&**v))).collect();
        view.insert("meta".into(), Value::Object(meta));
        if let Some(check) = &one.spec.check {
            view.insert("check".into(), Value::Object(object(check_keys(check, one))));
        }
        Value::Object(view)
    };
    let service = |own: &[StaticInstance]| {
        let instances: Vec<Value> = own.iter().map(instance).collect();
        json!({ "name": own.first().map(|one| &one.key.service), "instances": instances })
    };
    by_service.map(service).collect()
}

fn instance_keys(one: &StaticInstance) -> Keys {
    let tags: Vec<&str> = one.spec.tags.iter().map(|t| &**t).collect();
    vec![
        ("id", json!(one.key.id)),
        ("address", json!(&*one.spec.address)),
        ("port", json!(one.spec.port)),
        ("weight", json!(one.spec.weight)),
        ("tags", json!(tags)),
    ]
}

fn check_keys(check: &Check, one: &StaticInstance) -> Keys {
    let kind = match &check.kind {
        CheckKind::Http(target) => ("http", json!(&**target)),
        CheckKind::HttpAsk(ask) => ("http", json!(ask.url)),
        // The file has none that look elsewhere than at their instance.
        CheckKind::Tcp | CheckKind::At(_) => ("tcp", json!(true)),
        CheckKind::Grpc(service) => ("grpc", json!(&**service)),
    };
    let mut keys = vec![
        kind,
        ("interval", json!(format_duration(check.interval))),
        ("timeout", json!(format_duration(check.timeout))),
        ("rise", json!(check.rise)),
        ("fall", json!(check.fall)),
    ];
    keys.extend(one.spec.deregister_after.map(|after| ("deregister_after", json!(format_duration(after)))));
    keys
}

fn device_keys(device: &Device) -> Keys {
    let streams: Vec<&str> = device.streams.iter().map(|p| p.as_str()).collect();
    let fingerprint = match device.tls {
        Some(Trust::Pinned(fingerprint)) => fingerprint.to_string(),
        Some(Trust::SystemRoots | Trust::Anyone) | None => String::new(),
    };
    vec![
        ("id", json!(device.id)),
        ("kind", json!(kind(device.kind))),
        ("address", json!(device.address())),
        ("tls_fingerprint", json!(fingerprint)),
        ("rtsp_port", json!(device.rtsp_port.unwrap_or(0))),
        ("user", json!(device.user)),
        ("password", blank(Some(&device.password))),
        ("channels", json!(device.channels)),
        ("streams", json!(streams)),
        ("transport", json!(if device.transport == Transport::Udp { "udp" } else { "tcp" })),
        ("enabled", json!(device.enabled)),
    ]
}

fn transcode_keys(transcode: &transcode::Settings) -> Keys {
    let streams: Vec<&str> = transcode.streams.iter().map(|p| p.as_str()).collect();
    vec![
        ("video", json!(transcode.video.as_str())),
        ("size", json!(transcode.size.map_or(String::new(), |(w, h)| format!("{w}x{h}")))),
        ("bitrate", json!(transcode.bits_per_second.map_or(String::new(), |b| b.to_string()))),
        ("fps", json!(transcode.fps.unwrap_or(0))),
        ("preset", json!(transcode.preset)),
        ("streams", json!(streams)),
    ]
}

fn recording_keys(recording: &Recording) -> Keys {
    let sync = match recording.sync {
        Sync::Every(d) => format_duration(d),
        Sync::Segment => "segment".into(),
        Sync::Off => "off".into(),
    };
    vec![
        ("enabled", json!(recording.enabled)),
        ("mode", json!(if recording.mode == Mode::Image { "image" } else { "video" })),
        ("segment", json!(format_duration(recording.segment))),
        ("fragment", json!(format_duration(recording.fragment))),
        ("sync", json!(sync)),
        ("checksum", json!(recording.checksum.as_str())),
        ("audio", json!(recording.audio)),
        ("schedule", json!(recording.schedule.as_ref().map(ToString::to_string).unwrap_or_default())),
        ("retain_days", json!(recording.retain_days)),
        ("retain_bytes", json!(format_size(recording.retain_bytes))),
        ("min_free", json!(min_free(recording.min_free))),
    ]
}

/// The keys of one device that differ from those of all.
fn changed_keys(own: &Recording, all: &Recording) -> Keys {
    let all = recording_keys(all);
    recording_keys(own).into_iter().filter(|pair| !all.contains(pair)).collect()
}

/// The word of the file.
pub(super) const fn kind(kind: DeviceKind) -> &'static str {
    match kind {
        DeviceKind::Camera => "camera",
        DeviceKind::Nvr => "nvr",
        DeviceKind::Gateway => "gateway",
    }
}

fn min_free(min_free: MinFree) -> String {
    match min_free {
        MinFree::Percent(percent) => format!("{percent}%"),
        MinFree::Bytes(bytes) => format_size(bytes),
    }
}

fn blank(secret: Option<&Secret>) -> Value {
    json!(secret.map_or(String::new(), Secret::to_string))
}

fn object(keys: Keys) -> Map<String, Value> {
    keys.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Writes one section. JSON's text, numbers and lists are TOML's too, save for `\/`, which serde_json never writes.
fn put(out: &mut String, header: Option<String>, keys: Keys) {
    if keys.is_empty() {
        return;
    }
    if let Some(header) = header {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "\n{header}");
    }
    for (key, value) in keys {
        let _ = writeln!(out, "{key} = {value}");
    }
}
