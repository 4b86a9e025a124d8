//! The addresses under `/vod/`: the page of a play, its playlist and its file, to whoever the play lets in.

mod asked;
mod page;
mod watched;

pub use page::{LAG_JS, LIVE_JS, PLAYLIST_JS};

use self::{
    asked::{Asked, What, cookie_name, is_for_people},
    watched::watched,
};
use super::{
    Error, handler, hls, live,
    plays::{self, Entry, Knock, Shown},
    route::Route,
    send::{self, IMMUTABLE, NOW, REVALIDATE},
    whep,
};
use crate::{
    playback::Playback,
    serve::{Request, Response},
};
use futures_util::StreamExt;
use http::{
    HeaderValue, Method, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, SET_COOKIE, WWW_AUTHENTICATE,
        X_CONTENT_TYPE_OPTIONS,
    },
};

/// A form holds a password.
const FORM_BYTES_MAX: usize = 4 << 10;
const HTML: &str = "text/html; charset=utf-8";

/// Any text as a path under `/vod/`, and as a pass.
pub(in crate::playback) fn fuzz(text: &str) {
    plays::fuzz_pass(text);
    let Ok(uri) = format!("/vod/{text}").parse() else { return };
    let Ok(asked) = Asked::of(&Request::local(Method::GET, uri, "")) else { return };
    let again = format!("/vod/{}/{}", asked.play, asked.target());
    if let What::Hls(route) = &asked.what {
        let uri = again.parse().expect("an address of our own making");
        let read = Asked::of(&Request::local(Method::GET, uri, "")).expect("one of ours");
        assert_eq!(read.what, What::Hls(route.clone()));
    }
}

impl Playback {
    /// Answers a request under `/vod/`, and says how it went.
    pub(super) async fn vod(&self, request: Request) -> (Response, &'static str) {
        let asked = Asked::of(&request);
        let what = asked.as_ref().ok().map(|asked| asked.what.clone());
        let people = is_for_people(&request, what.as_ref());
        let id = asked.as_ref().map(|asked| asked.play.to_string()).unwrap_or_default();
        let is_page = matches!(what, Some(What::Page));
        let answered = match asked {
            Ok(asked) => self.play(request, asked).await,
            Err(error) => Err(error),
        };
        match answered {
            Ok(answered) => answered,
            Err(error) => {
                handler::log(&format!("/vod/{id}"), &error);
                (refuse(&id, &error, people, is_page), error.outcome())
            }
        }
    }

    async fn play(&self, mut request: Request, mut asked: Asked) -> Result<(Response, &'static str), Error> {
        match (&asked.what, &request.method) {
            (What::Whep, &Method::POST) => {
                let entry = self.enter(&asked).await?;
                return Ok((self.play_whep(request, &entry).await?, "ok"));
            }
            (What::Whep, &Method::OPTIONS) => return Ok((whep::options(whep::ALLOW), "ok")),
            (What::Whep, _) => return Err(whep::Error::Method(whep::ALLOW).into()),
            // Known to whoever began it alone.
            (What::WhepSession(session), &Method::DELETE | &Method::OPTIONS) => {
                return Ok((self.whep_session(&request, session)?, "ok"));
            }
            (What::WhepSession(_), _) => return Err(whep::Error::Method(whep::ALLOW_SESSION).into()),
            (_, &Method::GET) => {}
            (What::Page, &Method::POST) => {
                asked.read_form(&request.body(FORM_BYTES_MAX).await.map_err(|e| Error::Form(e.to_string()))?);
                let entry = self.enter(&asked).await?;
                entry.has_place()?;
                return Ok((self.let_in(&entry), "ok"));
            }
            _ => return Err(Error::Method),
        }
        if let What::File(name) = &asked.what {
            let (content_type, text) = page::file(name).ok_or_else(|| Error::NoSuchPath(request.path().to_owned()))?;
            return Ok((text_response(StatusCode::OK, content_type, text.to_owned(), "no-cache"), "ok"));
        }
        if asked.what == What::Slash {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            let to = HeaderValue::try_from(format!("../{}", asked.play)).map_err(|_| plays::Error::NotKnown)?;
            response.headers_mut().insert(LOCATION, to);
            return Ok((response, "ok"));
        }
        let entry = self.enter(&asked).await?;
        match &asked.what {
            What::Page => {
                entry.has_place()?;
                let text = page::player(&entry.play, &entry.pass());
                let mut response = html(StatusCode::OK, text);
                self.keep_pass(&entry, &mut response);
                Ok((response, "ok"))
            }
            What::Alive => {
                entry.stays();
                let mut response = Response::default();
                *response.status_mut() = StatusCode::NO_CONTENT;
                Ok((response, "ok"))
            }
            What::Playlist => self.play_list(&request, &entry).await,
            What::Mp4 => self.play_file(&request, &entry).await,
            What::Live(asked) => self.play_live(&request, &entry, asked).await,
            What::LiveSocket => self.play_socket(&mut request, &entry).await,
            What::Hls(route) => self.play_part(&request, &entry, route).await,
            What::Slash | What::File(_) | What::Whep | What::WhepSession(_) => {
                Err(Error::NoSuchPath(request.path().to_owned()))
            }
        }
    }

