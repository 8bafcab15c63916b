//! The delivery of the demo: the steps of a real one, of seconds instead of days.

use plaudit_experiment::delivery::{DeliveryConfig, Harm, Kind, Margin, Method, Rule, SampleRatio, Source, Step};

/// The rule that the candidate is loved more.
pub(super) const BETTER: &str = "love_better";
/// What must not get worse, and what an exploit of users' reactions makes worse.
const HELPFUL: &str = "helpfulness";
const CLOSINGS: [&str; 2] = ["unsolicited_closing", "shadow_unsolicited_closing"];
/// Up to this rate of love few units love more than once, and the arms of those who do tell as much as all.
const RARE: f64 = 0.2;
/// Units of each arm before a rule says anything.
const MIN_UNITS: u64 = 100;
/// Longest stay in a step, in seconds: the demo ends before.
const LONGEST: u64 = 3_600;

/// Rules and steps, where a share `love` of the answers is loved.
pub(super) fn config(love: f64) -> DeliveryConfig {
    let rule = |name: &str, kind, harm, margin| Rule { min_units: MIN_UNITS, ..Rule::new(name, kind, harm, margin) };
    let rare = |name: &str, floor| {
        let rule = rule(name, Kind::Tripwire, Harm::Higher, Margin::Relative(0.2));
        Rule { method: Method::Exact, floor, ..rule }
    };
    let shadow = |name: &str, metric: &str, harm, margin| Rule {
        metric: metric.to_owned(),
        source: Source::Shadow,
        ..rule(name, Kind::Tripwire, harm, margin)
    };
    let method = if love <= RARE { Method::Exact } else { Method::Sums };
    let better = rule(BETTER, Kind::Objective, Harm::Lower, Margin::Relative(0.0));
    DeliveryConfig {
        period_seconds: 1,
        rules: vec![
            rare(CLOSINGS[0], 0.005),
            rare("refusal", 0.005),
            rare("error", 0.001),
            // Both policies share a busy machine.
            rule("latency", Kind::Tripwire, Harm::Higher, Margin::Relative(1.0)),
            shadow("shadow_score", "score", Harm::Lower, Margin::Relative(0.05)),
            shadow(CLOSINGS[1], CLOSINGS[0], Harm::Higher, Margin::Absolute(0.01)),
            rule(HELPFUL, Kind::Guardrail, Harm::Lower, Margin::Absolute(0.05)),
            // What is at stake gets most of the error budget.
            Rule { metric: "love".to_owned(), method, weight: 8.0, ..better },
        ],
        ..DeliveryConfig::default()
    }
}

/// Sizes everything for `units` units per arm at the end.
pub(super) fn size(config: &mut DeliveryConfig, units: u64) {
    let step = |share, min_units, requires: &[&str]| Step {
        share,
        min_seconds: 3,
        max_seconds: LONGEST,
        min_units,
        inconclusive_limit: None,
        requires: requires.iter().map(ToString::to_string).collect(),
    };
    config.horizon_units = 2 * units;
    // A deviation that this many units exclude in 99 of 100 cases.
    let deviation = (6.2 / (units as f64).sqrt()).clamp(0.02, 0.5);
    config.sample_ratio = SampleRatio { deviation, ..SampleRatio::default() };
    config.shadow = step(0.3, MIN_UNITS, &["shadow_score", CLOSINGS[1]]);
    config.canary = step(0.1, MIN_UNITS, &[CLOSINGS[0], "refusal", "error", "latency"]);
    config.ramp =
        vec![step(0.25, 2 * MIN_UNITS, &[CLOSINGS[0]]), step(0.5, units / 2, &["srm", CLOSINGS[0], HELPFUL, BETTER])];
}

/// Takes the rules away that an exploit would break.
pub(super) fn without_judges(config: &mut DeliveryConfig) {
    let is_judge = |name: &String| *name == HELPFUL || CLOSINGS.contains(&name.as_str());
    config.rules.retain(|rule| !is_judge(&rule.name));
    for step in config.ramp.iter_mut().chain([&mut config.shadow, &mut config.canary]) {
        step.requires.retain(|name| !is_judge(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_deliveries_are_valid() {
        let mut serving = plaudit_serving::Config::default();
        for (love, units) in [(0.05, 9_000), (0.5, 400)] {
            serving.delivery = config(love);
            size(&mut serving.delivery, units);
            assert_eq!(serving.validate(), []);
            without_judges(&mut serving.delivery);
            assert_eq!(serving.validate(), []);
            assert_eq!(serving.delivery.rules.len(), 5);
        }
    }
}
