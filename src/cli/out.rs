//! The one way to standard output and standard error. A reader that went away (`| head`) is no error and no panic.

use serde_json::Value;
use std::io::{self, BufWriter, IsTerminal, Write};

/// Where a command's words go.
pub struct Out {
    stdout: Box<dyn Write + Send>,
    stderr: Box<dyn Write + Send>,
    /// Columns of the terminal; `None` where there is none, so that nothing is cut.
    columns: Option<usize>,
    state: State,
}

#[derive(Debug)]
enum State {
    Open,
    /// Whoever read has enough.
    Closed,
    Failed(io::Error),
}

impl Out {
    /// The process's own.
    pub fn of_process() -> Self {
        let columns = io::stdout().is_terminal().then(|| {
            rustix::termios::tcgetwinsize(io::stdout()).map(|size| usize::from(size.ws_col)).unwrap_or_default()
        });
        Self {
            stdout: Box::new(BufWriter::new(io::stdout())),
            stderr: Box::new(io::stderr()),
            columns: columns.filter(|c| *c > 0),
            state: State::Open,
        }
    }

    /// Any two writers, as on a terminal that is `columns` wide.
    pub fn new(
        stdout: impl Write + Send + 'static,
        stderr: impl Write + Send + 'static,
        columns: Option<usize>,
    ) -> Self {
        Self { stdout: Box::new(stdout), stderr: Box::new(stderr), columns, state: State::Open }
    }

    /// Columns of the terminal, if it is one.
    pub fn columns(&self) -> Option<usize> {
        self.columns
    }

    /// Writes a line of the answer.
    pub fn line(&mut self, text: impl AsRef<str>) {
        self.text(text);
        self.text("\n");
    }

    /// Writes part of the answer.
    pub fn text(&mut self, text: impl AsRef<str>) {
        if let State::Open = self.state {
            let written = self.stdout.write_all(text.as_ref().as_bytes());
            self.note(written);
        }
    }

    /// Writes an answer for programs.
    pub fn json(&mut self, value: &Value) {
        self.line(format!("{value:#}"));
    }

    /// Shows what was written so far.
    pub fn flush(&mut self) {
        if let State::Open = self.state {
            let flushed = self.stdout.flush();
            self.note(flushed);
        }
    }

    /// Says what went wrong, or something beside the answer.
    pub fn complain(&mut self, text: impl AsRef<str>) {
        self.flush();
        // Nobody is left who could be told that this failed.
        let _ = writeln!(self.stderr, "{}", text.as_ref());
    }

    /// Asks a person something beside the answer.
    pub fn aside(&mut self, text: impl AsRef<str>) {
        self.flush();
        // Nobody is left who could be asked.
        let _ = self.stderr.write_all(text.as_ref().as_bytes()).and_then(|()| self.stderr.flush());
    }

    /// Ends the answer. The error is that of a disk that is full and the like, not that of a reader who left.
    pub fn finish(&mut self) -> Result<(), io::Error> {
        self.flush();
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Failed(e) => Err(e),
            State::Open | State::Closed => Ok(()),
        }
    }

    fn note(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => self.state = State::Closed,
            Err(e) => self.state = State::Failed(e),
        }
    }
}

/// For those who write by themselves. A reader who left is told to nobody here either.
impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text(String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Out::flush(self);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Gone(io::ErrorKind);

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_reader_who_left_is_no_error_and_a_full_disk_is() {
        let mut out = Out::new(Gone(io::ErrorKind::BrokenPipe), Gone(io::ErrorKind::BrokenPipe), None);
        out.line("a");
        out.complain("b");
        assert!(out.finish().is_ok());
        let mut out = Out::new(Gone(io::ErrorKind::StorageFull), Vec::new(), None);
        out.line("a");
        assert_eq!(out.finish().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
