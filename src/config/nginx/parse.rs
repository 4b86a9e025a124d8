//! The text of an nginx.conf as directives, with those of included files in their places.

use std::{
    fmt, io,
    iter::Peekable,
    path::{Path, PathBuf},
    str::Chars,
    sync::Arc,
};

/// A file that is longer is no configuration.
const FILE_BYTES_MAX: usize = 4 << 20;
/// Files that one includes, and those include; blocks within blocks. More is a loop.
const FILES_MAX: usize = 500;
const DEPTH_MAX: usize = 40;

/// One directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Directive {
    pub(super) name: String,
    pub(super) args: Vec<String>,
    pub(super) block: Option<Vec<Directive>>,
    pub(super) place: Place,
}

/// Where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: Arc<Path>,
    pub(super) line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

impl Directive {
    pub(super) fn arg(&self, at: usize) -> &str {
        self.args.get(at).map_or("", String::as_str)
    }

    pub(super) fn inner(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }
}

/// Why it cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file cannot be read.
    #[error("{}: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is not as such files are.
    #[error("{place}: {problem}")]
    Syntax {
        /// File and line.
        place: String,
        /// What is wrong.
        problem: &'static str,
    },
}

/// How files are read.
pub(super) struct Source<'a> {
    pub(super) read: &'a dyn Fn(&Path) -> io::Result<String>,
    /// What lies in a directory, in order.
    pub(super) list: &'a dyn Fn(&Path) -> io::Result<Vec<PathBuf>>,
}

/// All of a file.
pub(super) fn file(path: &Path, source: &Source<'_>) -> Result<Vec<Directive>, Fault> {
    let root = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut files = Files { source, root, read: 0 };
    files.file(path, 0)
}

struct Files<'a> {
    source: &'a Source<'a>,
    /// What relative names begin with.
    root: PathBuf,
    read: usize,
}

impl Files<'_> {
    fn file(&mut self, path: &Path, depth: usize) -> Result<Vec<Directive>, Fault> {
        let name: Arc<Path> = path.into();
        let place = Place { file: name.clone(), line: 1 };
        self.read += 1;
        if self.read > FILES_MAX {
            return Err(place.fault("too many files are included, which looks like a loop"));
        }
        let text = (self.source.read)(path).map_err(|error| Fault::Read { path: path.to_owned(), error })?;
        if text.len() > FILE_BYTES_MAX {
            return Err(place.fault("the file is too long for a configuration"));
        }
        let mut words = Words { chars: text.chars().peekable(), place };
        let directives = self.block(&mut words, depth, false)?;
        Ok(directives)
    }

    fn block(&mut self, words: &mut Words<'_>, depth: usize, is_inner: bool) -> Result<Vec<Directive>, Fault> {
        if depth > DEPTH_MAX {
            return Err(words.place.fault("blocks or includes are nested too deep"));
        }
        let mut found = Vec::new();
        loop {
            let name = match words.next()? {
                None if is_inner => return Err(words.place.fault("a block has no `}`")),
                None => return Ok(found),
                Some(Word::Close) if is_inner => return Ok(found),
                Some(Word::Close | Word::Open | Word::End) => {
                    return Err(words.place.fault("a directive was expected here"));
                }
                Some(Word::Text(name)) => name,
            };
            let place = words.place.clone();
            let mut args = Vec::new();
            let block = loop {
                match words.next()? {
                    Some(Word::Text(text)) => args.push(text),
                    Some(Word::End) => break None,
                    Some(Word::Open) if name.ends_with("_by_lua_block") => {
                        words.skip_block()?;
                        break Some(Vec::new());
                    }
                    Some(Word::Open) => break Some(self.block(words, depth + 1, true)?),
                    Some(Word::Close) | None => return Err(place.fault("the directive has no `;`")),
                }
            };
            let directive = Directive { name, args, block, place };
            match directive.name.as_str() {
                "include" => found.extend(self.include(&directive, depth)?),
                _ => found.push(directive),
            }
        }
    }

    fn include(&mut self, directive: &Directive, depth: usize) -> Result<Vec<Directive>, Fault> {
        let pattern = self.root.join(directive.arg(0));
        let name = pattern.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if !name.contains('*') {
            return self.file(&pattern, depth + 1);
        }
        let dir = pattern.parent().unwrap_or(Path::new("/"));
        // A directory that is not there has no files to include, as nginx sees it.
        let listed = (self.source.list)(dir).unwrap_or_default();
        let mut all = Vec::new();
        for path in listed {
            if path.file_name().is_some_and(|file| matches(&name, &file.to_string_lossy())) {
                all.extend(self.file(&path, depth + 1)?);
            }
        }
        Ok(all)
    }
}

/// Whether a name fits a pattern with stars.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last) && !(first.is_empty() && name.starts_with('.'))
}

impl Place {
    fn fault(&self, problem: &'static str) -> Fault {
        Fault::Syntax { place: self.to_string(), problem }
    }
}

enum Word {
    Text(String),
    Open,
    Close,
    End,
}

struct Words<'t> {
    chars: Peekable<Chars<'t>>,
    place: Place,
}

impl Words<'_> {
    fn take(&mut self) -> Option<char> {
        let c = self.chars.next()?;
        self.place.line += usize::from(c == '\n');
        Some(c)
    }

    fn next(&mut self) -> Result<Option<Word>, Fault> {
        loop {
            match self.chars.peek() {
                None => return Ok(None),
                Some('#') => while self.take().is_some_and(|c| c != '\n') {},
                Some(c) if c.is_whitespace() => drop(self.take()),
                Some(_) => break,
            }
        }
        match self.chars.peek() {
            Some('{') => Ok(self.take().map(|_| Word::Open)),
            Some('}') => Ok(self.take().map(|_| Word::Close)),
            Some(';') => Ok(self.take().map(|_| Word::End)),
            Some(quote @ ('"' | '\'')) => {
                let quote = *quote;
                self.take();
                self.quoted(quote).map(|text| Some(Word::Text(text)))
            }
            _ => Ok(Some(Word::Text(self.bare()))),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<String, Fault> {
        let begin = self.place.clone();
        let mut text = String::new();
        loop {
            match self.take() {
                None => return Err(begin.fault("a quote has no end")),
                Some(c) if c == quote => return Ok(text),
                Some('\\') => match self.take() {
                    Some(c) if c == quote || c == '\\' => text.push(c),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some('n') => text.push('\n'),
                    Some(c) => text.extend(['\\', c]),
                    None => return Err(begin.fault("a quote has no end")),
                },
                Some(c) => text.push(c),
            }
        }
    }

    /// Up to a space or what ends a directive; `${x}` is a part of it.
    fn bare(&mut self) -> String {
        let mut text = String::new();
        while let Some(c) = self.chars.peek().copied() {
            if c.is_whitespace() || c == ';' || (c == '{' && !text.ends_with('$')) {
                break;
            }
            self.take();
            text.push(c);
            if c == '\\'
                && let Some(next) = self.take()
            {
                text.push(next);
            } else if c == '{' {
                while let Some(inner) = self.take() {
                    text.push(inner);
                    if inner == '}' {
                        break;
                    }
                }
            }
        }
        text
    }

    /// What is another language within braces.
    fn skip_block(&mut self) -> Result<(), Fault> {
        let begin = self.place.clone();
        let mut open = 1;
        while open > 0 {
            match self.take() {
                None => return Err(begin.fault("a block has no `}`")),
                Some('{') => open += 1,
                Some('}') => open -= 1,
                Some(_) => {}
            }
        }
        Ok(())
    }
}
