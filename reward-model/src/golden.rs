//! Golden slices: labelled examples that are never trained on, frozen, to see what is forgotten.
//!
//! A fixed share of the units, by a hash of their names, is held out for ever: their examples are predicted, not learned.
//! Of each segment a bounded sample of them is frozen as a slice, and another one each time the number of examples has
//! doubled since, so that slices are spread over the whole past. Models are judged on all of them over and over
//! ([`GoldenReport`]): what an earlier one could and a later one cannot is forgotten.
//!
//! Half of a slice are positives where there are as many, since the area under the ROC curve does not depend on their
//! share; each row knows how many it stands for, so that other figures can be weighted back to the traffic it came from.
//! Samples are those rows whose hash is smallest: they depend on which examples there were, and on nothing else.

mod config;
mod matrix;
mod pool;
mod scores;

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use plaudit_event::{Context, Example, Objective};
use serde::{Deserialize, Serialize};

use crate::encode::mix;
use crate::encode::surface::num_words;
use crate::segments::Segment;
use crate::{Error, RewardModel};
pub use config::GoldenConfig;
use matrix::Matrix;
pub use matrix::{FORGETTING_ALARM, GoldenReport, Measurement, SliceReport};
use pool::Pool;
pub(crate) use scores::{probabilities, slice_area};

/// Longest text of a row, in bytes of its JSON; longer ones are held out and not kept.
const MOST_ROW_BYTES: usize = 16 << 10;
/// Makes the choice of units independent of every other use of the hash of their names.
const UNIT_SALT: u64 = 0x676f_6c64_656e_2075;

/// A held-out example.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct GoldenRow {
    /// Hash of the exposure's id.
    pub(crate) exposure: u64,
    /// Hash of the unit's name.
    pub(crate) unit: u64,
    pub(crate) segment: Segment,
    /// The newest label.
    pub(crate) label: f32,
    /// How many examples it stands for.
    pub(crate) weight: f64,
    /// Words of the response.
    pub(crate) words: u32,
    pub(crate) context: Context,
    pub(crate) response: String,
}

impl GoldenRow {
    pub(crate) fn is_positive(&self) -> bool {
        self.label >= 0.5
    }
}

/// What is frozen of one segment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Slice {
    /// Name of the segment.
    pub(crate) segment: String,
    /// Examples that had been taken by then.
    pub(crate) frozen_at: u64,
    pub(crate) rows: Vec<Arc<GoldenRow>>,
}

/// All that is held out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Golden {
    pools: BTreeMap<Segment, Pool>,
    slices: Vec<Slice>,
    /// The newest rows of all segments, oldest first.
    newest: VecDeque<Arc<GoldenRow>>,
    matrix: Matrix,
    /// Held-out examples that were labelled.
    taken: u64,
}

impl Golden {
    /// Whether the unit with this hash is held out.
    pub(crate) fn holds(unit: u64, config: &GoldenConfig) -> bool {
        // 53 bits, as many as a double has.
        let place = (mix(unit ^ UNIT_SALT) >> 11) as f64 / (1_u64 << 53) as f64;
        place < config.share
    }

    pub(crate) fn slices(&self) -> &[Slice] {
        &self.slices
    }

    pub(crate) fn newest(&self) -> impl ExactSizeIterator<Item = &Arc<GoldenRow>> {
        self.newest.iter()
    }

    /// Takes a held-out example with a label that was not known before.
    pub(crate) fn take(&mut self, example: &Example, place: Place, label: f32, config: &GoldenConfig) {
        self.take_text(&example.context, &example.response, place, label, config);
    }

    pub(crate) fn take_text(
        &mut self,
        context: &Context,
        response: &str,
        place: Place,
        label: f32,
        config: &GoldenConfig,
    ) {
        let size = response.len() + serde_json::to_vec(context).map_or(usize::MAX - response.len(), |json| json.len());
        if size > MOST_ROW_BYTES {
            return;
        }
        self.taken += 1;
        let row = Arc::new(GoldenRow {
            exposure: place.exposure,
            unit: place.unit,
            segment: place.segment,
            label,
            weight: 1.0,
            words: num_words(response),
            context: context.clone(),
            response: response.to_owned(),
        });
        if config.newest > 0 {
            self.newest.push_back(Arc::clone(&row));
            self.newest.drain(..self.newest.len().saturating_sub(config.newest));
        }
        let has_room = self.slices.len() < config.slices && self.pools.len() < config.slices;
        if has_room || self.pools.contains_key(&place.segment) {
            self.pools.entry(place.segment).or_default().offer(row, config.rows / 2);
        }
    }

