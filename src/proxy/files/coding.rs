//! Files that lie compressed beside a file: `app.js.br`, `app.js.gz`. Pure.

/// A coding that a file may lie in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Brotli,
    Gzip,
}

impl Coding {
    /// In the order in which they are liked where a client likes them alike.
    pub(super) const ALL: [Self; 2] = [Self::Brotli, Self::Gzip];

    /// What the file's name has behind it.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
        }
    }

    /// Its name in `Content-Encoding`.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// How much a client likes it, in thousandths; 0: not at all.
    pub(super) fn liked(self, accept: Option<&[u8]>) -> u16 {
        let Some(accept) = accept.and_then(|list| std::str::from_utf8(list).ok()) else { return 0 };
        let mut any = 0;
        for item in accept.split(',') {
            let mut parts = item.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            let weight = parts.find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q="))).map_or(1000, weight);
            let is_it =
                name.eq_ignore_ascii_case(self.as_str()) || (self == Self::Gzip && name.eq_ignore_ascii_case("x-gzip"));
            if is_it {
                return weight;
            }
            if name == "*" {
                any = weight;
            }
        }
        any
    }
}

/// `0.5` in thousandths; what is no weight is 0: nobody asked for what cannot be read.
fn weight(text: &str) -> u16 {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = rest.len() <= 3 && rest.bytes().all(|b| b.is_ascii_digit());
    match (whole, digits) {
        ("1", true) if rest.bytes().all(|b| b == b'0') => 1000,
        ("0", true) => format!("{rest:0<3}").parse().unwrap_or(0),
        _ => 0,
    }
}

/// Whether files of this type are worth a look for a compressed one: what is compressed in itself has none.
pub(super) fn may_be_coded(content_type: &str) -> bool {
    content_type.starts_with("text/")
        || content_type.ends_with("+xml")
        || content_type.ends_with("+json")
        || [
            "application/javascript",
            "application/json",
            "application/wasm",
            "application/xml",
            "application/vnd.ms-fontobject",
            "application/x-font-ttf",
            "font/ttf",
            "font/otf",
            "image/x-icon",
            "image/bmp",
        ]
        .contains(&content_type)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_what_it_likes() {
        for (accept, br, gzip) in [
            ("", 0, 0),
            ("gzip", 0, 1000),
            ("gzip, deflate, br", 1000, 1000),
            ("br;q=0.5, gzip;q=0.8", 500, 800),
            ("gzip;q=0", 0, 0),
            ("*", 1000, 1000),
            ("*;q=0.1, br;q=0", 0, 100),
            ("GZIP ; q=0.25", 0, 250),
            ("x-gzip", 0, 1000),
            ("br;q=2, gzip;q=abc", 0, 0),
            ("identity", 0, 0),
        ] {
            let accept = Some(accept.as_bytes());
            assert_eq!((Coding::Brotli.liked(accept), Coding::Gzip.liked(accept)), (br, gzip), "{accept:?}");
        }
        assert_eq!(Coding::Gzip.liked(None), 0);
    }
}
