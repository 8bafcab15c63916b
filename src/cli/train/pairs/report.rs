//! What a training on preferences came to.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use plaudit_event::Objective;
use plaudit_reward_model::{Estimate, PairQuality, PairReport};
use serde::Serialize;

use super::Curves;
use crate::cli::train::preferences::Tally;

/// Faults that are printed; the report has more.
const PRINTED: usize = 20;

/// What a training on preferences came to.
#[derive(Debug, Serialize)]
pub(in crate::cli::train) struct Trained {
    pub(super) checkpoint: String,
    pub(super) file: Tally,
    pub(super) passes: u32,
    pub(super) train_pairs: usize,
    pub(super) test_pairs: usize,
    /// Held-out pairs whose context is also one of those trained on.
    pub(super) test_pairs_of_known_contexts: usize,
    /// Of the first pass, each pair before it was learned; nothing where training was resumed.
    pub(super) prequential: BTreeMap<Objective, PairReport>,
    /// On the pairs held back.
    pub(super) test: BTreeMap<Objective, PairQuality>,
    pub(in crate::cli::train) curves: Curves,
}

impl Trained {
    pub(in crate::cli::train) fn checkpoint(&self) -> &str {
        &self.checkpoint
    }

    pub(in crate::cli::train) fn to_text(&self, out: &Path) -> String {
        let Tally { lines, pairs, ties, refused, by_time, unused_fields, .. } = &self.file;
        let faults = described(&self.file);
        let mut text = format!("{lines} lines = {pairs} pairs + {ties} ties + {refused} refused{faults}\n");
        // Writing to a string cannot fail.
        let mut say = |line: std::fmt::Arguments<'_>| {
            let _ = writeln!(text, "{line}");
        };
        if !unused_fields.is_empty() {
            let names: Vec<&str> = unused_fields.iter().map(String::as_str).collect();
            say(format_args!("not used: {}", names.join(", ")));
        }
        let order = if *by_time { "by their times" } else { "in the order of the file" };
        let (train, test, passes) = (self.train_pairs, self.test_pairs, self.passes);
        say(format_args!("trained on {train} pairs {order}, passes: {passes}; the {test} newest held back"));
        if self.test_pairs_of_known_contexts > 0 {
            let known = self.test_pairs_of_known_contexts;
            say(format_args!("{known} of these have a context that was also trained on"));
        }
        for (objective, PairReport { pairs, accuracy, log_loss }) in &self.prequential {
            say(format_args!("\n{objective}: {pairs} pairs, each told before it was learned"));
            say(format_args!("  {:<15} {accuracy:.4}\n  {:<15} {log_loss:.4}", "accuracy", "log-loss"));
        }
        for (objective, quality) in &self.test {
            say(format_args!("\n{objective}: {} pairs held back, {} contexts", quality.pairs, quality.contexts));
            let PairQuality { accuracy, log_loss, longer_wins, .. } = *quality;
            for (name, figure) in [("accuracy", accuracy), ("log-loss", log_loss), ("longer wins", longer_wins)] {
                let Estimate { value, low, high } = figure;
                say(format_args!("  {name:<15} {value:.4} [{low:.4}, {high:.4}]"));
            }
        }
        say(format_args!("\n{}: {}, card.md, report.json, plots", out.display(), self.checkpoint));
        text
    }
}

/// The first faults of a file, a line each.
pub(super) fn described(tally: &Tally) -> String {
    let mut text = String::new();
    for fault in tally.faults.iter().take(PRINTED) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {fault}");
    }
    let more = tally.refused.saturating_sub(PRINTED as u64);
    if more > 0 {
        let _ = write!(text, "\n  and {more} more");
    }
    text
}
