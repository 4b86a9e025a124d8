//! Definitions of checks: read, judged, and shown again. Pure.

use super::{fields::Fields, refusal::Refusal, time};
use crate::{
    model::Health,
    registry::{Asked, At, Begun, Check, CheckKind, CheckTls, How, HttpAsk, Talk},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// A check may not come more often.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
/// How long one look takes where nothing is said; as the API has it.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// Of what a check says so much is kept, as the API has it.
const OUTPUT_BYTES_MAX: usize = 4_096;

/// What is kept of a check beside what the registry knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Words {
    pub name: String,
    pub notes: String,
    pub kind: String,
    pub interval: String,
    pub timeout: String,
    pub definition: Map<String, Value>,
}

/// What a definition says.
struct Definition<'a> {
    fields: &'a Fields,
    ttl: Duration,
    interval: Duration,
    timeout: Duration,
}

/// Who a check is for, where nothing else is said: what it is called then.
pub(super) struct Usual {
    pub id: String,
    pub name: String,
}

/// The word of a status.
pub(super) fn health(word: &str) -> Option<Health> {
    Some(match word {
        "passing" => Health::Passing,
        "warning" => Health::Warning,
        "critical" => Health::Critical,
        _ => return None,
    })
}

/// The word of a health; there is none for being taken out.
pub(super) fn word(health: Health) -> &'static str {
    match health {
        Health::Passing => "passing",
        Health::Warning => "warning",
        Health::Critical | Health::Maintenance => "critical",
    }
}

/// What a check is called by what it looks for.
pub(super) fn kind(talk: &Talk) -> &'static str {
    match talk {
        Talk::Connect => "tcp",
        Talk::Grpc(_) => "grpc",
        Talk::Ping => "h2ping",
        Talk::Datagram(_) => "udp",
    }
}

/// As much of what a check says as is kept.
pub(super) fn clipped(output: &str) -> String {
    if output.len() <= OUTPUT_BYTES_MAX {
        return output.to_owned();
    }
    let tail = format!(" ... (captured {OUTPUT_BYTES_MAX} of {} bytes)", output.len());
    // The registry keeps so many bytes in all.
    let mut end = OUTPUT_BYTES_MAX - tail.len();
    while !output.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{tail}", &output[..end])
}

/// The status that a definition begins with.
fn begins(fields: &Fields, otherwise: Health) -> Result<Health, Refusal> {
    match fields.text("Status")?.as_str() {
        "" => Ok(otherwise),
        status => health(status).ok_or_else(|| Refusal::bad("Status for checks must 'passing', 'warning', 'critical'")),
    }
}

/// A check that an agent looks after.
pub(super) fn read(fields: &Fields, usual: &Usual) -> Result<Begun, Refusal> {
    let bad = |text: &str| Refusal::bad(format!("Invalid check: {text}"));
    let id = [fields.text("CheckID")?, fields.text("ID")?].into_iter().find(|id| !id.is_empty());
    let name = Some(fields.text("Name")?).filter(|name| !name.is_empty());
    let definition = Definition {
        fields,
        ttl: fields.time("TTL")?,
        interval: fields.time("Interval")?,
        timeout: fields.time("Timeout")?,
    };
    let (kind, how) = definition.how(&bad)?;
    let remove = fields.time("DeregisterCriticalServiceAfter")?;
    let shown = |time: Duration| if time.is_zero() { String::new() } else { time::show(time) };
    let words = Words {
        name: name.unwrap_or_else(|| usual.name.clone()),
        notes: fields.text("Notes")?,
        kind: kind.to_owned(),
        interval: shown(definition.interval),
        timeout: shown(definition.timeout),
        definition: definition.shown(remove)?,
    };
    let asked = Asked {
        id: id.unwrap_or_else(|| usual.id.clone()).into(),
        how,
        remove_after: (!remove.is_zero()).then_some(remove),
        words: text(&words),
    };
    Ok(Begun { asked: Arc::new(asked), health: begins(fields, Health::Critical)?, output: "".into() })
}

/// A check whose status is stated by whoever registers it.
pub(super) fn stated(fields: &Fields, usual: &Usual) -> Result<Begun, Refusal> {
    let named = |all: [String; 2]| all.into_iter().find(|text| !text.is_empty());
    let name = named([fields.text("Name")?, String::new()]).unwrap_or_else(|| usual.name.clone());
    let id = named([fields.text("CheckID")?, fields.text("Name")?]).unwrap_or_else(|| usual.id.clone());
    let definition = match fields.get("Definition") {
        Some(Value::Object(map)) => map.clone(),
        _ => Map::new(),
    };
    let words = Words { name, notes: fields.text("Notes")?, definition, ..Words::default() };
    let asked = Asked { id: id.into(), how: How::Stated, remove_after: None, words: text(&words) };
    let health = begins(fields, Health::Critical)?;
    Ok(Begun { asked: Arc::new(asked), health, output: fields.text("Output")?.into() })
}

