//! Who is asked first whether a request may be served: `auth.forward` of a route.
//!
//! Owns: the question's own lines, what becomes of its answer. Never does: lets a request pass that nobody has let pass.
//! Flow: [`Question`], a `GET` with the request's fields and without its body → `forward`, as any request of a route, with
//! its instances, kept connections and retries, but answered onto a [`slate`] → [`ask`] reads it: 2xx lets the request
//! pass, 3xx and 4xx are the client's answer, all else is a failure that has a name.

mod ask;
mod slate;

pub(super) use ask::{Decided, Question, ask, lines};
