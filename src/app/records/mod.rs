//! The records of a file of events: its lines, or the elements of a JSON array.
//!
//! gzip and zstd are unpacked, whatever the file is called, and a byte order mark is skipped. A
//! record may be of any length: of one beyond [`RECORD_BYTES_MAX`] only the beginning is kept.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, bail};
use flate2::bufread::MultiGzDecoder;
use zstd::stream::read::Decoder as ZstdDecoder;

/// Bytes of a record that are kept: the largest that the sender hands to a broker, 16 MiB less what
/// the client adds.
pub(super) const RECORD_BYTES_MAX: usize = (16 << 20) - 4_096;

/// The window of a zstd file, as a power of two: 128 MiB, as much as zstd's own command unpacks
/// unasked. A larger one is refused, so that a file cannot take all memory.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

const BUFFER_BYTES: usize = 1 << 20;
const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// Reads records one by one.
pub(super) struct Records {
    input: Input,
    form: Form,
    /// Bytes taken from the file so far, packed as they are there.
    taken: Arc<AtomicU64>,
    bytes_total: Option<u64>,
    /// Lines ended so far.
    lines: u64,
    /// Elements of the array so far.
    elements: u64,
    /// Blanks at the beginning of the line that is read next.
    indent: Vec<u8>,
}

enum Input {
    /// Not looked at yet: the first bytes of a pipe may come late.
    Raw(Box<dyn Read + Send>),
    Unpacked(Box<dyn BufRead + Send>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Unknown,
    Lines,
    Array,
}

/// Where a record lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// The line, from 1.
    Line(u64),
    /// The element of the JSON array, from 1.
    Element(u64),
}

impl Place {
    /// The line or element, from 1.
    pub(super) fn number(self) -> u64 {
        let (Self::Line(number) | Self::Element(number)) = self;
        number
    }

    /// `line` or `element`.
    pub(super) fn noun(self) -> &'static str {
        match self {
            Self::Line(_) => "line",
            Self::Element(_) => "element",
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.noun(), indicatif::HumanCount(self.number()))
    }
}

/// A record that was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) place: Place,
    /// Its whole length in bytes, of which [`RECORD_BYTES_MAX`] are kept.
    pub(super) bytes: u64,
}

impl Taken {
    /// True if the record is longer than what is kept of it.
    pub(super) fn is_cut(self) -> bool {
        self.bytes > RECORD_BYTES_MAX as u64
    }
}

