//! Sessions of the console: a token given once, kept by the browser as a cookie that no script reads.

use crate::{
    admin::{
        api::{Api, json},
        call::Call,
        failure::Failure,
        session::{self, Jar},
        views::SessionView,
    },
    serve::Response,
};
use http::{HeaderValue, header::SET_COOKIE};
use serde::Deserialize;
use std::sync::Arc;

/// A token and a few letters more.
const BODY_BYTES_MAX: usize = 8 << 10;

/// The body of a request for a session.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    token: String,
}

pub(in crate::admin) async fn begin(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    session::check_page(&call.request, false)?;
    if !api.guard.needs_token() {
        return show(api, call).await;
    }
    let (jar, peer) = (Jar::of(&call.request), call.request.peer);
    let bytes = call.request.body(BODY_BYTES_MAX).await?;
    // What was sent may be most of a token: nothing of it is said again.
    let asked: Asked =
        serde_json::from_slice(&bytes).map_err(|_| Failure::body("send {\"token\": \"…\"}, and nothing beside it"))?;
    let (delay, role) = api.guard.try_token(asked.token.trim(), peer)?;
    // A wrong one costs time, and a right one behind wrong ones too: else the time would tell.
    tokio::time::sleep(delay).await;
    let role = role.ok_or_else(Failure::wrong_token)?;
    let begun = api.guard.new_session(role);
    let expires = begun.as_ref().map(|(_, expires)| *expires);
    let mut response = json(&SessionView { role: Some(role), expires, needs_token: true })?;
    if let Some((value, _)) = begun {
        set(&mut response, &jar.keep(&value));
    }
    Ok(response)
}

/// Who asks. A session that is used goes on.
pub(in crate::admin) async fn show(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    if !api.guard.needs_token() {
        return json(&SessionView { role: api.guard.role_of(&call.request), expires: None, needs_token: false });
    }
    let Some(held) = api.guard.session_of(&call.request) else {
        return json(&SessionView { role: api.guard.role_of(&call.request), expires: None, needs_token: true });
    };
    let renewed = if held.is_old { api.guard.new_session(held.role) } else { None };
    let expires = renewed.as_ref().map_or(held.expires, |(_, expires)| *expires);
    let mut response = json(&SessionView { role: Some(held.role), expires: Some(expires), needs_token: true })?;
    if let Some((value, _)) = renewed {
        set(&mut response, &Jar::of(&call.request).keep(&value));
    }
    Ok(response)
}

pub(in crate::admin) async fn end(api: Arc<Api>, call: Call) -> Result<Response, Failure> {
    session::check_page(&call.request, false)?;
    let needs_token = api.guard.needs_token();
    let mut response = json(&SessionView { role: None, expires: None, needs_token })?;
    set(&mut response, &Jar::of(&call.request).empty());
    Ok(response)
}

fn set(response: &mut Response, cookie: &str) {
    if let Ok(value) = HeaderValue::from_str(cookie) {
        response.headers_mut().append(SET_COOKIE, value);
    }
}