/// The check that stands for having been taken out.
pub(super) fn maintenance(id: String, name: &str, reason: &str, whose: &str) -> Begun {
    let usual =
        format!("Maintenance mode is enabled for this {whose}, but no reason was provided. This is a default message.");
    let notes = if reason.is_empty() { usual } else { reason.to_owned() };
    let words =
        Words { name: name.to_owned(), notes: notes.clone(), kind: "maintenance".to_owned(), ..Words::default() };
    let asked = Asked { id: id.into(), how: How::Maintenance, remove_after: None, words: text(&words) };
    Begun { asked: Arc::new(asked), health: Health::Critical, output: notes.into() }
}

fn text(words: &Words) -> Arc<str> {
    // Texts and JSON can always be written.
    serde_json::to_string(words).unwrap_or_default().into()
}

impl Definition<'_> {
    fn how(&self, bad: &dyn Fn(&str) -> Refusal) -> Result<(&'static str, How), Refusal> {
        let fields = self.fields;
        for (name, what) in [
            ("OSService", "checks of services of an operating system"),
            ("AliasNode", "checks that repeat others"),
            ("AliasService", "checks that repeat others"),
            ("DockerContainerID", "checks in containers"),
        ] {
            if !fields.text(name)?.is_empty() {
                return Err(Refusal::left_out(what));
            }
        }
        if fields.has("ScriptArgs") || fields.has("Args") || fields.has("Script") {
            return Err(Refusal::failed(
                "Scripts are disabled on this agent; skyvis runs none, register a check by HTTP, TCP, gRPC or TTL",
            ));
        }
        let mut looks = Vec::new();
        for name in ["HTTP", "TCP", "GRPC", "UDP", "H2PING"] {
            looks.push((name, fields.text(name)?));
        }
        let look = looks.into_iter().find(|(_, target)| !target.is_empty());
        if !self.ttl.is_zero() && (look.is_some() || !self.interval.is_zero()) {
            return Err(bad("Interval and TTL cannot both be specified"));
        }
        let Some((name, target)) = look else {
            return match self.ttl.is_zero() {
                true => Err(bad("TTL must be > 0 for TTL checks")),
                false => Ok(("ttl", How::Ttl(self.ttl))),
            };
        };
        if self.interval.is_zero() {
            return Err(bad("Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks"));
        }
        let (kind, look) = match name {
            "HTTP" => ("http", self.http(target)?),
            name => {
                let at = self.at(name, &target, bad)?;
                (self::kind(&at.talk), CheckKind::At(Arc::new(at)))
            }
        };
        self.look(look, bad).map(|look| (kind, How::Look(look)))
    }

    /// A place that is not asked by HTTP.
    fn at(&self, name: &str, target: &str, bad: &dyn Fn(&str) -> Refusal) -> Result<At, Refusal> {
        let (at, service) = match name {
            "GRPC" => target.split_once('/').unwrap_or((target, "")),
            _ => (target, ""),
        };
        let (host, port) = place(at).ok_or_else(|| bad(&format!("{target:?} is not a host with a port")))?;
        let (talk, is_tls) = match name {
            "TCP" => (Talk::Connect, self.fields.flag("TCPUseTLS")?),
            "GRPC" => (Talk::Grpc(service.to_owned()), self.fields.flag("GRPCUseTLS")?),
            "UDP" => (Talk::Datagram(self.fields.text("Body")?), false),
            // This one is over TLS where nothing else is said.
            _ => (Talk::Ping, !self.fields.has("H2PingUseTLS") || self.fields.flag("H2PingUseTLS")?),
        };
        let tls = if is_tls { Some(self.tls()?) } else { None };
        Ok(At { host, port, talk, tls })
    }

    fn tls(&self) -> Result<CheckTls, Refusal> {
        Ok(CheckTls { name: self.fields.text("TLSServerName")?, is_anyones: self.fields.flag("TLSSkipVerify")? })
    }

    fn look(&self, kind: CheckKind, bad: &dyn Fn(&str) -> Refusal) -> Result<Check, Refusal> {
        let count = |name: &str| -> Result<u32, Refusal> {
            u32::try_from(self.fields.number(name)?).map_err(|_| bad(&format!("{name} is too large")))
        };
        let (rise, fall) = (count("SuccessBeforePassing")?, count("FailuresBeforeCritical")?);
        let warns = count("FailuresBeforeWarning")?;
        if fall > 0 && warns > fall {
            return Err(bad("FailuresBeforeWarning can't be higher than FailuresBeforeCritical"));
        }
        let timeout = if self.timeout.is_zero() { TIMEOUT_DEFAULT } else { self.timeout };
        // By default the first success and the first failure count, and none is worth a warning alone.
        let (rise, fall, warn) = (rise.max(1), fall.max(1), (warns > 0).then_some(warns));
        Ok(Check { kind, interval: self.interval.max(INTERVAL_MIN), timeout, rise, fall, warn })
    }

    fn http(&self, url: String) -> Result<CheckKind, Refusal> {
        let (method, body) = (self.fields.text("Method")?, self.fields.text("Body")?);
        let headers: Vec<(String, String)> = self
            .headers()?
            .into_iter()
            .flat_map(|(name, all)| all.into_iter().map(move |one| (name.clone(), one)))
            .collect();
        let method = if method.is_empty() { "GET".to_owned() } else { method };
        let (follows, tls) = (!self.fields.flag("DisableRedirects")?, self.tls()?);
        Ok(CheckKind::HttpAsk(Arc::new(HttpAsk { url, method, headers, body, follows, tls })))
    }

    fn headers(&self) -> Result<BTreeMap<String, Vec<String>>, Refusal> {
        match self.fields.get("Header") {
            None => Ok(BTreeMap::new()),
            Some(value) => serde_json::from_value(value.clone())
                .map_err(|e| Refusal::bad(format!("Request decode failed: json: field Header: {e}"))),
        }
    }

    /// As it is shown: times as text, nothing that was not said.
    fn shown(&self, remove: Duration) -> Result<Map<String, Value>, Refusal> {
        let mut shown = Map::new();
        for name in ["HTTP", "Method", "Body", "TCP", "GRPC", "UDP", "H2PING", "TLSServerName"] {
            let text = self.fields.text(name)?;
            if !text.is_empty() {
                shown.insert(name.to_owned(), text.into());
            }
        }
        for name in ["TLSSkipVerify", "TCPUseTLS", "GRPCUseTLS", "H2PingUseTLS", "DisableRedirects"] {
            if self.fields.has(name) {
                shown.insert(name.to_owned(), self.fields.flag(name)?.into());
            }
        }
        let headers = self.headers()?;
        if !headers.is_empty() {
            shown.insert("Header".to_owned(), json!(headers));
        }
        let times = [
            ("Interval", self.interval),
            ("Timeout", self.timeout),
            ("TTL", self.ttl),
            ("DeregisterCriticalServiceAfter", remove),
        ];
        for (name, time) in times.into_iter().filter(|(_, time)| !time.is_zero()) {
            shown.insert(name.to_owned(), time::show(time).into());
        }
        Ok(shown)
    }
}

