//! Virtual files as HTTP answers: conditions, ranges, headers.

use super::{body, metrics::Meters, plan::Plan, pour::Pouring};
use crate::{
    base::Clock,
    disk::Disk,
    serve::{Body, ETag, Precondition, RangeOutcome, Request, Response, if_range_holds, problem},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{
        ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use std::sync::Arc;

/// What an answer says of its content.
pub(super) struct Content {
    pub(super) content_type: &'static str,
    pub(super) cache_control: &'static str,
    pub(super) tag: String,
    /// Under which name it is saved, and whether it is saved rather than shown.
    pub(super) file_name: Option<(String, bool)>,
}

/// What bytes are sent by.
pub(super) struct Sender {
    pub(super) disk: Disk,
    pub(super) clock: Clock,
    pub(super) meters: Meters,
}

/// May change as footage grows or goes: ask again each time.
pub(super) const REVALIDATE: &str = "private, no-cache";
/// Another one each time.
pub(super) const NOW: &str = "private, no-store";
/// Its address names its content.
pub(super) const IMMUTABLE: &str = "private, max-age=86400, immutable";

/// Sends a plan or the range of it that was asked for. Also says how it went, for the count.
pub(super) fn plan(request: &Request, plan: Arc<Plan>, content: &Content, by: &Sender) -> (Response, &'static str) {
    let Sender { disk, clock, meters } = by;
    answer(request, content, plan.layout.len(), |range| {
        let pouring = Pouring {
            plan: plan.clone(),
            range: range.clone(),
            files: disk.files(),
            meters: meters.clone(),
            asked: clock.now(),
            open: None,
        };
        let meters = meters.clone();
        Body::sized(range.end - range.start, body::stream(plan, range, disk.clone(), meters)).pouring(pouring)
    })
}

/// Sends bytes at hand.
pub(super) fn bytes(request: &Request, bytes: &Bytes, content: &Content, meters: &Meters) -> (Response, &'static str) {
    answer(request, content, bytes.len() as u64, |range| {
        let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(bytes.len());
        if !request.head_only {
            meters.sent_bytes.inc_by(range.end - range.start);
        }
        Body::bytes(bytes.slice(at(range.start)..at(range.end)))
    })
}

fn answer(
    request: &Request,
    content: &Content,
    len: u64,
    body: impl FnOnce(std::ops::Range<u64>) -> Body,
) -> (Response, &'static str) {
    let tag = ETag::new(&content.tag);
    match Precondition::of(&request.headers, &tag) {
        Precondition::Go => {}
        Precondition::NotModified => return (bare(StatusCode::NOT_MODIFIED, content, &tag), "not_modified"),
        Precondition::Failed => {
            let detail = "the footage in this range is no longer what If-Match names";
            let failed = problem(StatusCode::PRECONDITION_FAILED, "precondition-failed", "Precondition failed", detail);
            return (failed, "precondition_failed");
        }
    }
    let asked = request.headers.get(RANGE).filter(|_| if_range_holds(&request.headers, &tag));
    let (status, range) = match RangeOutcome::parse(asked, len) {
        RangeOutcome::Whole => (StatusCode::OK, None),
        RangeOutcome::Part(range) => (StatusCode::PARTIAL_CONTENT, Some(range)),
        RangeOutcome::Unsatisfiable => {
            let detail = format!("the file has {len} bytes");
            let mut response =
                problem(StatusCode::RANGE_NOT_SATISFIABLE, "range-not-satisfiable", "Range not satisfiable", detail);
            response.headers_mut().insert(CONTENT_RANGE, RangeOutcome::unsatisfied(len));
            response.headers_mut().insert(ETAG, tag.header());
            return (response, "unsatisfiable");
        }
    };
    let sent = range.map_or(0..len, |r| r.first..r.last + 1);
    let mut response = bare(status, content, &tag);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content.content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(sent.end - sent.start));
    if let Some(range) = range {
        headers.insert(CONTENT_RANGE, range.content_range(len));
    }
    disposition(headers, content);
    *response.body_mut() = body(sent);
    (response, if range.is_some() { "partial" } else { "ok" })
}

/// What a 200, a 206 and a 304 have in common.
fn bare(status: StatusCode, content: &Content, tag: &ETag) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(ETAG, tag.header());
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(content.cache_control));
    response
}

fn disposition(headers: &mut HeaderMap, content: &Content) {
    let Some((name, save)) = &content.file_name else { return };
    let kind = if *save { "attachment" } else { "inline" };
    if let Ok(value) = HeaderValue::try_from(format!("{kind}; filename=\"{name}\"")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
}
