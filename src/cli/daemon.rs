//! The running daemon as a client sees it: where it is, how it is asked, what its refusals say.

use super::{args, error::Error};
use crate::{
    base::Secret,
    config::{self, AdminListen, Config, Env, Faults},
    outbound::{self, Address, Client, Download, Limits},
};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use serde_json::Value;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    time::Duration,
};

/// Where the daemon listens when nothing says otherwise.
const ADDRESS_DEFAULT: &str = "http://127.0.0.1:9080";
const PORT_DEFAULT: u16 = 80;
/// A token longer than this is the wrong file.
const TOKEN_LEN_BYTES_MAX: usize = 4 << 10;
/// The most of a refusal that is read for its words.
const REFUSAL_BYTES_MAX: usize = 64 << 10;
/// Reading the headers of a year of footage on slow disks.
const LONG_WORK: Duration = Duration::from_secs(24 * 3_600);
/// Pages of a list that are followed.
const PAGES_MAX: usize = 10_000;

/// The daemon's admin endpoint.
pub(super) struct Daemon {
    client: Client,
    tokens: Tokens,
}

/// What is shown to whom. Footage has a token of its own where the config gives it one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tokens {
    admin: Option<Secret>,
    media: Option<Secret>,
}

impl Tokens {
    fn of(&self, path: &str) -> Option<&Secret> {
        if path.starts_with("/media/") { self.media.as_ref() } else { self.admin.as_ref() }
    }
}

impl Daemon {
    /// Where the command line, else the config, else the default says.
    pub(super) fn of(args: &args::Admin, env: &Env) -> Result<Self, Error> {
        let (address, mut tokens) = match &args.admin {
            // A token of the config goes to no address that the config does not name.
            Some(url) => (address_of(url)?, Tokens::default()),
            None => match client_config(&args.file, env)? {
                Some(config) => (
                    dial_address(&config.admin.listen),
                    Tokens { admin: config.admin.token, media: config.playback.token },
                ),
                None => (address_of(ADDRESS_DEFAULT)?, Tokens::default()),
            },
        };
        if let Some(path) = &args.token_file {
            let token = Some(token_of(path)?);
            tokens = Tokens { admin: token.clone(), media: token };
        }
        Ok(Self { client: Client::new(address, Limits::default()), tokens })
    }

    /// The same daemon, asked for something that may take hours.
    pub(super) fn patient(self) -> Self {
        let limits = Limits { total: LONG_WORK, ..Limits::default() };
        Self { client: Client::new(self.client.address().clone(), limits), tokens: self.tokens }
    }

    /// `GET`s JSON.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Error> {
        self.json(Method::GET, path).await
    }

    /// `POST`s nothing and reads JSON.
    pub(super) async fn post(&self, path: &str) -> Result<Value, Error> {
        self.json(Method::POST, path).await
    }

    /// `GET`s all pages of a list, which an answer holds under `key`.
    pub(super) async fn list(&self, path: &str, key: &str) -> Result<Vec<Value>, Error> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut all = Vec::new();
        let mut cursor = String::new();
        for _ in 0..PAGES_MAX {
            let mut page = self.get(&format!("{path}{cursor}")).await?;
            if let Some(Value::Array(items)) = page.get_mut(key).map(Value::take) {
                all.extend(items);
            }
            match page.get("next") {
                Some(Value::String(next)) => cursor = format!("{joint}{}", query(&[("cursor", next)])),
                _ => return Ok(all),
            }
        }
        Err(self.odd("a list without end"))
    }

    /// Asks for something that is read piece by piece; its length, where the daemon says it.
    pub(super) async fn download(&self, method: Method, path: &str) -> Result<(Download, Option<u64>), Error> {
        let answer = self.client.download(self.request(method, path)?).await.map_err(|e| self.failed(e))?;
        let (head, mut body) = answer.into_parts();
        if head.status == StatusCode::OK {
            let length = head.headers.get(header::CONTENT_LENGTH).and_then(|l| l.to_str().ok()?.parse().ok());
            return Ok((body, length));
        }
        let mut text = Vec::new();
        while let Some(piece) = body.next().await.map_err(|e| self.failed(e))? {
            text.extend_from_slice(&piece);
            if text.len() > REFUSAL_BYTES_MAX {
                break;
            }
        }
        Err(self.refusal(path, head.status, &text))
    }

    /// A request that failed on its way.
    pub(super) fn failed(&self, error: outbound::Error) -> Error {
        let address = self.client.address().to_string();
        match error {
            outbound::Error::Connect { source, .. } => Error::NotRunning { address, why: source.to_string() },
            e if e.is_connect() => Error::NotRunning { address, why: e.to_string() },
            e => Error::Answer { address, why: e.to_string() },
        }
    }

    /// An answer that no daemon of ours would give.
    pub(super) fn odd(&self, why: &str) -> Error {
        Error::Answer { address: self.client.address().to_string(), why: why.to_owned() }
    }

    async fn json(&self, method: Method, path: &str) -> Result<Value, Error> {
        let answer = self.client.request(self.request(method, path)?).await.map_err(|e| self.failed(e))?;
        if !answer.status().is_success() {
            return Err(self.refusal(path, answer.status(), answer.body()));
        }
        serde_json::from_slice(answer.body())
            .map_err(|_| self.odd("its answer is not JSON; is it skyvis that listens there?"))
    }

    fn request(&self, method: Method, path: &str) -> Result<Request<Bytes>, Error> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = self.tokens.of(path) {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        request.body(Bytes::new()).map_err(|e| Error::Usage(format!("cannot ask for {path}: {e}")))
    }

    fn refusal(&self, path: &str, status: StatusCode, body: &[u8]) -> Error {
        if status == StatusCode::UNAUTHORIZED {
            return Error::Token { address: self.client.address().to_string(), sent: self.tokens.of(path).is_some() };
        }
        let problem: Value = serde_json::from_slice(body).unwrap_or_default();
        let part = |key: &str| problem.get(key).and_then(Value::as_str).filter(|s| !s.is_empty());
        match (part("detail"), part("title")) {
            (Some(detail), _) => Error::Refused(detail.to_owned()),
            (None, Some(title)) => Error::Refused(title.to_owned()),
            (None, None) => self.odd(&format!("it answered {status}; is it skyvis that listens there?")),
        }
    }
}

