//! Drawing a token from logits.

use plaudit_event::{Seed, Stream};
use rand::Rng;

use crate::ops::simd::{Kernel, exp, max, vectorize};

/// Tokens whose weights are summed before the search for the drawn token looks at single ones.
const BLOCK: usize = 32;

/// Draws the tokens of one request.
#[derive(Debug)]
pub(super) struct Sampler {
    temperature: f32,
    stream: Stream,
    weights: Vec<f32>,
}

impl Sampler {
    pub(super) fn new(temperature: f32, seed: Seed) -> Self {
        Self { temperature, stream: seed.stream("generate"), weights: Vec::new() }
    }

    /// A token and its log-probability under `softmax(logits / temperature)`; NaN unless every logit is finite.
    pub(super) fn sample(&mut self, logits: &[f32]) -> (u32, f32) {
        let (token, logprob) = self.draw(logits);
        (token, if all_finite(logits) { logprob } else { f32::NAN })
    }

    fn draw(&mut self, logits: &[f32]) -> (u32, f32) {
        if self.temperature == 0.0 {
            return (most_probable(logits) as u32, 0.0);
        }
        let uniform: f64 = self.stream.random();
        self.weights.resize(logits.len(), 0.0);
        let (token, logprob) =
            vectorize(Draw { logits, weights: &mut self.weights, scale: 1.0 / self.temperature, uniform });
        (token as u32, logprob)
    }
}

/// Without an early return, so that it vectorises.
fn all_finite(logits: &[f32]) -> bool {
    logits.iter().fold(true, |all, logit| all & logit.is_finite())
}

/// The first of the largest logits.
fn most_probable(logits: &[f32]) -> usize {
    let mut best = 0;
    for (token, &logit) in logits.iter().enumerate() {
        if logit > logits[best] {
            best = token;
        }
    }
    best
}

/// Inverts the cumulative distribution at `uniform`, in \[0, 1).
struct Draw<'a> {
    logits: &'a [f32],
    weights: &'a mut [f32],
    scale: f32,
    uniform: f64,
}

impl Kernel for Draw<'_> {
    type Output = (usize, f32);

    #[inline(always)]
    fn run(self) -> (usize, f32) {
        let top = max(self.logits);
        for (weight, &logit) in self.weights.iter_mut().zip(self.logits) {
            *weight = exp((logit - top) * self.scale);
        }
        let weights: &[f32] = self.weights;
        let mut total = 0.0_f64;
        for block in weights.chunks(BLOCK) {
            total += f64::from(block_sum(block));
        }
        let token = find(weights, self.uniform * total);
        let token = token.unwrap_or_else(|| most_probable(self.logits));
        let logprob = (self.logits[token] - top) * self.scale - total.ln() as f32;
        // Not `min`, which would make certainty of what is not a number.
        (token, if logprob > 0.0 { 0.0 } else { logprob })
    }
}

/// The first token at which the cumulative weight exceeds `target`. `None` only where rounding
/// leaves the last sum at or below it.
#[inline(always)]
fn find(weights: &[f32], target: f64) -> Option<usize> {
    let mut below = 0.0_f64;
    for (index, block) in weights.chunks(BLOCK).enumerate() {
        let next = below + f64::from(block_sum(block));
        if target < next {
            let mut cumulative = below;
            for (offset, &weight) in block.iter().enumerate() {
                cumulative += f64::from(weight);
                if target < cumulative {
                    return Some(index * BLOCK + offset);
                }
            }
        }
        below = next;
    }
    None
}

#[inline(always)]
fn block_sum(block: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 8];
    let (chunks, rest) = block.as_chunks::<8>();
    for chunk in chunks {
        for lane in 0..8 {
            lanes[lane] += chunk[lane];
        }
    }
    lanes.iter().sum::<f32>() + rest.iter().sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_follow_the_tempered_softmax() {
        // The vocabulary is larger than a block and not a multiple of one.
        let logits: Vec<f32> = (0..45).map(|i| ((i * 7) % 5) as f32 * 0.8).collect();
        let temperature = 0.7_f32;
        let weights: Vec<f64> = logits.iter().map(|&z| f64::from(z / temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        let mut sampler = Sampler::new(temperature, Seed::new(5));
        let draws = 40_000;
        let mut counts = vec![0_u32; logits.len()];
        for _ in 0..draws {
            let (token, logprob) = sampler.sample(&logits);
            let expected = (weights[token as usize] / total).ln();
            assert!((f64::from(logprob) - expected).abs() < 1e-5);
            counts[token as usize] += 1;
        }
        let mut chi_square = 0.0;
        for (&count, &weight) in counts.iter().zip(&weights) {
            let expected = weight / total * f64::from(draws);
            chi_square += (f64::from(count) - expected).powi(2) / expected;
        }
        // 44 degrees of freedom: the 99.9 % point is 78.7.
        assert!(chi_square < 78.7, "chi-square {chi_square}");
    }

    #[test]
    fn temperature_zero_takes_the_first_of_the_largest() {
        let mut sampler = Sampler::new(0.0, Seed::new(1));
        assert_eq!(sampler.sample(&[0.5, 2.0, 2.0, -1.0]), (1, 0.0));
    }

    #[test]
    fn one_logit_that_is_not_finite_shows_in_every_logprob() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for (temperature, place) in [(0.0, 0), (0.0, 39), (0.7, 0), (0.7, 39)] {
                let mut logits = vec![0.5; 40];
                logits[place] = bad;
                let (token, logprob) = Sampler::new(temperature, Seed::new(1)).sample(&logits);
                assert!(token < 40 && logprob.is_nan(), "{bad} at {place}, {temperature}: {logprob}");
            }
        }
    }

    #[test]
    fn every_target_finds_a_token_with_weight() {
        let weights = [0.0_f32, 0.25, 0.0, 0.75];
        assert_eq!(find(&weights, 0.0), Some(1));
        assert_eq!(find(&weights, 0.249), Some(1));
        assert_eq!(find(&weights, 0.25), Some(3));
        assert_eq!(find(&weights, 0.999), Some(3));
        assert_eq!(find(&weights, 1.0), None);
    }
}
