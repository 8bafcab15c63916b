//! Where examples come from.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use plaudit_event::{Envelope, Event, Example};
use plaudit_ingest::log::{EventLog, Topic};

use crate::cli::data;
use crate::cli::event_file::Lines;
use crate::clock::SystemClock;
use crate::config::Config;

/// Records read at once.
const READ: usize = 2_000;

/// The examples in the log of `config`, in its order; what is not attributed yet is attributed first.
pub(super) async fn of_log(config: &Config) -> anyhow::Result<Vec<Example>> {
    let log = data::open_log(config, Arc::new(SystemClock)).await?;
    data::attribute(&log, &config.ingest).await?;
    let mut examples = Vec::new();
    let mut next = 0;
    loop {
        let records = EventLog::read(&*log, Topic::Examples, next, READ).await?;
        let Some(last) = records.last() else { return Ok(examples) };
        next = last.offset + 1;
        for record in records.iter().filter(|record| record.origin.has_content()) {
            if let Event::Example(example) = Envelope::decode(&record.value)?.event {
                examples.push(example);
            }
        }
    }
}

/// Whether the first line of a file is a preference; every other file is taken for one of examples.
pub(super) fn is_preferences(path: &Path) -> anyhow::Result<bool> {
    let Some(line) = Lines::open(path)?.next()? else { return Ok(false) };
    let line: serde_json::Value = serde_json::from_slice(&line).unwrap_or_default();
    Ok(["chosen", "rejected", "p_a"].iter().any(|field| line.get(field).is_some()))
}

/// The examples in a file, by the time at which each came about.
pub(super) fn of_file(path: &Path) -> anyhow::Result<Vec<Example>> {
    let mut lines = Lines::open(path)?;
    let mut examples = Vec::new();
    while let Some(line) = lines.next()? {
        let number = lines.number();
        let place = || format!("line {number} of `{}`", path.display());
        match Envelope::decode(&line).with_context(place)?.event {
            Event::Example(example) => examples.push(example),
            _ => anyhow::bail!("{} is no example; `plaudit export examples` writes such files", place()),
        }
    }
    examples.sort_by_key(|example| example.ts);
    Ok(examples)
}
