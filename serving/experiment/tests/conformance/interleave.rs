//! Interleaving.

use plaudit_experiment::interleave::distribution;
use serde_json::Value;

use super::harness::{Case, Check, counts};

/// What this area checks.
pub(crate) const CHECKS: &[Check] = &[Check { file: "team_draft", case: team_draft }];

fn team_draft(case: &mut Case) {
    let rankings: Vec<Vec<u64>> = case.inp["lists"].as_array().expect("lists").iter().map(counts).collect();
    let got = distribution(&rankings, case.count("k") as usize).expect("rankings in range");
    let wants = case.out["distribution"].as_array().expect("lists").clone();
    case.same("number of lists", &got.len(), &wants.len());
    for want in wants {
        let teams: Vec<usize> = counts(&want["team"]).into_iter().map(|team| team as usize).collect();
        let items = counts(&want["ranking"]);
        let found = got.iter().find(|(list, _)| list.items == items && list.teams == teams);
        case.near("probability", found.map_or(0.0, |(_, probability)| *probability), &want["p"]);
    }
    let total = got.iter().map(|(_, probability)| probability).sum();
    case.near("total", total, &Value::from(1.0));
}
