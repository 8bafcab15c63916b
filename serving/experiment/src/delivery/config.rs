//! Steps, rules and limits of a delivery.

use serde::{Deserialize, Serialize};

use super::{Harm, Kind, Margin, Method, Rule, Source};

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

/// A step: who sees it, for how long, and what must pass to leave it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Share of the population for the candidate, in (0, 1); in the shadow, of the requests that are scored.
    pub share: f64,
    /// Shortest stay, in seconds.
    pub min_seconds: u64,
    /// Longest stay before a person is asked, in seconds, ≥ `min_seconds`.
    pub max_seconds: u64,
    /// Units that each arm must have in this step.
    pub min_units: u64,
    /// Inconclusive evaluations after the shortest stay before a person is asked; endless when absent.
    #[serde(default)]
    pub inconclusive_limit: Option<u32>,
    /// Rules that must pass; all rules of the same source may fail it. `srm` is the sample ratio.
    pub requires: Vec<String>,
}

/// The watch over the sample ratio.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SampleRatio {
    /// Relative deviation of an arm that is tolerated, and that the test is strongest at, in \[0.001, 0.5\].
    pub deviation: f64,
    /// Part of the error budget, relative to the rules, > 0.
    pub weight: f64,
}

impl Default for SampleRatio {
    fn default() -> Self {
        Self { deviation: 0.02, weight: 1.0 }
    }
}

/// Which states are entered without a person's approval. Stopping never needs one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auto {
    /// Shadow.
    pub shadow: bool,
    /// Canary.
    pub canary: bool,
    /// Each step of the ramp.
    pub ramp: bool,
    /// Promoted.
    pub promote: bool,
}

impl Default for Auto {
    fn default() -> Self {
        Self { shadow: true, canary: true, ramp: true, promote: true }
    }
}

/// Steps, rules and limits of a delivery.
///
/// The defaults are sized for 200,000 new units a day, five percent loves and seventy percent helpful. One day at
/// 1 % bounds what a crude fault (closings, errors, latency, helpfulness) can reach. The first step of the ramp is
/// long for the sake of the sample ratio: excluding a deviation d at the level of one rule takes some (3.9/d)²
/// units of the candidate half of the time and (6.2/d)² in 99 of 100 cases, 38,000 and 96,000 at 2 %, which are
/// four and eleven days at 4.5 %; helpfulness needs a fifth. Seven days also see every weekday. Half the traffic
/// takes twice as long. Tolerating 3 % takes half as long, and a loss of 2 % of the units then gets on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeliveryConfig {
    /// Probability that a candidate that is not worse is stopped, over the whole delivery, in \[1e-6, 0.5\].
    pub alpha: f64,
    /// Seconds between evaluations, ≥ 1: how long a proven harm is served at most.
    pub period_seconds: u64,
    /// Units of both arms at which intervals are tightest, ≥ 10.
    pub horizon_units: u64,
    /// Evaluations without data in a row that are let pass; one more stops.
    pub error_limit: u32,
    /// What is watched.
    pub rules: Vec<Rule>,
    /// The sample ratio.
    pub sample_ratio: SampleRatio,
    /// Scored and not shown.
    pub shadow: Step,
    /// The first share.
    pub canary: Step,
    /// Growing shares.
    pub ramp: Vec<Step>,
    /// What needs no person.
    pub auto: Auto,
}

impl DeliveryConfig {
    /// The live step at `index`: 0 is the canary.
    #[must_use]
    pub fn step(&self, index: usize) -> Option<&Step> {
        if index == 0 { Some(&self.canary) } else { self.ramp.get(index - 1) }
    }

    /// What the rule `name` gets of the error budget; nothing when there is none.
    #[must_use]
    pub fn level_of(&self, name: &str) -> Option<f64> {
        self.rules.iter().find(|rule| rule.name == name).map(|rule| self.level(rule.weight))
    }

    /// What `weight` gets of the error budget.
    pub(super) fn level(&self, weight: f64) -> f64 {
        let total: f64 = self.rules.iter().map(|rule| rule.weight).sum::<f64>() + self.sample_ratio.weight;
        self.alpha * weight / total
    }
}

fn tripwires() -> Vec<Rule> {
    use Margin::Relative;
    let exact = |name, margin, floor| {
        let rule = Rule::new(name, Kind::Tripwire, Harm::Higher, Relative(margin));
        Rule { method: Method::Exact, floor, min_units: 200, ..rule }
    };
    let sums = |name, harm, margin| Rule::new(name, Kind::Tripwire, harm, Relative(margin));
    vec![
        exact("unsolicited_closing", 0.2, 0.005),
        exact("refusal", 0.2, 0.005),
        exact("error", 0.2, 0.001),
        sums("repetition", Harm::Higher, 0.25),
        sums("words", Harm::Either, 0.25),
        sums("emoji", Harm::Higher, 0.5),
        sums("diversity", Harm::Lower, 0.1),
        sums("latency", Harm::Higher, 0.1),
    ]
}

fn default_rules() -> Vec<Rule> {
    let mut rules = tripwires();
    let shadow = |name: &str, harm, margin| Rule {
        metric: name.trim_start_matches("shadow_").to_owned(),
        source: Source::Shadow,
        ..Rule::new(name, Kind::Tripwire, harm, margin)
    };
    rules.extend([
        shadow("shadow_score", Harm::Lower, Margin::Relative(0.05)),
        shadow("shadow_unsolicited_closing", Harm::Higher, Margin::Absolute(0.01)),
        Rule::new("helpfulness", Kind::Guardrail, Harm::Lower, Margin::Absolute(0.02)),
        Rule { min_units: 5_000, ..Rule::new("love", Kind::Guardrail, Harm::Lower, Margin::Relative(0.1)) },
    ]);
    let better = Rule::new("love_better", Kind::Objective, Harm::Lower, Margin::Relative(0.0));
    rules.push(Rule { metric: "love".to_owned(), method: Method::Exact, min_units: 5_000, ..better });
    rules
}

impl Default for DeliveryConfig {
    fn default() -> Self {
        let names = |extra: &[&str]| {
            let mut names: Vec<String> = tripwires().into_iter().map(|rule| rule.name).collect();
            names.extend(extra.iter().map(|name| (*name).to_owned()));
            names
        };
        let step = |share, (min_seconds, max_seconds), min_units, requires| Step {
            share,
            min_seconds,
            max_seconds,
            min_units,
            inconclusive_limit: None,
            requires,
        };
        let guarded = || names(&["srm", "helpfulness", "love"]);
        let shadow = ["shadow_score", "shadow_unsolicited_closing"].map(str::to_owned).to_vec();
        Self {
            alpha: 0.05,
            period_seconds: HOUR,
            horizon_units: 100_000,
            error_limit: 4,
            rules: default_rules(),
            sample_ratio: SampleRatio::default(),
            shadow: step(0.05, (6 * HOUR, 7 * DAY), 1_000, shadow),
            canary: step(0.01, (DAY, 7 * DAY), 1_500, names(&[])),
            ramp: vec![
                step(0.045, (7 * DAY, 28 * DAY), 20_000, guarded()),
                step(0.1, (DAY, 14 * DAY), 10_000, guarded()),
                step(0.25, (DAY, 14 * DAY), 10_000, guarded()),
                step(0.5, (DAY, 21 * DAY), 10_000, names(&["srm", "helpfulness", "love", "love_better"])),
            ],
            auto: Auto::default(),
        }
    }
}