    async fn enter(&self, asked: &Asked) -> Result<Entry, Error> {
        let target = asked.target();
        let knock = Knock {
            play: &asked.play,
            target: &target,
            pass: asked.pass.as_deref(),
            given: asked.given.clone(),
            keeps_pass: asked.what == What::Page,
            address: asked.address,
            agent: asked.agent.as_deref(),
            cookie: asked.cookie.as_ref(),
        };
        Ok(self.plays.enter(knock).await?)
    }

    async fn play_list(&self, request: &Request, entry: &Entry) -> Result<(Response, &'static str), Error> {
        let play = &entry.play;
        let Shown::Recorded(range) = play.shown else {
            return self.play_live(request, entry, &live::Asked::playlist(request)?).await;
        };
        let watching = entry.watch(None).await?;
        let seal = |uri: &str| format!("&s={}", entry.sign(uri));
        let text = match play.follows() {
            true => hls::following(&self.planner, &play.stream, range, &seal).await?,
            false => hls::whole(&self.planner, &play.stream, range, &seal).await?,
        };
        let content = handler::content(handler::PLAYLIST, REVALIDATE, text.tag);
        let (response, outcome) = send::bytes(request, &text.bytes, &content, &self.sender.meters);
        Ok((watched(response, watching), outcome))
    }

    async fn play_file(&self, request: &Request, entry: &Entry) -> Result<(Response, &'static str), Error> {
        let play = &entry.play;
        let Shown::Recorded(range) = play.shown else { return Err(Error::LiveFile) };
        let watching = entry.watch(Some(range)).await?;
        let response = self.file_of(request, &play.stream, range).await;
        response.map(|(response, outcome)| (watched(response, watching), outcome))
    }

    async fn play_live(
        &self,
        request: &Request,
        entry: &Entry,
        asked: &live::Asked,
    ) -> Result<(Response, &'static str), Error> {
        if entry.play.shown != Shown::Live {
            return Err(Error::NoSuchPath(request.path().to_owned()));
        }
        let watching = entry.watch(asked.uri().map(|_| entry.range())).await?;
        let seal = |uri: &str| format!("&s={}", entry.sign(uri));
        let stop = watching.stop();
        // What is waited for may come after the play is over.
        let answer = stop.run_until_cancelled(self.live(request, &entry.play.stream, asked, &seal)).await;
        let (response, outcome) = answer.ok_or(plays::Error::Revoked)??;
        Ok((watched(response, watching), outcome))
    }

    async fn play_socket(&self, request: &mut Request, entry: &Entry) -> Result<(Response, &'static str), Error> {
        if entry.play.shown != Shown::Live {
            return Err(Error::NoSuchPath(request.path().to_owned()));
        }
        let watching = entry.watch(Some(entry.range())).await?;
        let stop = watching.stop();
        let answer = stop.run_until_cancelled(self.socket(request, &entry.play.stream)).await;
        let (socket, messages) = answer.ok_or(plays::Error::Revoked)??;
        let messages = messages.inspect(move |message| watching.showed(message.len() as u64));
        Ok((socket.open(request, messages.take_until(stop.cancelled_owned())), "ok"))
    }

