//! The policies that are compared.

use plaudit_experiment::adaptive::{Beta, Contextual, ContextualSettings, Fading, HalfLife, beta_best, with_floor};

use super::world::{ARMS, Context, features};

/// Least probability of an arm.
const FLOOR: f64 = 0.01;
/// Decisions after which probabilities are computed anew.
const REFRESH: u32 = 10;

/// Thompson sampling without context.
pub(crate) struct BetaThompson {
    fading: Fading,
    counts: [[f64; 2]; ARMS],
    seen: u32,
    propensities: Vec<f64>,
}

impl BetaThompson {
    pub(crate) fn new(half_life: HalfLife) -> Self {
        let propensities = vec![1.0 / ARMS as f64; ARMS];
        Self { fading: Fading::new(half_life), counts: [[0.0; 2]; ARMS], seen: 0, propensities }
    }

    pub(crate) fn propensities(&self) -> Vec<f64> {
        self.propensities.clone()
    }

    pub(crate) fn learn(&mut self, arm: usize, reward: f64, at_ms: i64) {
        let (place, rescale) = self.fading.place(at_ms);
        self.counts.as_flattened_mut().iter_mut().for_each(|count| *count *= rescale.unwrap_or(1.0));
        let weight = self.fading.weight(place);
        self.counts[arm][0] += weight * reward;
        self.counts[arm][1] += weight * (1.0 - reward);
        self.seen += 1;
        if self.seen.is_multiple_of(REFRESH) {
            let unit = self.fading.unit();
            let posteriors = self.counts.map(|[a, b]| Beta { a: 1.0 + a / unit, b: 1.0 + b / unit });
            self.propensities = with_floor(&beta_best(&posteriors), FLOOR).expect("the floor fits");
        }
    }
}

pub(crate) enum Learner {
    Even,
    Beta(BetaThompson),
    Contextual(Box<Contextual>),
}

pub(crate) fn contextual(greed: f64, half_life: HalfLife) -> Learner {
    let settings = ContextualSettings { greed, half_life, ..ContextualSettings::default() };
    Learner::Contextual(Box::new(Contextual::new(settings).expect("settings in range")))
}

impl Learner {
    pub(crate) fn propensities(&self, context: &Context) -> Vec<f64> {
        match self {
            Self::Even => vec![1.0 / ARMS as f64; ARMS],
            Self::Beta(beta) => beta.propensities(),
            Self::Contextual(policy) => policy.propensities(&features(context), FLOOR).expect("candidates in range"),
        }
    }

    pub(crate) fn learn(&mut self, context: &Context, arm: usize, reward: f64, at_ms: i64) {
        match self {
            Self::Even => {}
            Self::Beta(beta) => beta.learn(arm, reward, at_ms),
            Self::Contextual(policy) => {
                policy.learn(&features(context)[arm], reward, 1.0, at_ms).expect("an observation in range");
            }
        }
    }
}

/// The arm for a uniform number.
pub(crate) fn draw(propensities: &[f64], uniform: f64) -> usize {
    let mut left = uniform;
    let found = propensities.iter().position(|p| {
        left -= p;
        left < 0.0
    });
    found.unwrap_or(propensities.len() - 1)
}
