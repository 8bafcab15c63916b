//! ADWIN: a window that grows until its older part has another mean than its newer one.
//!
//! Bifet & Gavaldà, *Learning from Time-Changing Data with Adaptive Windowing* (SDM 2007): the window is kept as an
//! exponential histogram (buckets of 2ⁱ values, at most [`ROW`] of each size), and is cut where the means of its two
//! parts differ by more than `ε = √(2/m · σ² · ln(2 ln(n)/δ)) + 2/(3m) · ln(2 ln(n)/δ)`, `1/m = 1/n₀ + 1/n₁` (eq. 3.1
//! with `δ' = δ/ln n`). Deviations: both sizes count without the [`SHORTEST`] values that a part has at least, and
//! cuts are looked for after every [`CLOCK`] values only, as in the authors' implementation; and after a cut the window
//! starts again, empty, so that one change is told once.

use std::collections::VecDeque;

/// Most buckets of one size.
const ROW: usize = 5;
/// More rows than a window of all values that can be counted has.
const MAX_ROWS: usize = 56;
/// Values between two looks.
const CLOCK: u64 = 32;
/// Fewest values of a window that is looked at, and of each of its parts.
const SHORTEST_WINDOW: u64 = 10;
const SHORTEST: f64 = 5.0;

/// The sum of 2ⁱ values, and of the squares of their distances from their mean.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Bucket {
    total: f64,
    spread: f64,
}

/// A window over a stream of values in [0, 1].
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Adwin {
    /// Row `i` holds buckets of 2ⁱ values, oldest first; older rows have the larger buckets.
    rows: Vec<VecDeque<Bucket>>,
    sum: Bucket,
    width: u64,
}

impl Adwin {
    /// Takes a value. Whether there was a change; about `delta` is the probability to say so where there was none.
    pub(crate) fn update(&mut self, value: f64, delta: f64) -> bool {
        self.insert(value);
        let is_change = self.width.is_multiple_of(CLOCK) && self.width > SHORTEST_WINDOW && self.has_change(delta);
        if is_change {
            *self = Self::default();
        }
        is_change
    }

    /// The mean over the window; 0 before the first value.
    pub(crate) fn mean(&self) -> f64 {
        if self.width == 0 { 0.0 } else { self.sum.total / self.width as f64 }
    }

    /// How many values the window holds.
    pub(crate) const fn width(&self) -> u64 {
        self.width
    }

    fn insert(&mut self, value: f64) {
        let before = self.width as f64;
        self.width += 1;
        if before > 0.0 {
            self.sum.spread += before * (value - self.sum.total / before).powi(2) / self.width as f64;
        }
        self.sum.total += value;
        let mut carried = Bucket { total: value, spread: 0.0 };
        for level in 0.. {
            if self.rows.len() == level {
                self.rows.push(VecDeque::with_capacity(ROW + 1));
            }
            let row = &mut self.rows[level];
            row.push_back(carried);
            if row.len() <= ROW {
                break;
            }
            let (Some(older), Some(newer)) = (row.pop_front(), row.pop_front()) else { break };
            let size = size(level) as f64;
            let apart = between((older.total, size), (newer.total, size));
            carried = Bucket { total: older.total + newer.total, spread: older.spread + newer.spread + apart };
        }
    }

    fn has_change(&self, delta: f64) -> bool {
        let all = self.width as f64;
        let (mut older, mut total) = (0.0, 0.0);
        for (level, row) in self.rows.iter().enumerate().rev() {
            for bucket in row {
                older += size(level) as f64;
                total += bucket.total;
                let newer = all - older;
                if older < SHORTEST || newer < SHORTEST {
                    continue;
                }
                let difference = (total / older - (self.sum.total - total) / newer).abs();
                if difference > self.bound(older, newer, delta) {
                    return true;
                }
            }
        }
        false
    }

    /// By how much the means of two parts of these sizes may differ.
    fn bound(&self, older: f64, newer: f64, delta: f64) -> f64 {
        let width = self.width as f64;
        let confidence = (2.0 * width.ln() / delta).ln();
        let harmonic = 1.0 / (older - SHORTEST + 1.0) + 1.0 / (newer - SHORTEST + 1.0);
        let variance = (self.sum.spread / width).max(0.0);
        (2.0 * harmonic * variance * confidence).sqrt() + 2.0 / 3.0 * confidence * harmonic
    }

    /// The window in numbers: counts, and sums.
    pub(super) fn to_columns(&self) -> (Vec<u64>, Vec<f64>) {
        let mut counts = vec![self.width];
        let mut sums = vec![self.sum.total, self.sum.spread];
        for row in &self.rows {
            counts.push(row.len() as u64);
            sums.extend(row.iter().flat_map(|bucket| [bucket.total, bucket.spread]));
        }
        (counts, sums)
    }

    /// What [`Adwin::to_columns`] made; nothing when it did not make it.
    pub(super) fn of_columns(counts: &[u64], sums: &[f64]) -> Option<Self> {
        let ([width, lengths @ ..], [total, spread, sums @ ..]) = (counts, sums) else { return None };
        let mut sums = sums.chunks_exact(2).map(|pair| Bucket { total: pair[0], spread: pair[1] });
        if lengths.len() > MAX_ROWS || lengths.iter().any(|length| *length > ROW as u64) {
            return None;
        }
        let rows: Vec<VecDeque<Bucket>> =
            lengths.iter().map(|length| sums.by_ref().take(*length as usize).collect()).collect();
        let of_rows: u64 = rows.iter().enumerate().map(|(level, row)| row.len() as u64 * size(level)).sum();
        let is_whole = sums.next().is_none() && of_rows == *width;
        is_whole.then_some(Self { rows, sum: Bucket { total: *total, spread: *spread }, width: *width })
    }
}

/// Values in a bucket.
const fn size(level: usize) -> u64 {
    1 << level
}

/// What two parts, each a total and a size, add to the spread by the distance of their means.
fn between((a, n): (f64, f64), (b, m): (f64, f64)) -> f64 {
    n * m * (a / n - b / m).powi(2) / (n + m)
}
