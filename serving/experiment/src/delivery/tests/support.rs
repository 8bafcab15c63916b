//! Observations with means known beforehand.

use plaudit_event::{PolicyId, Timestamp};

use crate::delivery::*;

pub(super) const HOUR: i64 = 3_600_000;
pub(super) const DAY: i64 = 24 * HOUR;

pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Sums of `units` units of three exposures each, of which a share `rate` has the outcome in all of them.
pub(super) fn binary(units: u64, rate: f64) -> Sums {
    let reacted = (units as f64 * rate).round();
    Sums {
        units,
        reacted: reacted as u64,
        numerator: 3.0 * reacted,
        numerator_squared: 9.0 * reacted,
        denominator: 3.0 * units as f64,
        denominator_squared: 9.0 * units as f64,
        product: 9.0 * reacted,
    }
}

/// Sums of one value a unit with this mean and deviation.
pub(super) fn mean(units: u64, mean: f64, deviation: f64) -> Sums {
    let n = units as f64;
    Sums {
        units,
        reacted: 0,
        numerator: n * mean,
        numerator_squared: n * (mean * mean + deviation * deviation),
        denominator: n,
        denominator_squared: n,
        product: n * mean,
    }
}

/// An arm of the default metrics.
pub(super) fn arm(units: u64) -> Arm {
    let rates =
        [("unsolicited_closing", 0.02), ("refusal", 0.02), ("error", 0.01), ("love", 0.05), ("helpfulness", 0.7)];
    let means = [("repetition", 0.1), ("words", 80.0), ("emoji", 0.2), ("diversity", 0.7), ("latency", 400.0)];
    let mut arm = Arm { units, ..Arm::default() };
    arm.metrics.extend(rates.map(|(name, rate)| (name.to_owned(), binary(units, rate))));
    arm.metrics.extend(means.map(|(name, value)| (name.to_owned(), mean(units, value, value / 2.0))));
    arm.metrics.insert("score".to_owned(), mean(units, 0.1, 0.05));
    arm
}

pub(super) fn pair(units: u64) -> Pair {
    Pair { treatment: arm(units), control: arm(units) }
}

/// Equal arms in the shadow and in live steps of these sizes.
pub(super) fn equal(steps: &[u64], config: &DeliveryConfig) -> Observation {
    let phases = steps.iter().enumerate().map(|(step, units)| {
        let shares = Shares::of(config.step(step).unwrap().share);
        let rest = (*units as f64 / shares.treatment * shares.rest).round() as u64;
        let control = (*units as f64 / shares.treatment * shares.control).round() as u64;
        let arrivals = Arrivals { treatment: *units, control, rest: Some(rest) };
        Phase { step, arrivals, arms: pair(*units) }
    });
    Observation { shadow: Some(pair(20_000)), phases: phases.collect() }
}

pub(super) fn new(config: DeliveryConfig) -> Delivery {
    Delivery::new(PolicyId::new("candidate").unwrap(), config, at(0)).unwrap()
}

pub(super) fn passed() -> Event {
    Event::Gate(Gate { verdict: Verdict::Pass, reason: "better off policy".to_owned(), evidence: Vec::new() })
}

/// A candidate in the canary since hour 8.
pub(super) fn in_canary(config: DeliveryConfig) -> Delivery {
    let mut delivery = new(config);
    delivery.apply(&passed(), at(0)).unwrap();
    let seen = equal(&[], delivery.config());
    delivery.apply(&Event::Evaluate(Observation::default()), at(HOUR)).unwrap();
    let decision = delivery.apply(&Event::Evaluate(seen), at(8 * HOUR)).unwrap();
    assert_eq!(*delivery.state(), State::Canary, "{:?}", decision.explain());
    delivery
}
