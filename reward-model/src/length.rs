//! What of a score says no more than how long the response is, and the score without it.
//!
//! ODIN (Chen et al., ICML 2024, arXiv 2402.07319) gives a reward model two heads that are learned together, one that is
//! drawn to the length of the response and one that is kept orthogonal to it, and rewards policies with the second alone.
//! Here both heads are parts of one linear model:
//! - the length head L(x) is what the features of length contribute to the logit: the two dense ones, and the classes
//!   of length crossed with the words of the request. Whatever length explains best is learned there.
//! - the quality head is the rest of the logit, `q = c(z − L(x) + mean L)` with the calibration c.
//!
//! Deviation: where ODIN penalises the correlation of the quality head with length while it learns, here it is
//! projected out, by the regression of q on the length: `q − βᵀ(φ − mean φ)`, `β = cov(φ, φ)⁻¹·cov(φ, q)` and
//! `φ = (ln(1 + w), w)` for w words, over the newest predictions. So the calibrated probability stays what it was.

use crate::encode::Features;

/// How many of the newest predictions count, about.
const MEMORY: f64 = 2_000.0;
/// More words than this count as this many, so that one long response does not decide.
const MOST_WORDS: f64 = 1_000.0;
/// Words in one unit of the second statistic of length.
const WORDS: f64 = 50.0;
/// What is added to the variances of length, divided by the predictions: holds β at 0 until there is evidence.
const RIDGE: f64 = 1.0;

/// Standard errors beyond the bound before an alarm: it looks again and again.
const SURE: f64 = 3.09;

/// Statistics of length: φ.
const LENGTHS: usize = 2;
/// What is followed: φ, the quality head, the calibrated logit, and the score without length.
const TERMS: usize = LENGTHS + 3;
const QUALITY: usize = LENGTHS;
const LOGIT: usize = LENGTHS + 1;
const REWARD: usize = LENGTHS + 2;
/// How many numbers [`LengthHead::to_array`] gives.
pub(crate) const STATE_NUMBERS: usize = 2 + TERMS + TERMS * TERMS;

/// The running moments that take the length out of a score.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LengthHead {
    count: f64,
    /// Mean of L.
    head: f64,
    mean: [f64; TERMS],
    covariance: [[f64; TERMS]; TERMS],
}

impl LengthHead {
    /// The part of the raw logit that quality is told from: without what length says, but on its level.
    pub(crate) fn quality(&self, z: f64, head: f64) -> f64 {
        z - head + self.head
    }

    /// The score without length: `quality` is the calibrated logit of [`LengthHead::quality`].
    pub(crate) fn reward(&self, quality: f64, words: u32) -> f64 {
        let (lengths, beta) = (lengths(words), self.beta());
        let along = lengths.iter().zip(&self.mean).zip(beta).map(|((length, mean), beta)| beta * (length - mean));
        quality - along.sum::<f64>()
    }

    /// Follows a prediction: its length head, its calibrated quality and logit, and its length.
    pub(crate) fn observe(&mut self, head: f64, quality: f64, logit: f64, words: u32) {
        let [log_words, words_of] = lengths(words);
        let values = [log_words, words_of, quality, logit, self.reward(quality, words)];
        self.count = (self.count + 1.0).min(MEMORY);
        let rate = self.count.recip();
        self.head += rate * (head - self.head);
        let gaps: [f64; TERMS] = std::array::from_fn(|at| values[at] - self.mean[at]);
        for (row, a) in self.covariance.iter_mut().zip(gaps) {
            for (entry, b) in row.iter_mut().zip(gaps) {
                *entry = (1.0 - rate) * (*entry + rate * (a * b));
            }
        }
        self.mean.iter_mut().zip(gaps).for_each(|(mean, gap)| *mean += rate * gap);
    }

    /// Correlation with the number of words of the calibrated logit and of the score without length; `None` where one
    /// of the two does not vary.
    pub(crate) fn correlations(&self) -> (Option<f64>, Option<f64>) {
        (self.correlation(LOGIT), self.correlation(REWARD))
    }

    /// Whether `correlation` is surely beyond `bound` by what was followed: the lower end of its one-sided 99.9 % interval
    /// on Fisher's z scale.
    pub(crate) fn is_beyond(&self, correlation: f64, bound: f64) -> bool {
        let error = (self.count - 3.0).max(0.0).sqrt().recip();
        correlation.abs() > bound && correlation.abs().atanh() - SURE * error > bound.atanh()
    }

    fn correlation(&self, term: usize) -> Option<f64> {
        let words = LENGTHS - 1;
        let spread = (self.covariance[words][words] * self.covariance[term][term]).sqrt();
        (spread > 0.0).then(|| (self.covariance[words][term] / spread).clamp(-1.0, 1.0))
    }

