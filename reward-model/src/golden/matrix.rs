//! The forgetting matrix: how well each earlier model did on each slice.

use serde::{Deserialize, Serialize};

use super::Slice;

/// Forgetting beyond this on average over the slices is an alarm, and so is twice as much on one of them: the most that
/// a stream of five domains may cost.
pub const FORGETTING_ALARM: f64 = 0.05;

/// Most rows kept; when there are more, every second of the older ones is dropped.
const MOST_ROWS: usize = 64;

/// A model's area under the ROC curve on each slice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Examples that the model had seen.
    pub examples: u64,
    /// By slice, in the order in which they were frozen, as many as there were then; absent where a model had nothing to
    /// say, or where the rows of a class were erased.
    pub areas: Vec<Option<f64>>,
}

/// One golden slice and what became of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SliceReport {
    /// The segment.
    pub segment: String,
    /// Examples that had been taken when it was frozen.
    pub frozen_at: u64,
    /// Rows, held out of training.
    pub rows: usize,
    /// Positives among them.
    pub positives: usize,
    /// Best area of an earlier model.
    pub best: Option<f64>,
    /// Area of the present model.
    pub now: Option<f64>,
    /// `best − now` (Chaudhry et al., ECCV 2018, eq. 3): what was forgotten, negative where something was learned.
    pub forgotten: Option<f64>,
}

/// What was forgotten.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct GoldenReport {
    /// Labelled examples that were held out.
    pub held_out: u64,
    /// The slices, in the order in which they were frozen.
    pub slices: Vec<SliceReport>,
    /// Earlier models (down) on each slice (across), the present one last.
    pub matrix: Vec<Measurement>,
    /// Mean of what was forgotten over the slices that an earlier model was judged on.
    pub forgetting: Option<f64>,
    /// Whether that is beyond [`FORGETTING_ALARM`].
    pub alarm: bool,
}

/// What was measured so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Matrix {
    rows: Vec<Measurement>,
    /// The best area ever measured, by slice and but for the last row: rows may have been dropped.
    best: Vec<Option<f64>>,
}

impl Matrix {
    pub(super) fn push(&mut self, examples: u64, areas: Vec<Option<f64>>) {
        self.best = self.best_with_last();
        self.rows.push(Measurement { examples, areas });
        if self.rows.len() > MOST_ROWS {
            let newest = self.rows.len() - 1;
            let mut at = 0;
            self.rows.retain(|_| {
                at += 1;
                at % 2 == 1 || at > newest
            });
        }
    }

    /// The best area by slice, that of the last row among them.
    fn best_with_last(&self) -> Vec<Option<f64>> {
        let last: &[Option<f64>] = self.rows.last().map_or(&[], |row| &row.areas);
        let known = |areas: &[Option<f64>], at: usize| areas.get(at).copied().flatten();
        (0..self.best.len().max(last.len())).map(|at| largest(known(&self.best, at), known(last, at))).collect()
    }

    /// The report with the model that was judged last as the present one.
    pub(super) fn measured(&self, slices: &[Slice], held_out: u64) -> GoldenReport {
        match self.rows.last() {
            // Slices are frozen and judged together, so that there is a figure for each.
            Some(last) => self.report(slices, (last.examples, last.areas.clone()), held_out),
            None => GoldenReport { held_out, ..GoldenReport::default() },
        }
    }

    /// The report with the present model's `areas` as the last row.
    pub(super) fn report(&self, slices: &[Slice], now: (u64, Vec<Option<f64>>), held_out: u64) -> GoldenReport {
        let (examples, areas) = now;
        // The present model may be the one that was measured last.
        let is_last = self.rows.last().is_some_and(|row| row.examples >= examples);
        let best = if is_last { self.best.clone() } else { self.best_with_last() };
        let told = |(at, slice): (usize, &Slice)| {
            let known = |areas: &[Option<f64>]| areas.get(at).copied().flatten();
            let (best, now) = (known(&best), known(&areas));
            SliceReport {
                segment: slice.segment.clone(),
                frozen_at: slice.frozen_at,
                rows: slice.rows.len(),
                positives: slice.rows.iter().filter(|row| row.is_positive()).count(),
                best,
                now,
                forgotten: best.zip(now).map(|(best, now)| best - now),
            }
        };
        let slices: Vec<SliceReport> = slices.iter().enumerate().map(told).collect();
        let lost: Vec<f64> = slices.iter().filter_map(|slice| slice.forgotten).collect();
        let forgetting = (!lost.is_empty()).then(|| lost.iter().sum::<f64>() / lost.len() as f64);
        let is_beyond = |value: f64| value > FORGETTING_ALARM;
        let alarm = forgetting.is_some_and(is_beyond) || lost.iter().any(|lost| is_beyond(lost / 2.0));
        let mut matrix: Vec<Measurement> = self.rows.iter().filter(|row| row.examples < examples).cloned().collect();
        if !slices.is_empty() {
            matrix.push(Measurement { examples, areas });
        }
        GoldenReport { held_out, slices, matrix, forgetting, alarm }
    }
}

fn largest(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    }
}
