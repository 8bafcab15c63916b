//! What `evaluate --policy` says.

use std::collections::BTreeMap;

use plaudit_event::{Objective, PolicyId};
use plaudit_policy::gate::{Evaluation, Interval, Surface, Verdict};
use serde::Serialize;
use serde_json::{Value, json};

/// One policy on the prompts of a segment.
#[derive(Debug, Serialize)]
pub(super) struct Policy {
    policy_id: PolicyId,
    /// Mean probability per objective.
    means: BTreeMap<Objective, f64>,
    /// Differences to the first policy; empty for the first itself.
    differences: BTreeMap<Objective, Interval>,
    surface: Surface,
    /// Rules of the gate that it breaks beside the first policy.
    broken: Vec<String>,
}

/// Prompts that belong together.
#[derive(Debug, Serialize)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) prompts: usize,
    pub(super) policies: Vec<Policy>,
}

/// Everything.
pub(super) struct Report {
    pub(super) checkpoint_id: String,
    pub(super) samples: usize,
    /// All prompts first.
    pub(super) segments: Vec<Segment>,
}

impl Policy {
    /// The first policy is what others are compared with, not compared itself.
    pub(super) fn first(id: &PolicyId, evaluation: &Evaluation) -> Self {
        let means = evaluation.objectives().keys().filter_map(|name| Some((name.clone(), evaluation.mean(&name.0)?)));
        Self {
            policy_id: id.clone(),
            means: means.collect(),
            differences: BTreeMap::new(),
            surface: evaluation.surface().clone(),
            broken: Vec::new(),
        }
    }

    /// A policy beside the first.
    pub(super) fn other(id: &PolicyId, evaluation: &Evaluation, verdict: Verdict) -> Self {
        let broken = verdict.reasons.iter().map(ToString::to_string).collect();
        Self { differences: verdict.evidence.differences, broken, ..Self::first(id, evaluation) }
    }
}

impl Segment {
    /// The lowest difference in love to the first policy, or the love itself when there is one policy.
    pub(super) fn badness(&self) -> f64 {
        let love = |policy: &Policy| policy.differences.get(Objective::LOVE).map(|interval| interval.value);
        let lowest = self.policies.iter().filter_map(love).min_by(f64::total_cmp);
        let alone = || self.policies.first().and_then(|policy| policy.means.get(Objective::LOVE).copied());
        lowest.or_else(alone).unwrap_or(f64::NAN)
    }
}

impl Report {
    pub(super) fn to_json(&self) -> Value {
        json!({"reward": self.checkpoint_id, "samples": self.samples, "segments": self.segments})
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = format!("reward model {}, {} answers to each prompt\n", self.checkpoint_id, self.samples);
        for segment in &self.segments {
            text += &format!("\n{} ({} prompts)\n", segment.name, segment.prompts);
            segment.policies.iter().for_each(|policy| text += &describe(policy));
        }
        text
    }
}

fn describe(policy: &Policy) -> String {
    let mut text = format!("  {}\n", policy.policy_id);
    for (objective, mean) in &policy.means {
        let difference = policy.differences.get(objective).map_or_else(String::new, |interval| {
            let [value, lower, upper] = [interval.value, interval.lower, interval.upper].map(|x| 100.0 * x);
            format!("   {value:+.2} [{lower:+.2}, {upper:+.2}] points")
        });
        text += &format!("    P[{objective}] {:.2} %{difference}\n", 100.0 * mean);
    }
    let Surface { judge_pass_rate, unsolicited_closing_rate, refusal_rate, words, repetition, .. } = policy.surface;
    let [judges, closings, refusals, repetition] =
        [judge_pass_rate, unsolicited_closing_rate, refusal_rate, repetition].map(|share| 100.0 * share);
    text += &format!(
        "    judges {judges:.1} %, closings {closings:.1} %, refusals {refusals:.1} %, repetition {repetition:.1} %, \
         {words:.1} words\n"
    );
    for rule in &policy.broken {
        text += &format!("    breaks {rule}\n");
    }
    text
}
