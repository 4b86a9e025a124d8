//! The admin endpoint, the only room that speaks JSON: API, auth, OpenAPI, console assets.
