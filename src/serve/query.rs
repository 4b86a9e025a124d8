//! Percent-encoding, and query strings as pairs.

/// The pairs of a query string in order, names and values decoded. `+` is a space, as browsers send forms.
pub fn parse_query(query: &str) -> Vec<(String, String)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |s: &str| decode_lossy(&s.replace('+', " "));
            (decode(name), decode(value))
        })
        .collect()
}

/// Decodes one part of a path. None where an escape is broken or the result is no UTF-8.
pub fn decode_component(text: &str) -> Option<String> {
    String::from_utf8(decode_bytes(text)?).ok()
}

/// Encodes one part of a path or query; only unreserved characters stay as they are.
pub fn encode_component(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Like [`decode_component`], but what cannot be decoded stays as it was sent, for the message that refuses it.
fn decode_lossy(text: &str) -> String {
    decode_component(text).unwrap_or_else(|| text.to_owned())
}

fn decode_bytes(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b == b'%' {
            let high = char::from(bytes.next()?).to_digit(16)?;
            let low = char::from(bytes.next()?).to_digit(16)?;
            out.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            out.push(b);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded_and_broken_escapes_stay() {
        let pairs = parse_query("stream=nvr1%2F3%2Fmain&from=2026-11-21T16:30:00+08:00&flag&x=%zz&&a=%E4%B8%AD");
        let pairs: Vec<_> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(
            pairs,
            [("stream", "nvr1/3/main"), ("from", "2026-11-21T16:30:00 08:00"), ("flag", ""), ("x", "%zz"), ("a", "中")]
        );
    }

    proptest::proptest! {
        #[test]
        fn what_is_encoded_reads_back(text in ".*") {
            proptest::prop_assert_eq!(decode_component(&encode_component(&text)), Some(text));
        }
    }
}
