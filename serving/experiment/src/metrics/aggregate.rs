//! Sums over units by phase, variant and segment: what shards send and stores keep.
//!
//! **Memory.** A cell has 23 numbers a metric; where a method needs more than sums (quantiles, percentiles, bets)
//! also a sample of at most 20,000 units, 2,000 in a segment. Sums of 0/1 and counts are exact below 2⁵³.
//!
//! **Shards.** All events of a unit must be in one shard: else it is counted twice, and one that saw two variants
//! is not found.

use plaudit_event::Timestamp;
use serde::{Deserialize, Serialize};

use super::config::{Choice, Kind, MetricConfig, MetricSet, Winsorise};
use super::fold::{Folded, Ignored, UnitRow, UnitValue};
use super::sample::{Sampled, UnitSample};
use crate::stats::RatioCovariateMoments;

/// Units kept of an arm, where sums do not do.
const MAIN_SAMPLE: usize = 20_000;
/// The same in a segment.
const SEGMENT_SAMPLE: usize = 2_000;
/// Cells before the segments: all units, those new to the layer, those from an earlier experiment.
pub(super) const FIRST_SEGMENT: usize = 3;

/// Aggregates of different experiments or metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("aggregates differ in {0} and cannot be added")]
pub struct MergeError(&'static str);

/// Sums of one metric over the units of a cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sums {
    /// Sums of numerator and denominator after and before, and of their products.
    pub moments: RatioCovariateMoments,
    /// Units themselves, where the method needs them.
    pub sample: Option<UnitSample>,
}

impl Sums {
    fn add(&mut self, value: &UnitValue, row: &UnitRow) {
        let [numerator, denominator] = value.after;
        let [numerator_before, denominator_before] = value.before;
        self.moments.add([numerator, denominator, numerator_before, denominator_before]);
        if let Some(sample) = &mut self.sample {
            let events = value.events.clone();
            sample.add(row.hash, Sampled { first: row.first, value: numerator, before: numerator_before, events });
        }
    }

    fn merge(&mut self, other: &Self) {
        self.moments.units += other.moments.units;
        for row in 0..4 {
            self.moments.sums[row] += other.moments.sums[row];
            for column in 0..4 {
                self.moments.products[row][column] += other.moments.products[row][column];
            }
        }
        if let (Some(mine), Some(theirs)) = (&mut self.sample, &other.sample) {
            mine.merge(theirs);
        }
    }
}

/// Units that are alike, added up.
#[derive(Debug, Clone, Copy)]
pub struct Alike<'a> {
    /// Number of the step of the ramp.
    pub phase: u32,
    /// Probability of each variant.
    pub weights: &'a [f64],
    /// Index of their variant.
    pub variant: usize,
    /// Whether another experiment of the layer had them earlier.
    pub is_carried: bool,
    /// By segment, the index of their value.
    pub segments: &'a [usize],
    /// How many.
    pub units: u64,
    /// By metric.
    pub moments: &'a [RatioCovariateMoments],
}

/// Some units of an arm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cell {
    /// How many.
    pub units: u64,
    /// By metric.
    pub metrics: Vec<Sums>,
}

/// The units of a variant in a phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// All units; those new to the layer; those from an earlier experiment; then each value of each segment.
    pub cells: Vec<Cell>,
}

/// The units that entered under the same probabilities in the same phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stratum {
    /// Number of the step of the ramp.
    pub phase: u32,
    /// Probability of each variant.
    pub weights: Vec<f64>,
    /// By variant.
    pub arms: Vec<Arm>,
}

/// The sums of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Aggregates {
    /// Names of the variants; the first is the control.
    pub variants: Vec<String>,
    /// Names of the metrics.
    pub metrics: Vec<String>,
    /// How many values each segment has, others among them.
    segments: Vec<usize>,
    needs_sample: Vec<bool>,
    /// In order of phase.
    pub strata: Vec<Stratum>,
    /// Units that saw more than one variant; part of none.
    pub multiple: u64,
    /// Events that did not count.
    pub ignored: Ignored,
    /// The first entry of a unit.
    pub first: Option<Timestamp>,
}

