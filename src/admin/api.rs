//! A request's way through the endpoint.

use super::{
    Config, Deps,
    auth::{Access, Guard},
    call::Call,
    failure::Failure,
    openapi,
    route::{self, Found, Route},
    table,
};
use crate::{
    base::{Kind, metrics::Counter, task::End},
    serve::{BoxFuture, Handler, Request, Response},
};
use bytes::Bytes;
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
};
use serde::Serialize;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Event streams at once. Each is a person's browser or a program of the site; more is a client gone wild.
const EVENT_STREAMS_MAX: usize = 128;

/// What the routes' functions work with.
pub(super) struct Api {
    pub config: Config,
    pub deps: Deps,
    /// Who may ask.
    pub guard: Guard,
    /// When the process began, for its uptime.
    pub began: Instant,
    /// The API's description.
    pub openapi: Bytes,
    /// One permit an event stream.
    pub event_streams: Arc<Semaphore>,
    /// One permit: a backup reads the whole store.
    pub backups: Arc<Semaphore>,
    /// One permit: a reindex reads every file.
    pub reindexes: Arc<Semaphore>,
    /// One permit: so does a verification.
    pub verifies: Arc<Semaphore>,
}

impl Api {
    /// Does `work` to its end, whether or not the client waits for it.
    pub(super) async fn to_its_end<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Failure> {
        match self.deps.group.spawn(name, work).await {
            Ok(End::Done(value)) => Ok(value),
            Ok(End::Panicked(_)) | Err(_) => Err(Failure::of_kind(Kind::Internal, "it failed; the log says more")),
        }
    }
}

/// The admin listener's handler.
pub(super) struct Endpoint {
    routes: &'static [Route],
    api: Arc<Api>,
    requests: Counter,
    refused: Counter,
}

impl Endpoint {
    pub(super) fn new(config: Config, deps: Deps, routes: &'static [Route]) -> Self {
        let counter = |name, help| deps.metrics.register(name, help, Counter::default());
        Self {
            routes,
            requests: counter("admin_requests", "Requests to the admin endpoint"),
            refused: counter("admin_refused", "Requests to the admin endpoint that were answered 401 or 403"),
            api: Arc::new(Api {
                guard: Guard::new(config.token.clone(), config.viewer_token.clone(), deps.clock.clone()),
                began: deps.clock.now(),
                openapi: serde_json::to_vec(&openapi::describe(routes)).unwrap_or_default().into(),
                event_streams: Arc::new(Semaphore::new(EVENT_STREAMS_MAX)),
                backups: Arc::new(Semaphore::new(1)),
                reindexes: Arc::new(Semaphore::new(1)),
                verifies: Arc::new(Semaphore::new(1)),
                config,
                deps,
            }),
        }
    }

    async fn answer(&self, request: Request) -> Result<Response, Failure> {
        let (method, path) = (request.method.clone(), request.path().to_owned());
        match route::find(self.routes, &method, &path) {
            Found::Route(route, arguments) => {
                self.api.guard.check(&request, route.access)?;
                let known = route.query.map(|q| q.iter().map(|p| p.name).collect());
                let call = Call::new(request, arguments, known)?;
                (route.run)(self.api.clone(), call).await
            }
            // Whoever may not ask is not told what there is.
            Found::OtherMethod(allow) => {
                self.api.guard.check(&request, Access::Operator)?;
                Err(not_built(&method, &path).unwrap_or_else(|| Failure::method(&method, &allow)))
            }
            Found::Nothing => {
                self.api.guard.check(&request, Access::Operator)?;
                Err(not_built(&method, &path).unwrap_or_else(|| Failure::no_path(&path)))
            }
        }
    }
}

impl Handler for Endpoint {
    fn handle(&self, request: Request) -> BoxFuture<'_, Response> {
        Box::pin(async move {
            self.requests.inc();
            let mut response = self.answer(request).await.unwrap_or_else(Response::from);
            if matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
                self.refused.inc();
            }
            let headers = response.headers_mut();
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
            headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
            response
        })
    }
}

/// Parts of the API that other versions have: an error that says so, not a 404 that reads like a slip.
fn not_built(method: &http::Method, path: &str) -> Option<Failure> {
    let known = |(methods, pattern): &&(&str, &'static str)| {
        methods.split(' ').any(|m| m == method.as_str()) && route::matches(pattern, path).is_some()
    };
    table::NOT_BUILT.iter().find(known).map(|(_, pattern)| Failure::not_built(method, pattern))
}

/// A 200 with this value as JSON.
pub(super) fn json(value: &impl Serialize) -> Result<Response, Failure> {
    let bytes = serde_json::to_vec(value).map_err(|e| Failure::of_kind(Kind::Internal, e))?;
    Ok(body("application/json", bytes))
}

/// A 200 with this body.
pub(super) fn body(content_type: &'static str, body: impl Into<crate::serve::Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
