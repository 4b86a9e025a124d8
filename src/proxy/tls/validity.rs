//! From when until when a certificate is valid, read out of its DER. Pure.

/// Seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Validity {
    pub(in crate::proxy) not_before: i64,
    pub(in crate::proxy) not_after: i64,
}

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// None: it is no certificate, or one with dates that nobody should write.
pub(in crate::proxy) fn validity(certificate: &[u8]) -> Option<Validity> {
    let (outer, _) = element(certificate, SEQUENCE)?;
    let (mut fields, _) = element(outer, SEQUENCE)?;
    if let Some((_, rest)) = element(fields, VERSION) {
        fields = rest;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        fields = element(fields, *fields.first()?)?.1;
    }
    let (dates, _) = element(fields, SEQUENCE)?;
    let (not_before, rest) = time(dates)?;
    let (not_after, _) = time(rest)?;
    Some(Validity { not_before, not_after })
}

/// A time and what follows it.
fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (year, digits, rest) = match *bytes.first()? {
        UTC_TIME => {
            let (text, rest) = element(bytes, UTC_TIME)?;
            let year = number(text.get(..2)?)?;
            // RFC 5280, 4.1.2.5.1.
            (if year < 50 { 2000 + year } else { 1900 + year }, text.get(2..)?, rest)
        }
        _ => {
            let (text, rest) = element(bytes, GENERALIZED_TIME)?;
            (number(text.get(..4)?)?, text.get(4..)?, rest)
        }
    };
    let [month, day, hour, minute, second] = {
        let two = |at: usize| number(digits.get(at..at + 2)?);
        [two(0)?, two(2)?, two(4)?, two(6)?, two(8)?]
    };
    if digits.get(10..)? != b"Z" {
        return None;
    }
    let small = |n: i64| i8::try_from(n).ok();
    let at = jiff::civil::DateTime::new(
        i16::try_from(year).ok()?,
        small(month)?,
        small(day)?,
        small(hour)?,
        small(minute)?,
        small(second)?,
        0,
    );
    let at = at.ok()?.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some((at.timestamp().as_second(), rest))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
}

/// The content of the element at the begin, if it has that tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, &short) = (bytes.first()?, bytes.get(1)?);
    let (head, len) = match short {
        0..=0x7f => (2, usize::from(short)),
        // A certificate's lengths fit into three bytes.
        0x81..=0x83 => {
            let count = usize::from(short & 0x7f);
            let figures = bytes.get(2..2 + count)?;
            (2 + count, figures.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)))
        }
        _ => return None,
    };
    let content = bytes.get(head..head + len).filter(|_| found == tag)?;
    Some((content, &bytes[head + len..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_are_read_as_they_were_written() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 2, 28);
        params.not_after = rcgen::date_time_ymd(2061, 3, 1);
        let certificate = params.self_signed(&key).unwrap();
        let read = validity(certificate.der()).unwrap();
        assert_eq!(read, Validity { not_before: 1_772_236_800, not_after: 2_876_860_800 });
    }

    proptest! {
        #[test]
        fn no_certificate_is_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = validity(&bytes);
            let nested = [&[SEQUENCE, 0x81, bytes.len() as u8][..], &bytes].concat();
            let _ = validity(&nested);
        }
    }
}