/// A reader that counts.
struct Counted<R> {
    inner: R,
    taken: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(buffer)?;
        self.taken.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

impl Records {
    /// Opens a file; `-` is standard input.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is a directory.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::of(std::io::stdin(), None));
        }
        let cannot_read = || format!("cannot read {}", path.display());
        let file = File::open(path).with_context(cannot_read)?;
        let metadata = file.metadata().with_context(cannot_read)?;
        if metadata.is_dir() {
            bail!("{} is a directory; name a file of events", path.display());
        }
        Ok(Self::of(file, metadata.is_file().then_some(metadata.len())))
    }

    /// The records of a reader, which gives so many bytes if that is known.
    pub(super) fn of(reader: impl Read + Send + 'static, bytes_total: Option<u64>) -> Self {
        let taken = Arc::new(AtomicU64::new(0));
        let counted = Counted { inner: reader, taken: Arc::clone(&taken) };
        let input = Input::Raw(Box::new(counted));
        Self {
            input,
            form: Form::Unknown,
            taken,
            bytes_total,
            lines: 0,
            elements: 0,
            indent: vec![],
        }
    }

    /// The file's size, if it has one.
    pub(super) fn bytes_total(&self) -> Option<u64> {
        self.bytes_total
    }

    /// Bytes of the file that have been read.
    pub(super) fn position(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// The beginning of the file, unpacked, 1 MiB at most; it is read again by [`Self::next`].
    pub(super) fn beginning(&mut self) -> anyhow::Result<Vec<u8>> {
        let input = self.unpacked()?;
        let mut begun = Vec::new();
        let mut rest: Box<dyn BufRead + Send> = std::mem::replace(input, Box::new(io::empty()));
        rest.by_ref()
            .take(BUFFER_BYTES as u64)
            .read_to_end(&mut begun)
            .context("cannot read the events")?;
        *input = Box::new(io::Cursor::new(begun.clone()).chain(rest));
        Ok(begun)
    }

    /// Reads the next record into `record`, without line ends and blanks around it. Blank lines are
    /// skipped. `None` at the end.
    pub(super) fn next(&mut self, record: &mut Vec<u8>) -> anyhow::Result<Option<Taken>> {
        self.unpacked()?;
        self.next_unpacked(record).context("cannot read the events")
    }

    fn next_unpacked(&mut self, record: &mut Vec<u8>) -> io::Result<Option<Taken>> {
        let Input::Unpacked(input) = &mut self.input else { return Ok(None) };
        loop {
            record.clear();
            match self.form {
                Form::Unknown => {
                    let (lines, first) = skip_blank(input, b"", &mut self.indent)?;
                    self.lines += lines;
                    self.form = match first {
                        None => return Ok(None),
                        Some(b'[') => {
                            input.consume(1);
                            Form::Array
                        }
                        Some(_) => Form::Lines,
                    };
                }
                Form::Lines => {
                    record.append(&mut self.indent);
                    let Some(bytes) = read_line(input, record)? else { return Ok(None) };
                    self.lines += 1;
                    trim(record);
                    if !record.is_empty() {
                        let place = Place::Line(self.lines);
                        return Ok(Some(Taken { place, bytes: bytes.max(record.len() as u64) }));
                    }
                }
                Form::Array => {
                    let (lines, first) = skip_blank(input, b",", &mut self.indent)?;
                    self.lines += lines;
                    self.indent.clear();
                    match first {
                        None => return Ok(None),
                        // What follows an array may be another one.
                        Some(b']') => {
                            input.consume(1);
                            self.form = Form::Unknown;
                            continue;
                        }
                        Some(_) => {}
                    }
                    let bytes = read_element(input, record)?;
                    self.elements += 1;
                    self.lines += line_ends(record);
                    trim(record);
                    return Ok(Some(Taken { place: Place::Element(self.elements), bytes }));
                }
            }
        }
    }

    /// The input, unpacked by what its first bytes say.
    fn unpacked(&mut self) -> anyhow::Result<&mut Box<dyn BufRead + Send>> {
        if let Input::Raw(raw) = &mut self.input {
            let raw = std::mem::replace(raw, Box::new(io::empty()));
            self.input = Input::Unpacked(unpack(raw).context("cannot read the events")?);
        }
        match &mut self.input {
            Input::Unpacked(input) => Ok(input),
            Input::Raw(_) => bail!("cannot read the events"),
        }
    }
}

fn unpack(raw: Box<dyn Read + Send>) -> io::Result<Box<dyn BufRead + Send>> {
    let (head, raw) = with_head(raw)?;
    let packed = BufReader::with_capacity(BUFFER_BYTES, raw);
    let unpacked: Box<dyn Read + Send> = if head.starts_with(&GZIP) {
        Box::new(MultiGzDecoder::new(packed))
    } else if head == ZSTD {
        let mut frames = ZstdDecoder::with_buffer(packed)?;
        frames.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        Box::new(frames)
    } else {
        return skip_mark(head, packed);
    };
    let (head, unpacked) = with_head(unpacked)?;
    skip_mark(head, BufReader::with_capacity(BUFFER_BYTES, unpacked))
}

