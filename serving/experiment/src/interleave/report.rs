//! What is told of an interleaving experiment.

mod text;

use plaudit_event::{ExperimentId, PolicyId};
use serde::{Deserialize, Serialize};

use super::{Folded, Ignored, InterleavingConfig, Method, Preference};
use crate::Error;
use crate::stats::{HedgedBetting, anytime_errors, anytime_units_per_arm, minimum_detectable_lift};

/// Optimised credits are small beside the most that a list could give: what is above this share is cut.
const OPTIMISED_SCALE: f64 = 0.25;
/// Steps of the interval's mean: a preference of 0.005 each.
const STEPS: usize = 400;
/// Decided units below which a warning is given.
const FEW: u64 = 50;
/// Probability with which a preference is found.
const POWER: f64 = 0.8;

/// Who is preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The policy is better than the control.
    Better,
    /// The control is better.
    Worse,
    /// Not known yet.
    Undecided,
}

/// What the reader must know.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Warning {
    /// Few units prefer anything.
    FewUnits {
        /// How many do, in the comparison with the fewest.
        units: u64,
    },
    /// The rankings are mostly the same.
    EqualRankings {
        /// Share of the lists.
        share: f64,
    },
    /// Clicks name items that their lists did not show: their items or exposures are mixed up.
    ForeignClicks {
        /// How many.
        clicks: u64,
    },
    /// Lists under this name compare other policies.
    OtherPolicies {
        /// How many.
        lists: u64,
    },
}

/// What the units can tell, and what an A/B test of the same clicks could.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sensitivity {
    /// The smallest mean preference that this many units find four times in five while watched; nothing without spread.
    pub detectable_preference: Option<f64>,
    /// Units that it takes to find the preference seen, four times in five.
    pub units_needed: Option<f64>,
    /// Share of units that clicked.
    pub click_rate: f64,
    /// The smallest relative lift of that share that an A/B test with as many units, half in each arm, would find; nothing
    /// when it would find none.
    pub ab_detectable_lift: Option<f64>,
}

/// A policy against the control.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The policy.
    pub policy: PolicyId,
    /// Whether it is better, by `p` against this comparison's part of α.
    pub verdict: Verdict,
    /// Units that prefer it.
    pub wins: u64,
    /// Units that prefer the control.
    pub losses: u64,
    /// Units that prefer neither.
    pub ties: u64,
    /// Wins among wins and losses.
    pub share: Option<f64>,
    /// Mean preference of a unit, from −1 to 1, positive for the policy.
    pub preference: Option<f64>,
    /// Where it is, valid at all times at this comparison's part of α: a betting sequence.
    pub interval: [f64; 2],
    /// Evidence against "no preference" now.
    pub e_value: f64,
    /// The p-value that holds at all times.
    pub p: f64,
    /// Clicks for the control and for the policy.
    pub clicks: [u64; 2],
    /// What this many units can tell.
    pub sensitivity: Sensitivity,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The experiment.
    pub experiment: ExperimentId,
    /// How lists are made.
    pub method: Method,
    /// Error rate of all comparisons together.
    pub alpha: f64,
    /// Who the others are compared with.
    pub control: PolicyId,
    /// Units whose preference is final.
    pub units: u64,
    /// Units whose preference is not final yet.
    pub open_units: u64,
    /// Lists of final units.
    pub lists: u64,
    /// Of those, lists of rankings that are all the same.
    pub equal_lists: u64,
    /// Of those, lists drafted because no mixture is unbiased.
    pub drafted_lists: u64,
    /// One for each policy but the control.
    pub comparisons: Vec<Comparison>,
    /// What was left out.
    pub ignored: Ignored,
    /// What the reader must know.
    pub warnings: Vec<Warning>,
}

