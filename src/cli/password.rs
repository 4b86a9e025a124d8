//! `hash-password`: a password in, an Argon2id string out.

use super::{Error, Out};
use crate::{base::Secret, playback::plays::PasswordHash};
use rustix::termios::{self, LocalModes, OptionalActions, Termios};
use std::io::{self, BufRead, IsTerminal};

/// `skyvis hash-password`
pub(super) fn hash_password(out: &mut Out) -> Result<(), Error> {
    let input = io::stdin();
    let hash = match input.is_terminal() {
        true => {
            let hidden = Hidden::on(&input)?;
            let first = asked(out, "Password: ", &mut input.lock())?;
            let second = asked(out, "Once more: ", &mut input.lock())?;
            drop(hidden);
            if first != second {
                return Err(Error::Usage("these are two passwords; begin again".into()));
            }
            hash(&first)?
        }
        false => hash(&line(&mut input.lock())?)?,
    };
    out.line(hash.as_str());
    Ok(())
}

fn hash(password: &Secret) -> Result<PasswordHash, Error> {
    PasswordHash::of(password).map_err(|e| Error::Usage(e.to_string()))
}

fn asked(out: &mut Out, question: &str, input: &mut impl BufRead) -> Result<Secret, Error> {
    out.aside(question);
    let answer = line(input);
    out.aside("\n");
    answer
}

/// One line without its end.
fn line(input: &mut impl BufRead) -> Result<Secret, Error> {
    let mut text = String::new();
    input.read_line(&mut text).map_err(|e| Error::Usage(format!("the password cannot be read: {e}")))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(Secret::new(text.strip_suffix('\r').unwrap_or(text)))
}

/// While it is held, the terminal does not show what is typed.
struct Hidden<'a> {
    terminal: &'a io::Stdin,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn on(terminal: &'a io::Stdin) -> Result<Self, Error> {
        let failed = |e: rustix::io::Errno| Error::Usage(format!("the terminal cannot hide what is typed: {e}"));
        let before = termios::tcgetattr(terminal).map_err(failed)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        termios::tcsetattr(terminal, OptionalActions::Flush, &quiet).map_err(failed)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing any more.
        let _ = termios::tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_password_without_its_end() {
        let of = |text: &str| line(&mut text.as_bytes()).unwrap().expose().to_owned();
        for (text, password) in [("a b\n", "a b"), ("a\r\n", "a"), ("a", "a"), (" a \nnext", " a "), ("", "")] {
            assert_eq!(of(text), password, "{text:?}");
        }
        assert!(hash(&Secret::new("")).is_err());
        assert!(hash(&Secret::new("a b")).unwrap().as_str().starts_with("$argon2id$"));
    }
}
