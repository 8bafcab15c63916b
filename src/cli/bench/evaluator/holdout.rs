//! How good P\[love\] is on exposures after those it learned from, and how good anything could be there.

use plaudit_event::Seed;
use plaudit_reward_model::Quality;
use plaudit_reward_model::quality::{auroc, ece, pearson};
use rand::Rng;
use serde::Serialize;

/// Times that the labels are drawn anew from the truth.
const REDRAWS: usize = 200;

/// One exposure.
pub(super) struct Judged {
    /// What the model predicts.
    pub(super) p: f64,
    /// What policies are rewarded with when length is left out.
    pub(super) reward: f64,
    /// The probability that the users' reaction is drawn from, but for what only the single user knows.
    pub(super) truth: f64,
    pub(super) label: f64,
    pub(super) words: f64,
}

/// Quality of the model, and of the truth on the same exposures.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Holdout {
    /// How many exposures.
    pub(super) n: usize,
    /// Of the model.
    pub(super) quality: Quality,
    /// Calibration error of the model against the true probabilities instead of the labels: without the luck of the draw.
    pub(super) ece_of_truth: f64,
    /// Of the truth.
    pub(super) oracle: Quality,
    /// Calibration errors that the truth has by the luck of the draw: the mean, and the 95 % quantile.
    pub(super) ece_floor: [f64; 2],
    /// Correlation with length of the score without length, and of the probability of it.
    pub(super) debiased_correlations: [Option<f64>; 2],
    /// Area of the score without length.
    pub(super) debiased_auroc: Option<f64>,
}

impl Holdout {
    /// Measures `rows`; `seed` draws the labels anew. Nothing without rows.
    pub(super) fn measure(rows: &[Judged], seed: Seed) -> Option<Self> {
        let column = |of: fn(&Judged) -> f64| rows.iter().map(of).collect::<Vec<f64>>();
        let (p, truth, labels) = (column(|row| row.p), column(|row| row.truth), column(|row| row.label));
        let (rewards, words) = (column(|row| row.reward), column(|row| row.words));
        let paid = column(|row| 1.0 / (1.0 + (-row.reward).exp()));
        let mut stream = seed.stream("labels");
        let redraw = |_| {
            let drawn: Vec<f64> = truth.iter().map(|p| f64::from(u8::from(stream.random::<f64>() < *p))).collect();
            ece(&truth, &drawn)
        };
        let mut floors: Vec<f64> = (0..REDRAWS).map(redraw).collect();
        floors.sort_by(f64::total_cmp);
        let mean = floors.iter().sum::<f64>() / REDRAWS as f64;
        Some(Self {
            n: rows.len(),
            quality: Quality::measure(&p, &labels, &words)?,
            ece_of_truth: ece(&p, &truth),
            oracle: Quality::measure(&truth, &labels, &words)?,
            ece_floor: [mean, floors[REDRAWS * 95 / 100]],
            debiased_correlations: [pearson(&rewards, &words), pearson(&paid, &words)],
            debiased_auroc: auroc(&rewards, &labels),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_is_what_the_truth_itself_is_off_by() {
        let mut stream = Seed::new(1).stream("rows");
        let mut row = |_| {
            let truth = 0.2 * stream.random::<f64>();
            let label = f64::from(u8::from(stream.random::<f64>() < truth));
            Judged { p: truth + 0.05, reward: -1.0, truth, label, words: 5.0 }
        };
        let rows: Vec<Judged> = (0..4_000).map(&mut row).collect();
        let holdout = Holdout::measure(&rows, Seed::new(2)).unwrap();
        let [mean, high] = holdout.ece_floor;
        assert!(mean > 0.001 && mean < high && high < 0.02, "{mean} {high}");
        assert!(holdout.oracle.ece <= 2.0 * high, "{}", holdout.oracle.ece);
        // All are 5 in 100 too high, without any luck.
        assert!((holdout.ece_of_truth - 0.05).abs() < 0.02, "{}", holdout.ece_of_truth);
        assert_eq!(holdout.debiased_correlations, [None, None], "a constant follows nothing");
    }
}
