//! Which words of the response go with which words of the request: a bilinear term of low rank.
//!
//! `⟨Σₐ xₐ·uₐ, Σᵦ xᵦ·vᵦ⟩` over the words a of the request and b of the response, each with a vector of K numbers: the
//! part of a factorisation machine (Rendle, ICDM 2010, equation 1) that crosses the two texts. Crosses of single words,
//! which the linear part has, must be seen to be learned; here what is learned of one word of a topic serves the others.
//! Steps are those of the linear part (FTRL-proximal), whose penalty holds a number at its initial value until there is
//! evidence, and touch only the rows of the words that occur: a sparse embedding bag.
//!
//! Deviation: K vectors start at pseudo-random numbers that follow from their place, not from a seed: two models
//! differ by what they saw alone.

use crate::encode::{Features, Group, mix};
use crate::linear::Rates;
use crate::trainer::pairs::merged;

/// Most numbers per word.
pub(crate) const MOST_FACTORS: usize = 64;
/// Half the width of the distribution of initial values.
const INITIAL: f32 = 0.1;

/// Vectors of all words, (buckets, K).
#[derive(Debug, Clone)]
pub(crate) struct Vectors {
    width: usize,
    pub(crate) values: Vec<f32>,
}

/// Vectors that are trained, and the two sums that each number's distance from its initial value follows from.
#[derive(Debug, Clone)]
pub(crate) struct Factors {
    pub(crate) vectors: Vectors,
    pub(crate) pulls: Vec<f32>,
    pub(crate) squares: Vec<f32>,
}

/// Both sides of the product for one row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sides {
    request: [f32; MOST_FACTORS],
    response: [f32; MOST_FACTORS],
}

/// Both sides of the product for a pair: the request, and the difference of the responses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crossed {
    pub(crate) margin: f64,
    sides: Sides,
}

impl Vectors {
    fn new(buckets: usize, width: usize) -> Self {
        Self { width, values: (0..buckets * width).map(initial).collect() }
    }

    /// The term's contribution to the logit, and what its gradient needs.
    pub(crate) fn forward(&self, features: &Features) -> (f64, Sides) {
        let request = self.sum(features.group(Group::RequestWords));
        let response = self.sum(features.group(Group::ResponseWords));
        let product: f32 = request[..self.width].iter().zip(&response).map(|(a, b)| a * b).sum();
        (f64::from(product), Sides { request, response })
    }

    /// The term's contribution to the difference of the logits of two responses to one request, and what its gradient
    /// needs.
    pub(crate) fn forward_pair(&self, chosen: &Features, rejected: &Features) -> Crossed {
        let ((above, sides), (below, other)) = (self.forward(chosen), self.forward(rejected));
        let mut responses = sides.response;
        responses.iter_mut().zip(other.response).for_each(|(mine, other)| *mine -= other);
        Crossed { margin: above - below, sides: Sides { request: sides.request, response: responses } }
    }

    /// `Σ x·u` with every x at `1/√n`.
    fn sum(&self, words: &[u32]) -> [f32; MOST_FACTORS] {
        let mut sum = [0.0; MOST_FACTORS];
        for word in words {
            let row = &self.values[*word as usize * self.width..][..self.width];
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        let x = scale(words);
        sum[..self.width].iter_mut().for_each(|sum| *sum *= x);
        sum
    }
}

impl Factors {
    pub(crate) fn new(buckets: usize, width: usize) -> Self {
        let sums = vec![0.0; buckets * width];
        Self { vectors: Vectors::new(buckets, width), pulls: sums.clone(), squares: sums }
    }

    /// One step against the gradient, with `slope` the derivative of the loss by the logit.
    pub(crate) fn update(&mut self, features: &Features, sides: &Sides, slope: f32, rates: Rates) {
        if self.vectors.width > 0 {
            self.step(features.group(Group::RequestWords), &sides.response, slope, rates);
            self.step(features.group(Group::ResponseWords), &sides.request, slope, rates);
        }
    }

    /// [`Factors::update`] on a pair, with `slope` the derivative of the loss by the difference of the logits.
    pub(crate) fn update_pair(
        &mut self,
        chosen: &Features,
        rejected: &Features,
        crossed: &Crossed,
        slope: f32,
        rates: Rates,
    ) {
        if self.vectors.width > 0 {
            self.step(chosen.group(Group::RequestWords), &crossed.sides.response, slope, rates);
            let (ours, theirs) = (chosen.group(Group::ResponseWords), rejected.group(Group::ResponseWords));
            let mut parts: Vec<(usize, f32)> = ours.iter().map(|word| (*word as usize, scale(ours))).collect();
            parts.extend(theirs.iter().map(|word| (*word as usize, -scale(theirs))));
            for (word, x) in merged(parts) {
                self.step_word(word, &crossed.sides.request, slope * x, rates);
            }
        }
    }

    fn step(&mut self, words: &[u32], other: &[f32; MOST_FACTORS], slope: f32, rates: Rates) {
        let slope = slope * scale(words);
        for word in words {
            self.step_word(*word as usize, other, slope, rates);
        }
    }

    fn step_word(&mut self, word: usize, other: &[f32; MOST_FACTORS], slope: f32, rates: Rates) {
        for (at, other) in (word * self.vectors.width..).zip(&other[..self.vectors.width]) {
            let g = slope * other;
            let n = self.squares[at];
            let grown = n + g * g;
            let z = self.pulls[at] + g - rates.sigma(n, grown) * (self.vectors.values[at] - initial(at));
            self.pulls[at] = z;
            self.squares[at] = grown;
            self.vectors.values[at] = initial(at) + rates.weight(1, z, grown);
        }
    }

    /// [`Linear::rewarm`](crate::linear::Linear::rewarm) of the touched numbers.
    pub(crate) fn rewarm(&mut self, factor: f32, rates: Rates) {
        for at in 0..self.squares.len() {
            let n = self.squares[at];
            if n > 0.0 {
                self.squares[at] = n * factor;
                self.pulls[at] = rates.rewarmed(1, self.pulls[at], n, n * factor);
                self.restore(at, rates);
            }
        }
    }

    /// The value at `at` follows from its two sums.
    pub(crate) fn restore(&mut self, at: usize, rates: Rates) {
        self.vectors.values[at] = initial(at) + rates.weight(1, self.pulls[at], self.squares[at]);
    }
}

/// The number at `place` before anything was learned.
pub(crate) fn initial(place: usize) -> f32 {
    let unit = (mix(place as u64) >> 40) as f32 / (1_u64 << 24) as f32;
    INITIAL * (2.0 * unit - 1.0)
}

fn scale(words: &[u32]) -> f32 {
    1.0 / (words.len().max(1) as f32).sqrt()
}
