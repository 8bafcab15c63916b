//! What is said about a metric: one shape for every method, with a decision and its warnings.

use serde::{Deserialize, Serialize};

use super::{Correction, Prior, adjust};
use super::{Interval, SuccessArms, e_bh};

/// How a metric was tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Arms of successes against logged probabilities: the default for reactions.
    ExactArms,
    /// Bets on scores: the default for bounded metrics.
    Betting,
    /// Asymptotic confidence sequence.
    AsymptoticSequence,
    /// Mixture sequential probability ratio test.
    Msprt,
    /// Group-sequential.
    GroupSequential,
    /// One look at a horizon fixed beforehand.
    FixedHorizon,
}

/// What the evidence allows to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The interval lies on the good side of zero.
    Better,
    /// The interval lies on the bad side of zero.
    Worse,
    /// The interval lies within ± the margin: whatever the effect is, it does not matter.
    NoEffectBeyondMargin,
    /// More units are needed.
    Undecided,
}

/// Which direction of a metric is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// More is better, as for loves.
    Up,
    /// Less is better, as for latency or failures.
    Down,
}

/// What else the reader must know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Warning {
    /// Fewer units in an arm than an asymptotic method needs.
    TooFewUnits {
        /// Units of the smaller arm.
        units: u64,
        /// What the method needs.
        needed: u64,
    },
    /// The planned size finds the smallest interesting effect with less than the power planned.
    LowPower {
        /// The smallest lift that the planned size finds.
        detectable: f64,
    },
    /// Units did not arrive in the promised proportions: no other number can be trusted.
    SampleRatioMismatch {
        /// Anytime p-value.
        p: f64,
    },
    /// Units that saw more than one variant; they are left out.
    MultipleExposure {
        /// How many.
        units: u64,
    },
    /// The effect in the first stratum and the last disagree: an earlier experience may carry over.
    CarryOver {
        /// P-value of equal effects, at one look.
        p: f64,
    },
    /// Events whose time runs backwards; they are ignored.
    ClockWentBackwards {
        /// How many.
        events: u64,
    },
}

/// The result of one metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricResult {
    /// Name of the metric.
    pub metric: String,
    /// How it was tested.
    pub method: Method,
    /// The effect with its interval at the level asked for, in the unit of the metric or as a lift. JSON has no
    /// infinity: an endless interval is written as null.
    pub effect: Interval,
    /// P-value of "no effect"; for a watched method it holds at any time.
    pub p: f64,
    /// E-value of "no effect", for methods that have one.
    pub e: Option<f64>,
    /// What the evidence allows to say.
    pub decision: Decision,
    /// What else the reader must know.
    pub warnings: Vec<Warning>,
    /// Days until the interval excludes zero if the effect and the traffic stay as they are.
    pub days_to_significance: Option<f64>,
}

/// Reads an interval; `margin` > 0 is the effect that would not matter, in the unit of the interval.
/// Undecided when an end is not a number.
#[must_use]
pub fn decide(interval: &Interval, direction: Direction, margin: Option<f64>) -> Decision {
    let (positive, negative) = match direction {
        Direction::Up => (Decision::Better, Decision::Worse),
        Direction::Down => (Decision::Worse, Decision::Better),
    };
    if interval.lower > 0.0 {
        positive
    } else if interval.upper < 0.0 {
        negative
    } else if margin.is_some_and(|margin| interval.lower > -margin && interval.upper < margin) {
        Decision::NoEffectBeyondMargin
    } else {
        Decision::Undecided
    }
}

/// What a guardrail says: a candidate passes only on evidence that it is not worse by more than the margin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guardrail {
    /// Anytime evidence that the harm is below the margin.
    NotWorse,
    /// Anytime evidence that the harm is above the margin: stop.
    Violated,
    /// Neither; not a reason to go on.
    Undecided,
}

