//! Reading compressed JSON lines.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use serde::de::DeserializeOwned;

use crate::Error;

/// All rows of a `.jsonl.gz` file with their line numbers; empty lines are skipped.
pub(crate) fn read_rows<T: DeserializeOwned>(path: &Path) -> Result<Vec<(usize, T)>, Error> {
    read_mended(path, |text| text)
}

/// The same of a file whose lines become JSON only by `mend`.
pub(crate) fn read_mended<T: DeserializeOwned>(
    path: &Path,
    mend: impl Fn(String) -> String,
) -> Result<Vec<(usize, T)>, Error> {
    let unreadable = |source| Error::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mut rows = Vec::new();
    for (index, text) in BufReader::new(MultiGzDecoder::new(file)).lines().enumerate() {
        let text = text.map_err(unreadable)?;
        if text.trim().is_empty() {
            continue;
        }
        let line = index + 1;
        let row =
            serde_json::from_str(&mend(text)).map_err(|source| Error::Line { path: path.to_owned(), line, source })?;
        rows.push((line, row));
    }
    Ok(rows)
}
