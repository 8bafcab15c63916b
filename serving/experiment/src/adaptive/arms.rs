//! What was seen of each arm, old epochs counting less.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::require;

/// Sums over units of one arm. A unit that is discounted counts as a fraction of one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ArmSums {
    /// Number of units.
    pub units: f64,
    /// Sum of their rewards.
    pub sum: f64,
    /// Sum of their squares.
    pub squares: f64,
}

impl ArmSums {
    pub(super) fn check(&self) -> Result<(), Error> {
        require("units", self.units, "finite and >= 0", self.units.is_finite() && self.units >= 0.0)?;
        require("sum", self.sum, "finite", self.sum.is_finite())?;
        // Cauchy and Schwarz, with room for rounding.
        let least = if self.units > 0.0 { self.sum * self.sum / self.units } else { self.sum.abs() };
        let ok = self.squares.is_finite() && self.squares >= least * (1.0 - 1e-9);
        require("squares", self.squares, "finite and at least sum² / units", ok)
    }

    /// Adds one unit.
    pub fn add(&mut self, reward: f64) {
        self.merge(&Self { units: 1.0, sum: reward, squares: reward * reward });
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.units += other.units;
        self.sum += other.sum;
        self.squares += other.squares;
    }

    fn scaled(&self, factor: f64) -> Self {
        Self { units: self.units * factor, sum: self.sum * factor, squares: self.squares * factor }
    }

    /// Mean; nothing without a unit.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.units > 0.0).then(|| self.sum / self.units)
    }

    /// Unbiased variance of a unit; nothing with one unit or less.
    #[must_use]
    pub fn variance(&self) -> Option<f64> {
        let mean = self.mean()?;
        (self.units > 1.0).then(|| ((self.squares - self.sum * mean) / (self.units - 1.0)).max(0.0))
    }
}

/// How long observations count.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Memory {
    /// All alike, for ever.
    #[default]
    Forever,
    /// Half as much after so many epochs; finite and > 0.
    HalfLife(f64),
    /// The last so many closed epochs and the open one, at least 1.
    Window(u16),
}

/// Closed epochs and the open one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct History {
    memory: Memory,
    open: Vec<ArmSums>,
    /// What closed epochs come to; not used by a window.
    past: Vec<ArmSums>,
    /// The closed epochs of a window, oldest first.
    window: VecDeque<Vec<ArmSums>>,
}

impl History {
    pub(super) fn new(arms: usize, memory: Memory) -> Result<Self, Error> {
        match memory {
            Memory::Forever => {}
            Memory::HalfLife(epochs) => {
                require("half_life", epochs, "finite and > 0", epochs.is_finite() && epochs > 0.0)?;
            }
            Memory::Window(epochs) => require("window", f64::from(epochs), "at least 1", epochs >= 1)?,
        }
        let empty = vec![ArmSums::default(); arms];
        Ok(Self { memory, open: empty.clone(), past: empty, window: VecDeque::new() })
    }

    pub(super) fn add(&mut self, arm: usize, sums: &ArmSums) {
        self.open[arm].merge(sums);
    }

    pub(super) fn close(&mut self) {
        let arms = self.open.len();
        let closed = std::mem::replace(&mut self.open, vec![ArmSums::default(); arms]);
        match self.memory {
            Memory::Window(epochs) => {
                self.window.push_back(closed);
                while self.window.len() > usize::from(epochs) {
                    self.window.pop_front();
                }
            }
            Memory::Forever | Memory::HalfLife(_) => {
                let factor = if let Memory::HalfLife(epochs) = self.memory { (-1.0 / epochs).exp2() } else { 1.0 };
                for (past, closed) in self.past.iter_mut().zip(&closed) {
                    past.merge(closed);
                    *past = past.scaled(factor);
                }
            }
        }
    }

    /// What counts now, per arm.
    pub(super) fn sums(&self) -> Vec<ArmSums> {
        let mut sums = self.open.clone();
        for epoch in self.window.iter().chain(std::iter::once(&self.past)) {
            for (sum, past) in sums.iter_mut().zip(epoch) {
                sum.merge(past);
            }
        }
        sums
    }
}
