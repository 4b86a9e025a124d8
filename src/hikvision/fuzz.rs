//! Everything that devices answer, read from any bytes: for fuzzing.

use super::{
    answers,
    auth::{Challenge, Login},
    gateway, json,
    status::{self, About},
    xml,
};
use http::{HeaderMap, HeaderValue, header};

/// A body of XML, taken for each answer that there is.
pub fn xml(body: &[u8]) {
    if let Ok(root) = xml::parse(body) {
        // Errors are answers: what is wanted is that each one comes.
        let _ = answers::identity(&root);
        let _ = answers::streams(&root);
        let _ = answers::inputs(&root);
        let _ = answers::proxied(&root);
        let _ = answers::states(&root);
        answers::state(&root);
        answers::rtsp_port(&root);
        status::lock_state(&root);
    }
    status::lock_state_of(body);
    for code in [200, 403, 404, 500] {
        let _ = status::judge("/ISAPI/System/deviceInfo", code, body);
    }
}

/// A body of JSON, taken for each answer of a gateway.
pub fn json(body: &[u8]) {
    if let Ok(answer) = json::parse(body) {
        let _ = gateway::page(&answer);
        gateway::channels(&answer);
        gateway::lock_state_in(&answer);
    }
    gateway::lock_state(body);
    for about in [About::Gateway, About::Device] {
        for code in [200, 403, 500] {
            let _ = status::judge_json("/ISAPI/ContentMgmt/DeviceMgmt/deviceList", code, body, about);
        }
    }
}

/// Challenges of a 401, one a line, answered.
pub fn challenges(lines: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in lines.split(|b| *b == b'\n').take(4) {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(header::WWW_AUTHENTICATE, value);
        }
    }
    if let Ok(mut challenge) = Challenge::read(&headers) {
        challenge.stale();
        let uri = "/ISAPI/System/deviceInfo";
        let _ = challenge.answer(&Login { user: "admin", password: "password", method: "GET", uri, body: b"" });
        let again = Challenge::read(&headers).expect("what was read once is read again");
        challenge.differs(&again);
        // What a device says with its answer has the same spelling.
        if let Some(info) = headers.get(header::WWW_AUTHENTICATE).cloned() {
            headers.insert("authentication-info", info);
        }
        challenge.after(&headers);
    }
}
