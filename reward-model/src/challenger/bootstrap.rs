//! Paired intervals: both models on the same resamples of whole units.

use std::collections::BTreeMap;
use std::sync::Arc;

use plaudit_event::Stream;
use rand::Rng;

use crate::golden::GoldenRow;
use crate::quality::{auroc_weighted, order};

/// Which unit each row is of.
pub(super) struct Units {
    of_row: Vec<usize>,
    num: usize,
}

impl Units {
    pub(super) fn of(rows: &[Arc<GoldenRow>]) -> Self {
        let mut numbers = BTreeMap::new();
        let number = |row: &Arc<GoldenRow>| {
            let next = numbers.len();
            *numbers.entry(row.unit).or_insert(next)
        };
        let of_row = rows.iter().map(number).collect();
        Self { of_row, num: numbers.len() }
    }

    /// How often each row occurs in a resample of the units with replacement.
    fn draw(&self, stream: &mut Stream) -> Vec<u32> {
        let mut drawn = vec![0_u32; self.num];
        for _ in 0..self.num {
            drawn[stream.random_range(0..self.num)] += 1;
        }
        self.of_row.iter().map(|unit| drawn[*unit]).collect()
    }
}

/// Both models on the rows of one slice.
pub(super) struct Paired {
    units: Units,
    labels: Vec<f64>,
    before: (Vec<usize>, Vec<f64>),
    after: (Vec<usize>, Vec<f64>),
}

impl Paired {
    pub(super) fn new(rows: &[Arc<GoldenRow>], before: Vec<f64>, after: Vec<f64>) -> Self {
        let labels = rows.iter().map(|row| f64::from(row.label)).collect();
        Self { units: Units::of(rows), labels, before: (order(&before), before), after: (order(&after), after) }
    }

    /// The areas of both models; `None` unless both have one.
    fn areas(&self, counts: &[u32]) -> Option<(f64, f64)> {
        let area = |(order, scores): &(Vec<usize>, Vec<f64>)| auroc_weighted(order, scores, &self.labels, counts);
        area(&self.before).zip(area(&self.after))
    }
}

/// Mean areas of both models over the slices on which both have one.
pub(super) fn mean_areas(slices: &[Paired]) -> Option<(f64, f64)> {
    mean_of(slices.iter().map(|slice| slice.areas(&vec![1; slice.labels.len()])))
}

/// 95 % interval of what the mean area has lost.
pub(super) fn area_interval(slices: &[Paired], resamples: usize, stream: &mut Stream) -> (f64, f64) {
    let mut one = || {
        let drawn = slices.iter().map(|slice| slice.areas(&slice.units.draw(stream)));
        mean_of(drawn).map(|(before, after)| before - after)
    };
    interval((0..resamples).filter_map(|_| one()).collect())
}

fn mean_of(areas: impl Iterator<Item = Option<(f64, f64)>>) -> Option<(f64, f64)> {
    let (mut n, mut sums) = (0.0, (0.0, 0.0));
    for (before, after) in areas.flatten() {
        n += 1.0;
        sums = (sums.0 + before, sums.1 + after);
    }
    (n > 0.0).then(|| (sums.0 / n, sums.1 / n))
}

/// 95 % interval of the weighted mean of differences, one per row: `(weight, difference)`.
pub(super) fn mean_interval(
    units: &Units,
    differences: &[(f64, f64)],
    resamples: usize,
    stream: &mut Stream,
) -> (f64, f64) {
    let mut one = || {
        let counts = units.draw(stream);
        let (mut total, mut sum) = (0.0, 0.0);
        for (count, (weight, difference)) in counts.iter().zip(differences) {
            total += f64::from(*count) * weight;
            sum += f64::from(*count) * weight * difference;
        }
        sum / total.max(f64::MIN_POSITIVE)
    };
    interval((0..resamples).map(|_| one()).collect())
}

/// 2.5 % and 97.5 % quantiles; infinitely wide without a value.
fn interval(mut values: Vec<f64>) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values.get((share * values.len().saturating_sub(1) as f64).round() as usize).copied();
    (at(0.025).unwrap_or(f64::NEG_INFINITY), at(0.975).unwrap_or(f64::INFINITY))
}
