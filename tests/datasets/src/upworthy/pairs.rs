//! Headlines of one test against each other.

use plaudit_event::Context;

use super::{Arm, Test, Upworthy};
use crate::pairs::Pair;

/// Two arms of a test with different headlines.
#[derive(Debug, Clone, PartialEq)]
pub struct Contest {
    /// The headlines; the one with the larger share of clicks is the chosen one.
    pub pair: Pair,
    /// Two-proportion z of the difference with pooled variance, above 0.
    pub z: f64,
}

impl Upworthy {
    /// All pairs of arms with different headlines and different shares of clicks. Arms of one headline (other pictures
    /// were tried) are not told apart by text and make no pair.
    #[must_use]
    pub fn contests(&self) -> Vec<Contest> {
        self.tests().iter().flat_map(contests).collect()
    }
}

fn contests(test: &Test) -> impl Iterator<Item = Contest> + '_ {
    let arms = test.arms.iter().enumerate();
    let both = arms.flat_map(|(at, a)| test.arms[at + 1..].iter().map(move |b| (a, b)));
    both.filter(|(a, b)| a.headline.trim() != b.headline.trim()).filter_map(|(a, b)| {
        let z = z(a, b).filter(|z| *z != 0.0)?;
        let (chosen, rejected) = if z > 0.0 { (a, b) } else { (b, a) };
        let pair = Pair {
            group: test.id.to_string(),
            subset: String::new(),
            context: Context::default(),
            chosen: chosen.headline.clone(),
            rejected: rejected.headline.clone(),
            weight: 1.0,
        };
        Some(Contest { pair, z: z.abs() })
    })
}

/// `(p_a − p_b) / √(p(1 − p)(1/n_a + 1/n_b))` with p the share of clicks of both; nothing where the variance is 0.
fn z(a: &Arm, b: &Arm) -> Option<f64> {
    let (shown_a, shown_b) = (a.impressions as f64, b.impressions as f64);
    let (clicked_a, clicked_b) = (a.clicks as f64, b.clicks as f64);
    let pooled = (clicked_a + clicked_b) / (shown_a + shown_b);
    let variance = pooled * (1.0 - pooled) * (1.0 / shown_a + 1.0 / shown_b);
    (variance.is_finite() && variance > 0.0).then(|| (clicked_a / shown_a - clicked_b / shown_b) / variance.sqrt())
}