/// Non-inferiority from an anytime interval of treatment − control: with [`Direction::Up`] not worse when
/// `lower > −margin`, violated when `upper < −margin`. `margin` ≥ 0.
#[must_use]
pub fn guardrail(interval: &Interval, direction: Direction, margin: f64) -> Guardrail {
    let (worst, best) = match direction {
        Direction::Up => (interval.lower, interval.upper),
        Direction::Down => (-interval.upper, -interval.lower),
    };
    if worst > -margin {
        Guardrail::NotWorse
    } else if best < -margin {
        Guardrail::Violated
    } else {
        Guardrail::Undecided
    }
}

/// Which metrics are discoveries at false discovery rate `alpha`: by e-values where all have one (valid for
/// watched, dependent metrics), else by Benjamini–Hochberg on the p-values.
#[must_use]
pub fn discoveries(results: &[MetricResult], alpha: f64) -> Vec<bool> {
    let e: Option<Vec<f64>> = results.iter().map(|result| result.e).collect();
    if let Some(e) = e {
        return e_bh(&e, alpha);
    }
    let p: Vec<f64> = results.iter().map(|result| result.p).collect();
    adjust(&p, Correction::BenjaminiHochberg).into_iter().map(|p| p <= alpha).collect()
}

/// Days until an interval excludes zero if its width shrinks with the root of the units and nothing else
/// changes: `days · ((width/|effect|)² − 1)`, where width is the distance from the effect to the end nearer
/// zero. 0 when it already does; nothing when the effect is zero, the interval endless, or it takes a century.
#[must_use]
pub fn days_to_significance(interval: &Interval, days_so_far: f64) -> Option<f64> {
    let nearer = if interval.value > 0.0 { interval.lower } else { interval.upper };
    let ratio = (interval.value - nearer).abs() / interval.value.abs();
    let days = days_so_far * (ratio * ratio - 1.0);
    (days < 36_500.0 && interval.value.is_finite()).then_some(days.max(0.0))
}

/// How the default for reactions is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmsReading {
    /// Level of the interval and the decision, in (0, 1).
    pub alpha: f64,
    /// What the test is prepared for.
    pub prior: Prior,
    /// The counted outcome, good or bad.
    pub direction: Direction,
    /// A lift that would not matter.
    pub margin: Option<f64>,
    /// Days the experiment has run, > 0.
    pub days: f64,
    /// Largest logarithm of the e-value at earlier looks, 0 at first: the p-value is of the best of them.
    pub best_log_e: f64,
}

/// The result of the default for reactions, as a lift (ratio of the rates − 1).
#[must_use]
pub fn arms_result(metric: &str, arms: &SuccessArms, reading: &ArmsReading) -> MetricResult {
    let log_e = arms.log_e(&reading.prior, 0.0);
    let effect = arms.lift(&reading.prior, reading.alpha);
    let mut warnings = Vec::new();
    if let Some(p) = carry_over(arms).filter(|p| *p < 0.01) {
        warnings.push(Warning::CarryOver { p });
    }
    MetricResult {
        metric: metric.to_owned(),
        method: Method::ExactArms,
        effect,
        p: (-log_e.max(reading.best_log_e)).exp().min(1.0),
        e: Some(log_e.exp().min(f64::MAX)),
        decision: decide(&effect, reading.direction, reading.margin),
        warnings,
        days_to_significance: days_to_significance(&effect, reading.days),
    }
}

