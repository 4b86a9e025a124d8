//! Chunked bodies: read strictly and without copying, written anew. Extensions are read over, trailers kept.

use super::{
    Refusal,
    field::{Kind, is_plain_name},
    limits::{EXTENSION_BYTES_MAX, EXTENSIONS_BYTES_MAX, SIZE_DIGITS_MAX, TRAILERS_BYTES_MAX},
    text::{self, hex, is_token, is_value, is_value_byte},
};

/// What to do with the bytes that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All of them are read, none is of the body; more must come.
    More,
    /// Those from `from` up to `to` are of the body; what comes behind them is yet to be read.
    Data {
        /// The first.
        from: usize,
        /// Behind the last, never equal to `from`.
        to: usize,
    },
    /// The body ends before this one, which is of the next message.
    End(usize),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Before the first digit of a size.
    #[default]
    Size,
    /// Behind a digit.
    SizeMore,
    Extension,
    /// Behind the CR of a size's line.
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// In the trailer section, of which the empty line is a part.
    Trailers,
    End,
}

/// Reads a chunked body as it comes, cut anywhere. It takes memory for trailers only.
#[derive(Clone, Debug, Default)]
pub struct ChunkReader {
    place: Place,
    digits: u8,
    extension: u16,
    extensions: u64,
    left: u64,
    trailers: Vec<u8>,
}

impl ChunkReader {
    /// Reads on: `bytes` are those behind what was read before.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Step, Refusal> {
        let mut at = 0;
        while at < bytes.len() {
            match self.place {
                Place::Data => {
                    let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len() - at);
                    self.skip(here as u64);
                    return Ok(Step::Data { from: at, to: at + here });
                }
                Place::Trailers => match self.take_trailers(&bytes[at..])? {
                    Some(taken) => {
                        self.place = Place::End;
                        return Ok(Step::End(at + taken));
                    }
                    None => return Ok(Step::More),
                },
                Place::End => return Ok(Step::End(at)),
                _ => self.take_byte(bytes[at])?,
            }
            at += 1;
        }
        if self.place == Place::End { Ok(Step::End(at)) } else { Ok(Step::More) }
    }

    /// How many bytes of the present chunk are still to come.
    pub fn left(&self) -> u64 {
        if self.place == Place::Data { self.left } else { 0 }
    }

    /// That many bytes of the present chunk, [`ChunkReader::left`] at most, went another way.
    pub fn skip(&mut self, bytes: u64) {
        debug_assert!(bytes <= self.left());
        self.left = self.left.saturating_sub(bytes);
        if self.place == Place::Data && self.left == 0 {
            self.place = Place::DataCr;
        }
    }

    /// Whether the body is read to its end.
    pub fn is_at_end(&self) -> bool {
        self.place == Place::End
    }

    /// The trailers, once the end was read: whole lines of `Name: value`, without those that may not stand there.
    pub fn trailers(&self) -> &[u8] {
        if self.is_at_end() { &self.trailers } else { &[] }
    }

    fn take_byte(&mut self, b: u8) -> Result<(), Refusal> {
        self.place = match (self.place, b) {
            (Place::Size | Place::SizeMore, _) if hex(b).is_some() => {
                self.digits += 1;
                if self.digits > SIZE_DIGITS_MAX {
                    return Err(Refusal::ChunkSize);
                }
                self.left = self.left << 4 | u64::from(hex(b).unwrap_or(0));
                Place::SizeMore
            }
            (Place::SizeMore, b';') => {
                self.extension = 0;
                self.count_extension()?;
                Place::Extension
            }
            (Place::SizeMore | Place::Extension, b'\r') => Place::SizeLf,
            (Place::Extension, _) if is_value_byte(b) => {
                self.count_extension()?;
                Place::Extension
            }
            (Place::Extension, _) => return Err(Refusal::ChunkExtension),
            (Place::SizeLf, b'\n') => {
                self.digits = 0;
                if self.left == 0 { Place::Trailers } else { Place::Data }
            }
            (Place::DataCr, b'\r') => Place::DataLf,
            (Place::DataLf, b'\n') => Place::Size,
            (Place::DataCr | Place::DataLf, _) => return Err(Refusal::ChunkEnd),
            _ => return Err(Refusal::ChunkSize),
        };
        Ok(())
    }

    fn count_extension(&mut self) -> Result<(), Refusal> {
        self.extension += 1;
        self.extensions += 1;
        let is_over = usize::from(self.extension) > EXTENSION_BYTES_MAX || self.extensions > EXTENSIONS_BYTES_MAX;
        if is_over { Err(Refusal::ExtensionTooLong) } else { Ok(()) }
    }

    /// Takes bytes of the trailer section; says how many once it is whole.
    fn take_trailers(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        let mut at = 0;
        while let Some(end) = bytes[at..].iter().position(|b| *b == b'\n').map(|lf| at + lf + 1) {
            self.keep_trailer(&bytes[at..end])?;
            at = end;
            let line_from =
                self.trailers[..self.trailers.len() - 1].iter().rposition(|b| *b == b'\n').map_or(0, |lf| lf + 1);
            let line = &self.trailers[line_from..];
            if line == b"\r\n" {
                self.trailers.truncate(line_from);
                self.clean_trailers()?;
                return Ok(Some(at));
            }
            check_trailer(line)?;
        }
        self.keep_trailer(&bytes[at..])?;
        Ok(None)
    }

    fn keep_trailer(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        if self.trailers.len() + bytes.len() > TRAILERS_BYTES_MAX {
            return Err(Refusal::TrailersTooLarge);
        }
        self.trailers.extend_from_slice(bytes);
        Ok(())
    }

    /// Leaves those that may be passed on, written one way.
    fn clean_trailers(&mut self) -> Result<(), Refusal> {
        if self.trailers.is_empty() {
            return Ok(());
        }
        let mut clean = Vec::with_capacity(self.trailers.len());
        for line in self.trailers.split_inclusive(|b| *b == b'\n') {
            let (name, value) = check_trailer(line)?;
            if Kind::of(name).may_trail() && is_plain_name(name) {
                text::push_field(&mut clean, name, value);
            }
        }
        self.trailers = clean;
        Ok(())
    }
}

fn check_trailer(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let line = line.strip_suffix(b"\r\n").ok_or(Refusal::Trailer)?;
    let colon = line.iter().position(|b| *b == b':').ok_or(Refusal::Trailer)?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    if is_token(name) && is_value(value) { Ok((name, value)) } else { Err(Refusal::Trailer) }
}

/// The line before a chunk.
#[derive(Clone, Copy, Debug)]
pub struct SizeLine {
    bytes: [u8; 18],
    from: u8,
}

impl SizeLine {
    /// As it is sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[usize::from(self.from)..]
    }
}

/// The line before a chunk of that many bytes.
pub fn size_line(len: u64) -> SizeLine {
    let mut line = SizeLine { bytes: *b"0000000000000000\r\n", from: 16 };
    let mut rest = len;
    loop {
        line.from -= 1;
        line.bytes[usize::from(line.from)] = b"0123456789abcdef"[(rest & 15) as usize];
        rest >>= 4;
        if rest == 0 {
            return line;
        }
    }
}

/// Writes one chunk; nothing for no data, since an empty chunk would be the last.
pub fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    out.extend_from_slice(size_line(data.len() as u64).as_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// Writes the end of a body, with trailers as [`ChunkReader::trailers`] gives them.
pub fn write_last(out: &mut Vec<u8>, trailers: &[u8]) {
    out.extend_from_slice(b"0\r\n");
    out.extend_from_slice(trailers);
    out.extend_from_slice(b"\r\n");
}
