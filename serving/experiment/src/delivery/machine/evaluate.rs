//! Evaluations: data, rules, dwell.

use super::{Delivery, Judged, Outcome, millis};
use crate::delivery::evidence::{RuleEvidence, Verdict};
use crate::delivery::{Kind, Observation, Source, State, Step, judge, ratio};

impl Delivery {
    pub(super) fn evaluate(&mut self, seen: &Observation) -> Judged {
        self.progress.last_evaluation = Some(self.progress.clock);
        let (step, source) = match (&self.progress.state, self.progress.state.live_step()) {
            (State::Shadow, _) => (self.config.shadow.clone(), Source::Shadow),
            (_, Some(index)) => (self.config.step(index).unwrap_or(&self.config.canary).clone(), Source::Live),
            _ => {
                let (outcome, reason) = self.advance("passed the gate");
                return (outcome, Verdict::Pass, reason, Vec::new());
            }
        };
        let num_steps = self.progress.state.live_step().map_or(0, |step| step + 1);
        if let Some(fault) = seen.fault(num_steps) {
            return self.no_data(&fault);
        }
        let units = self.units(seen);
        let stay = self.progress.clock.millis_since(self.progress.since);
        if units == 0 && stay >= millis(self.config.period_seconds) {
            return self.no_data("an arm has no unit in this step");
        }
        self.progress.errors = 0;
        let (evidence, failed) = self.judge_all(seen, source);
        if !failed.is_empty() {
            let reason = format!("failed: {}", failed.join(", "));
            return (Outcome::Move(self.stopped(&reason)), Verdict::Fail, reason, evidence);
        }
        let (outcome, verdict, reason) = self.dwell(&step, units, stay, &evidence);
        (outcome, verdict, reason, evidence)
    }

    /// Units of the smaller arm in the present step.
    fn units(&self, seen: &Observation) -> u64 {
        let pair = match self.progress.state.live_step() {
            Some(step) => seen.phase(step).map(|phase| &phase.arms),
            None => seen.shadow.as_ref(),
        };
        pair.map_or(0, |pair| pair.treatment.units.min(pair.control.units))
    }

    /// Tripwires first: where one fails, nothing else is looked at. Rules within their failure limit are
    /// inconclusive.
    fn judge_all(&mut self, seen: &Observation, source: Source) -> (Vec<RuleEvidence>, Vec<String>) {
        let config = &self.config;
        let mut evidence = Vec::new();
        let mut failed = Vec::new();
        for is_tripwire in [true, false] {
            if is_tripwire && source == Source::Live {
                evidence.push((ratio::judge(seen, config, config.level(config.sample_ratio.weight)), 0));
            }
            let rules = config.rules.iter().filter(|rule| rule.source == source);
            for rule in rules.filter(|rule| (rule.kind == Kind::Tripwire) == is_tripwire) {
                evidence.push((judge::judge(rule, seen, config, config.level(rule.weight)), rule.failure_limit));
            }
            for (reading, limit) in evidence.iter_mut().filter(|(reading, _)| reading.verdict == Verdict::Fail) {
                let failures = self.progress.failures.entry(reading.rule.clone()).or_default();
                *failures += 1;
                if *failures > *limit {
                    failed.push(reading.rule.clone());
                } else {
                    reading.verdict = Verdict::Inconclusive;
                    reading.note = Some(format!("failure {failures} of {limit} that are let pass"));
                }
            }
            if !failed.is_empty() {
                break;
            }
        }
        (evidence.into_iter().map(|(reading, _)| reading).collect(), failed)
    }

    fn dwell(&mut self, step: &Step, units: u64, stay: i64, evidence: &[RuleEvidence]) -> (Outcome, Verdict, String) {
        let passes = |name: &String| evidence.iter().any(|e| e.rule == *name && e.verdict == Verdict::Pass);
        let missing: Vec<&str> = step.requires.iter().filter(|name| !passes(name)).map(String::as_str).collect();
        let mut waits = Vec::new();
        if stay < millis(step.min_seconds) {
            waits.push(format!("{} of {} seconds", stay / 1_000, step.min_seconds));
        }
        if units < step.min_units {
            waits.push(format!("{units} of {} units per arm", step.min_units));
        }
        let is_early = !waits.is_empty();
        if !missing.is_empty() {
            waits.push(format!("not passed: {}", missing.join(", ")));
        }
        let verdict = if missing.is_empty() { Verdict::Pass } else { Verdict::Inconclusive };
        if let Some(held) = &self.progress.held {
            return (Outcome::Stay, verdict, held.clone());
        }
        if waits.is_empty() {
            let (outcome, reason) = self.advance("all that is required passes");
            return (outcome, verdict, reason);
        }
        let reason = waits.join("; ");
        self.progress.inconclusive += u32::from(!is_early);
        let is_over = stay >= millis(step.max_seconds);
        if is_over || step.inconclusive_limit.is_some_and(|limit| self.progress.inconclusive > limit) {
            let limit = if is_over { "the longest stay" } else { "the limit of inconclusive evaluations" };
            return (Outcome::Hold, verdict, format!("at {limit}: {reason}"));
        }
        (Outcome::Stay, verdict, reason)
    }

    pub(super) fn no_data(&mut self, reason: &str) -> Judged {
        self.progress.errors += 1;
        let (errors, limit) = (self.progress.errors, self.config.error_limit);
        let reason = format!("no data ({errors} in a row, {limit} are let pass): {reason}");
        let outcome = if errors > limit { Outcome::Move(self.stopped(&reason)) } else { Outcome::Stay };
        (outcome, Verdict::Error, reason, Vec::new())
    }
}