    async fn play_whep(&self, request: Request, entry: &Entry) -> Result<Response, Error> {
        if entry.play.shown != Shown::Live {
            return Err(Error::NoSuchPath(request.path().to_owned()));
        }
        let watching = entry.watch(Some(entry.range())).await?;
        let stop = watching.stop();
        let begun = self.whep.begin(request, &entry.play.stream, Some(watching));
        stop.run_until_cancelled(begun).await.ok_or(plays::Error::Revoked)?
    }

    async fn play_part(
        &self,
        request: &Request,
        entry: &Entry,
        route: &Route,
    ) -> Result<(Response, &'static str), Error> {
        let stream = &entry.play.stream;
        let (response, outcome, watching) = match route {
            Route::Init { hash, segment } => {
                let watching = entry.watch(None).await?;
                let bytes = hls::init(&self.planner, stream, hash, *segment).await?;
                let content = handler::content(handler::MP4, IMMUTABLE, hash.clone());
                let (response, outcome) = send::bytes(request, &bytes, &content, &self.sender.meters);
                (response, outcome, watching)
            }
            Route::Part(part) => {
                let (plan, shown) = hls::part(&self.planner, stream, part).await?;
                let watching = entry.watch(Some(shown)).await?;
                let content = handler::content(handler::MP4, IMMUTABLE, plan.layout.tag.clone());
                let (response, outcome) = send::plan(request, plan, &content, &self.sender);
                (response, outcome, watching)
            }
            _ => return Err(Error::NoSuchPath(request.path().to_owned())),
        };
        Ok((watched(response, watching), outcome))
    }

    /// On to the page, with a pass for who keeps no cookies.
    fn let_in(&self, entry: &Entry) -> Response {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::SEE_OTHER;
        let to = format!("{}?s={}", entry.play.id, entry.pass());
        if let Ok(to) = HeaderValue::try_from(to) {
            response.headers_mut().insert(LOCATION, to);
        }
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(NOW));
        self.keep_pass(entry, &mut response);
        response
    }

    /// Has the browser keep the pass for when the page is loaded again. Its path is where the page lies, whatever stands
    /// in front of us.
    fn keep_pass(&self, entry: &Entry, response: &mut Response) {
        let wan = self.plays.config().wan_endpoint;
        let secure = if wan.is_some_and(|wan| wan.starts_with("https://")) { "; Secure" } else { "" };
        let cookie = format!("{}={}; HttpOnly; SameSite=Lax{secure}", cookie_name(&entry.play.id), entry.pass());
        if let Ok(mut cookie) = HeaderValue::try_from(cookie) {
            cookie.set_sensitive(true);
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }
}

/// A refusal as its reader can use it.
fn refuse(id: &str, error: &Error, people: bool, is_page: bool) -> Response {
    let program = error.response();
    if !people {
        return program;
    }
    let (head, _) = program.into_parts();
    let text = match error {
        Error::Play(plays::Error::PasswordNeeded) => page::question(id, None),
        Error::Play(e @ plays::Error::WrongPassword) => page::question(id, Some(&e.to_string())),
        other => page::refusal(id, other.title(), &other.detail()),
    };
    let mut response = html(head.status, text);
    for (name, value) in &head.headers {
        // The page asks by its form; a browser's own question would stand in front of it.
        let is_asked_by_form = is_page && name == WWW_AUTHENTICATE;
        if *name != CONTENT_TYPE && !is_asked_by_form {
            response.headers_mut().append(name.clone(), value.clone());
        }
    }
    response
}

fn html(status: StatusCode, text: String) -> Response {
    let mut response = text_response(status, HTML, text, NOW);
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(page::POLICY));
    response
}

fn text_response(status: StatusCode, content_type: &'static str, text: String, cache: &'static str) -> Response {
    let mut response = Response::new(text.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