/// The first bytes, four where there are as many, and a reader that gives them again.
fn with_head<R: Read + Send + 'static>(mut reader: R) -> io::Result<(Vec<u8>, impl Read + Send)> {
    let mut head = Vec::new();
    reader.by_ref().take(4).read_to_end(&mut head)?;
    Ok((head.clone(), io::Cursor::new(head).chain(reader)))
}

fn skip_mark(
    head: Vec<u8>,
    mut input: impl BufRead + Send + 'static,
) -> io::Result<Box<dyn BufRead + Send>> {
    if head.starts_with(&BYTE_ORDER_MARK) {
        input.read_exact(&mut [0; BYTE_ORDER_MARK.len()])?;
    }
    Ok(Box::new(input))
}

/// Skips white space and `also`; returns how many lines ended, and the first other byte, which
/// stays in the input. `None` at the end. `indent` gets what was skipped of the last line.
fn skip_blank(
    input: &mut dyn BufRead,
    also: &[u8],
    indent: &mut Vec<u8>,
) -> io::Result<(u64, Option<u8>)> {
    let mut lines = 0;
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok((lines, None));
        }
        let is_blank = |byte: &u8| byte.is_ascii_whitespace() || also.contains(byte);
        let blank = buffer.iter().take_while(|byte| is_blank(byte)).count();
        let skipped = &buffer[..blank];
        lines += line_ends(skipped);
        match memchr::memrchr(b'\n', skipped) {
            Some(end) => *indent = skipped[end + 1..].to_vec(),
            None => keep(indent, skipped),
        }
        let first = buffer.get(blank).copied();
        input.consume(blank);
        if first.is_some() {
            return Ok((lines, first));
        }
    }
}

fn line_ends(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// Keeps the bytes that there is room for.
fn keep(record: &mut Vec<u8>, bytes: &[u8]) {
    let room = RECORD_BYTES_MAX.saturating_sub(record.len()).min(bytes.len());
    record.extend_from_slice(&bytes[..room]);
}

/// Reads a line without its end; returns its length, `None` at the end.
fn read_line(input: &mut dyn BufRead, record: &mut Vec<u8>) -> io::Result<Option<u64>> {
    let mut bytes = 0_u64;
    let mut is_begun = false;
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(is_begun.then_some(bytes));
        }
        is_begun = true;
        let end = memchr::memchr(b'\n', buffer);
        let line = &buffer[..end.unwrap_or(buffer.len())];
        keep(record, line);
        bytes += line.len() as u64;
        let consumed = line.len() + usize::from(end.is_some());
        input.consume(consumed);
        if end.is_some() {
            return Ok(Some(bytes));
        }
    }
}

/// Reads an element of an array up to the comma or bracket behind it; returns its length. Where the
/// file ends within it, that is the element's end.
fn read_element(input: &mut dyn BufRead, record: &mut Vec<u8>) -> io::Result<u64> {
    let (mut depth, mut bytes) = (0_u64, 0_u64);
    let (mut in_string, mut is_escaped) = (false, false);
    loop {
        let buffer = input.fill_buf()?;
        if buffer.is_empty() {
            return Ok(bytes);
        }
        let end = buffer.iter().position(|&byte| {
            if in_string {
                in_string = is_escaped || byte != b'"';
                is_escaped = byte == b'\\' && !is_escaped;
                return false;
            }
            match byte {
                b'"' => in_string = true,
                b'{' | b'[' => depth += 1,
                b',' | b']' if depth == 0 => return true,
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            false
        });
        let part = &buffer[..end.unwrap_or(buffer.len())];
        keep(record, part);
        bytes += part.len() as u64;
        let consumed = part.len();
        input.consume(consumed);
        if end.is_some() {
            return Ok(bytes);
        }
    }
}

/// Removes the rest of a line end; empties a blank record.
fn trim(record: &mut Vec<u8>) {
    if record.last() == Some(&b'\r') {
        record.pop();
    }
    if record.trim_ascii().is_empty() {
        record.clear();
    }
}

#[cfg(test)]
mod tests;
