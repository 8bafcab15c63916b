//! Which ranking the clicks in the store prefer.
//!
//! Reads all exposures once, then all signals once: the store keeps no index of lists. Memory grows with the lists of the
//! experiment, not with the store.

use plaudit_event::Timestamp;
use plaudit_experiment::interleave::{Fold, InterleavingConfig, Report};
use plaudit_ingest::store::{EventStore, Place, SCAN_ROWS};

use super::Ask;
use crate::Error;

/// Rows read at once: exposures hold texts.
const ROWS: usize = if SCAN_ROWS < 2_000 { SCAN_ROWS } else { 2_000 };

/// Reads the lists of `config` shown in the range of `ask`, and the clicks on them, as of `now`. The result is a function
/// of what the store holds: a restart, a rebuilt store and a second reader say the same, and erased units are as if they
/// had never come.
///
/// # Errors
/// Fails on a range that is none, and when the store cannot be read.
pub async fn interleaving(
    store: &dyn EventStore,
    config: &InterleavingConfig,
    (ask, now): (&Ask, Timestamp),
) -> Result<Report, Error> {
    let shown = ask.range(now)?;
    let mut fold = Fold::new(config.clone());
    let mut after: Option<Place> = None;
    loop {
        let page = store.scan_exposures(after, ROWS).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        page.iter().map(|(_, exposure)| exposure).filter(|exposure| shown.contains(&exposure.ts)).for_each(
            |exposure| {
                fold.exposure(exposure);
            },
        );
    }
    let mut after: Option<Place> = None;
    loop {
        let page = store.scan_signals(after, ROWS).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        page.iter().for_each(|(_, signal)| fold.signal(signal));
    }
    let internal = |detail: String| Error::Task { what: "judging rankings", detail };
    let judged = tokio::task::spawn_blocking(move || fold.report(now)).await;
    judged.map_err(|error| internal(error.to_string()))?.map_err(|error| internal(error.to_string()))
}
