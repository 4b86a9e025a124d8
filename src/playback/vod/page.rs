//! What people see of a play: the player, the question for the password, and why there is nothing to see. Pure.

use crate::{
    model::Range,
    playback::plays::{Play, Shown},
    serve::encode_component,
};

/// Nothing but our own files runs in the page, and no page frames it. `blob:` is what Media Source plays from.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; \
    media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// Media playlists and a few boxes of MP4, read in a browser. The console's player stands on it as well.
pub const PLAYLIST_JS: &str = include_str!("page/playlist.js");

/// The player of what is live, picture by picture. The console's grid has it too.
pub const LIVE_JS: &str = include_str!("page/live.js");

/// How far behind it is shown.
pub const LAG_JS: &str = include_str!("page/lag.js");

const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// The page's own files, which hold nothing but code.
pub(super) fn file(name: &str) -> Option<(&'static str, &'static str)> {
    match name {
        "play.js" => Some((JS, include_str!("page/play.js"))),
        "playlist.js" => Some((JS, PLAYLIST_JS)),
        "live.js" => Some((JS, LIVE_JS)),
        "lag.js" => Some((JS, LAG_JS)),
        "play.css" => Some((CSS, include_str!("page/play.css"))),
        _ => None,
    }
}

/// The player. Addresses are relative, so that it works below whatever stands in front of us.
pub(super) fn player(play: &Play, pass: &str) -> String {
    let id = &play.id;
    let (from, when) = match play.shown {
        Shown::Recorded(Range { from, to }) => (from.to_string(), format!("{} – {}", moment(from), moment(to))),
        Shown::Live => (String::new(), "Live".to_owned()),
    };
    let download = match play.shown {
        Shown::Recorded(_) => {
            format!(
                "<a class=\"button\" href=\"{id}/video.mp4?s={}&amp;download=1\">Download MP4</a>",
                encode_component(pass)
            )
        }
        Shown::Live => String::new(),
    };
    let stream = escape(&play.stream.to_string());
    let live = if play.shown == Shown::Live { " data-live" } else { "" };
    let until = moment(play.expires);
    let pass = escape(pass);
    let body = format!(
        "<main data-play=\"{id}\" data-pass=\"{pass}\" data-from=\"{from}\"{live}>\n\
         <h1>{stream}</h1>\n<p class=\"dim\">{when}</p>\n\
         <div class=\"screen\"><video controls autoplay muted playsinline></video>\
         <p class=\"message\" role=\"status\">Loading</p></div>\n\
         <div class=\"below\"><span data-clock aria-label=\"Time of the picture\"></span>{download}\
         <span class=\"dim\">This link is good until {until}</span></div>\n\
         <noscript><p>Without JavaScript the film plays as a file: <a href=\"{id}/video.mp4?s={pass}\">video.mp4</a></p></noscript>\n\
         </main>\n"
    );
    let script = format!("<script type=\"module\" src=\"{id}/page/play.js\"></script>\n");
    document(&play.stream.to_string(), &format!("{id}/page/play.css"), &script, &body)
}

/// The question for the password; `wrong` says what was wrong with the last one.
pub(super) fn question(id: &str, wrong: Option<&str>) -> String {
    let id = escape(id);
    let wrong = wrong.map(|text| format!("<p class=\"wrong\" role=\"alert\">{}</p>\n", escape(&sentence(text))));
    let body = format!(
        "<main class=\"small\">\n<h1>This film needs a password</h1>\n\
         <p class=\"dim\">Whoever gave you the link knows it.</p>\n{}\
         <form method=\"post\" action=\"{id}\">\n<label>Password <input type=\"password\" name=\"password\" required \
         autofocus autocomplete=\"current-password\" maxlength=\"256\"></label>\n<button>Watch</button>\n</form>\n</main>\n",
        wrong.unwrap_or_default()
    );
    document("Password", &format!("{id}/page/play.css"), "", &body)
}

/// Why there is nothing to see.
pub(super) fn refusal(id: &str, title: &str, detail: &str) -> String {
    let body =
        format!("<main class=\"small\">\n<h1>{}</h1>\n<p>{}</p>\n</main>\n", escape(title), escape(&sentence(detail)));
    document(title, &format!("{}/page/play.css", escape(id)), "", &body)
}

fn document(title: &str, style: &str, head: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"dark\">\n<meta name=\"robots\" content=\"noindex\">\n\
         <title>{}</title>\n<link rel=\"icon\" href=\"data:,\">\n<link rel=\"stylesheet\" href=\"{style}\">\n{head}\
         </head>\n<body>\n{body}</body>\n</html>\n",
        escape(title)
    )
}

/// A time that the page's script writes in the viewer's own way.
fn moment(at: crate::base::Wall) -> String {
    format!("<time datetime=\"{at}\">{at}</time>")
}

/// A detail as a sentence for people.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let end = if text.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the page's own code, on a node: it is the same that browsers run.
    #[test]
    fn what_is_live_is_shown_later_after_each_stall_and_comes_back_while_all_is_well() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("lag.mjs"), file("lag.js").unwrap().1).unwrap();
        let script = r#"
            import { Lag, LAG_S, LAG_MAX_S } from "./lag.mjs";
            import assert from "node:assert";
            const near = (a, b) => assert(Math.abs(a - b) < 1e-6, `${a} is not ${b}`);
            const lag = new Lag(0);
            near(lag.at(1e9), LAG_S);
            let now = 1e9;
            for (let n = 1; n <= 3; n += 1) { lag.stalled(now += 5_000); near(lag.at(now), LAG_S + n * 0.05); }
            near(lag.at(now + 79_000), LAG_S + 0.15);
            near(lag.at(now += 80_000), LAG_S + 0.14);
            near(lag.at(now), LAG_S + 0.14);
            for (let n = 0; n < 13; n += 1) lag.at(now += 80_000);
            near(lag.at(now), LAG_S + 0.01);
            near(lag.at(now += 80_000), LAG_S);
            near(lag.at(now += 1e9), LAG_S);
            // Forgiven: the next one costs as little as the first.
            lag.stalled(now);
            near(lag.at(now + 20_000), LAG_S + 0.04);
            // Where the network always needs 0.3 s, that is not learnt anew every minute.
            const needs = new Lag(0);
            let stalls = 0;
            for (let second = 0; second < 3_600; second += 1) {
              if (needs.at(second * 1_000) < 0.3 - 1e-9) { needs.stalled(second * 1_000); stalls += 1; }
            }
            assert(stalls <= 8, `${stalls} stalls in an hour`);
            for (let n = 0; n < 100; n += 1) needs.stalled(1e12);
            near(needs.at(1e12), LAG_MAX_S);
        "#;
        std::fs::write(dir.path().join("test.mjs"), script).unwrap();
        let out = std::process::Command::new("node").arg(dir.path().join("test.mjs")).output();
        let out = out.expect("node is installed by ./test");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    }

    #[test]
    fn nothing_that_was_sent_becomes_part_of_the_page() {
        let evil = "\"><script>alert('x')</script>&";
        for page in [question(evil, Some(evil)), refusal(evil, evil, evil)] {
            assert!(!page.contains("<script>") && page.contains("&lt;script&gt;"), "{page}");
            assert_eq!(page.matches("<main").count(), 1);
        }
        assert!(question("a", Some("the password is wrong")).contains("The password is wrong.</p>"));
    }
}
