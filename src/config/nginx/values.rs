//! Values: sizes, times, variables, as they are written there and here.

/// `20m` as bytes in our words.
pub(super) fn size(text: &str) -> Option<String> {
    let (number, unit) = match text.chars().last()?.to_ascii_lowercase() {
        'k' => (&text[..text.len() - 1], "KiB"),
        'm' => (&text[..text.len() - 1], "MiB"),
        'g' => (&text[..text.len() - 1], "GiB"),
        _ => (text, "B"),
    };
    let number: u64 = number.parse().ok()?;
    Some(format!("{number}{unit}"))
}

/// `1m30s` or `90` in milliseconds.
pub(super) fn millis(text: &str) -> Option<u64> {
    let (mut total, mut number) = (0u64, String::new());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c.is_ascii_digit() {
            number.push(c);
            continue;
        }
        let unit = match (c, chars.peek()) {
            ('m', Some('s')) => {
                chars.next();
                1
            }
            ('s', _) => 1_000,
            ('m', _) => 60_000,
            ('h', _) => 3_600_000,
            ('d', _) => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(unit)?)?;
        number.clear();
    }
    match number.is_empty() {
        true => Some(total),
        false => total.checked_add(number.parse::<u64>().ok()?.checked_mul(1_000)?),
    }
}

/// The same in our words, within bounds.
pub(super) fn duration(text: &str, least_ms: u64, most_ms: u64) -> Option<String> {
    let ms = millis(text)?.clamp(least_ms, most_ms);
    Some(if ms % 1_000 == 0 { format!("{}s", ms / 1_000) } else { format!("{ms}ms") })
}

/// What our texts have for a variable.
const VARIABLES: [(&str, &str); 8] = [
    ("request_uri", "{uri}"),
    ("remote_addr", "{remote_addr}"),
    ("request_method", "{method}"),
    ("http_host", "{host}"),
    ("document_uri", "{path}"),
    ("scheme", "{scheme}"),
    ("host", "{host}"),
    ("uri", "{path}"),
];

/// A text with variables as a template of ours. None where one of them has no counterpart.
pub(super) fn template(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (name, behind) = match rest.strip_prefix('{').and_then(|inner| inner.split_once('}')) {
            Some(found) => found,
            None => {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        let ours = VARIABLES.iter().find(|(theirs, _)| *theirs == name).map(|(_, ours)| *ours);
        out.push_str(ours?);
        rest = behind;
    }
    out.push_str(rest);
    Some(out)
}

/// A text for a regular expression that finds just it.
pub(super) fn escaped(text: &str) -> String {
    regex::escape(text)
}
