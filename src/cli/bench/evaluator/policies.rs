//! Policies of the simulated world: each prefers some of a handful of candidate answers.

use plaudit_simulator::language::{Style, StyleMix, Substance};
use rand::Rng;

/// Candidate answers that a policy chooses from.
const CANDIDATES: usize = 8;
/// How many policies there are.
pub(super) const MAX_POLICIES: usize = 16;

/// A softmax over candidate answers of the reference policy, with one weight per property of an answer. Without weights
/// it is the reference itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tilt {
    /// Name in reports.
    pub(super) name: &'static str,
    /// Weights of: answered, vague, warm, detail, repetition, closing.
    weights: [f64; 6],
}

impl Tilt {
    /// The policy that made the log.
    pub(super) const REFERENCE: Self = Self { name: "reference", weights: [0.0; 6] };

    /// The others, of different directions and strengths.
    pub(super) fn all() -> [Self; MAX_POLICIES] {
        let tilt = |name, weights| Self { name, weights };
        [
            tilt("slightly warm", [0.0, 0.0, 0.5, 0.0, 0.0, 0.0]),
            tilt("cold", [0.0, 0.0, -2.0, 0.0, 0.0, 0.0]),
            tilt("precise", [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
            tilt("vague", [0.0, 1.2, 0.0, 0.0, 0.0, 0.0]),
            tilt("warm", [0.0, 0.0, 1.2, 0.0, 0.0, 0.0]),
            tilt("wordy", [0.0, 0.0, 0.0, 1.5, 1.5, 0.0]),
            tilt("closing", [0.0, 0.0, 0.0, 0.0, 0.0, 1.5]),
            tilt("warm, precise", [1.0, 0.0, 0.8, 0.0, 0.0, 0.0]),
            tilt("brief", [0.0, 0.0, 0.0, -2.0, -1.0, 0.0]),
            tilt("warm, vague", [0.0, 1.5, 0.8, 0.0, 0.0, 0.0]),
            tilt("cold, precise", [2.0, 0.0, -1.0, 0.0, 0.0, -1.0]),
            tilt("very warm", [0.0, 0.0, 2.0, 0.0, 0.0, 0.0]),
            tilt("repeating", [0.0, 0.0, 0.0, 0.0, 3.0, 0.0]),
            tilt("cold, vague", [0.0, 1.0, -1.0, 0.0, 0.0, 0.0]),
            tilt("detailed, warm", [0.3, 0.0, 0.4, 1.0, 0.0, 0.0]),
            tilt("all at once", [1.5, 0.0, 1.5, 0.0, -1.0, 0.5]),
        ]
    }

    /// Chooses among candidates that are drawn as the reference draws its answers.
    pub(super) fn choose(&self, rng: &mut impl Rng) -> Style {
        let candidates: [Style; CANDIDATES] = std::array::from_fn(|_| StyleMix::BASE.draw(rng));
        let weights = candidates.map(|style| self.score(style).exp());
        let mut left = rng.random::<f64>() * weights.iter().sum::<f64>();
        for (style, weight) in candidates.iter().zip(weights) {
            left -= weight;
            if left < 0.0 {
                return *style;
            }
        }
        candidates[CANDIDATES - 1]
    }

    fn score(&self, style: Style) -> f64 {
        let has = [
            style.substance == Substance::Right,
            style.substance == Substance::Vague,
            style.warm,
            style.detail,
            style.repetition,
            style.closing,
        ];
        self.weights.iter().zip(has).filter(|(_, has)| *has).map(|(weight, _)| weight).sum()
    }
}
