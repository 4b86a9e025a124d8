//! Secrets, given as they are or as the path of a file that holds them.

use super::Origin;
use crate::{
    base::Secret,
    config::{
        fault::Place,
        reader::{Scope, as_text},
    },
};
use std::{io::Read, path::Path};

/// No password, token or key is longer; what is, is the wrong file.
const SECRET_LEN_BYTES_MAX: u64 = 4 << 10;

/// Reads `key`, or the file that `file_key` names. `None` where neither is set, and after a fault.
pub(super) fn read(
    scope: &Scope<'_>,
    key: &'static str,
    file_key: &'static str,
    origin: &Origin<'_>,
) -> Option<Secret> {
    let direct = scope.optional(key, as_text).filter(|s| !s.is_empty());
    let file = scope.optional(file_key, as_text).filter(|s| !s.is_empty());
    let from_env = |key| matches!(scope.place(key), Some(Place::Environment(_)));
    match (direct, file) {
        // The environment outweighs the file in whichever of the two ways it is given.
        (Some(_), Some(path)) if from_env(file_key) && !from_env(key) => of_file(scope, file_key, &origin.path(&path)),
        (Some(text), Some(_)) if from_env(key) && !from_env(file_key) => Some(Secret::new(text)),
        (Some(_), Some(_)) => {
            scope.fault(file_key, format!("`{key}` is set too; remove one of them"));
            None
        }
        (Some(text), None) => Some(Secret::new(text)),
        (None, Some(path)) => of_file(scope, file_key, &origin.path(&path)),
        (None, None) => None,
    }
}

/// Whether one of the two is there, be it right or wrong.
pub(super) fn given(scope: &Scope<'_>, key: &'static str, file_key: &'static str) -> bool {
    let set = |key| scope.optional(key, |n| Ok(as_text(n) != Ok(String::new()))) == Some(true);
    set(key) || set(file_key)
}

fn of_file(scope: &Scope<'_>, file_key: &'static str, path: &Path) -> Option<Secret> {
    read_file(path).map_err(|problem| scope.fault(file_key, format!("{} {problem}", path.display()))).ok()
}

/// The text of a file without the newline that editors put at its end.
fn read_file(path: &Path) -> Result<Secret, String> {
    let unreadable = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => "does not exist; write the secret into it, alone".to_owned(),
        _ => format!("cannot be read ({e}); see that the user of skyvis may read it"),
    };
    // Opening a pipe would wait for its other end.
    if !std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err("is not a file; name a file that holds the secret alone".into());
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(SECRET_LEN_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > SECRET_LEN_BYTES_MAX {
        return Err("is longer than 4 KiB; name a file that holds the secret alone".into());
    }
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8 text; write the secret into it, alone".to_owned())?;
    let text = text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
    match text.is_empty() {
        true => Err("is empty; write the secret into it, alone".into()),
        false => Ok(Secret::new(text)),
    }
}
