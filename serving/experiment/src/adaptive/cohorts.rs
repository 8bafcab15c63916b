//! Allocation to units that keep their arms: each cohort is split by what the ones before it showed.

use serde::{Deserialize, Serialize};

use super::{Allocator, ArmCount, ArmSums, Goal, WinnerTest};
use crate::Error;
use crate::assign::AllocationConfig;

/// Units that were split by the same probabilities.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Split {
    /// The probability of each arm.
    pub propensities: Vec<f64>,
    /// What was seen of each arm.
    pub arms: Vec<ArmCount>,
}

/// A fold of the cohorts of an experiment, in their order.
///
/// Each unit counts once, with what it did until its cohort was closed, so that the evidence of [`WinnerTest`] holds at
/// every close.
#[derive(Debug, Clone, PartialEq)]
pub struct Cohorts {
    allocator: Allocator,
    test: WinnerTest,
    arms: usize,
    /// Cohorts that have not begun.
    left: u32,
    winner: Option<usize>,
}

impl Cohorts {
    /// Before the first cohort is closed.
    ///
    /// # Errors
    /// When a setting is out of range, or there are fewer than two arms.
    pub fn new(arms: usize, config: &AllocationConfig, goal: Goal) -> Result<Self, Error> {
        let allocator = Allocator::new(arms, config.settings(goal))?;
        let test = WinnerTest::new(arms, goal, config.delta)?;
        Ok(Self { allocator, test, arms, left: config.cohorts.saturating_sub(1), winner: None })
    }

    /// Closes a cohort: the weights of the next. Nothing when there is none, because all have begun or the best arm is
    /// known.
    ///
    /// # Errors
    /// When a number is out of range; the fold must not be used again then.
    pub fn close(&mut self, seen: &[Split]) -> Result<Option<&[f64]>, Error> {
        for split in seen {
            self.test.observe_all(&split.arms, &split.propensities)?;
            for (arm, count) in split.arms.iter().enumerate() {
                let (units, sum) = (count.units as f64, count.successes as f64);
                self.allocator.observe(arm, &ArmSums { units, sum, squares: sum })?;
            }
        }
        if self.winner.is_none() {
            self.winner = self.test.winner();
        }
        if self.winner.is_some() || self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        Ok(Some(self.allocator.advance()))
    }

    /// The arm that was declared the best.
    #[must_use]
    pub const fn winner(&self) -> Option<usize> {
        self.winner
    }

    /// ln of the evidence of each arm against the arm that it has least against.
    #[must_use]
    pub fn ln_evidence(&self) -> Vec<f64> {
        let least = |arm: usize| {
            let others = (0..self.arms).filter(|other| *other != arm);
            others.map(|other| self.test.ln_evidence(arm, other)).fold(f64::INFINITY, f64::min)
        };
        (0..self.arms).map(least).collect()
    }

    /// What the evidence must reach.
    #[must_use]
    pub fn ln_threshold(&self) -> f64 {
        self.test.ln_threshold()
    }
}
