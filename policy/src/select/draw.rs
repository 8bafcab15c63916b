//! Drawing from a vector of probabilities.

use plaudit_event::{Impression, Propensity, Stream};
use rand::Rng;

use crate::{Candidate, Decision};

/// One of `candidates`, drawn with `propensities`, as a decision to be logged.
pub(super) fn drawn(candidates: &[Candidate], propensities: &[f64], rng: &mut Stream) -> Decision {
    let chosen = draw(propensities, rng);
    let slate = candidates
        .iter()
        .zip(0_u32..)
        .zip(propensities)
        .map(|((candidate, position), propensity)| Impression {
            item_id: candidate.item_id.clone(),
            position,
            content: candidate.content.clone(),
            score: Some(*propensity),
        })
        .collect();
    Decision {
        slate,
        chosen: u32::try_from(chosen).unwrap_or(u32::MAX),
        propensity: Propensity::new(propensities[chosen].min(1.0)).ok(),
        token_logprobs: None,
        propensities: propensities.to_vec(),
    }
}

/// Draws an index with the given probabilities; never one of probability 0.
fn draw(probabilities: &[f64], rng: &mut Stream) -> usize {
    let total: f64 = probabilities.iter().sum();
    let mut rest = rng.random::<f64>() * total;
    let mut last = 0;
    for (index, p) in probabilities.iter().enumerate() {
        if *p <= 0.0 {
            continue;
        }
        last = index;
        if rest < *p {
            return index;
        }
        rest -= p;
    }
    last
}
