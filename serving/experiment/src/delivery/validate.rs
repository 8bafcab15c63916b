//! Every fault of a configuration at once.

use std::collections::BTreeSet;

use super::ratio::SRM;
use super::{DeliveryConfig, Harm, Kind, Margin, Method, Rule, Source, Step};
use crate::assign::Problem;

const YEAR: u64 = 366 * 86_400;
const MAX_ENTRIES: usize = 64;

struct Checker<'a> {
    prefix: &'a str,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    fn add(&mut self, key: &str, message: String) {
        let dot = if self.prefix.is_empty() { "" } else { "." };
        self.problems.push(Problem { path: format!("{}{dot}{key}", self.prefix), message });
    }

    fn range(&mut self, key: &str, value: f64, (min, max): (f64, f64)) {
        if !(min..=max).contains(&value) {
            self.add(key, format!("must be between {min} and {max}, got {value}"));
        }
    }

    fn seconds(&mut self, key: &str, value: u64, min: u64) {
        if !(min..=YEAR).contains(&value) {
            self.add(key, format!("must be between {min} and {YEAR} seconds, got {value}"));
        }
    }

    fn count(&mut self, key: &str, got: usize) {
        if got > MAX_ENTRIES {
            self.add(key, format!("must have at most {MAX_ENTRIES} entries, got {got}"));
        }
    }

    fn rule(&mut self, key: &str, rule: &Rule) {
        let of = |field: &str| format!("{key}.{field}");
        if rule.name.is_empty() || rule.name == SRM {
            self.add(&of("name"), format!("must not be empty or `{SRM}`, got `{}`", rule.name));
        }
        if rule.metric.is_empty() {
            self.add(&of("metric"), "must not be empty".to_owned());
        }
        match rule.margin {
            Margin::Relative(margin) => {
                let is_fall = rule.harm == Harm::Lower && rule.kind != Kind::Objective;
                self.range(&of("margin.relative"), margin, (0.0, if is_fall { 0.99 } else { 100.0 }));
            }
            Margin::Absolute(margin) => self.range(&of("margin.absolute"), margin, (0.0, 1e12)),
            Margin::Level(level) => self.range(&of("margin.level"), level, (-1e12, 1e12)),
        }
        let is_relative = matches!(rule.margin, Margin::Relative(_));
        if rule.harm == Harm::Either && (!is_relative || rule.kind == Kind::Objective) {
            self.add(&of("harm"), "`either` needs a relative margin, and no objective".to_owned());
        }
        if rule.method == Method::Exact && (!is_relative || rule.source == Source::Shadow) {
            self.add(&of("method"), "`exact` needs a relative margin and a live source".to_owned());
        }
        self.range(&of("floor"), rule.floor, (0.0, 1e12));
        self.range(&of("min_units"), rule.min_units as f64, (2.0, 1e12));
        self.range(&of("failure_limit"), f64::from(rule.failure_limit), (0.0, 1_000.0));
        self.range(&of("weight"), rule.weight, (1e-6, 1e6));
    }

    fn step(&mut self, key: &str, step: &Step, rules: &[Rule], source: Source) {
        let of = |field: &str| format!("{key}.{field}");
        self.range(&of("share"), step.share, (1e-6, if source == Source::Shadow { 1.0 } else { 0.99 }));
        self.seconds(&of("min_seconds"), step.min_seconds, 0);
        self.seconds(&of("max_seconds"), step.max_seconds, step.min_seconds.max(1));
        self.range(&of("min_units"), step.min_units as f64, (2.0, 1e12));
        let mut seen = BTreeSet::new();
        for name in &step.requires {
            let is_rule = rules.iter().any(|rule| rule.name == *name && rule.source == source);
            let is_ratio = name == SRM && source == Source::Live;
            if !is_rule && !is_ratio {
                self.add(&of("requires"), format!("must name rules that read the data of this step, got `{name}`"));
            }
            if !seen.insert(name) {
                self.add(&of("requires"), format!("must name a rule once, got `{name}` again"));
            }
        }
    }
}

impl DeliveryConfig {
    /// Every value outside its range, with key paths below `prefix`; empty when a delivery can begin.
    #[must_use]
    pub fn validate(&self, prefix: &str) -> Vec<Problem> {
        let mut checker = Checker { prefix, problems: Vec::new() };
        checker.range("alpha", self.alpha, (1e-6, 0.5));
        checker.seconds("period_seconds", self.period_seconds, 1);
        checker.range("horizon_units", self.horizon_units as f64, (10.0, 1e12));
        checker.range("error_limit", f64::from(self.error_limit), (0.0, 1_000.0));
        checker.range("sample_ratio.deviation", self.sample_ratio.deviation, (0.001, 0.5));
        checker.range("sample_ratio.weight", self.sample_ratio.weight, (1e-6, 1e6));
        checker.count("rules", self.rules.len());
        let mut names = BTreeSet::new();
        for (index, rule) in self.rules.iter().enumerate() {
            checker.rule(&format!("rules[{index}]"), rule);
            if !names.insert(&rule.name) {
                checker.add(&format!("rules[{index}].name"), format!("must be unique, got `{}` again", rule.name));
            }
        }
        checker.step("shadow", &self.shadow, &self.rules, Source::Shadow);
        checker.step("canary", &self.canary, &self.rules, Source::Live);
        checker.count("ramp", self.ramp.len());
        if self.ramp.is_empty() {
            checker.add("ramp", "must have at least one step".to_owned());
        }
        let mut before = self.canary.share;
        for (index, step) in self.ramp.iter().enumerate() {
            let key = format!("ramp[{index}]");
            checker.step(&key, step, &self.rules, Source::Live);
            if step.share <= before {
                checker.add(&format!("{key}.share"), format!("must be above {before}, got {}", step.share));
            }
            before = step.share;
        }
        checker.problems
    }
}
