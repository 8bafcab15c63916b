//! Optimised interleaving of two rankings (Radlinski & Craswell 2013).
//!
//! Allowed are the lists whose every prefix is a union of a prefix of each ranking (their equation 5): whoever is
//! right, the list is never worse than both. A click on item d is worth its credit δ(d), positive for the first
//! ranking. The probabilities make blind users neutral: the expected credit of the top k is zero for every k (their
//! equation 7). Of all such probabilities this takes those of greatest entropy, where the paper takes the most
//! sensitive ones by a linear program: p ∝ exp(Σ_k λ_k·D_k) with D_k the credit of a list's top k, found by Newton's
//! method in at most ten dimensions. Every allowed list keeps a chance, and nothing depends on a solver's choice
//! among equals.

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::check_rankings;
use crate::Error;
use crate::error::require;

/// Longest list; there are up to 2ⁿ allowed ones.
pub const MAX_LENGTH: usize = 10;
/// Expected credit that counts as none, relative to the largest credit.
const NEUTRAL: f64 = 1e-9;

/// What a click on an item is worth to the first ranking; an item that a ranking lacks is one below its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credit {
    /// Difference of ranks: `rank₂ − rank₁`.
    #[default]
    Linear,
    /// Difference of reciprocal ranks: `1/rank₁ − 1/rank₂`.
    Reciprocal,
}

/// The allowed lists with their probabilities and credits.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimised<T> {
    lists: Vec<Vec<T>>,
    probabilities: Vec<f64>,
    /// For each list the credit of each place.
    credits: Vec<Vec<f64>>,
    largest: f64,
}

impl<T: Clone + PartialEq> Optimised<T> {
    /// Prepares lists of up to `length` ≤ 10 items of two rankings.
    ///
    /// # Errors
    /// When a ranking is empty or repeats an item, the length is out of range, or no mixture of the allowed lists is
    /// unbiased ([`Error::Biased`]: about one pair in ten thousand; show those by team draft).
    pub fn new(first: &[T], second: &[T], length: usize, credit: Credit) -> Result<Self, Error> {
        let rankings = [first.to_vec(), second.to_vec()];
        check_rankings(&rankings, length)?;
        require("length", length as f64, "at most 10", length <= MAX_LENGTH)?;
        let lists = allowed(&rankings, length);
        let worth = |item: &T| {
            let rank = |ranking: &[T]| ranking.iter().position(|other| other == item).unwrap_or(ranking.len()) as f64;
            let (one, two) = (rank(first) + 1.0, rank(second) + 1.0);
            match credit {
                Credit::Linear => two - one,
                Credit::Reciprocal => 1.0 / one - 1.0 / two,
            }
        };
        let credits: Vec<Vec<f64>> = lists.iter().map(|list| list.iter().map(worth).collect()).collect();
        let largest = credits.iter().flatten().fold(0.0_f64, |largest, credit| largest.max(credit.abs()));
        let probabilities = neutral(&credits, largest)?;
        Ok(Self { lists, probabilities, credits, largest })
    }

    /// The allowed lists with their probabilities.
    pub fn lists(&self) -> impl Iterator<Item = (&[T], f64)> {
        self.lists.iter().map(Vec::as_slice).zip(self.probabilities.iter().copied())
    }

    /// Index of a list drawn with its probability.
    pub fn draw(&self, rng: &mut impl Rng) -> usize {
        let mut left: f64 = rng.random();
        let drawn = self.probabilities.iter().position(|probability| {
            left -= probability;
            left < 0.0
        });
        drawn.unwrap_or(self.lists.len() - 1)
    }

    /// The list at `index`; empty beyond the last.
    #[must_use]
    pub fn list(&self, index: usize) -> &[T] {
        self.lists.get(index).map_or(&[], Vec::as_slice)
    }

    /// What clicks on places of list `index` say, from −1 to 1: the sum of the credits over the largest that the
    /// list could give; positive for the first ranking. Places beyond the list count nothing, and a place clicked
    /// twice counts once.
    #[must_use]
    pub fn credit(&self, index: usize, clicked: &[usize]) -> f64 {
        let Some(credits) = self.credits.get(index) else { return 0.0 };
        let counted = credits.iter().enumerate().filter(|(place, _)| clicked.contains(place));
        let most = self.largest * credits.len() as f64;
        if most > 0.0 { counted.map(|(_, credit)| credit).sum::<f64>() / most } else { 0.0 }
    }
}

