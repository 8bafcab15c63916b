//! Probabilities of rankings drawn item by item in proportion to exp(score).

use crate::off_policy::Error;
use crate::off_policy::error::setting;

/// Most items for which marginal probabilities are computed exactly; time and memory grow as 2ⁿ.
const MAX_ITEMS: usize = 16;

/// A Plackett–Luce policy over at most 16 items.
#[derive(Debug, Clone, PartialEq)]
pub struct PlackettLuce {
    /// exp(score), the largest scaled to 1.
    worth: Vec<f64>,
}

impl PlackettLuce {
    /// From one finite score per item.
    ///
    /// # Errors
    /// With no items, more than 16, or a score that is not finite.
    pub fn new(scores: &[f64]) -> Result<Self, Error> {
        let items = scores.len();
        setting("items", items as f64, "1 to 16", (1..=MAX_ITEMS).contains(&items))?;
        if let Some(row) = scores.iter().position(|score| !score.is_finite()) {
            return Err(Error::Value { row, field: "score", value: scores[row], range: "finite" });
        }
        let most = scores.iter().copied().fold(f64::MIN, f64::max);
        Ok(Self { worth: scores.iter().map(|score| (score - most).exp()).collect() })
    }

    fn left(&self, taken: u32) -> f64 {
        let worth = self.worth.iter().enumerate();
        worth.filter(|(item, _)| taken & (1 << item) == 0).map(|(_, worth)| worth).sum()
    }

    /// Probability that each item comes next after `above`; zero for those above, and for items that do not exist.
    #[must_use]
    pub fn next(&self, above: &[usize]) -> Vec<f64> {
        let taken = above.iter().filter(|item| **item < self.worth.len()).fold(0_u32, |set, item| set | 1 << item);
        let left = self.left(taken);
        let of = |(item, worth): (usize, &f64)| if taken & (1 << item) == 0 { worth / left } else { 0.0 };
        self.worth.iter().enumerate().map(of).collect()
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
        let items = self.worth.len();
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
            let left = self.left(taken);
            for item in (0..items).filter(|item| taken & (1 << item) == 0) {
                let step = probability * self.worth[item] / left;
                marginals[place][item] += step;
                reach[(taken | 1 << item) as usize] += step;
            }
        }
        marginals
    }
}
