//! The shadow: a candidate answers what users ask, is scored, and is never shown.
//!
//! For a share of the live chat requests the candidate makes an answer of its own to the same request, off the path of
//! that request and only while the model thread is at ease; what does not fit is left out and counted. Both answers are
//! scored by the reward model and measured by the tripwires. Nothing of it is an exposure: it gets no label and teaches
//! nobody.
//!
//! Sums are per unit and in memory. Each evaluation writes them into the log, and a restart goes on from there; a unit
//! seen before and after the restart then counts as two.

use std::collections::HashMap;

use plaudit_event::{Objective, PolicyId};
use plaudit_experiment::delivery::{Arm, Pair, Sums};
use plaudit_policy::tripwire::{Measures, NUM_MEASURES, Tripwires};

use crate::Error;
use crate::readout::ERROR;
use crate::score::{Reward, ScoreRow};

/// Name of the predicted probability of love.
const SCORE: &str = "score";
/// Metrics beside the tripwires.
const NUM_OTHERS: usize = 2;
const NUM_METRICS: usize = NUM_MEASURES + NUM_OTHERS;

/// Names of what a delivery can be judged by in the shadow.
#[must_use]
pub(crate) fn metrics() -> [&'static str; NUM_METRICS] {
    let names = Tripwires::names();
    std::array::from_fn(|index| match index {
        0 => SCORE,
        1 => ERROR,
        _ => names[index - NUM_OTHERS],
    })
}

/// One answer as it is judged.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Judged {
    /// P\[love\], where there is a reward model that has learned it.
    score: Option<f64>,
    /// What was measured; nothing where no answer came about.
    measures: Option<Measures>,
}

impl Judged {
    /// No answer.
    pub(crate) const FAILED: Self = Self { score: None, measures: None };

    /// Numerator and denominator of each metric.
    fn ratios(&self) -> [(f64, f64); NUM_METRICS] {
        let counted = |value: Option<f64>| value.map_or((0.0, 0.0), |value| (value, 1.0));
        let values = self.measures.map(|measures| measures.values());
        std::array::from_fn(|index| match index {
            0 => counted(self.score),
            1 => (f64::from(u8::from(self.measures.is_none())), 1.0),
            _ => counted(values.map(|values| values[index - NUM_OTHERS])),
        })
    }
}

/// Judges the answers of `rows`; work for a thread that may take its time.
///
/// # Errors
/// Fails when the reward model does.
pub(crate) fn judge(rows: &[ScoreRow], reward: Option<&Reward>, tripwires: &Tripwires) -> Result<Vec<Judged>, Error> {
    let love = reward.and_then(|reward| {
        let at = reward.objectives.iter().position(|objective| objective.0 == Objective::LOVE)?;
        Some((reward, at))
    });
    let scores = match love {
        Some((reward, at)) => {
            let scores = (reward.score)(rows)?;
            scores.into_iter().map(|row| row.get(at).copied().flatten().map(|score| score.p)).collect()
        }
        None => vec![None; rows.len()],
    };
    let judged = rows.iter().zip(scores).map(|(row, score)| Judged {
        score,
        measures: Some(tripwires.measure(row.context.last_request(), &row.response)),
    });
    Ok(judged.collect())
}

/// Sums of the candidate in the shadow, per unit.
#[derive(Debug, Default)]
pub(crate) struct ShadowSums {
    of: Option<PolicyId>,
    /// What the log had when these sums began.
    base: Pair,
    units: HashMap<u64, [[(f64, f64); NUM_METRICS]; 2]>,
    sums: [[Sums; NUM_METRICS]; 2],
}

impl ShadowSums {
    /// Sums of `policy` from now on, beginning with what is on record; those of another candidate are dropped.
    pub(crate) fn track(&mut self, policy: &PolicyId, recorded: Option<&Pair>) {
        if self.of.as_ref() != Some(policy) {
            *self = Self { of: Some(policy.clone()), base: recorded.cloned().unwrap_or_default(), ..Self::default() };
        }
    }