impl Report {
    /// Judges what was folded, each comparison at its part of α.
    ///
    /// # Errors
    /// When a preference is outside \[−1, 1\].
    pub fn new(config: &InterleavingConfig, folded: &Folded) -> Result<Self, Error> {
        let units = folded.preferences.first().map_or(0, Vec::len) as u64;
        let alpha = config.alpha / folded.preferences.len().max(1) as f64;
        let mut comparisons = Vec::new();
        let challengers = config.policies.iter().skip(1);
        for ((policy, preferences), clicks) in challengers.zip(&folded.preferences).zip(&folded.clicks) {
            let click_rate = if units > 0 { folded.clicked as f64 / units as f64 } else { 0.0 };
            let seen = Seen { preferences, clicks: *clicks, click_rate };
            comparisons.push(seen.compare(config, policy, alpha)?);
        }
        let mut report = Self {
            experiment: config.id.clone(),
            method: config.method,
            alpha: config.alpha,
            control: config.policies[0].clone(),
            units,
            open_units: folded.open,
            lists: folded.lists,
            equal_lists: folded.equal,
            drafted_lists: folded.fallbacks,
            comparisons,
            ignored: folded.ignored,
            warnings: Vec::new(),
        };
        report.warn();
        Ok(report)
    }

    fn warn(&mut self) {
        let decided = self.comparisons.iter().map(|comparison| comparison.wins + comparison.losses).min();
        if let Some(units) = decided.filter(|units| *units < FEW) {
            self.warnings.push(Warning::FewUnits { units });
        }
        if self.lists > 0 && 2 * self.equal_lists >= self.lists {
            let share = self.equal_lists as f64 / self.lists as f64;
            self.warnings.push(Warning::EqualRankings { share });
        }
        if self.ignored.not_shown > 0 {
            self.warnings.push(Warning::ForeignClicks { clicks: self.ignored.not_shown });
        }
        if self.ignored.other_policies > 0 {
            self.warnings.push(Warning::OtherPolicies { lists: self.ignored.other_policies });
        }
    }
}

struct Seen<'f> {
    preferences: &'f [f64],
    clicks: [u64; 2],
    click_rate: f64,
}

impl Seen<'_> {
    fn compare(&self, config: &InterleavingConfig, policy: &PolicyId, alpha: f64) -> Result<Comparison, Error> {
        let scale = if config.method == Method::Optimised { OPTIMISED_SCALE } else { 1.0 };
        let mut evidence = Preference::new(scale)?;
        let mut interval = HedgedBetting::new(alpha, STEPS);
        for preference in self.preferences {
            evidence.observe(*preference)?;
            interval.observe(f64::midpoint(*preference, 1.0));
        }
        let count = |is_meant: fn(&f64) -> bool| self.preferences.iter().filter(|x| is_meant(x)).count() as u64;
        let (wins, losses) = (count(|x| *x > 0.0), count(|x| *x < 0.0));
        let (lower, upper) = interval.interval();
        let mean = evidence.mean();
        let verdict = match mean {
            Some(mean) if evidence.p() <= alpha && mean > 0.0 => Verdict::Better,
            Some(mean) if evidence.p() <= alpha && mean < 0.0 => Verdict::Worse,
            _ => Verdict::Undecided,
        };
        Ok(Comparison {
            policy: policy.clone(),
            verdict,
            wins,
            losses,
            ties: self.preferences.len() as u64 - wins - losses,
            share: (wins + losses > 0).then(|| wins as f64 / (wins + losses) as f64),
            preference: mean,
            interval: [2.0 * lower - 1.0, 2.0 * upper - 1.0],
            e_value: evidence.ln_evidence().exp().min(f64::MAX),
            p: evidence.p(),
            clicks: self.clicks,
            sensitivity: self.sensitivity(mean.unwrap_or(0.0), alpha),
        })
    }

    fn sensitivity(&self, mean: f64, alpha: f64) -> Sensitivity {
        let units = self.preferences.len() as f64;
        let squares: f64 = self.preferences.iter().map(|x| (x - mean).powi(2)).sum();
        let spread = (squares / (units - 1.0).max(1.0)).sqrt();
        let detectable = (spread > 0.0).then(|| anytime_errors(alpha, POWER) * spread / units.sqrt());
        let needed = detectable.filter(|_| mean != 0.0).map(|least| (units * (least / mean).powi(2)).ceil());
        let rate = self.click_rate;
        let ab = (rate > 0.0 && rate < 1.0)
            .then(|| minimum_detectable_lift(units / 2.0, |lift| anytime_units_per_arm(rate, lift, alpha, POWER)));
        Sensitivity {
            detectable_preference: detectable,
            units_needed: needed,
            click_rate: rate,
            ab_detectable_lift: ab.flatten(),
        }
    }
}
