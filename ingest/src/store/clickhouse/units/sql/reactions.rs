//! Reactions with what their exposures say.

use std::ops::RangeInclusive;

use super::super::Codes;
use super::{in_range, quoted, within};
use crate::store::Question;

/// The rows that were written before their exposures. No unit has this hash but by chance, and then it is looked up, too.
const UNPLACED: &str = "unit = 0";

/// Reactions to the exposures of a question, those of the kinds that it asks for and those that take others back:
/// `unit, exposure, signal, kind, value, retracts, ts`, and of the exposure `shown, surface, assigned, attributes`.
pub(in super::super) fn reactions(question: &Question, codes: &Codes, hashes: &RangeInclusive<u64>) -> String {
    let kinds: Vec<String> = question.kinds().iter().map(|kind| quoted(kind.as_str())).collect();
    let kinds = if kinds.is_empty() { String::new() } else { format!("kind IN ({}) OR ", kinds.join(", ")) };
    let (asked, units) = (format!("({kinds}retracts != 0)"), within(hashes));
    let placed = format!(
        "SELECT unit, exposure, signal, kind, value, retracts, ts, shown, surface, assigned, attributes
         FROM unit_signals FINAL WHERE {units} AND NOT ({UNPLACED}) AND {asked} AND {}",
        in_range("shown", question)
    );
    if !codes.has_unplaced {
        return placed;
    }
    // Of two writers that had the same signal one may have known its exposure.
    let known = format!(
        "SELECT exposure, signal FROM unit_signals
         WHERE {units} AND NOT ({UNPLACED}) AND exposure IN (SELECT exposure FROM unit_signals WHERE {UNPLACED})"
    );
    format!(
        "{placed} UNION ALL
         SELECT e.unit AS unit, r.exposure AS exposure, r.signal AS signal, r.kind AS kind, r.value AS value,
             r.retracts AS retracts, r.ts AS ts, e.ts AS shown, e.surface AS surface, e.assigned AS assigned,
             e.attributes AS attributes
         FROM (SELECT unit, exposure, ts, surface, assigned, attributes
               FROM unit_exposures FINAL WHERE {units} AND {}) AS e
         INNER JOIN (SELECT exposure, signal, kind, value, retracts, ts FROM unit_signals FINAL
                     WHERE {UNPLACED} AND {asked} AND (exposure, signal) NOT IN ({known})) AS r
         ON e.exposure = r.exposure",
        in_range("ts", question)
    )
}

/// Exposures and the signals of theirs that were taken back.
pub(super) fn retractions(hashes: &RangeInclusive<u64>) -> String {
    let units = within(hashes);
    format!("SELECT exposure, retracts FROM unit_signals FINAL WHERE ({units} OR {UNPLACED}) AND retracts != 0")
}

/// A row if there is any whose exposure is not known.
pub(in super::super) fn any_unplaced() -> String {
    format!("SELECT count() AS number FROM (SELECT unit FROM unit_signals WHERE {UNPLACED} LIMIT 1)")
}
