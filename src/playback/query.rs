//! The range of time that a request asks for.

use super::Error;
use crate::{base::Wall, model::Range, serve::Request};

/// The longest range of time that is looked through, in days; how much footage may lie in it is less.
pub(super) const RANGE_DAYS_MAX: i64 = 31;
const DAY_MICROS: i64 = 86_400_000_000;

/// A required moment.
pub(super) fn moment(request: &Request, name: &'static str) -> Result<Wall, Error> {
    optional_moment(request, name)?.ok_or(Error::Missing(name))
}

/// A moment that may be left out.
pub(super) fn optional_moment(request: &Request, name: &'static str) -> Result<Option<Wall>, Error> {
    match request.query(name).filter(|text| !text.is_empty()) {
        None => Ok(None),
        Some(text) => {
            text.parse().map(Some).map_err(|e: crate::base::time::NotATime| Error::Bad { name, what: e.to_string() })
        }
    }
}

/// A range that is one, and not too long.
pub(super) fn checked(range: Range) -> Result<Range, Error> {
    if range.to <= range.from {
        return Err(Error::Backwards(range));
    }
    if range.to.micros_since(range.from) > RANGE_DAYS_MAX * DAY_MICROS {
        return Err(Error::TooLong(format!("at most {RANGE_DAYS_MAX} days can be asked for at once")));
    }
    Ok(range)
}
