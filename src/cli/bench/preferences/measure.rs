//! Accuracy on pairs, and what picking by score brings, with intervals by resampling prompts or tests.

use std::collections::BTreeMap;

use plaudit_datasets::pairs::Pair;
use plaudit_datasets::upworthy::{Arm, Test};
use plaudit_event::{Context, Objective, Seed};
use plaudit_reward_model::{Estimate, HashModel, RewardModel as _, Row};
use rand::Rng as _;

use super::report::{Line, Picks};

/// Resamples of the bootstrap intervals.
const RESAMPLES: usize = 2_000;

/// Pairs or tests scored at a time.
const AT_ONCE: usize = 256;

/// The logit of `model` as a score of each row.
pub(super) fn score(model: &HashModel) -> impl Fn(&[Row<'_>]) -> Vec<f64> {
    |rows| {
        let scores = model.score(rows).expect("the network that was trained can be computed");
        scores.iter().map(|scores| scores.logit(Objective::LOVE).unwrap_or(0.0)).collect()
    }
}

/// The number of characters as a score of each row.
pub(super) fn length(rows: &[Row<'_>]) -> Vec<f64> {
    rows.iter().map(|row| row.response.chars().count() as f64).collect()
}

/// How often `score` and the length are right on `pairs`.
pub(super) fn line(set: &str, pairs: &[Pair], score: &impl Fn(&[Row<'_>]) -> Vec<f64>, seed: Seed) -> Line {
    Line {
        set: set.to_owned(),
        pairs: pairs.len(),
        accuracy: accuracy(pairs, score, seed),
        longer_wins: accuracy(pairs, &length, seed),
    }
}

/// Both responses of `pair`, the chosen one first.
fn both(pair: &Pair) -> [Row<'_>; 2] {
    [&pair.chosen, &pair.rejected].map(|response| Row { context: &pair.context, response })
}

/// Share of pairs whose chosen response scores higher, equal scores counting half.
fn accuracy(pairs: &[Pair], score: &impl Fn(&[Row<'_>]) -> Vec<f64>, seed: Seed) -> Estimate {
    let mut groups: BTreeMap<&str, [f64; 2]> = BTreeMap::new();
    for part in pairs.chunks(AT_ONCE) {
        let rows: Vec<Row<'_>> = part.iter().flat_map(both).collect();
        for (pair, scores) in part.iter().zip(score(&rows).chunks_exact(2)) {
            let margin = scores[0] - scores[1];
            let hit = if margin == 0.0 { 0.5 } else { f64::from(u8::from(margin > 0.0)) };
            let sums = groups.entry(&pair.group).or_default();
            *sums = [sums[0] + hit, sums[1] + 1.0];
        }
    }
    let groups: Vec<[f64; 2]> = groups.into_values().collect();
    bootstrap(&groups, |[hits, count]| hits / count, seed)
}

/// What showing the arm with the best score brings in each test; arms of equal score share. Tests with one arm or with
/// an arm that was never shown are left out.
pub(super) fn pick(tests: &[Test], score: &impl Fn(&[Row<'_>]) -> Vec<f64>, seed: Seed) -> Picks {
    let context = Context::default();
    let is_shown = |test: &&Test| test.arms.len() > 1 && test.arms.iter().all(|arm| arm.impressions > 0);
    let tests: Vec<&Test> = tests.iter().filter(is_shown).collect();
    let mut rows: Vec<[f64; 3]> = Vec::with_capacity(tests.len());
    for part in tests.chunks(AT_ONCE) {
        let arms = part.iter().flat_map(|test| &test.arms);
        let headlines: Vec<Row<'_>> = arms.map(|arm| Row { context: &context, response: &arm.headline }).collect();
        let scores = score(&headlines);
        let mut rest = scores.as_slice();
        for test in part {
            let (own, others) = rest.split_at(test.arms.len());
            rest = others;
            let rates: Vec<f64> = test.arms.iter().map(rate).collect();
            let best = own.iter().copied().fold(f64::MIN, f64::max);
            let picked = rates.iter().zip(own).filter(|(_, score)| **score == best).map(|(rate, _)| *rate);
            rows.push([mean(&picked.collect::<Vec<f64>>()), mean(&rates), rates.iter().copied().fold(0.0, f64::max)]);
        }
    }
    let sum = |column: usize| rows.iter().map(|row| row[column]).sum::<f64>();
    Picks {
        by: "",
        tests: rows.len(),
        lift: bootstrap(&rows, |[picked, uniform, _]| picked / uniform - 1.0, seed),
        uniform: sum(1) / rows.len().max(1) as f64,
        best: sum(2) / sum(1) - 1.0,
    }
}

fn rate(arm: &Arm) -> f64 {
    arm.clicks as f64 / arm.impressions as f64
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// `figure` of the sums over `rows`, with the 2.5 % and 97.5 % quantiles over resamples of whole rows.
fn bootstrap<const N: usize>(rows: &[[f64; N]], figure: impl Fn([f64; N]) -> f64, seed: Seed) -> Estimate {
    let add = |mut sums: [f64; N], row: &[f64; N]| {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        sums
    };
    let value = figure(rows.iter().fold([0.0; N], add));
    let mut stream = seed.stream("bench/preferences");
    let mut resampled: Vec<f64> = (0..if rows.is_empty() { 0 } else { RESAMPLES })
        .map(|_| figure((0..rows.len()).fold([0.0; N], |sums, _| add(sums, &rows[stream.random_range(0..rows.len())]))))
        .collect();
    resampled.sort_by(f64::total_cmp);
    let at = |share: f64| resampled.get((share * resampled.len() as f64) as usize).copied().unwrap_or(value);
    Estimate { value, low: at(0.025), high: at(0.975) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(group: usize, chosen: &str, rejected: &str) -> Pair {
        let (chosen, rejected) = (chosen.to_owned(), rejected.to_owned());
        let context = Context::default();
        Pair { group: group.to_string(), subset: String::new(), context, chosen, rejected, weight: 1.0 }
    }

    #[test]
    fn longer_responses_win_ties_count_half_and_the_interval_holds_the_value() {
        let mut pairs: Vec<Pair> = (0..60).map(|at| pair(at, "long one", "short")).collect();
        pairs.extend((60..80).map(|at| pair(at, "x", "longer")));
        pairs.extend((80..100).map(|at| pair(at, "same", "size")));
        let found = accuracy(&pairs, &length, Seed::new(1));
        assert!((found.value - 0.7).abs() < 1e-9);
        // Standard error by group: √((0.6·0.09 + 0.2·0.49 + 0.2·0.04)/100) = 0.04.
        assert!((found.low - 0.62).abs() < 0.02 && (found.high - 0.78).abs() < 0.02, "{found:?}");
    }
}
