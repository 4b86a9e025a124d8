//! One line: as text it is the combined format that log readers know, with a few words behind it; or a JSON object.

use crate::{
    base::Wall,
    proxy::h1::{RequestHead, Version},
};
use std::{cell::OnceCell, io::Write as _, net::IpAddr, sync::Arc};

/// What is kept of a text, in bytes: a line stays a line.
const TEXT_BYTES_MAX: usize = 2048;

/// What is known of a request when it begins.
pub(in crate::proxy) struct Line {
    json: bool,
    address: IpAddr,
    begun: Wall,
    method: Vec<u8>,
    target: Vec<u8>,
    version: &'static str,
    host: Vec<u8>,
    referer: Vec<u8>,
    agent: Vec<u8>,
    upstream: OnceCell<Arc<str>>,
}

/// What became of it.
#[derive(Default)]
pub(in crate::proxy) struct Outcome<'a> {
    pub(in crate::proxy) route: &'a str,
    pub(in crate::proxy) status: u16,
    pub(in crate::proxy) micros: u64,
    pub(in crate::proxy) received: u64,
    pub(in crate::proxy) sent: u64,
    pub(in crate::proxy) cut: bool,
    /// Why it was refused, or could not be answered.
    pub(in crate::proxy) reason: Option<&'static str>,
}

impl Line {
    pub(super) fn of(json: bool, address: IpAddr, begun: Wall, head: &RequestHead, bytes: &[u8]) -> Self {
        let text = |bytes: &[u8]| bytes[..bytes.len().min(TEXT_BYTES_MAX)].to_vec();
        let field = |name| text(head.find(bytes, name).unwrap_or_default());
        Self {
            method: text(head.method_bytes(bytes)),
            target: text(head.target(bytes)),
            version: if head.version() == Version::Http10 { "HTTP/1.0" } else { "HTTP/1.1" },
            host: text(head.host(bytes)),
            referer: field("referer"),
            agent: field("user-agent"),
            ..Self::nothing(json, address, begun)
        }
    }

    /// It came over HTTP/2.
    pub(super) fn over_h2(self) -> Self {
        Self { version: "HTTP/2.0", ..self }
    }

    /// Of what was no request.
    pub(super) fn nothing(json: bool, address: IpAddr, begun: Wall) -> Self {
        Self {
            json,
            address,
            begun,
            method: Vec::new(),
            target: Vec::new(),
            version: "",
            host: Vec::new(),
            referer: Vec::new(),
            agent: Vec::new(),
            upstream: OnceCell::new(),
        }
    }

    /// Where it went first.
    pub(in crate::proxy) fn upstream(&self, name: &Arc<str>) {
        self.upstream.get_or_init(|| name.clone());
    }

    /// Writes it behind `out`, with its end.
    pub(super) fn write(&self, outcome: &Outcome<'_>, out: &mut Vec<u8>) {
        // Writing to memory cannot fail.
        let _ = if self.json { self.write_json(outcome, out) } else { self.write_text(outcome, out) };
    }

    fn write_text(&self, o: &Outcome<'_>, out: &mut Vec<u8>) -> std::io::Result<()> {
        let time = jiff::Timestamp::strftime(&self.begun.to_timestamp(), "%d/%b/%Y:%H:%M:%S +0000").to_string();
        write!(out, "{} - - [{time}] \"", self.address)?;
        if !self.method.is_empty() {
            quoted(&self.method, out);
            out.push(b' ');
            quoted(&self.target, out);
            write!(out, " {}", self.version)?;
        }
        write!(out, "\" {} {} \"", o.status, o.sent)?;
        or_dash(&self.referer, out);
        out.extend_from_slice(b"\" \"");
        or_dash(&self.agent, out);
        write!(out, "\" {}.{:06} ", o.micros / 1_000_000, o.micros % 1_000_000)?;
        or_dash(o.route.as_bytes(), out);
        out.push(b' ');
        or_dash(self.upstream.get().map_or("", |name| name).as_bytes(), out);
        let note = o.reason.unwrap_or(if o.cut { "cut" } else { "-" });
        writeln!(out, " {note}")
    }

    fn write_json(&self, o: &Outcome<'_>, out: &mut Vec<u8>) -> std::io::Result<()> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let line = serde_json::json!({
            "time": self.begun.to_string(),
            "client": self.address.to_string(),
            "method": text(&self.method),
            "target": text(&self.target),
            "host": text(&self.host),
            "referer": text(&self.referer),
            "agent": text(&self.agent),
            "status": o.status,
            "micros": o.micros,
            "received": o.received,
            "sent": o.sent,
            "route": o.route,
            "upstream": self.upstream.get().map(|name| name.to_string()),
            "cut": o.cut,
            "reason": o.reason,
        });
        writeln!(out, "{line}")
    }
}

fn or_dash(text: &[u8], out: &mut Vec<u8>) {
    if text.is_empty() {
        out.push(b'-');
    } else {
        quoted(text, out);
    }
}

/// What a client wrote cannot end the quotes or the line.
fn quoted(text: &[u8], out: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            b' '..=b'~' => out.push(*byte),
            _ => {
                let _ = write!(out, "\\x{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::h1::{Limits, parse_request};

    fn line(json: bool, agent: &str) -> String {
        let wire = format!("GET /a?b=\"c\" HTTP/1.1\r\nHost: x\r\nUser-Agent: {agent}\r\n\r\n");
        let mut head = RequestHead::default();
        parse_request(wire.as_bytes(), &Limits::default(), &mut head).unwrap().unwrap();
        let begun = Wall::from_millis(1_800_000_000_000);
        let line = Line::of(json, "10.0.0.1".parse().unwrap(), begun, &head, wire.as_bytes());
        line.upstream(&"a".into());
        let outcome = Outcome { route: "api", status: 200, micros: 1234, sent: 5, ..Outcome::default() };
        let mut out = Vec::new();
        line.write(&outcome, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_is_what_log_readers_know_and_no_client_can_forge_another() {
        let text = line(false, "x\" 500 \u{e9}\\");
        let request = r#""GET /a?b=\"c\" HTTP/1.1" 200 5 "-" "x\" 500 \xC3\xA9\\" 0.001234 api a -"#;
        assert_eq!(text, format!("10.0.0.1 - - [15/Jan/2027:08:00:00 +0000] {request}\n"));
        let json: serde_json::Value = serde_json::from_str(&line(true, "x\"")).unwrap();
        assert_eq!((json["status"].as_u64(), json["agent"].as_str()), (Some(200), Some("x\"")));
        assert_eq!(json["target"], "/a?b=\"c\"");
    }
}
