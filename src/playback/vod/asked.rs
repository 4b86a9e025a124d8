//! What a request under `/vod/` asks for and what it proves itself by. Pure.

use crate::{
    base::Secret,
    playback::{
        Error, live,
        plays::{FILES, Given, PlayId},
        route::{self, Route},
        token,
    },
    serve::{Request, decode_component, parse_query},
};
use bytes::Bytes;
use http::{
    HeaderValue, Method,
    header::{ACCEPT, COOKIE, USER_AGENT},
};
use std::net::IpAddr;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// `/vod/{play}`
    Page,
    /// `/vod/{play}/`, where relative addresses would lead elsewhere.
    Slash,
    /// `…/index.m3u8`
    Playlist,
    /// `…/video.mp4`
    Mp4,
    /// `…/alive`: the page says that somebody is there.
    Alive,
    /// `…/page/<file>`
    File(String),
    /// `…/hls/…`
    Hls(Route),
    /// `…/live/…`
    Live(live::Asked),
    /// `…/live.ws`
    LiveSocket,
    /// `…/whep`
    Whep,
    /// `…/whep/<session>`
    WhepSession(String),
}

/// A request as far as its head says.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) play: PlayId,
    pub(super) what: What,
    pub(super) pass: Option<String>,
    pub(super) given: Given,
    pub(super) address: Option<IpAddr>,
    pub(super) agent: Option<String>,
    pub(super) cookie: Option<HeaderValue>,
}

impl Asked {
    pub(super) fn of(request: &Request) -> Result<Self, Error> {
        let unknown = || Error::NoSuchPath(request.path().chars().take(200).collect());
        let rest = request.path().strip_prefix("/vod/").ok_or_else(unknown)?;
        let parts: Vec<String> = rest.split('/').map(decode_component).collect::<Option<_>>().ok_or_else(unknown)?;
        let (id, tail) = parts.split_first().ok_or_else(unknown)?;
        let what = match tail.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => What::Page,
            [""] => What::Slash,
            ["index.m3u8"] => What::Playlist,
            ["video.mp4"] => What::Mp4,
            ["alive"] => What::Alive,
            ["page", name] => What::File(name.to_owned()),
            ["live.ws"] => What::LiveSocket,
            ["whep"] => What::Whep,
            ["whep", session] => What::WhepSession(session.to_owned()),
            ["live", name] => What::Live(live::Asked::file(name, request).ok_or_else(unknown)?),
            ["hls", name] => What::Hls(route::hls(name, request).ok_or_else(unknown)?),
            _ => return Err(unknown()),
        };
        let play: PlayId = id.parse().map_err(|_| crate::playback::plays::Error::NotKnown)?;
        let name = cookie_name(&play);
        let in_cookie = || cookies(request).find(|(n, _)| *n == name).map(|(_, value)| value.to_owned());
        Ok(Self {
            pass: request.query("s").or_else(in_cookie),
            given: given(request),
            address: request.peer.address.map(|a| a.ip()),
            agent: request.header(USER_AGENT).map(str::to_owned),
            cookie: request.headers.get(COOKIE).cloned(),
            play,
            what,
        })
    }

    /// What the pass must be for.
    pub(super) fn target(&self) -> String {
        match &self.what {
            What::Hls(Route::Part(range)) => route::part_uri(range),
            What::Hls(Route::Init { hash, segment }) => route::init_uri(hash, *segment),
            What::Live(asked) => asked.uri().unwrap_or_default(),
            _ => FILES.to_owned(),
        }
    }

    /// Takes the password that a form holds.
    pub(super) fn read_form(&mut self, form: &Bytes) {
        let text = String::from_utf8_lossy(form);
        let password = parse_query(&text).into_iter().find(|(name, _)| name == "password").map(|(_, value)| value);
        if let Some(password) = password.filter(|p| !p.is_empty()) {
            self.given = Given::Password { user: String::new(), password: Secret::new(password) };
        }
    }
}

/// Basic credentials, or `?password=`.
fn given(request: &Request) -> Given {
    if let Some((user, password)) = token::basic(request).filter(|(_, password)| !password.is_empty()) {
        return Given::Password { user, password };
    }
    match request.query("password").filter(|p| !p.is_empty()) {
        Some(password) => Given::Password { user: String::new(), password: Secret::new(password) },
        None => Given::Nothing,
    }
}

