//! Accuracy on pairs, with intervals.

use std::collections::BTreeMap;

use plaudit_nn::loss::bce;
use rand::Rng as _;
use serde::Serialize;

use super::{Bootstrap, Estimate, quantile};
use crate::{Error, Pair, RewardModel, Row};

/// Pairs scored at a time.
const SCORE_PAIRS: usize = 512;

/// How well a model tells which response of a pair was preferred.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PairQuality {
    /// Pairs judged.
    pub pairs: usize,
    /// Different contexts among them.
    pub contexts: usize,
    /// Share of pairs whose preferred response scores higher; equal scores count half.
    pub accuracy: Estimate,
    /// Mean of `−ln σ(z_chosen − z_rejected)`, in nats; a coin has 0.693.
    pub log_loss: Estimate,
    /// The accuracy of preferring the longer response, in characters.
    pub longer_wins: Estimate,
}

/// Accuracy of `model` on `pairs` under `objective`; nothing without pairs, or while the model predicts no such
/// objective.
///
/// Intervals come from resampling whole contexts with replacement, since pairs of one context resemble each other.
///
/// # Errors
/// Fails when the model fails.
pub fn evaluate_pairs(
    model: &dyn RewardModel,
    objective: &str,
    pairs: &[Pair<'_>],
    bootstrap: Bootstrap,
) -> Result<Option<PairQuality>, Error> {
    let mut groups: BTreeMap<String, [f64; 4]> = BTreeMap::new();
    for part in pairs.chunks(SCORE_PAIRS) {
        let both = |pair: &Pair<'_>| [pair.chosen, pair.rejected].map(|said| said.chars().count() as f64);
        let rows: Vec<Row<'_>> = part.iter().flat_map(rows).collect();
        let scores = model.score(&rows)?;
        for (pair, scores) in part.iter().zip(scores.chunks_exact(2)) {
            let (Some(chosen), Some(rejected)) = (scores[0].logit(objective), scores[1].logit(objective)) else {
                return Ok(None);
            };
            let margin = chosen - rejected;
            let [longer, shorter] = both(pair);
            let key = serde_json::to_string(pair.context).expect("only string keys");
            let sums = groups.entry(key).or_default();
            let row = [1.0, hit(margin), bce(margin, 1.0), hit(longer - shorter)];
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
    }
    let groups: Vec<[f64; 4]> = groups.into_values().collect();
    Ok((!groups.is_empty()).then(|| quality(&groups, pairs.len(), bootstrap)))
}

fn rows<'a>(pair: &Pair<'a>) -> [Row<'a>; 2] {
    [pair.chosen, pair.rejected].map(|response| Row { context: pair.context, response })
}

fn hit(margin: f64) -> f64 {
    if margin == 0.0 { 0.5 } else { f64::from(u8::from(margin > 0.0)) }
}

fn quality(groups: &[[f64; 4]], pairs: usize, bootstrap: Bootstrap) -> PairQuality {
    let means = |drawn: &mut dyn Iterator<Item = usize>| {
        let mut sums = [0.0; 4];
        for at in drawn {
            sums.iter_mut().zip(groups[at]).for_each(|(sum, value)| *sum += value);
        }
        sums.map(|sum| sum / sums[0])
    };
    let values = means(&mut (0..groups.len()));
    let mut stream = bootstrap.seed.stream("reward/bootstrap");
    let mut columns: [Vec<f64>; 4] = Default::default();
    for _ in 0..bootstrap.resamples {
        let resampled = means(&mut (0..groups.len()).map(|_| stream.random_range(0..groups.len())));
        columns.iter_mut().zip(resampled).for_each(|(column, value)| column.push(value));
    }
    columns.iter_mut().for_each(|column| column.sort_by(f64::total_cmp));
    let estimate = |at: usize| Estimate {
        value: values[at],
        low: quantile(&columns[at], 0.025).unwrap_or(values[at]),
        high: quantile(&columns[at], 0.975).unwrap_or(values[at]),
    };
    PairQuality {
        pairs,
        contexts: groups.len(),
        accuracy: estimate(1),
        log_loss: estimate(2),
        longer_wins: estimate(3),
    }
}
