//! Numbers with a range: [`Reward`] in \[0, 1\] and [`Propensity`] in (0, 1\].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number outside its allowed range.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("must be {allowed}, got {value}")]
pub struct RangeError {
    /// The value refused.
    pub value: f64,
    /// The allowed range, in words.
    pub allowed: &'static str,
}

/// The scalar a policy maximises, in \[0, 1\].
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(extend("minimum" = 0.0, "maximum" = 1.0))]
pub struct Reward(f64);

impl Reward {
    /// Checks and wraps `value`.
    ///
    /// # Errors
    /// Fails when `value` is not in \[0, 1\].
    pub fn new(value: f64) -> Result<Self, RangeError> {
        if (0.0..=1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(RangeError { value, allowed: "between 0 and 1" })
        }
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Reward {
    type Error = RangeError;
    fn try_from(value: f64) -> Result<Self, RangeError> {
        Self::new(value)
    }
}

impl From<Reward> for f64 {
    fn from(reward: Reward) -> f64 {
        reward.0
    }
}

/// The probability that the behavior policy gave to the logged action, in (0, 1\].
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
#[schemars(extend("exclusiveMinimum" = 0.0, "maximum" = 1.0))]
pub struct Propensity(f64);

impl Propensity {
    /// A certain action.
    pub const ONE: Self = Self(1.0);

    /// Checks and wraps `value`.
    ///
    /// # Errors
    /// Fails when `value` is not in (0, 1\].
    pub fn new(value: f64) -> Result<Self, RangeError> {
        if value > 0.0 && value <= 1.0 {
            Ok(Self(value))
        } else {
            Err(RangeError { value, allowed: "above 0 and at most 1" })
        }
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Propensity {
    type Error = RangeError;
    fn try_from(value: f64) -> Result<Self, RangeError> {
        Self::new(value)
    }
}

impl From<Propensity> for f64 {
    fn from(propensity: Propensity) -> f64 {
        propensity.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_at_their_ends() {
        assert!(Reward::new(0.0).is_ok() && Reward::new(1.0).is_ok());
        assert!(Reward::new(-0.1).is_err() && Reward::new(f64::NAN).is_err());
        assert!(Propensity::new(1.0).is_ok() && Propensity::new(0.0).is_err());
    }

    #[test]
    fn the_schema_has_the_ranges() {
        let reward = schemars::schema_for!(Reward).to_value();
        assert_eq!(
            (&reward["type"], &reward["minimum"], &reward["maximum"]),
            (&"number".into(), &0.0.into(), &1.0.into())
        );
    }
}
