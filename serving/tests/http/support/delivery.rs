//! A delivery that a test can wait for.

use plaudit_experiment::delivery::{DeliveryConfig, Harm, Kind, Margin, Method, Rule, SampleRatio, Source, Step};

/// A delivery of seconds, for hundreds of units.
pub(crate) fn quick() -> DeliveryConfig {
    let rule = |name: &str, kind, harm, margin| Rule { min_units: 40, ..Rule::new(name, kind, harm, margin) };
    let exact = |rule: Rule| Rule { method: Method::Exact, ..rule };
    let tripwire = |name: &str, margin| rule(name, Kind::Tripwire, Harm::Higher, Margin::Relative(margin));
    let better = rule("love_better", Kind::Objective, Harm::Lower, Margin::Relative(0.0));
    let score = rule("shadow_score", Kind::Tripwire, Harm::Lower, Margin::Relative(0.2));
    let rules = vec![
        exact(tripwire("unsolicited_closing", 0.2)),
        exact(tripwire("error", 0.2)),
        tripwire("latency", 0.2),
        Rule { source: Source::Shadow, metric: "score".to_owned(), min_units: 20, ..score },
        rule("helpfulness", Kind::Guardrail, Harm::Lower, Margin::Absolute(0.1)),
        Rule { metric: "love".to_owned(), ..better },
    ];
    let step = |share, requires: &[&str]| Step {
        share,
        min_seconds: 2,
        max_seconds: 100,
        min_units: 20,
        inconclusive_limit: None,
        requires: requires.iter().map(ToString::to_string).collect(),
    };
    DeliveryConfig {
        period_seconds: 1,
        horizon_units: 1_000,
        rules,
        sample_ratio: SampleRatio { deviation: 0.3, ..SampleRatio::default() },
        shadow: step(1.0, &["shadow_score"]),
        canary: step(0.1, &["unsolicited_closing", "error", "latency"]),
        ramp: vec![step(0.25, &["helpfulness"]), step(0.5, &["srm", "helpfulness", "love_better"])],
        ..DeliveryConfig::default()
    }
}
