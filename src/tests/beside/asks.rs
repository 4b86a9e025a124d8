//! What is asked.

/// A request.
#[derive(Clone, Debug, Default)]
pub(super) struct Ask {
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) body: usize,
    pub(super) chunked: bool,
}

impl Ask {
    fn new(method: &'static str, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), ..Self::default() }
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// For people.
    pub(super) fn label(&self) -> String {
        let fields: Vec<String> = self.fields.iter().map(|(n, v)| format!("{n}: {v}")).collect();
        format!("{} [{}] {} bytes", self.path, fields.join(", "), self.body)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(n, _)| *n == name)
    }

    /// Whether a file is asked for rather than a service.
    pub(super) fn is_file(&self) -> bool {
        !self.path.starts_with("/api/") && !self.path.starts_with("/ws")
    }
}

/// Paths of files: there, not there, written otherwise.
const PATHS: [&str; 24] = [
    "/",
    "/index.html",
    "/index.html?x=1",
    "/assets/app.js",
    "/assets/style.css",
    "/assets/logo.png",
    "/assets/data.json",
    "/assets/large.bin",
    "/assets/empty.txt",
    "/assets/no-ending",
    "/a%20b.txt",
    "/%69ndex.html",
    "//assets//app.js",
    "/assets/../index.html",
    "/assets/./app.js",
    "/room/7",
    "/room/7/",
    "/deep/unknown/path.html",
    "/docs",
    "/docs/",
    "/docs/guide.html",
    "/docs/missing.html",
    "/docs?x=y",
    "/assets",
];

/// The services, by their prefix.
pub(super) const APIS: [&str; 7] =
    ["user", "conference", "invitation", "discuss", "reviewProcess", "notification", "draft"];

/// All of them.
pub(super) fn asks() -> Vec<Ask> {
    let mut asks = Vec::new();
    for path in PATHS {
        asks.push(Ask::new("GET", path));
        asks.push(Ask::new("HEAD", path));
        asks.push(Ask::new("GET", path).with("Range", "bytes=2-5"));
        asks.push(Ask::new("GET", path).with("If-None-Match", "\"other\""));
        asks.push(Ask::new("GET", path).with("If-Modified-Since", "Thu, 01 Jan 2026 00:00:00 GMT"));
    }
    for (name, value) in [
        ("Range", "bytes=-5"),
        ("Range", "bytes=100-"),
        ("Range", "bytes=0-0"),
        ("Range", "bytes=99999999-"),
        ("Range", "bytes=5-2"),
        ("Range", "bytes=x"),
        ("Range", "lines=1-2"),
        ("If-Match", "*"),
        ("If-Match", "\"other\""),
        ("If-Unmodified-Since", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ("If-Unmodified-Since", "Wed, 01 Jan 2025 00:00:00 GMT"),
        ("If-Modified-Since", "Wed, 01 Jan 2025 00:00:00 GMT"),
        ("If-Modified-Since", "nonsense"),
        ("If-Modified-Since", "Sun, 01 Feb 2026 00:00:00 GMT"),
        ("If-None-Match", "*"),
        ("If-None-Match", "\"695d7800-30d40\""),
        ("If-None-Match", "W/\"695d7800-30d40\""),
        ("Accept-Encoding", "gzip, br"),
        ("If-Range", "\"other\""),
    ] {
        asks.push(Ask::new("GET", "/assets/large.bin").with(name, value));
    }
    asks.push(Ask::new("GET", "/assets/large.bin").with("Range", "bytes=2-5").with("If-Range", "\"other\""));
    for method in ["POST", "PUT", "DELETE"] {
        asks.push(Ask::new(method, "/index.html"));
        asks.push(Ask::new(method, "/docs/guide.html"));
    }
    for hidden in ["/.git/config", "/docs/.htaccess", "/..%2f..%2fetc/passwd", "/assets/%00", "/../x"] {
        asks.push(Ask::new("GET", hidden));
    }
    for api in APIS {
        let at = |rest: &str| format!("/api/{api}{rest}");
        asks.push(Ask::new("GET", at("")));
        asks.push(Ask::new("GET", at("s/7?a=b&c=%20d")));
        asks.push(Ask::new("HEAD", at("/7")));
        asks.push(Ask::new("GET", at("/a%2fb/%C3%A4;x=1")));
        asks.push(Ask { body: 1000, ..Ask::new("POST", at("/new")) });
        asks.push(Ask { body: 1000, chunked: true, ..Ask::new("PUT", at("/7")) });
        asks.push(Ask::new("DELETE", at("/7")));
        asks.push(Ask { body: 2 << 20, ..Ask::new("POST", at("/large")) });
        asks.push(Ask { body: 21 << 20, ..Ask::new("POST", at("/too-large")) });
        for status in [201, 204, 301, 304, 400, 404, 500, 503] {
            asks.push(Ask::new("GET", at(&format!("/status/{status}"))));
        }
        asks.push(Ask::new("GET", at("/big")));
        asks.push(Ask::new("GET", at("/chunked")));
        asks.push(Ask::new("GET", at("/cookie")).with("Origin", "http://page.example"));
    }
    asks.push(Ask::new("GET", "/ws/status/403"));
    asks.push(Ask::new("GET", "/ws/plain"));
    asks.push(Ask::new("GET", "/api/gone"));
    asks
}
