//! Files of events: one envelope per line, plain or compressed.
//!
//! What is read is told by its first bytes, what is written by the ending of its name.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Cursor, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use indicatif::{ProgressBar, ProgressStyle};
use plaudit_ingest::MAX_EVENT_BYTES;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Level 3 of 22: what the command `zstd` takes.
const ZSTD_LEVEL: i32 = 3;

/// A file that is read line by line.
pub(crate) struct Lines {
    input: Box<dyn BufRead + Send>,
    name: String,
    /// Lines read, blank ones included.
    number: u64,
    bar: ProgressBar,
}

impl Lines {
    /// Opens `path`; `-` is standard input.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let fail = || format!("failed to open `{name}`");
        let (file, length): (Box<dyn Read + Send>, _) = if path == Path::new("-") {
            (Box::new(io::stdin()), None)
        } else {
            let file = File::open(path).with_context(fail)?;
            let length = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
            (Box::new(file), length)
        };
        let bar = progress_bar(length)?;
        let input = decompressed(bar.wrap_read(file)).with_context(|| format!("failed to read `{name}`"))?;
        Ok(Self { input, name, number: 0, bar })
    }

    /// The next line that is not blank, without its end; nothing at the end of the file. What is longer than an event
    /// may be is cut, and still longer.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        loop {
            let mut line = Vec::new();
            let read = read_line(&mut *self.input, &mut line, MAX_EVENT_BYTES + 1);
            let is_there = read.with_context(|| {
                format!("failed to read `{}`; what was read before is kept, and is not taken twice", self.name)
            })?;
            if !is_there {
                self.bar.finish_and_clear();
                return Ok(None);
            }
            self.number += 1;
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(line));
            }
        }
    }

    /// The number of the line that came last, from 1; blank ones are counted.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Shows how far reading has come.
    pub(crate) fn say(&self, message: String) {
        self.bar.set_message(message);
    }
}

