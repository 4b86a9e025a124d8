//! Somebody else says whether a play may be seen: an address, or a service of the registry by its name.

use super::{Error, Play, Shown, enter::Given};
use crate::{
    base::Secret,
    model::Trust,
    outbound::{Address, Client, Limits},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

/// A person waits for the answer.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(2),
    total: Duration::from_secs(5),
    idle: Duration::from_secs(5),
    body_bytes_max: 64 << 10,
};
/// Where a 429 does not say how long.
const RETRY_DEFAULT: Duration = Duration::from_secs(60);
/// How long a 429 may make somebody wait.
const RETRY_MAX: Duration = Duration::from_secs(3600);

/// Where services of the registry are to be found.
pub trait Services: Send + Sync + 'static {
    /// Where a live instance of a service listens; none where nobody is live. None: there is no such service.
    fn targets(&self, service: &str) -> Option<Arc<[SocketAddr]>>;
}

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    url: String,
    tls: bool,
    host: String,
    port: Option<u16>,
    path: String,
}

impl Asking {
    /// From an `http://` or `https://` URL. A host without a port that is a service of the registry is that service.
    pub fn parse(text: &str) -> Result<Self, String> {
        let right = "write for example \"http://10.0.0.5:9000/may-see\", or \"http://SERVICE/may-see\"";
        let url = url::Url::parse(text).map_err(|e| format!("is not a URL ({e}); {right}"))?;
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(format!("must begin with http:// or https://; {right}")),
        };
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(format!("must not hold a user, a password or `#`; {right}"));
        }
        let host = url.host_str().filter(|h| !h.is_empty()).ok_or_else(|| format!("names no host; {right}"))?;
        let path = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let host = host.trim_matches(['[', ']']).to_owned();
        Ok(Self { url: text.to_owned(), tls, host, port: url.port(), path })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.url
    }

    /// Whether the play may be seen by whoever sends this.
    pub(super) async fn ask(&self, services: &dyn Services, question: Question<'_>) -> Result<(), Error> {
        let request = self.request(&question)?;
        let answer = self.client(services)?.request(request).await.map_err(|e| Error::Authorizer(e.to_string()))?;
        let sent_none = matches!(question.given, Given::Nothing);
        match answer.status() {
            status if status.is_success() => Ok(()),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if sent_none => Err(Error::PasswordNeeded),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(Error::WrongPassword),
            StatusCode::NOT_FOUND => Err(Error::NotKnown),
            StatusCode::GONE => Err(Error::Expired),
            StatusCode::TOO_MANY_REQUESTS => {
                let wait = answer.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
                Err(Error::Refused(wait.map_or(RETRY_DEFAULT, Duration::from_secs).min(RETRY_MAX)))
            }
            other => Err(Error::Authorizer(format!("it answered {other}"))),
        }
    }

    fn client(&self, services: &dyn Services) -> Result<Client, Error> {
        let default = if self.tls { 443 } else { 80 };
        let address = Address::Tcp { host: self.host.clone(), port: self.port.unwrap_or(default) };
        let client = Client::new(address, LIMITS);
        let client = match self.port.is_none().then(|| services.targets(&self.host)).flatten() {
            Some(targets) if targets.is_empty() => {
                return Err(Error::Authorizer(format!("service {} has no live instance", self.host)));
            }
            Some(targets) => client.at(targets),
            None => client,
        };
        Ok(if self.tls { client.over_tls(Trust::SystemRoots) } else { client })
    }

    fn request(&self, question: &Question<'_>) -> Result<Request<Bytes>, Error> {
        let Question { play, given, address, cookie } = question;
        let mut request = Request::get(&self.path)
            .header("x-original-method", "GET")
            .header("x-original-uri", format!("/vod/{}", play.id))
            .header("x-skyvis-play", play.id.as_str())
            .header("x-skyvis-stream", play.stream.to_string());
        request = match play.shown {
            Shown::Recorded(range) => {
                request.header("x-skyvis-from", range.from.to_string()).header("x-skyvis-to", range.to.to_string())
            }
            Shown::Live => request.header("x-skyvis-live", "true"),
        };
        if let Some(address) = address {
            request = request.header("x-forwarded-for", address.to_string());
        }
        if let Given::Password { user, password } = given {
            request = request.header(header::AUTHORIZATION, basic(user, password)?);
        }
        if let Some(cookie) = cookie {
            request = request.header(header::COOKIE, (*cookie).clone());
        }
        request.body(Bytes::new()).map_err(|e| Error::Authorizer(e.to_string()))
    }
}

/// What is asked.
pub(super) struct Question<'a> {
    pub(super) play: &'a Play,
    pub(super) given: &'a Given,
    pub(super) address: Option<IpAddr>,
    pub(super) cookie: Option<&'a HeaderValue>,
}

fn basic(user: &str, password: &Secret) -> Result<HeaderValue, Error> {
    let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.expose()));
    let mut value = HeaderValue::try_from(format!("Basic {pair}")).map_err(|e| Error::Authorizer(e.to_string()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whom_to_ask_is_read_or_refused() {
        let asking = Asking::parse("https://[::1]:8443/may?x=1").unwrap();
        let wanted = (true, "::1".to_owned(), Some(8443), "/may?x=1".to_owned());
        assert_eq!((asking.tls, asking.host.clone(), asking.port, asking.path.clone()), wanted);
        assert_eq!(Asking::parse("http://old-gateway").unwrap().path, "/");
        for text in ["", "x", "ftp://a/", "http://", "http://u:p@a/", "http://a/#b", "http:///x y"] {
            assert!(Asking::parse(text).is_err(), "{text}");
        }
    }
}
