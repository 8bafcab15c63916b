//! Memory that fades: how much an observation still counts.

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::error::require;

/// Half-lives between which sums are rescaled; a power of two, so that rescaling rounds nothing.
const RESCALE_AT: f64 = 64.0;

/// After how much an observation counts half. Zero means never, and both together multiply.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HalfLife {
    /// In observations; finite and ≥ 0.
    pub observations: f64,
    /// In milliseconds; finite and ≥ 0.
    pub millis: f64,
}

impl HalfLife {
    pub(super) fn check(&self) -> Result<(), Error> {
        for (field, value) in [("half_life.observations", self.observations), ("half_life.millis", self.millis)] {
            require(field, value, "finite and >= 0", value.is_finite() && value >= 0.0)?;
        }
        Ok(())
    }
}

/// Exponential forgetting without touching what was added before: instead of the old counting less, the new
/// counts more. An observation at place p, in half-lives, adds `2^(p − offset)`; sums divided by
/// [`Fading::unit`] are the discounted ones. Because a place never changes, what an observation added can be
/// taken back exactly however much later.
///
/// Without forgetting every weight is exactly 1.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Fading {
    half_life: HalfLife,
    observations: f64,
    /// Of the first observation and the newest, in milliseconds.
    span: Option<(i64, i64)>,
    offset: f64,
}

impl Fading {
    /// Nothing observed yet.
    #[must_use]
    pub fn new(half_life: HalfLife) -> Self {
        Self { half_life, ..Self::default() }
    }

    /// Takes note of an observation made at `at_ms`; returns its place, and the factor, if any, by which all
    /// sums must be multiplied before it is added. An observation older than the newest counts as old as it is.
    pub fn place(&mut self, at_ms: i64) -> (f64, Option<f64>) {
        self.observations += 1.0;
        let (first, newest) = self.span.unwrap_or((at_ms, at_ms));
        self.span = Some((first, newest.max(at_ms)));
        let place = self.position(at_ms);
        let ahead = self.now() - self.offset;
        if ahead <= RESCALE_AT {
            return (place, None);
        }
        let step = (ahead / RESCALE_AT).floor() * RESCALE_AT;
        self.offset += step;
        (place, Some((-step).exp2()))
    }

    /// What an observation at `place` counts, in the scale of the sums.
    #[must_use]
    pub fn weight(&self, place: f64) -> f64 {
        (place - self.offset).exp2()
    }

    /// What the newest observation counts, in the scale of the sums.
    #[must_use]
    pub fn unit(&self) -> f64 {
        self.weight(self.now())
    }

    fn now(&self) -> f64 {
        self.span.map_or(0.0, |(_, newest)| self.position(newest))
    }

    fn position(&self, at_ms: i64) -> f64 {
        let HalfLife { observations, millis } = self.half_life;
        let counted = if observations > 0.0 { self.observations / observations } else { 0.0 };
        let first = self.span.map_or(at_ms, |(first, _)| first);
        let passed = if millis > 0.0 { at_ms.saturating_sub(first) as f64 / millis } else { 0.0 };
        counted + passed
    }
}
