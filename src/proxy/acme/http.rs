//! Requests to the authority, by the client that all of our own requests go by.

use crate::{
    model::Trust,
    outbound::{Address, Client, Limits},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use std::{future::Future, pin::Pin, time::Duration};

/// An answer has some kilobytes; a chain some tens.
const ANSWER_BYTES_MAX: usize = 1 << 20;
const TOTAL_MAX: Duration = Duration::from_secs(30);

pub(super) struct Http {
    /// Who the authority must be.
    pub(super) trust: Trust,
}

impl HttpClient for Http {
    fn request(
        &self,
        request: http::Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let trust = self.trust;
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            let body = body.collect().await.map_or_else(|never| match never {}, http_body_util::Collected::to_bytes);
            let is_https = parts.uri.scheme() == Some(&http::uri::Scheme::HTTPS);
            let host = parts.uri.host().ok_or("the authority's address has no host")?;
            let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let port = parts.uri.port_u16().unwrap_or(if is_https { 443 } else { 80 });
            let path = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
            parts.uri = path.parse().map_err(|_| "the authority's address has no path")?;
            let limits = Limits { total: TOTAL_MAX, body_bytes_max: ANSWER_BYTES_MAX, ..Limits::default() };
            let client = Client::new(Address::Tcp { host, port }, limits);
            let client = if is_https { client.over_tls(trust) } else { client };
            let answered = client.request(http::Request::from_parts(parts, body)).await;
            let answered = answered.map_err(|e| Error::Other(Box::new(e)))?;
            Ok(BytesResponse::from(answered.map(Full::new)))
        })
    }
}
