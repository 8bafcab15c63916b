//! `plaudit export`.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use plaudit_event::{Envelope, Event};
use plaudit_ingest::service::copy_all;
use plaudit_ingest::store::{EventStore, Place};
use serde_json::json;

use super::event_file::Output;
use super::{Files, data, print};
use crate::clock::SystemClock;

/// Rows fetched at once.
const PAGE: usize = 2_000;

/// What can be exported.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Rows {
    /// What was shown.
    Exposures,
    /// Reactions.
    Signals,
    /// Attributed exposures with labels.
    Examples,
}

/// Arguments of `export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Which rows.
    rows: Rows,
    #[command(flatten)]
    files: Files,
    /// Write to this file instead of standard output, compressed if its name ends with `.gz` or `.zst`.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Print the number of rows as one JSON object; needs `--out`.
    #[arg(long, requires = "out")]
    json: bool,
}

/// Writes every row as one envelope per line, so that the output of exposures and signals can be imported.
pub(crate) async fn run(arguments: &Export) -> anyhow::Result<()> {
    let config = arguments.files.configuration()?;
    let log = data::open_log(&config, Arc::new(SystemClock)).await?;
    let store = data::open_store(&config)?;
    copy_all(&log, &store, &config.ingest).await?;
    let output = Output::create(arguments.out.as_deref())?;
    let count = match write(&*store, arguments.rows, output).await? {
        // A reader that has gone away, as with `| head`, is no failure.
        Err(error) if error.kind() == ErrorKind::BrokenPipe && arguments.out.is_none() => return Ok(()),
        Err(error) => {
            let name =
                arguments.out.as_ref().map_or("standard output".to_owned(), |out| format!("`{}`", out.display()));
            return Err(anyhow::Error::new(error).context(format!("failed to write to {name}")));
        }
        Ok(count) => count,
    };
    let Some(out) = &arguments.out else { return Ok(()) };
    if arguments.json {
        return print(&(json!({"rows": count, "file": out}).to_string() + "\n"));
    }
    print(&format!("{count} rows in `{}`\n", out.display()))
}

/// Fails when the store cannot be read; gives the failure of the output, or the number of rows.
async fn write(store: &dyn EventStore, rows: Rows, mut output: Output) -> anyhow::Result<std::io::Result<u64>> {
    let bar = ProgressBar::new_spinner();
    bar.set_style(ProgressStyle::with_template("{spinner} {pos} rows").context("a template")?);
    let mut after = None;
    loop {
        let page: Vec<(Place, Event)> = match rows {
            Rows::Exposures => wrap(store.scan_exposures(after, PAGE).await?, Event::Exposure),
            Rows::Signals => wrap(store.scan_signals(after, PAGE).await?, Event::Signal),
            Rows::Examples => wrap(store.scan_examples(after, PAGE).await?, Event::Example),
        };
        let Some((last, _)) = page.last() else {
            bar.finish_and_clear();
            return Ok(output.finish().map(|()| bar.position()));
        };
        after = Some(*last);
        for (_, event) in page {
            if let Err(error) = output.write(Envelope::new(event).encode()) {
                return Ok(Err(error));
            }
            bar.inc(1);
        }
    }
}

fn wrap<T>(rows: Vec<(Place, T)>, event: impl Fn(T) -> Event) -> Vec<(Place, Event)> {
    rows.into_iter().map(|(place, row)| (place, event(row))).collect()
}