/// `host:port`.
fn place(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty()).then_some(())?;
    Some((host.into(), port.parse().ok().filter(|port| *port != 0)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(body: &str) -> Result<Begun, Refusal> {
        let usual = Usual { id: "service:web".to_owned(), name: "Service 'web' check".to_owned() };
        read(&Fields::read(body.as_bytes()).unwrap(), &usual)
    }

    #[test]
    fn definitions_that_clients_send_are_read() {
        let ttl = of(r#"{"ttl": "10s", "deregister_critical_service_after": "30s"}"#).unwrap();
        assert_eq!((&*ttl.asked.id, &ttl.asked.how), ("service:web", &How::Ttl(Duration::from_secs(10))));
        assert_eq!((ttl.asked.remove_after, ttl.health), (Some(Duration::from_secs(30)), Health::Critical));
        let http = of(r#"{"http": "http://a:1/h", "interval": "100ms", "Status": "passing", "CheckID": "x"}"#).unwrap();
        let How::Look(look) = &http.asked.how else { panic!() };
        let CheckKind::HttpAsk(ask) = &look.kind else { panic!() };
        assert_eq!((ask.url.as_str(), ask.method.as_str(), look.interval), ("http://a:1/h", "GET", INTERVAL_MIN));
        assert!(ask.follows && ask.tls == CheckTls::default());
        assert_eq!((look.timeout, look.rise, look.fall), (TIMEOUT_DEFAULT, 1, 1));
        assert_eq!((&*http.asked.id, http.health), ("x", Health::Passing));
        let asked =
            of(r#"{"HTTP": "http://a/", "Method": "POST", "Header": {"X": ["1", "2"]}, "Interval": 5000000000}"#)
                .unwrap();
        let How::Look(Check { kind: CheckKind::HttpAsk(ask), .. }) = &asked.asked.how else { panic!() };
        assert_eq!((ask.method.as_str(), ask.headers.len()), ("POST", 2));
        let words: Words = serde_json::from_str(&asked.asked.words).unwrap();
        assert_eq!((words.interval.as_str(), words.kind.as_str()), ("5s", "http"));
    }

    #[test]
    fn places_are_looked_at_in_every_way_that_is_asked_for() {
        let tls = |name: &str, is_anyones| Some(CheckTls { name: name.to_owned(), is_anyones });
        for (body, kind, host, talk, tls) in [
            (r#"{"tcp": "[::1]:80", "interval": "5s"}"#, "tcp", "::1", Talk::Connect, None),
            (r#"{"TCP": "a:80", "TCPUseTLS": true, "interval": "5s"}"#, "tcp", "a", Talk::Connect, tls("", false)),
            (r#"{"grpc": "a:80/x.Y", "interval": "5s"}"#, "grpc", "a", Talk::Grpc("x.Y".into()), None),
            (
                r#"{"GRPC": "a:80", "grpc_use_tls": true, "tls_skip_verify": true, "interval": "5s"}"#,
                "grpc",
                "a",
                Talk::Grpc(String::new()),
                tls("", true),
            ),
            (r#"{"UDP": "a:80", "Body": "x", "interval": "5s"}"#, "udp", "a", Talk::Datagram("x".into()), None),
            (
                r#"{"H2PING": "a:80", "TLSServerName": "b", "interval": "5s"}"#,
                "h2ping",
                "a",
                Talk::Ping,
                tls("b", false),
            ),
            (r#"{"h2ping": "a:80", "h2ping_use_tls": false, "interval": "5s"}"#, "h2ping", "a", Talk::Ping, None),
        ] {
            let begun = of(body).unwrap();
            let How::Look(Check { kind: CheckKind::At(at), .. }) = &begun.asked.how else { panic!("{body}") };
            assert_eq!(**at, At { host: host.to_owned(), port: 80, talk, tls }, "{body}");
            let words: Words = serde_json::from_str(&begun.asked.words).unwrap();
            assert_eq!(words.kind, kind, "{body}");
        }
        let body = r#"{"http": "https://a/", "interval": "1s", "TLSSkipVerify": true, "DisableRedirects": true,
                       "FailuresBeforeWarning": 2, "FailuresBeforeCritical": 3}"#;
        let begun = of(body).unwrap();
        let How::Look(Check { kind: CheckKind::HttpAsk(ask), fall, warn, .. }) = &begun.asked.how else { panic!() };
        assert_eq!((ask.follows, ask.tls.is_anyones, *fall, *warn), (false, true, 3, Some(2)));
        let words: Words = serde_json::from_str(&begun.asked.words).unwrap();
        assert_eq!(
            (&words.definition["TLSSkipVerify"], &words.definition["DisableRedirects"]),
            (&json!(true), &json!(true))
        );
    }

    #[test]
    fn what_cannot_be_is_refused_in_the_words_of_the_api() {
        for (body, text) in [
            ("{}", "Invalid check: TTL must be > 0 for TTL checks"),
            (r#"{"ttl": "5s", "interval": "5s"}"#, "Invalid check: Interval and TTL cannot both be specified"),
            (
                r#"{"http": "http://a/"}"#,
                "Invalid check: Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks",
            ),
            (
                r#"{"tcp": "a:1", "interval": "1s", "FailuresBeforeWarning": 3, "FailuresBeforeCritical": 2}"#,
                "Invalid check: FailuresBeforeWarning can't be higher than FailuresBeforeCritical",
            ),
            (r#"{"ttl": "5s", "status": "fine"}"#, "Status for checks must 'passing', 'warning', 'critical'"),
            (r#"{"aliasservice": "x"}"#, "skyvis does not serve checks that repeat others"),
            (
                r#"{"OSService": "x", "interval": "1s"}"#,
                "skyvis does not serve checks of services of an operating system",
            ),
        ] {
            assert_eq!(of(body).unwrap_err().text, text);
        }
        assert!(of(r#"{"args": ["x"], "interval": "1s"}"#).unwrap_err().text.starts_with("Scripts are disabled"));
        assert!(of(r#"{"tcp": "nobody", "interval": "1s"}"#).unwrap_err().text.contains("not a host with a port"));
    }

    #[test]
    fn long_words_are_cut_and_say_so() {
        let long = clipped(&"é".repeat(5_000));
        assert!(
            long.len() <= OUTPUT_BYTES_MAX && long.ends_with(" ... (captured 4096 of 10000 bytes)"),
            "{}",
            long.len()
        );
        assert_eq!(clipped("short"), "short");
    }
}
