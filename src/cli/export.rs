//! `plaudit export`.

use std::io::{ErrorKind, Write as _};
use std::sync::Arc;

use anyhow::Context as _;
use plaudit_event::{Envelope, Event};
use plaudit_ingest::service::copy_all;
use plaudit_ingest::store::{EventStore, Place};
use plaudit_ingest::{log, store};

use super::{Export, Rows};
use crate::clock::SystemClock;

/// Rows fetched at once.
const PAGE: usize = 2_000;

/// Writes every row as one envelope per line, so that the output of exposures and signals can be replayed.
pub(crate) async fn run(arguments: &Export) -> anyhow::Result<()> {
    let config = arguments.files.load(Vec::new())?.salted(std::env::vars_os())?;
    let dir = &config.data_dir;
    anyhow::ensure!(dir.is_dir(), "no data directory `{}`", dir.display());
    let file = config.event_log_file();
    let file =
        file.with_context(|| format!("`event_log` must name a file to export from, got `{}`", config.event_log))?;
    anyhow::ensure!(file.is_file(), "no data in `{}`: there is no `{}`", dir.display(), file.display());
    let log = log::open(&config.event_log_uri(), &config.ingest.kafka, Arc::new(SystemClock)).await?;
    let store = store::open(&config.event_store_uri(), &config.ingest)?;
    // A process that was killed may have left records that the store does not have yet.
    copy_all(&log, &store, &config.ingest).await?;
    match write(&*store, arguments.rows).await? {
        // A reader that has gone away, as with `| head`, is no failure.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("failed to write to standard output"))
        }
        _ => Ok(()),
    }
}

/// Fails when the store cannot be read; gives the failure of the output.
async fn write(store: &dyn EventStore, rows: Rows) -> anyhow::Result<std::io::Result<()>> {
    let mut out = std::io::BufWriter::new(std::io::stdout());
    let mut after = None;
    loop {
        let page: Vec<(Place, Event)> = match rows {
            Rows::Exposures => wrap(store.scan_exposures(after, PAGE).await?, Event::Exposure),
            Rows::Signals => wrap(store.scan_signals(after, PAGE).await?, Event::Signal),
            Rows::Examples => wrap(store.scan_examples(after, PAGE).await?, Event::Example),
        };
        let Some((last, _)) = page.last() else { return Ok(out.flush()) };
        after = Some(*last);
        for (_, event) in page {
            let mut line = Envelope::new(event).encode();
            line.push(b'\n');
            if let Err(error) = out.write_all(&line) {
                return Ok(Err(error));
            }
        }
    }
}

fn wrap<T>(rows: Vec<(Place, T)>, event: impl Fn(T) -> Event) -> Vec<(Place, Event)> {
    rows.into_iter().map(|(place, row)| (place, event(row))).collect()
}