    /// Puts `label` in the place of the one that the exposure has had; `None` takes the row out.
    pub(crate) fn correct(&mut self, exposure: u64, label: Option<f32>, config: &GoldenConfig) {
        for pool in self.pools.values_mut() {
            pool.correct(exposure, label, config.rows / 2);
        }
        let rows = self.slices.iter_mut().flat_map(|slice| &mut slice.rows).chain(&mut self.newest);
        match label {
            Some(label) => rows.filter(|row| row.exposure == exposure).for_each(|row| Arc::make_mut(row).label = label),
            None => drop(self.remove(|row| row.exposure == exposure)),
        }
    }

    /// Removes the rows for which `is_gone` holds; how many exposures that were.
    fn remove(&mut self, is_gone: impl Fn(&GoldenRow) -> bool) -> HashSet<u64> {
        let mut gone = HashSet::new();
        let mut keep = |row: &Arc<GoldenRow>| {
            let stays = !is_gone(row);
            if !stays {
                gone.insert(row.exposure);
            }
            stays
        };
        self.newest.retain(&mut keep);
        self.slices.iter_mut().for_each(|slice| slice.rows.retain(&mut keep));
        self.pools.values_mut().for_each(|pool| pool.retain(&mut keep));
        gone
    }

    /// Removes every row of these exposures; how many there were.
    pub(crate) fn erase(&mut self, exposures: &HashSet<u64>) -> u64 {
        self.remove(|row| exposures.contains(&row.exposure)).len() as u64
    }

    /// Removes every row of `unit`.
    pub(crate) fn forget_unit(&mut self, unit: u64) {
        drop(self.remove(|row| row.unit == unit));
    }

    /// Freezes what has come together by the time that `examples` have been taken; whether anything was.
    pub(crate) fn freeze(&mut self, examples: u64, names: &[String], config: &GoldenConfig) -> bool {
        let before = self.slices.len();
        let (slices, pools) = (&mut self.slices, &mut self.pools);
        for (segment, pool) in pools.iter_mut().filter(|(_, pool)| pool.is_full_enough(config.least)) {
            let segment = names.get(usize::from(*segment)).cloned().unwrap_or_default();
            let last = slices.iter().filter(|slice| slice.segment == segment).map(|slice| slice.frozen_at).max();
            if slices.len() < config.slices && last.is_none_or(|last| examples >= last.saturating_mul(2)) {
                slices.push(Slice { segment, frozen_at: examples, rows: pool.drain() });
            }
        }
        if self.slices.len() >= config.slices {
            self.pools.clear();
        }
        self.slices.len() > before
    }

    /// Judges `model`, which has seen `examples`, on every slice, and keeps the result.
    ///
    /// # Errors
    /// Fails when the model cannot be evaluated.
    pub(crate) fn measure(
        &mut self,
        model: &dyn RewardModel,
        examples: u64,
        objective: &Objective,
    ) -> Result<(), Error> {
        if !self.slices.is_empty() {
            self.matrix.push(examples, self.areas(model, objective)?);
        }
        Ok(())
    }

    /// What was forgotten, with `model`, which has seen `examples`, as the last row.
    ///
    /// # Errors
    /// Fails when the model cannot be evaluated.
    pub(crate) fn report(
        &self,
        model: &dyn RewardModel,
        examples: u64,
        objective: &Objective,
    ) -> Result<GoldenReport, Error> {
        let areas = self.areas(model, objective)?;
        Ok(self.matrix.report(&self.slices, (examples, areas), self.taken))
    }

    /// [`Golden::report`] of the model that was judged last.
    pub(crate) fn measured(&self) -> GoldenReport {
        self.matrix.measured(&self.slices, self.taken)
    }

    fn areas(&self, model: &dyn RewardModel, objective: &Objective) -> Result<Vec<Option<f64>>, Error> {
        let area = |slice: &Slice| Ok(slice_area(&probabilities(model, &slice.rows, objective)?, &slice.rows));
        self.slices.iter().map(area).collect()
    }
}

/// Where an example belongs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) exposure: u64,
    pub(crate) unit: u64,
    pub(crate) segment: Segment,
}

#[cfg(test)]
mod tests;
