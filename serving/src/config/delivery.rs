//! What a delivery must keep to here, besides the rules of its own.

use plaudit_experiment::delivery::{DeliveryConfig, Source};
use plaudit_ingest::Problem;

use crate::{readout, shadow};

/// The finest share that buckets can give.
const GRAIN: f64 = 1e-4;
/// Half of the units: the other half is control.
const MOST: f64 = 0.5;

/// Every fault of `config`, with key paths below `prefix`.
pub(super) fn validate(prefix: &str, config: &DeliveryConfig) -> Vec<Problem> {
    let own = config.validate(prefix).into_iter();
    let mut problems: Vec<Problem> =
        own.map(|problem| Problem { path: problem.path, message: problem.message }).collect();
    let mut add = |key: String, message: String| problems.push(Problem { path: format!("{prefix}.{key}"), message });
    let (live, shadow) = (readout::metrics(), shadow::metrics());
    for (index, rule) in config.rules.iter().enumerate() {
        let known = match rule.source {
            Source::Live => &live[..],
            Source::Shadow => &shadow[..],
        };
        if !rule.metric.is_empty() && !known.contains(&rule.metric.as_str()) {
            let message = format!("must be one of {}, got `{}`", known.join(", "), rule.metric);
            add(format!("rules[{index}].metric"), message);
        }
    }
    for (index, step) in (0..).map_while(|index| config.step(index).map(|step| (index, step))) {
        let key = if index == 0 { "canary.share".to_owned() } else { format!("ramp[{}].share", index - 1) };
        let buckets = step.share / GRAIN;
        let is_whole = (buckets - buckets.round()).abs() < 1e-6 && buckets.round() >= 1.0;
        if !is_whole || step.share > MOST {
            let message = format!("must be a multiple of {GRAIN}, from {GRAIN} to {MOST}, got {}", step.share);
            add(key, message);
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_that_nobody_measures_and_shares_that_nobody_can_give_are_refused() {
        assert_eq!(validate("delivery", &DeliveryConfig::default()), []);
        let mut config = DeliveryConfig::default();
        config.rules[1].metric = "applause".to_owned();
        let shadow = config.rules.iter().position(|rule| rule.source == Source::Shadow).unwrap();
        config.rules[shadow].metric = "latency".to_owned();
        config.canary.share = 0.01005;
        config.ramp[3].share = 0.6;
        let problems: Vec<String> = validate("delivery", &config).iter().map(ToString::to_string).collect();
        assert_eq!(problems.len(), 4, "{problems:#?}");
        assert!(problems[0].starts_with("delivery.rules[1].metric: must be one of love, helpfulness, error"));
        assert!(problems[1].contains("must be one of score, error") && problems[1].ends_with("got `latency`"));
        assert_eq!(problems[2], "delivery.canary.share: must be a multiple of 0.0001, from 0.0001 to 0.5, got 0.01005");
        assert_eq!(problems[3], "delivery.ramp[3].share: must be a multiple of 0.0001, from 0.0001 to 0.5, got 0.6");
    }
}