/// Under which name a browser keeps its pass for a play.
pub(super) fn cookie_name(play: &PlayId) -> String {
    format!("skyvis-play-{play}")
}

fn cookies(request: &Request) -> impl Iterator<Item = (&str, &str)> {
    let lines = request.headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='))
}

/// Whether a page helps more than a document for programs. The page's own path is for people unless it is asked for
/// as something else.
pub(super) fn is_for_people(request: &Request, what: Option<&What>) -> bool {
    let accept = request.header(ACCEPT).unwrap_or("");
    let is_form = request.method == Method::POST;
    match what {
        Some(What::Page) => is_form || accept.contains("text/html") || !accept.contains("json"),
        _ => accept.contains("text/html"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef";

    fn asked(path: &str) -> Result<Asked, Error> {
        Asked::of(&Request::local(Method::GET, path.parse().unwrap(), ""))
    }

    #[test]
    fn addresses() {
        for (tail, what) in [
            ("", What::Page),
            ("/", What::Slash),
            ("/index.m3u8", What::Playlist),
            ("/video.mp4", What::Mp4),
            ("/alive", What::Alive),
            ("/live.ws", What::LiveSocket),
            ("/whep", What::Whep),
            ("/whep/0a", What::WhepSession("0a".into())),
            ("/page/play.js", What::File("play.js".into())),
        ] {
            assert_eq!(asked(&format!("/vod/{ID}{tail}")).unwrap().what, what, "{tail}");
        }
        let part = asked(&format!("/vod/{ID}/hls/1_2-3_4-5.m4s?t=9&s=x")).unwrap();
        assert_eq!((part.target().as_str(), part.pass.as_deref()), ("hls/1_2-3_4-5.m4s?t=9", Some("x")));
        let init = asked(&format!("/vod/{ID}/hls/init-ab.mp4?s=x&file=7")).unwrap();
        assert_eq!(init.target(), "hls/init-ab.mp4?file=7");
        for path in ["/vod/", "/vod/x", "/vod/x/y/z", &format!("/vod/{ID}/other"), &format!("/vod/{ID}/hls/x")] {
            assert!(asked(path).is_err(), "{path}");
        }
    }

    #[test]
    fn what_somebody_proves_themselves_by() {
        let of = |query: &str, headers: &[(http::HeaderName, &str)]| {
            let mut request = Request::local(Method::GET, format!("/vod/{ID}{query}").parse().unwrap(), "");
            for (name, value) in headers {
                request.headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
            let asked = Asked::of(&request).unwrap();
            let password = match asked.given {
                Given::Password { user, password } => Some(format!("{user}:{}", password.expose())),
                Given::Nothing => None,
            };
            (password, asked.pass)
        };
        let auth = http::header::AUTHORIZATION;
        assert_eq!(of("", &[]), (None, None));
        assert_eq!(of("?password=a%20b", &[]), (Some(":a b".into()), None));
        assert_eq!(of("?password=", &[]), (None, None));
        assert_eq!(of("", &[(auth.clone(), "Basic bWU6YTpi")]), (Some("me:a:b".into()), None));
        assert_eq!(of("", &[(auth.clone(), "Basic bWU6")]), (None, None), "an empty password is none");
        assert_eq!(of("", &[(auth, "Bearer x")]), (None, None));
        assert_eq!(of("?s=p", &[]), (None, Some("p".into())));
        let jar = format!("other=1; skyvis-play-{ID}=q; x");
        assert_eq!(of("", &[(COOKIE, &jar)]), (None, Some("q".into())));
        assert_eq!(of("?s=p", &[(COOKIE, &jar)]), (None, Some("p".into())));
        let mut form = asked(&format!("/vod/{ID}")).unwrap();
        form.read_form(&Bytes::from_static(b"x=1&password=%C3%A4+b"));
        assert!(matches!(form.given, Given::Password { password, .. } if password.expose() == "ä b"));
    }

    #[test]
    fn who_is_a_person() {
        let of = |accept: &str, what: &What| {
            let mut request = Request::local(Method::GET, "/".parse().unwrap(), "");
            request.headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
            is_for_people(&request, Some(what))
        };
        let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
        assert!(of(browser, &What::Page) && of(browser, &What::Mp4));
        assert!(of("*/*", &What::Page) && !of("*/*", &What::Mp4));
        assert!(!of("application/json", &What::Page) && !of("application/problem+json", &What::Mp4));
    }
}