    /// Slope of the quality over the statistics of length.
    fn beta(&self) -> [f64; LENGTHS] {
        let covariance = &self.covariance;
        let ridge = RIDGE / self.count.max(1.0);
        let [a, b, d] = [covariance[0][0] + ridge, covariance[0][1], covariance[1][1] + ridge];
        let [x, y] = [covariance[0][QUALITY], covariance[1][QUALITY]];
        let determinant = a * d - b * b;
        [(d * x - b * y) / determinant, (a * y - b * x) / determinant]
    }

    pub(crate) fn to_array(&self) -> [f64; STATE_NUMBERS] {
        let numbers = [self.count, self.head].into_iter().chain(self.mean).chain(self.covariance.into_iter().flatten());
        let mut array = [0.0; STATE_NUMBERS];
        array.iter_mut().zip(numbers).for_each(|(slot, number)| *slot = number);
        array
    }

    pub(crate) fn from_array(numbers: [f64; STATE_NUMBERS]) -> Self {
        let (mean, covariance) = numbers[2..].split_at(TERMS);
        Self {
            count: numbers[0],
            head: numbers[1],
            mean: std::array::from_fn(|at| mean[at]),
            covariance: std::array::from_fn(|row| std::array::from_fn(|at| covariance[row * TERMS + at])),
        }
    }
}

/// L: what the features of length contribute to the logit.
pub(crate) fn head(weights: &[f32], features: &Features) -> f64 {
    let mut sum = 0.0_f32;
    features.for_each_of_length(|index, value| sum += weights[index] * value);
    f64::from(sum)
}

/// φ.
fn lengths(words: u32) -> [f64; LENGTHS] {
    let words = f64::from(words);
    [words.ln_1p(), words.min(MOST_WORDS) / WORDS]
}

#[cfg(test)]
mod tests {
    use plaudit_event::Seed;
    use rand::Rng;

    use super::*;

    /// Follows `n` predictions whose quality grows with the logarithm of the length, and then some: as pairs of the
    /// number of words and the quality.
    fn followed(n: usize) -> (LengthHead, Vec<(f64, f64)>) {
        let mut stream = Seed::new(3).stream("length");
        let (mut head, mut rows) = (LengthHead::default(), Vec::new());
        for _ in 0..n {
            let words = stream.random_range(3..60_u32);
            let quality = 0.8 * f64::from(words).ln_1p() + 2.0 * (stream.random::<f64>() - 0.5) - 5.0;
            head.observe(0.1, quality, quality, words);
            rows.push((f64::from(words), quality));
        }
        (head, rows)
    }

    #[test]
    fn the_score_without_length_does_not_follow_it_and_keeps_its_level_and_the_rest() {
        let (head, rows) = followed(20_000);
        let newest = &rows[rows.len() - 5_000..];
        let words: Vec<f64> = newest.iter().map(|row| row.0).collect();
        let before: Vec<f64> = newest.iter().map(|row| row.1).collect();
        let after: Vec<f64> = newest.iter().map(|row| head.reward(row.1, row.0 as u32)).collect();
        let r = |scores: &[f64]| crate::quality::pearson(scores, &words).unwrap();
        assert!(r(&before) > 0.6 && r(&after).abs() < 0.06, "{} before, {} after", r(&before), r(&after));
        let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len() as f64;
        assert!((mean(&before) - mean(&after)).abs() < 0.02);
        // Among answers of one length nothing but the level is another.
        assert!(((head.reward(1.0, 20) - head.reward(0.0, 20)) - 1.0).abs() < 1e-12);
        let (logit, reward) = head.correlations();
        assert!((logit.unwrap() - r(&before)).abs() < 0.05 && reward.unwrap().abs() < 0.05);
    }

    #[test]
    fn an_alarm_waits_for_evidence() {
        let (few, _) = followed(5);
        let (many, _) = followed(2_000);
        assert!(!few.is_beyond(0.6, 0.3) && many.is_beyond(0.6, 0.3) && many.is_beyond(-0.6, 0.3));
        assert!(!many.is_beyond(0.31, 0.3) && !many.is_beyond(0.1, 0.3));
        assert!(!LengthHead::default().is_beyond(1.0, 0.3), "nothing was followed");
    }

    #[test]
    fn without_evidence_nothing_is_taken_out() {
        let mut head = LengthHead::default();
        assert_eq!(head.reward(-2.0, 500), -2.0);
        assert_eq!(head.correlations(), (None, None));
        head.observe(0.0, 3.0, 3.0, 4);
        head.observe(0.0, -3.0, -3.0, 400);
        assert!((head.reward(0.0, 1) - head.reward(0.0, 1_000)).abs() < 15.0, "two rows do not decide");
    }

    #[test]
    fn the_state_survives_as_numbers() {
        let (head, _) = followed(100);
        assert_eq!(LengthHead::from_array(head.to_array()), head);
    }
}