impl Aggregates {
    /// No unit yet.
    #[must_use]
    pub fn new(variants: &[String], set: &MetricSet) -> Self {
        Self {
            variants: variants.to_vec(),
            metrics: set.metrics.iter().map(|metric| metric.name.clone()).collect(),
            segments: set.segments.iter().map(|segment| segment.values.len() + 1).collect(),
            needs_sample: set.metrics.iter().map(needs_sample).collect(),
            strata: Vec::new(),
            multiple: 0,
            ignored: Ignored::default(),
            first: None,
        }
    }

    /// Adds what a fold ended in, for a fold of the same variants and metrics.
    ///
    /// # Errors
    /// A row with other variants, metrics or segments; nothing was added then.
    pub fn add(&mut self, (folded, ignored): (Folded, Ignored)) -> Result<(), MergeError> {
        match folded {
            Folded::Outside => {}
            Folded::Multiple => self.multiple += 1,
            Folded::Row(row) => self.row(&row)?,
        }
        self.ignored.add(&ignored);
        Ok(())
    }

    /// Adds a unit.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn row(&mut self, row: &UnitRow) -> Result<(), MergeError> {
        let variants = self.variants.len();
        if row.variant >= variants || row.weights.len() != variants {
            return Err(MergeError("variants"));
        }
        if row.values.len() != self.metrics.len() {
            return Err(MergeError("metrics"));
        }
        let places = self.places(row.is_carried, &row.segments)?;
        self.first = Some(self.first.map_or(row.first, |first| first.min(row.first)));
        let stratum = self.stratum(row.phase, &row.weights);
        for place in places {
            let cell = &mut stratum.arms[row.variant].cells[place];
            cell.units += 1;
            for (sums, value) in cell.metrics.iter_mut().zip(&row.values) {
                if let Some(value) = value {
                    sums.add(value, row);
                }
            }
        }
        Ok(())
    }

    /// Adds units that were added up elsewhere, alike in arm and segments, with the moments of each metric.
    /// What needs the units themselves comes by [`Self::sample_from`].
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn alike(&mut self, alike: &Alike<'_>) -> Result<(), MergeError> {
        let variants = self.variants.len();
        if alike.variant >= variants || alike.weights.len() != variants {
            return Err(MergeError("variants"));
        }
        if alike.moments.len() != self.metrics.len() {
            return Err(MergeError("metrics"));
        }
        let places = self.places(alike.is_carried, alike.segments)?;
        let stratum = self.stratum(alike.phase, alike.weights);
        for place in places {
            let cell = &mut stratum.arms[alike.variant].cells[place];
            cell.units += alike.units;
            for (sums, moments) in cell.metrics.iter_mut().zip(alike.moments) {
                sums.merge(&Sums { moments: *moments, sample: None });
            }
        }
        Ok(())
    }

    /// Takes the units themselves from `other`, which has those with the lowest hashes, where a method needs them.
    /// How many there are says `self`.
    ///
    /// # Errors
    /// As [`Self::merge`].
    pub fn sample_from(&mut self, other: &Self) -> Result<(), MergeError> {
        self.must_match(other)?;
        for theirs in &other.strata {
            let mine = self.stratum(theirs.phase, &theirs.weights);
            for (arm, their_arm) in mine.arms.iter_mut().zip(&theirs.arms) {
                for (cell, their_cell) in arm.cells.iter_mut().zip(&their_arm.cells) {
                    for (sums, their_sums) in cell.metrics.iter_mut().zip(&their_cell.metrics) {
                        sums.sample.clone_from(&their_sums.sample);
                    }
                }
            }
        }
        let cells = self.strata.iter_mut().flat_map(|stratum| &mut stratum.arms).flat_map(|arm| &mut arm.cells);
        for sums in cells.flat_map(|cell| &mut cell.metrics) {
            sums.sample = sums.sample.take().map(|sample| sample.of(sums.moments.units));
        }
        Ok(())
    }

    /// Whether a metric needs the units themselves.
    #[must_use]
    pub fn needs_samples(&self) -> bool {
        self.needs_sample.contains(&true)
    }

    /// The cells of a unit.
    fn places(&self, is_carried: bool, segments: &[usize]) -> Result<Vec<usize>, MergeError> {
        let mut places = vec![0, 1 + usize::from(is_carried)];
        let mut start = FIRST_SEGMENT;
        for (values, value) in self.segments.iter().zip(segments) {
            places.push(start + value);
            start += values;
        }
        let is_known = self.segments.iter().zip(segments).all(|(values, value)| value < values);
        if !is_known || segments.len() != self.segments.len() {
            return Err(MergeError("segments"));
        }
        Ok(places)
    }

    fn must_match(&self, other: &Self) -> Result<(), MergeError> {
        if self.variants != other.variants {
            return Err(MergeError("variants"));
        }
        if self.metrics != other.metrics || self.needs_sample != other.needs_sample {
            return Err(MergeError("metrics"));
        }
        if self.segments != other.segments {
            return Err(MergeError("segments"));
        }
        Ok(())
    }

    fn stratum(&mut self, phase: u32, weights: &[f64]) -> &mut Stratum {
        let order = |stratum: &Stratum| {
            let by_weights = stratum.weights.iter().zip(weights).map(|(a, b)| a.total_cmp(b)).find(|o| o.is_ne());
            stratum.phase.cmp(&phase).then(by_weights.unwrap_or(std::cmp::Ordering::Equal))
        };
        let place = match self.strata.binary_search_by(order) {
            Ok(place) => place,
            Err(place) => {
                let cells = FIRST_SEGMENT + self.segments.iter().sum::<usize>();
                let arm = Arm { cells: (0..cells).map(|cell| self.cell(cell)).collect() };
                let arms = vec![arm; self.variants.len()];
                self.strata.insert(place, Stratum { phase, weights: weights.to_vec(), arms });
                place
            }
        };
        &mut self.strata[place]
    }

    fn cell(&self, place: usize) -> Cell {
        let capacity = if place == 0 { MAIN_SAMPLE } else { SEGMENT_SAMPLE };
        let metrics = self.needs_sample.iter().map(|needs| Sums {
            moments: RatioCovariateMoments::default(),
            sample: needs.then(|| UnitSample::new(capacity)),
        });
        Cell { units: 0, metrics: metrics.collect() }
    }

    /// Adds the sums of another shard.
    ///
    /// # Errors
    /// Sums of another experiment or of other metrics; nothing was added then.
    pub fn merge(&mut self, other: &Self) -> Result<(), MergeError> {
        self.must_match(other)?;
        for theirs in &other.strata {
            let mine = self.stratum(theirs.phase, &theirs.weights);
            for (arm, their_arm) in mine.arms.iter_mut().zip(&theirs.arms) {
                for (cell, their_cell) in arm.cells.iter_mut().zip(&their_arm.cells) {
                    cell.units += their_cell.units;
                    for (sums, their_sums) in cell.metrics.iter_mut().zip(&their_cell.metrics) {
                        sums.merge(their_sums);
                    }
                }
            }
        }
        self.multiple += other.multiple;
        self.ignored.add(&other.ignored);
        self.first = match (self.first, other.first) {
            (Some(mine), Some(theirs)) => Some(mine.min(theirs)),
            (mine, theirs) => mine.or(theirs),
        };
        Ok(())
    }

    /// Units of each variant, over all phases.
    #[must_use]
    pub fn units(&self) -> Vec<u64> {
        let of = |variant: usize| self.strata.iter().map(|stratum| stratum.arms[variant].cells[0].units).sum();
        (0..self.variants.len()).map(of).collect()
    }
}

fn needs_sample(metric: &MetricConfig) -> bool {
    let bets = metric.choice(Choice::Default) == Choice::Betting || metric.choice(Choice::Betting) == Choice::Betting;
    metric.kind == Kind::Quantile || bets || matches!(metric.winsorise, Some(Winsorise::Percentile(_)))
}