fn allowed<T: Clone + PartialEq>(rankings: &[Vec<T>; 2], length: usize) -> Vec<Vec<T>> {
    let mut lists: Vec<Vec<T>> = vec![Vec::new()];
    for _ in 0..length {
        let mut longer: Vec<Vec<T>> = Vec::new();
        for list in &lists {
            let mut nexts: Vec<&T> = Vec::new();
            for ranking in rankings {
                let next = ranking.iter().find(|item| !list.contains(item));
                nexts.extend(next.filter(|item| !nexts.contains(item)));
            }
            // Both rankings are used up: the list is as long as it gets, and so are all others.
            if nexts.is_empty() {
                return lists;
            }
            for next in nexts {
                let mut extended = list.clone();
                extended.push(next.clone());
                longer.push(extended);
            }
        }
        lists = longer;
    }
    lists
}

/// Probabilities of greatest entropy under which the expected credit of every prefix is zero.
fn neutral(credits: &[Vec<f64>], largest: f64) -> Result<Vec<f64>, Error> {
    let places = credits[0].len();
    let scale = largest.max(f64::MIN_POSITIVE);
    // A prefix's credit is zero on average exactly if every place's is.
    let features: Vec<Vec<f64>> =
        credits.iter().map(|list| list.iter().map(|credit| credit / scale).collect()).collect();
    let mut multipliers = vec![0.0; places];
    let (mut probabilities, mut value) = mixture(&features, &multipliers);
    for _ in 0..200 {
        let (gradient, hessian) = moments(&features, &probabilities);
        if gradient.iter().all(|mean| mean.abs() <= NEUTRAL) {
            return Ok(probabilities);
        }
        let step = solve(hessian, &gradient);
        let mut length = 1.0;
        // The dual is convex: halving the step ends in descent.
        loop {
            let moved: Vec<f64> = multipliers.iter().zip(&step).map(|(at, step)| at - length * step).collect();
            let (candidate, lower) = mixture(&features, &moved);
            if lower <= value || length < 1e-9 {
                (multipliers, probabilities, value) = (moved, candidate, lower);
                break;
            }
            length /= 2.0;
        }
    }
    let residual = moments(&features, &probabilities).0.into_iter().fold(0.0_f64, |most, mean| most.max(mean.abs()));
    // On the border of what is possible the multipliers grow without end, and the balance only gets better.
    if residual <= 1e-6 { Ok(probabilities) } else { Err(Error::Biased { residual: residual * scale }) }
}

/// `p ∝ exp(λ·D)` and `ln Σ exp(λ·D)`.
fn mixture(features: &[Vec<f64>], multipliers: &[f64]) -> (Vec<f64>, f64) {
    let dot = |list: &Vec<f64>| list.iter().zip(multipliers).map(|(x, m)| x * m).sum::<f64>();
    let exponents: Vec<f64> = features.iter().map(dot).collect();
    let most = exponents.iter().copied().fold(f64::MIN, f64::max);
    let worth: Vec<f64> = exponents.iter().map(|exponent| (exponent - most).exp()).collect();
    let sum: f64 = worth.iter().sum();
    (worth.iter().map(|worth| worth / sum).collect(), most + sum.ln())
}

/// Means and covariances under `probabilities`.
fn moments(features: &[Vec<f64>], probabilities: &[f64]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let places = features[0].len();
    let mut means = vec![0.0; places];
    let mut products = vec![vec![0.0; places]; places];
    for (list, probability) in features.iter().zip(probabilities) {
        for row in 0..places {
            means[row] += probability * list[row];
            for column in 0..places {
                products[row][column] += probability * list[row] * list[column];
            }
        }
    }
    for row in 0..places {
        for column in 0..places {
            products[row][column] -= means[row] * means[column];
        }
    }
    (means, products)
}

/// Solves by elimination with a small ridge: places where all lists agree have no variance, and no gradient either.
fn solve(mut matrix: Vec<Vec<f64>>, right: &[f64]) -> Vec<f64> {
    let size = right.len();
    let mut solution = right.to_vec();
    for (index, row) in matrix.iter_mut().enumerate() {
        row[index] += 1e-10;
    }
    for pivot in 0..size {
        let below = matrix[pivot].clone();
        for row in pivot + 1..size {
            let factor = matrix[row][pivot] / below[pivot];
            for (cell, above) in matrix[row].iter_mut().zip(&below).skip(pivot) {
                *cell -= factor * above;
            }
            solution[row] -= factor * solution[pivot];
        }
    }
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size).map(|column| matrix[row][column] * solution[column]).sum();
        solution[row] = (solution[row] - known) / matrix[row][row];
    }
    solution
}
