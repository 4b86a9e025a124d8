//! What configurations come to: as text, and read by our own reader.

use super::{Imported, parse, translate};
use crate::{
    balance::Policy,
    config::{Config, Env},
    proxy::{
        config::{Backend, Forward, PathChange, Route, Target, Via},
        h1::Scheme,
    },
};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Of files in memory; the first one is read.
fn import(files: &[(&str, &str)]) -> Result<Imported, parse::Fault> {
    let files: BTreeMap<PathBuf, String> =
        files.iter().map(|(name, text)| (PathBuf::from(name), (*text).into())).collect();
    let read = |path: &Path| files.get(path).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound));
    let list = |dir: &Path| Ok(files.keys().filter(|path| path.parent() == Some(dir)).cloned().collect());
    let directives = parse::file(Path::new("/etc/nginx/nginx.conf"), &parse::Source { read: &read, list: &list })?;
    Ok(translate::translate(&directives))
}

fn one(text: &str) -> Imported {
    import(&[("/etc/nginx/nginx.conf", text)]).unwrap_or_else(|fault| panic!("{fault}"))
}

/// Our own reader takes it.
fn config(imported: &Imported) -> Config {
    let env = Env::new::<String, String>([], "host1".to_owned());
    let parsed = crate::config::parse(&imported.toml, Path::new("/etc/skyvis/c.toml"), &env);
    parsed.unwrap_or_else(|faults| panic!("{faults}\n{}", imported.toml))
}

fn routes(text: &str) -> Vec<Route> {
    config(&one(text)).proxy.routes
}

fn forward(route: &Route) -> &Forward {
    match &route.to {
        Target::Forward(forward) => forward,
        other => panic!("{other:?}"),
    }
}

fn upstreams(route: &Route) -> Vec<String> {
    match &forward(route).to {
        Backend::Upstreams(list) => list.iter().map(|u| format!("{u} {}", u.weight)).collect(),
        other => panic!("{other:?}"),
    }
}

/// A server with these lines, in `http`.
fn server(lines: &str) -> String {
    format!("events {{}}\nhttp {{ server {{ listen 80;\n{lines}\n}} }}")
}

