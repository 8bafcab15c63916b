//! Probabilities of rankings drawn item by item in proportion to exp(score).

use crate::Error;
use crate::error::require;

/// Most items for which marginal probabilities are computed exactly; time and memory grow as 2ⁿ.
const MAX_ITEMS: usize = 16;

/// A Plackett–Luce policy over at most 16 items.
#[derive(Debug, Clone, PartialEq)]
pub struct PlackettLuce {
    scores: Vec<f64>,
}

impl PlackettLuce {
    /// From one finite score per item.
    ///
    /// # Errors
    /// With no items, more than 16, or a score that is not finite.
    pub fn new(scores: &[f64]) -> Result<Self, Error> {
        let items = scores.len();
        require("items", items as f64, "1 to 16", (1..=MAX_ITEMS).contains(&items))?;
        if let Some(row) = scores.iter().position(|score| !score.is_finite()) {
            return Err(Error::RowValue { row, field: "score", value: scores[row], range: "finite" });
        }
        Ok(Self { scores: scores.to_vec() })
    }

    /// Probability of each item once a set is taken. Scaled by the best item *left*: an item far below the best of
    /// all still comes, when it is the last.
    fn shares(&self, taken: u32) -> Vec<f64> {
        let is_left = |item: usize| taken & (1 << item) == 0;
        let left = self.scores.iter().enumerate().filter(|(item, _)| is_left(*item));
        let most = left.map(|(_, score)| *score).fold(f64::MIN, f64::max);
        let worth = |(item, score): (usize, &f64)| if is_left(item) { (score - most).exp() } else { 0.0 };
        let mut shares: Vec<f64> = self.scores.iter().enumerate().map(worth).collect();
        let sum: f64 = shares.iter().sum();
        if sum > 0.0 {
            shares.iter_mut().for_each(|share| *share /= sum);
        }
        shares
    }

    /// Probability that each item comes next after `above`; zero for those above, and for items that do not exist.
    #[must_use]
    pub fn next(&self, above: &[usize]) -> Vec<f64> {
        let known = above.iter().filter(|item| **item < self.scores.len());
        self.shares(known.fold(0, |set, item| set | 1 << item))
    }

    /// For each slot the joint probability of `ranking` down to it; zero from an item on that repeats or does not
    /// exist.
    #[must_use]
    pub fn prefixes(&self, ranking: &[usize]) -> Vec<f64> {
        let mut joint = 1.0;
        let mut prefixes = Vec::with_capacity(ranking.len());
        for (place, item) in ranking.iter().enumerate() {
            joint *= self.next(&ranking[..place]).get(*item).copied().unwrap_or(0.0);
            prefixes.push(joint);
        }
        prefixes
    }

    /// Marginal probability of every item in each of the first `length` slots: `[slot][item]`. Exact, by going
    /// through the sets of items that may be above.
    #[must_use]
    pub fn marginals(&self, length: usize) -> Vec<Vec<f64>> {
        let items = self.scores.len();
        let slots = length.min(items);
        let mut marginals = vec![vec![0.0; items]; slots];
        let mut reach = vec![0.0; 1 << items];
        reach[0] = 1.0;
        // A set's supersets have larger numbers, so one pass in order suffices.
        for taken in 0..1_u32 << items {
            let (probability, place) = (reach[taken as usize], taken.count_ones() as usize);
            if probability <= 0.0 || place >= slots {
                continue;
            }
            for (item, share) in self.shares(taken).into_iter().enumerate().filter(|(_, share)| *share > 0.0) {
                marginals[place][item] += probability * share;
                reach[(taken | 1 << item) as usize] += probability * share;
            }
        }
        marginals
    }
}