/// Reads to the end of a line and keeps at most `most` bytes of it; `false` when there is none.
fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>, most: usize) -> io::Result<bool> {
    let limit = most as u64 + 1;
    if (&mut *input).take(limit).read_until(b'\n', line)? == 0 {
        return Ok(false);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if line.len() > most {
        line.truncate(most);
        input.skip_until(b'\n')?;
    }
    Ok(true)
}

fn decompressed(mut file: impl Read + Send + 'static) -> io::Result<Box<dyn BufRead + Send>> {
    let mut start = Vec::new();
    Read::by_ref(&mut file).take(ZSTD.len() as u64).read_to_end(&mut start)?;
    let (is_gzip, is_zstd) = (start.starts_with(GZIP), start.starts_with(ZSTD));
    let whole = BufReader::new(Cursor::new(start).chain(file));
    Ok(if is_gzip {
        Box::new(BufReader::new(MultiGzDecoder::new(whole)))
    } else if is_zstd {
        Box::new(BufReader::new(zstd::Decoder::with_buffer(whole)?))
    } else {
        Box::new(whole)
    })
}

/// Bytes read, where the length is known; else what was taken.
fn progress_bar(length: Option<u64>) -> anyhow::Result<ProgressBar> {
    let (bar, template) = match length {
        Some(length) => (ProgressBar::new(length), "{bar:40} {bytes}/{total_bytes}  {msg}  {eta} left"),
        None => (ProgressBar::new_spinner(), "{spinner} {bytes}  {msg}"),
    };
    bar.set_style(ProgressStyle::with_template(template)?);
    Ok(bar)
}

/// Where lines are written to.
pub(crate) struct Output {
    writer: Writer,
    /// The file while it is not whole, and its name once it is; nothing for standard output.
    names: Option<(PathBuf, PathBuf)>,
}

enum Writer {
    Plain(BufWriter<Box<dyn Write + Send>>),
    Gzip(GzEncoder<BufWriter<File>>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
}

impl Output {
    /// Writes to `path`, compressed if its name ends with `.gz` or `.zst`; without one, to standard output.
    pub(crate) fn create(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            let writer = Writer::Plain(BufWriter::new(Box::new(io::stdout())));
            return Ok(Self { writer, names: None });
        };
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        let fail = || format!("failed to create `{}`", part.display());
        let file = File::create(&part).with_context(fail)?;
        let writer = match path.extension().and_then(|ending| ending.to_str()) {
            Some("gz") => Writer::Gzip(GzEncoder::new(BufWriter::new(file), Compression::default())),
            Some("zst") => Writer::Zstd(zstd::Encoder::new(BufWriter::new(file), ZSTD_LEVEL).with_context(fail)?),
            _ => Writer::Plain(BufWriter::new(Box::new(file))),
        };
        Ok(Self { writer, names: Some((part, path.to_owned())) })
    }

    /// Writes `line` and its end.
    pub(crate) fn write(&mut self, mut line: Vec<u8>) -> io::Result<()> {
        line.push(b'\n');
        match &mut self.writer {
            Writer::Plain(writer) => writer.write_all(&line),
            Writer::Gzip(writer) => writer.write_all(&line),
            Writer::Zstd(writer) => writer.write_all(&line),
        }
    }

    /// Makes a file that is whole; one that is not keeps the ending `.part`.
    pub(crate) fn finish(self) -> io::Result<()> {
        let flushed = match self.writer {
            Writer::Plain(mut writer) => {
                writer.flush()?;
                None
            }
            Writer::Gzip(writer) => Some(writer.finish()?),
            Writer::Zstd(writer) => Some(writer.finish()?),
        };
        if let Some(writer) = flushed {
            writer.into_inner()?.sync_all()?;
        }
        let Some((part, path)) = self.names else { return Ok(()) };
        File::open(&part)?.sync_all()?;
        std::fs::rename(part, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_is_too_long_is_cut_and_the_next_one_is_whole() {
        let mut input: &[u8] = b"abcdefgh\nabc\n\nabcd\nlast";
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            if !read_line(&mut input, &mut line, 4).unwrap() {
                break;
            }
            lines.push(String::from_utf8(line).unwrap());
        }
        assert_eq!(lines, ["abcd", "abc", "", "abcd", "last"]);
    }

    #[test]
    fn what_is_written_is_read_back_whatever_its_name() {
        let dir = tempfile::tempdir().unwrap();
        for ending in ["jsonl", "jsonl.gz", "jsonl.zst"] {
            let path = dir.path().join(format!("out.{ending}"));
            let mut output = Output::create(Some(&path)).unwrap();
            for line in ["one", "two"] {
                output.write(line.as_bytes().to_vec()).unwrap();
            }
            assert!(!path.exists(), "not before it is whole");
            output.finish().unwrap();
            let renamed = dir.path().join("no-ending");
            std::fs::rename(&path, &renamed).unwrap();
            let mut lines = Lines::open(&renamed).unwrap();
            assert_eq!(lines.next().unwrap().as_deref(), Some(&b"one"[..]), "{ending}");
            assert_eq!(lines.next().unwrap().as_deref(), Some(&b"two"[..]));
            assert_eq!(lines.next().unwrap(), None);
        }
    }

    #[test]
    fn a_compressed_file_that_was_cut_is_told() {
        let dir = tempfile::tempdir().unwrap();
        for ending in ["gz", "zst"] {
            let path = dir.path().join(format!("out.{ending}"));
            let mut output = Output::create(Some(&path)).unwrap();
            for number in 0..20_000_u64 {
                output.write(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string().into_bytes()).unwrap();
            }
            output.finish().unwrap();
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            let mut lines = Lines::open(&path).unwrap();
            let error = loop {
                match lines.next() {
                    Ok(Some(_)) => {}
                    Ok(None) => panic!("a cut file must not look whole"),
                    Err(error) => break error,
                }
            };
            assert!(error.to_string().contains("failed to read"), "{error}");
        }
    }
}