/// The config for a client: `None` where none was named and none is installed.
pub(super) fn client_config(file: &args::ConfigFile, env: &Env) -> Result<Option<Config>, Faults> {
    let named = file.config.is_some() || env.config_file().is_some();
    let path = config_path(file, env);
    match named || path.exists() {
        true => config::load(&path, env).map(Some),
        false => Ok(None),
    }
}

/// The file that `--config`, else the environment, else the default names.
pub(super) fn config_path(file: &args::ConfigFile, env: &Env) -> PathBuf {
    file.config.clone().unwrap_or_else(|| config::default_path(env))
}

/// Writes a query string.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn token_of(path: &Path) -> Result<Secret, Error> {
    let wrong = |why: &str| Error::Usage(format!("--token-file {}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| wrong(&format!("cannot be read ({e})")))?;
    let token = text.trim_end_matches(['\r', '\n']);
    let fits = !token.is_empty() && token.len() <= TOKEN_LEN_BYTES_MAX && token.bytes().all(|b| b.is_ascii_graphic());
    if fits { Ok(Secret::new(token)) } else { Err(wrong("does not hold a token alone")) }
}

/// Where to dial what listens: nobody can be reached at 0.0.0.0.
fn dial_address(listen: &AdminListen) -> Address {
    match listen {
        AdminListen::Unix(path) => Address::Unix(path.clone()),
        AdminListen::Tcp(address) => {
            let ip = match address.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                ip => ip,
            };
            Address::Tcp { host: ip.to_string(), port: address.port() }
        }
    }
}

fn address_of(url: &str) -> Result<Address, Error> {
    let wrong = |why: &str| Err(Error::Usage(format!("--admin {url}: {why}; write http://HOST:PORT or unix:/PATH")));
    if let Some(path) = url.strip_prefix("unix:") {
        return match path.starts_with('/') {
            true => Ok(Address::Unix(path.into())),
            false => wrong("the socket's path must begin with /"),
        };
    }
    if url.starts_with("https://") {
        return wrong("https is not built yet in this version");
    }
    let Ok(parsed) = url::Url::parse(url) else { return wrong("is not a URL") };
    match parsed.host_str() {
        Some(host) if parsed.scheme() == "http" && matches!(parsed.path(), "" | "/") => Ok(Address::Tcp {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: parsed.port().unwrap_or(PORT_DEFAULT),
        }),
        _ => wrong("is not the address of a daemon"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_understood_or_refused() {
        let shown = |url: &str| address_of(url).map(|a| a.to_string());
        assert_eq!(shown("http://10.0.0.1:9080/").unwrap(), "10.0.0.1:9080");
        assert_eq!(shown("http://[::1]:1").unwrap(), "[::1]:1");
        assert_eq!(shown("http://host").unwrap(), "host:80");
        assert_eq!(shown("unix:/run/a.sock").unwrap(), "unix:/run/a.sock");
        for url in ["", "10.0.0.1:9080", "https://a", "ftp://a", "unix:a", "http://a/b"] {
            assert_eq!(shown(url).unwrap_err().exit_code(), 2, "{url}");
        }
    }

    #[test]
    fn what_listens_everywhere_is_dialled_on_loopback() {
        let dial = |listen: &str| dial_address(&AdminListen::Tcp(listen.parse().unwrap())).to_string();
        assert_eq!(dial("0.0.0.0:1"), "127.0.0.1:1");
        assert_eq!(dial("[::]:1"), "[::1]:1");
        assert_eq!(dial("10.0.0.1:1"), "10.0.0.1:1");
    }

    #[test]
    fn a_token_of_the_config_goes_only_where_the_config_says() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("c.toml");
        std::fs::write(&file, "[admin]\nlisten = \"0.0.0.0:9080\"\ntoken = \"secret\"\n[playback]\ntoken = \"m\"\n")
            .unwrap();
        let env = Env::default();
        let file = args::ConfigFile { config: Some(file) };
        let from_config = Daemon::of(&args::Admin { file: file.clone(), ..Default::default() }, &env).unwrap();
        let (status, media) =
            (from_config.tokens.of("/api/v1/status"), from_config.tokens.of("/media/a/1/main/vod.mp4"));
        assert_eq!((status, media), (Some(&Secret::new("secret")), Some(&Secret::new("m"))));
        let admin = Some("http://elsewhere".to_owned());
        let elsewhere = Daemon::of(&args::Admin { file, admin, ..Default::default() }, &env).unwrap();
        assert_eq!(elsewhere.tokens, Tokens::default());
    }
}