#[test]
fn a_site_with_files_services_and_a_websocket_is_taken_over_whole() {
    let text = r#"
        user www-data; worker_processes auto; pid /run/nginx.pid;
        events { worker_connections 768; }
        http {
            include mime.types; sendfile on; keepalive_timeout 65; access_log /var/log/nginx/access.log;
            upstream users { least_conn; server 10.0.0.5:5001 weight=3; server 10.0.0.6:5001; server 10.0.0.7 down; }
            map $http_upgrade $connection_upgrade { default upgrade; '' close; }
            server {
                listen 80 default_server; listen [::]:80 default_server; server_name site.example www.site.example;
                root /srv/app; index index.html;
                location / { try_files $uri $uri/ /index.html; }
                location /docs { alias /srv/docs; }
                location /api/user {
                    proxy_pass http://users; proxy_set_header Host $host; proxy_read_timeout 90s;
                    add_header Access-Control-Allow-Origin *; add_header Access-Control-Allow-Methods *;
                }
                location /api/draft { client_max_body_size 20m; proxy_pass http://127.0.0.1:5005; }
                location /old/ { proxy_pass http://127.0.0.1:5006/; }
                location /v1/ { proxy_pass http://127.0.0.1:5006/api/v1/; proxy_set_header Host $http_host; }
                location /ws {
                    proxy_pass http://127.0.0.1:5007; proxy_http_version 1.1;
                    proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade";
                    proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Line "a; b";
                }
                location /gone { return 410 "gone { for good }"; }
                location /away { return 301 https://other.example$request_uri; }
            }
        }"#;
    let imported =
        import(&[("/etc/nginx/nginx.conf", text), ("/etc/nginx/mime.types", "types { text/html html; }")]).unwrap();
    assert_eq!(imported.left, 1, "{}", imported.toml);
    assert!(
        imported.toml.contains("nginx.conf:7: map $http_upgrade $connection_upgrade: variables"),
        "{}",
        imported.toml
    );
    let proxy = config(&imported).proxy;
    let listen: Vec<String> = proxy.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["0.0.0.0:80", "[::]:80"]);
    assert_eq!(proxy.settings.idle_timeout, Duration::from_secs(65));
    let route =
        |prefix: &str| proxy.routes.iter().find(|r| &*r.path_prefix == prefix).unwrap_or_else(|| panic!("{prefix}"));
    assert!(proxy.routes.iter().all(|r| r.host.is_empty()), "it is the default server");
    assert!(
        matches!(&route("/").to, Target::Files { dir, spa: true, path: PathChange::None } if dir.ends_with("srv/app"))
    );
    let Target::Files { dir, spa: false, path } = &route("/docs").to else { panic!() };
    assert_eq!((dir.to_str(), path), (Some("/srv/docs"), &PathChange::Strip("/docs".into())));
    let users = route("/api/user");
    assert_eq!(upstreams(users), ["10.0.0.5:5001 3", "10.0.0.6:5001 1"]);
    assert_eq!((forward(users).balance.policy, forward(users).timeout), (Policy::LeastConn, Duration::from_secs(90)));
    assert_eq!((forward(users).host_header.as_deref(), users.cors.as_ref().unwrap().origins.len()), (None, 1));
    assert_eq!(forward(route("/api/draft")).host_header.as_deref(), Some("127.0.0.1:5005"), "as nginx names it");
    assert_eq!((route("/api/draft").body_max, route("/ws").body_max), (20 << 20, 1 << 20));
    assert_eq!(forward(route("/old/")).path, PathChange::Strip("/old/".into()));
    let PathChange::Rewrite(rewrite) = &forward(route("/v1/")).path else { panic!() };
    assert_eq!((rewrite.from(), rewrite.to()), ("^/v1/", "/api/v1/"));
    assert_eq!(route("/ws").headers.written.request_set, [("X-Line".to_owned(), "a; b".to_owned())]);
    let Target::Respond { status: 410, body, .. } = &route("/gone").to else { panic!() };
    assert_eq!(body.as_str(), "gone { for good }");
    let Target::Redirect { to, status: 301 } = &route("/away").to else { panic!() };
    assert_eq!(to.as_str(), "https://other.example{uri}");
}

#[test]
fn what_is_not_taken_over_is_named_with_its_line_and_why() {
    for (lines, says) in [
        ("location /a { fastcgi_pass x; }", "nginx.conf:3: fastcgi_pass x: only HTTP is spoken with upstreams"),
        ("location ~ ^/u/(\\d+)$ { return 200; }", "a regular expression; routes have a begin"),
        ("location @back { return 200; }", "locations with a name are not jumped to"),
        ("location /a { proxy_pass http://$x; }", "upstreams are reached by http:// or https:// at a fixed place"),
        ("location /a { return 444; }", "return 444: a connection cannot be closed without a word"),
        ("location /a { return 200 $cookie_x; }", "it has a variable that texts here do not have"),
        ("location /a { proxy_pass http://b:1; limit_req zone=x; }", "limit_req zone=x: rates are not limited yet"),
        ("location /a { proxy_pass http://b:1; proxy_set_header X $x; }", "values of headers are fixed texts here"),
        ("location /a { proxy_pass http://b:1; frobnicate on; }", "frobnicate on: there is nothing like it here"),
        ("location /a { root /x; try_files $uri @b; }", "files are looked for as they are"),
        ("if ($request_method = POST) { return 301 /; }", "conditions are not read"),
        ("server_name ~^x$; return 200;", "names are exact, or begin with"),
        ("listen 443 ssl; return 200;", "the server has no ssl_certificate"),
        ("error_page 404 /404.html; return 200;", "answers of errors are short texts of our own"),
        (
            "location /a { proxy_pass http://b:1; add_header Access-Control-Allow-Origin $http_origin; }",
            "name the origins",
        ),
        ("access_by_lua_block { if x then y() end } return 200;", "there is nothing like it here"),
    ] {
        let imported = one(&server(lines));
        assert!(imported.left >= 1 && imported.toml.contains(says), "{lines}: {}", imported.toml);
        config(&imported);
    }
}

#[test]
fn matching_keeps_its_meaning() {
    let found = routes(&server(
        "location / { proxy_pass http://a:1; } location /img/ { proxy_pass http://b:1; } \
         location ^~ /raw/ { proxy_pass http://c:1; } location ~ \\.(jpe?g|png)$ { proxy_pass http://d:1; } \
         location = /exact { return 204; }",
    ));
    let said: Vec<String> = found.iter().map(|r| format!("{} {}", r.path_prefix, r.path_suffix.join(","))).collect();
    assert_eq!(said, ["/ .jpeg,.jpg,.png", "/img/ .jpeg,.jpg,.png", "/exact /exact", "/ ", "/img/ ", "/raw/ "]);
    let hosts = routes(
        "http { server { listen 80; server_name a.example; return 200; } \
         server { listen 80; server_name b.example *.b.example .c.example; return 201; } }",
    );
    assert!(hosts[0].host.is_empty(), "the first server is the default");
    let names: Vec<String> = hosts[1].host.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["b.example", "*.b.example", "c.example", "*.c.example"]);
    let both = one("http { server { listen 80; return 301 https://$host$request_uri; } \
         server { listen 81; return 200 x; } }");
    assert!(
        both.toml.contains("routes hold for all ports of a scheme here, and the first one is kept"),
        "{}",
        both.toml
    );
    assert_eq!(config(&both).proxy.routes.len(), 1);
}

#[test]
fn sites_of_their_own_files_are_read_and_a_file_that_is_a_site_too() {
    let imported = import(&[
        ("/etc/nginx/nginx.conf", "http { include sites-enabled/*; include conf.d/*.conf; }"),
        ("/etc/nginx/sites-enabled/a", "server { listen 8081; return 200 'a'; }"),
        ("/etc/nginx/conf.d/b.conf", "server { listen 8082; server_name b; location /b { return 200 b; } }"),
        ("/etc/nginx/conf.d/c.off", "nonsense"),
    ])
    .unwrap();
    assert_eq!((config(&imported).proxy.routes.len(), imported.left), (2, 0), "{}", imported.toml);
    assert_eq!(routes("server { listen 80; return 200; }").len(), 1);
}

#[test]
fn bytes_and_certificates_are_taken_over() {
    let found = routes(
        "stream { upstream db { server 10.0.0.1:5432; server 10.0.0.2:5432 weight=2; } \
         server { listen 5432; proxy_pass db; proxy_timeout 10m; } server { listen 127.0.0.1:6379; proxy_pass redis:6379; } }",
    );
    let Target::Tcp(tcp) = &found[0].to else { panic!() };
    assert_eq!((tcp.listen.to_string().as_str(), tcp.idle_timeout), ("0.0.0.0:5432", Duration::from_secs(600)));
    let tls = one(&server("listen 443 ssl; ssl_certificate /c.pem; ssl_certificate_key /k.pem; return 200;"));
    let table = "[[proxy.tls]]\nlisten = \"0.0.0.0:443\"\ncert = \"/c.pem\"\nkey = \"/k.pem\"\n";
    assert!(tls.toml.contains(table), "{}", tls.toml);
    assert_eq!(config(&tls).proxy.tls.len(), 1);
}

#[test]
fn a_server_for_all_in_the_clear_and_one_over_tls_stay_two() {
    let imported = one("http {
        server { listen 80; server_name a.example; return 301 https://$host$request_uri; }
        server { listen 443 ssl; server_name a.example; ssl_certificate /c; ssl_certificate_key /k;
            location / { root /srv; } location /api/ { proxy_pass http://b:1; } }
        server { listen 80; listen 443 ssl; server_name b.example; ssl_certificate /c; ssl_certificate_key /k; return 200; }
        }");
    assert_eq!(imported.left, 0, "{}", imported.toml);
    let found = config(&imported).proxy.routes;
    let said: Vec<String> = found
        .iter()
        .map(|r| format!("{} {} {}", r.scheme.map_or("any", Scheme::as_str), r.host.len(), r.path_prefix))
        .collect();
    assert_eq!(said, ["http 0 /", "https 0 /", "https 0 /api/", "http 1 /", "https 1 /"]);
    let Target::Redirect { to, status: 301 } = &found[0].to else { panic!() };
    assert_eq!(to.as_str(), "https://{host}{uri}");
    let alone = routes("http { server { listen 443 ssl; ssl_certificate /c; ssl_certificate_key /k; return 200; } }");
    assert_eq!(alone[0].scheme, None, "where all speak it, it need not be said");
}

#[test]
fn upstreams_over_tls_and_of_grpc_are_taken_over() {
    let imported = one(&server(
        "upstream_x on; location /a { proxy_pass https://b; } \
         location /n { proxy_ssl_verify on; proxy_ssl_name c.example; proxy_ssl_server_name on; proxy_pass https://10.0.0.1:8443/; } \
         location /g { grpc_pass grpcs://g:50051; } location /p { grpc_pass 10.0.0.2:50051; }",
    ));
    assert_eq!(imported.left, 1, "{}", imported.toml);
    let told = "# certificates of upstreams are verified here; where no authority has signed one, write pin= and its";
    assert_eq!(imported.toml.matches(told).count(), 2, "{}", imported.toml);
    let found = config(&imported).proxy.routes;
    let of = |prefix: &str| {
        let route = found.iter().find(|r| &*r.path_prefix == prefix).unwrap();
        let Backend::Upstreams(list) = &forward(route).to else { panic!() };
        let via = list[0].via.as_ref();
        let name = via.and_then(|via| via.tls.as_ref()).map(|tls| tls.name.to_string());
        (list[0].to_string(), Via::scheme(via), name)
    };
    assert_eq!(of("/a"), ("b:443".into(), "https", Some("b".into())));
    assert_eq!(of("/n"), ("10.0.0.1:8443".into(), "https", Some("c.example".into())));
    assert_eq!(of("/g"), ("g:50051".into(), "h2s", Some("g".into())));
    assert_eq!(of("/p"), ("10.0.0.2:50051".into(), "h2", None));
}

#[test]
fn what_a_client_of_acme_has_written_is_taken_over() {
    let found = routes(
        "http { server { if ($host = a.example) { return 301 https://$host$request_uri; } \
         listen 80; server_name a.example; return 404; } \
         server { listen 443 ssl; server_name a.example; ssl_certificate /c; ssl_certificate_key /k; root /srv; } }",
    );
    let said: Vec<String> = found
        .iter()
        .map(|r| {
            let hosts: Vec<String> = r.host.iter().map(ToString::to_string).collect();
            format!("{} [{}]", r.scheme.map_or("any", Scheme::as_str), hosts.join(" "))
        })
        .collect();
    assert_eq!(said, ["http [a.example]", "http []", "https []"]);
    assert!(matches!(&found[0].to, Target::Redirect { status: 301, .. }));
    assert!(matches!(&found[1].to, Target::Respond { status: 404, .. }));
}

#[test]
fn a_file_that_is_none_is_refused_with_its_line() {
    for (text, says) in [
        ("http {", "nginx.conf:1: a block has no `}`"),
        ("\n\nlisten 80", "nginx.conf:3: the directive has no `;`"),
        ("}", "a directive was expected here"),
        ("a \"b", "a quote has no end"),
        ("include nginx.conf;", "nested too deep"),
        ("include missing;", "/etc/nginx/missing"),
    ] {
        let fault = import(&[("/etc/nginx/nginx.conf", text)]).unwrap_err().to_string();
        assert!(fault.contains(says), "{text}: {fault}");
    }
}

proptest::proptest! {
    #[test]
    fn whatever_is_written_there_what_comes_out_can_be_read(
        lines in proptest::collection::vec(proptest::sample::select(vec![
            "location / {", "location /a\"b {", "location = /x {", "}", "return 200 \"a\\\"b\";", "return 301 /x$request_uri;",
            "proxy_pass http://h:1/;", "proxy_pass http://h/é;", "add_header X \"a\\tb\";", "root /srv;", "alias /a/;",
            "server_name a.b *.c;", "proxy_set_header Host x;", "rewrite ^/(.*)$ /$1 break;", "client_max_body_size 1g;",
        ]), 0..12)
    ) {
        let imported = import(&[("/etc/nginx/nginx.conf", &server(&lines.join("\n")))]);
        if let Ok(imported) = imported {
            // Values may be at fault, which our reader says; what is printed is TOML in any case.
            proptest::prop_assert!(toml::from_str::<toml::Table>(&imported.toml).is_ok(), "{}", imported.toml);
        }
    }
}