    /// Adds the candidate's answer and the one that was shown, to the same request. Whether it counted: not when
    /// another candidate is tracked by now, and not for more than `most` units.
    pub(crate) fn add(&mut self, policy: &PolicyId, unit: u64, judged: [Judged; 2], most: usize) -> bool {
        let is_full = !self.units.contains_key(&unit) && self.units.len() >= most;
        if self.of.as_ref() != Some(policy) || is_full {
            return false;
        }
        let of_unit = self.units.entry(unit).or_insert([[(0.0, 0.0); NUM_METRICS]; 2]);
        for ((ratios, judged), sums) in of_unit.iter_mut().zip(judged).zip(&mut self.sums) {
            for ((ratio, more), sums) in ratios.iter_mut().zip(judged.ratios()).zip(sums) {
                let before = *ratio;
                *ratio = (before.0 + more.0, before.1 + more.1);
                sums.replace(before, *ratio);
            }
        }
        true
    }

    /// The sums of both arms so far.
    pub(crate) fn pair(&self) -> Pair {
        let units = self.units.len() as u64;
        let arm = |sums: [Sums; NUM_METRICS]| {
            // A metric without data is absent, so that its rule says so.
            let all = metrics().into_iter().zip(sums).filter(|(_, sums)| sums.units > 0);
            Arm { units, metrics: all.map(|(name, sums)| (name.to_owned(), sums)).collect() }
        };
        let [treatment, control] = self.sums.map(arm);
        self.base.plus(&Pair { treatment, control })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(score: f64, response: &str) -> Judged {
        Judged { score: Some(score), measures: Some(Tripwires::new().measure("how?", response)) }
    }

    fn id(name: &str) -> PolicyId {
        PolicyId::new(name).unwrap()
    }

    #[test]
    fn sums_are_per_unit_and_go_on_from_the_record() {
        let mut sums = ShadowSums::default();
        assert!(!sums.add(&id("one"), 1, [judged(0.5, "a b"), judged(0.25, "a")], 10), "nobody is tracked");
        sums.track(&id("one"), None);
        for unit in [1, 1, 2] {
            assert!(sums.add(&id("one"), unit, [judged(0.5, "so it is. bye"), judged(0.25, "so")], 2));
        }
        assert!(!sums.add(&id("one"), 3, [judged(0.5, "a"), judged(0.25, "a")], 2), "too many units");
        assert!(!sums.add(&id("two"), 1, [judged(0.5, "a"), judged(0.25, "a")], 2), "another candidate");
        assert!(sums.add(&id("one"), 1, [Judged::FAILED, judged(0.25, "so")], 2));
        let pair = sums.pair();
        assert_eq!((pair.treatment.units, pair.control.units), (2, 2));
        let of = |arm: &Arm, name: &str| {
            let sums = arm.metrics[name];
            (sums.units, sums.reacted, sums.numerator, sums.denominator)
        };
        assert_eq!(of(&pair.treatment, SCORE), (2, 2, 1.5, 3.0));
        assert_eq!(of(&pair.control, SCORE), (2, 2, 1.0, 4.0));
        assert_eq!(of(&pair.treatment, ERROR), (2, 1, 1.0, 4.0));
        assert_eq!(of(&pair.treatment, "unsolicited_closing"), (2, 2, 3.0, 3.0));
        assert_eq!(pair.treatment.metrics[SCORE].numerator_squared, 1.25);

        let mut again = ShadowSums::default();
        again.track(&id("one"), Some(&pair));
        assert_eq!(again.pair(), pair);
        assert!(again.add(&id("one"), 9, [judged(0.5, "a"), judged(0.25, "a")], 2));
        again.track(&id("one"), Some(&pair));
        assert_eq!(again.pair().treatment.units, 3, "what is on record counts once");
        again.track(&id("two"), None);
        assert_eq!(again.pair(), Pair::default());
    }
}
