//! `plaudit export`.

use std::io::Write as _;

use anyhow::Context as _;
use plaudit_event::{Envelope, Event};
use plaudit_ingest::store;

use super::{Export, Rows};

/// Rows fetched at once.
const PAGE: usize = 2_000;

/// Writes every row as one envelope per line, so that the output of exposures and signals can be replayed.
pub(crate) async fn run(arguments: &Export) -> anyhow::Result<()> {
    let config = arguments.files.load(Vec::new())?;
    let dir = &config.data_dir;
    anyhow::ensure!(dir.is_dir(), "no data directory `{}`", dir.display());
    let store = store::open(&config.event_store_uri())?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let mut after = None;
    loop {
        let page: Vec<(u64, Event)> = match arguments.rows {
            Rows::Exposures => wrap(store.scan_exposures(after, PAGE).await?, Event::Exposure),
            Rows::Signals => wrap(store.scan_signals(after, PAGE).await?, Event::Signal),
            Rows::Examples => wrap(store.scan_examples(after, PAGE).await?, Event::Example),
        };
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        for (_, event) in page {
            out.write_all(&Envelope::new(event).encode()).context("failed to write to standard output")?;
            out.write_all(b"\n").context("failed to write to standard output")?;
        }
    }
    out.flush().context("failed to write to standard output")
}

fn wrap<T>(rows: Vec<(u64, T)>, event: impl Fn(T) -> Event) -> Vec<(u64, Event)> {
    rows.into_iter().map(|(number, row)| (number, event(row))).collect()
}
