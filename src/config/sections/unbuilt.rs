//! Keys of the contract that are not built yet: anything but their default is refused by name, never ignored.

use crate::config::reader::{
    Scope,
    Unbuilt::{Duration, Empty, Flag, Integer, Text},
};

/// Sections that no other reader enters.
pub(super) fn sections(scope: &Scope<'_>) {
    scope.section("archive", |s| {
        for key in ["url", "endpoint", "access_key_file", "secret_key_file", "storage_class"] {
            s.not_built(key, Text(""));
        }
        s.not_built("region", Text("us-east-1"));
        s.not_built("after_days", Integer(7));
        s.not_built("keep_local_days", Integer(30));
    });
    scope.section("jobs", |s| {
        s.not_built("lease", Duration("60s"));
        s.not_built("ttl", Duration("24h"));
        s.not_built("retries", Integer(5));
    });
}

/// `[registry]`
pub(super) fn registry(scope: &Scope<'_>) {
    scope.not_built("backend", Text("embedded"));
    scope.not_built("etcd_endpoints", Empty);
}

/// `[[proxy.route]]`
pub(super) fn route(scope: &Scope<'_>) {
    scope.not_built("concurrency", Integer(0));
    scope.not_built("queue", Integer(0));
    scope.not_built("queue_timeout", Duration("0s"));
    scope.not_built("rate_limit", Text(""));
    scope.not_built("compress", Flag(false));
    scope.not_built("cache", Empty);
}

/// `auth` of a route.
pub(super) fn auth(scope: &Scope<'_>) {
    scope.not_built("basic_file", Text(""));
}

/// `[[device]]`
pub(super) fn device(scope: &Scope<'_>) {
    scope.not_built("provision", Empty);
}

/// `[notify]`
pub(super) fn notify(scope: &Scope<'_>) {
    scope.not_built("webhook", Empty);
}
