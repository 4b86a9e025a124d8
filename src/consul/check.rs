//! Definitions of checks: read, judged, and shown again. Pure.

use super::{fields::Fields, refusal::Refusal, time};
use crate::{
    model::Health,
    registry::{Asked, Begun, Check, CheckKind, How, HttpAsk},
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
            ("UDP", "checks by UDP"),
            ("H2PING", "checks by pings of HTTP/2"),
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
        for name in ["TCPUseTLS", "GRPCUseTLS", "TLSSkipVerify"] {
            if fields.flag(name)? {
                return Err(Refusal::left_out(&format!("checks with {name}")));
            }
        }
        let (http, tcp, grpc) = (fields.text("HTTP")?, fields.text("TCP")?, fields.text("GRPC")?);
        let looks = [&http, &tcp, &grpc].into_iter().filter(|text| !text.is_empty()).count();
        if !self.ttl.is_zero() && (looks > 0 || !self.interval.is_zero()) {
            return Err(bad("Interval and TTL cannot both be specified"));
        }
        if looks == 0 {
            return match self.ttl.is_zero() {
                true => Err(bad("TTL must be > 0 for TTL checks")),
                false => Ok(("ttl", How::Ttl(self.ttl))),
            };
        }
        if self.interval.is_zero() {
            return Err(bad("Interval must be > 0 for Script, HTTP, H2PING, TCP, UDP or OSService checks"));
        }
        let (kind, look) = match (http.is_empty(), tcp.is_empty()) {
            (false, _) => ("http", self.http(http)?),
            (true, false) => {
                let (host, port) = place(&tcp).ok_or_else(|| bad(&format!("{tcp:?} is not a host with a port")))?;
                ("tcp", CheckKind::TcpAt(host, port))
            }
            (true, true) => {
                let (at, service) = grpc.split_once('/').unwrap_or((&grpc, ""));
                let (host, port) = place(at).ok_or_else(|| bad(&format!("{grpc:?} is not a host with a port")))?;
                ("grpc", CheckKind::GrpcAt(host, port, service.into()))
            }
        };
        self.look(look, bad).map(|look| (kind, How::Look(look)))
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
        // By default the first success and the first failure count.
        let (rise, fall) = (rise.max(1), fall.max(1));
        Ok(Check { kind, interval: self.interval.max(INTERVAL_MIN), timeout, rise, fall })
    }

    fn http(&self, url: String) -> Result<CheckKind, Refusal> {
        let (method, body) = (self.fields.text("Method")?, self.fields.text("Body")?);
        let headers: Vec<(String, String)> = self
            .headers()?
            .into_iter()
            .flat_map(|(name, all)| all.into_iter().map(move |one| (name.clone(), one)))
            .collect();
        let is_plain = (method.is_empty() || method == "GET") && body.is_empty() && headers.is_empty();
        if is_plain {
            return Ok(CheckKind::Http(url.into()));
        }
        let method = if method.is_empty() { "GET".to_owned() } else { method };
        Ok(CheckKind::HttpAsk(Arc::new(HttpAsk { url, method, headers, body })))
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
        for name in ["HTTP", "Method", "Body", "TCP", "GRPC"] {
            let text = self.fields.text(name)?;
            if !text.is_empty() {
                shown.insert(name.to_owned(), text.into());
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
fn place(text: &str) -> Option<(Arc<str>, u16)> {
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
        assert_eq!((&look.kind, look.interval), (&CheckKind::Http("http://a:1/h".into()), INTERVAL_MIN));
        assert_eq!((look.timeout, look.rise, look.fall), (TIMEOUT_DEFAULT, 1, 1));
        assert_eq!((&*http.asked.id, http.health), ("x", Health::Passing));
        let asked =
            of(r#"{"HTTP": "http://a/", "Method": "POST", "Header": {"X": ["1", "2"]}, "Interval": 5000000000}"#)
                .unwrap();
        let How::Look(Check { kind: CheckKind::HttpAsk(ask), .. }) = &asked.asked.how else { panic!() };
        assert_eq!((ask.method.as_str(), ask.headers.len()), ("POST", 2));
        let words: Words = serde_json::from_str(&asked.asked.words).unwrap();
        assert_eq!((words.interval.as_str(), words.kind.as_str()), ("5s", "http"));
        let tcp = of(r#"{"tcp": "[::1]:80", "interval": "5s"}"#).unwrap();
        let How::Look(Check { kind, .. }) = &tcp.asked.how else { panic!() };
        assert_eq!(kind, &CheckKind::TcpAt("::1".into(), 80));
        let grpc = of(r#"{"grpc": "a:80/x.Y", "interval": "5s"}"#).unwrap();
        let How::Look(Check { kind, .. }) = &grpc.asked.how else { panic!() };
        assert_eq!(kind, &CheckKind::GrpcAt("a".into(), 80, "x.Y".into()));
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
                r#"{"http": "https://a/", "interval": "1s", "tls_skip_verify": true}"#,
                "skyvis does not serve checks with TLSSkipVerify",
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