/// P-value, at one look, of equal effects in the first and last stratum: a normal test of the difference of
/// their log-ratios. Nothing with one stratum or fewer than ten votes in an arm of either.
fn carry_over(arms: &SuccessArms) -> Option<f64> {
    let strata = arms.strata();
    let (first, last) = (strata.first()?, strata.last()?);
    let is_too_small = strata.len() < 2 || [first, last].iter().any(|v| v.treatment.min(v.control) < 10);
    if is_too_small {
        return None;
    }
    let log_ratio = |share: f64, b: u64, a: u64| (b as f64 / a as f64).ln() - (share / (1.0 - share)).ln();
    let variance = |b: u64, a: u64| 1.0 / b as f64 + 1.0 / a as f64;
    let difference =
        log_ratio(first.share, first.treatment, first.control) - log_ratio(last.share, last.treatment, last.control);
    let error = (variance(first.treatment, first.control) + variance(last.treatment, last.control)).sqrt();
    Some(super::special::normal_two_sided(difference / error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Votes;

    fn interval(lower: f64, value: f64, upper: f64) -> Interval {
        Interval { value, lower, upper }
    }

    #[test]
    fn decisions_follow_the_interval_and_the_direction() {
        let cases = [
            (interval(0.1, 0.2, 0.3), Direction::Up, Decision::Better),
            (interval(0.1, 0.2, 0.3), Direction::Down, Decision::Worse),
            (interval(-0.3, -0.2, -0.1), Direction::Down, Decision::Better),
            (interval(-0.04, 0.0, 0.04), Direction::Up, Decision::NoEffectBeyondMargin),
            (interval(-0.04, 0.1, 0.4), Direction::Up, Decision::Undecided),
            (interval(f64::NAN, 0.1, f64::NAN), Direction::Up, Decision::Undecided),
        ];
        for (interval, direction, want) in cases {
            assert_eq!(decide(&interval, direction, Some(0.05)), want, "{interval:?}");
        }
    }

    #[test]
    fn an_inconclusive_guardrail_does_not_pass() {
        for (lower, upper, want) in
            [(-0.01, 0.3, Guardrail::NotWorse), (-0.3, 0.3, Guardrail::Undecided), (-0.3, -0.1, Guardrail::Violated)]
        {
            assert_eq!(guardrail(&interval(lower, 0.0, upper), Direction::Up, 0.05), want);
            assert_eq!(guardrail(&interval(-upper, 0.0, -lower), Direction::Down, 0.05), want);
        }
    }

    #[test]
    fn days_are_told_only_where_they_follow() {
        assert_eq!(days_to_significance(&interval(0.1, 0.2, 0.3), 4.0), Some(0.0));
        let days = days_to_significance(&interval(-0.2, 0.2, 0.6), 4.0).unwrap();
        assert!((days - 12.0).abs() < 1e-9);
        assert_eq!(days_to_significance(&interval(-0.1, 0.0, 0.1), 4.0), None);
        assert_eq!(days_to_significance(&interval(-1.0, 0.1, f64::INFINITY), 0.0), Some(0.0));
    }

    #[test]
    fn the_default_reads_as_a_report_and_hints_at_carry_over() {
        let votes = |share, treatment, control| Votes { share, treatment, control };
        let reading = ArmsReading {
            alpha: 0.05,
            prior: Prior::default(),
            direction: Direction::Up,
            margin: None,
            days: 3.0,
            best_log_e: 0.0,
        };
        let steady = SuccessArms::from_votes(&[votes(0.5, 300, 200)]).unwrap();
        let result = arms_result("love", &steady, &reading);
        assert_eq!((result.decision, result.warnings.len()), (Decision::Better, 0));
        assert!(result.p < 0.05 && result.e.is_some_and(|e| e > 20.0));
        let turned = SuccessArms::from_votes(&[votes(0.2, 90, 110), votes(0.5, 100, 200)]).unwrap();
        let result = arms_result("love", &turned, &reading);
        assert!(matches!(result.warnings[..], [Warning::CarryOver { .. }]));
        let nothing = arms_result("love", &SuccessArms::default(), &ArmsReading { best_log_e: 4.0, ..reading.clone() });
        assert_eq!((nothing.decision, nothing.days_to_significance), (Decision::Undecided, None));
        assert!((nothing.p - (-4.0_f64).exp()).abs() < 1e-9);
        let text = serde_json::to_string(&result).unwrap();
        let back: MetricResult = serde_json::from_str(&text).unwrap();
        assert_eq!((back.decision, back.warnings.len()), (result.decision, 1));
        let found = arms_result("love", &steady, &reading);
        assert_eq!(discoveries(&[found, nothing], 0.05), vec![true, false]);
    }
}
