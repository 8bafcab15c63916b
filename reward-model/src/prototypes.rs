//! Prototypes: what loved and unloved responses of each segment look like, to find segments that are easily confused.
//!
//! Per segment and class the mean of the responses' features is kept, hashed into a sketch of fixed width (Weinberger et
//! al., ICML 2009). Two segments are confusable when their responses look alike and users love the opposite: what is
//! learned of one is then wrong in the other, and is unlearned by turns.
//!
//! With `μ₊`, `μ₋` the means of a segment, `d = μ₊ − μ₋` points to what is loved there and `m = (μ₊ + μ₋)/2` is what is
//! shown. For segments a and b
//!
//! - agreement = `d_a·d_b / (‖d_a‖‖d_b‖)`, 1 where the same is loved, −1 where the opposite is,
//! - closeness = `1 / (1 + ‖m_a − m_b‖² / (‖d_a‖‖d_b‖))`, 1 where the same is shown,
//! - confusion = `closeness · (1 − agreement)/2`.
//!
//! Squared lengths are freed of the noise of means over n rows, `tr(Σ)/n`, so that few rows do not look like
//! disagreement; where nothing but noise is left, nothing is said. Deviation from OnPro (Wei et al., ICCV 2023), which
//! pairs classes by softmax(1/distance) of their means: here the classes are two and known, and the question is whether
//! segments contradict each other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::encode::{Features, Group, mix};
use crate::segments::Segment;

/// Width of a sketch.
const WIDTH: usize = 128;
/// Fewest rows of each class for a statement about a segment.
const LEAST: u64 = 30;
/// Share of a squared length that must be more than noise.
const SIGNAL: f64 = 0.3;
/// Confusion from which on two segments are reported.
pub const CONFUSABLE: f64 = 0.2;
/// Most pairs told.
const MOST_PAIRS: usize = 20;
/// Makes sketches independent of every other use of feature numbers.
const SALT: u64 = 0x7072_6f74_6f74_7970;

/// Two segments that are easily confused.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfusablePair {
    /// One segment.
    pub a: String,
    /// The other.
    pub b: String,
    /// How alike what is shown is, 0 to 1.
    pub closeness: f64,
    /// How alike what is loved is, −1 to 1.
    pub agreement: f64,
    /// `closeness · (1 − agreement)/2`.
    pub confusion: f64,
}

/// The rows of one class of one segment.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Class {
    n: u64,
    /// Sum of the sketches.
    sum: Vec<f64>,
    /// Sum of their squared lengths.
    squares: f64,
}

impl Default for Class {
    fn default() -> Self {
        Self { n: 0, sum: vec![0.0; WIDTH], squares: 0.0 }
    }
}

impl Class {
    fn mean(&self) -> Vec<f64> {
        self.sum.iter().map(|sum| sum / self.n as f64).collect()
    }

    /// Expected squared distance of the mean from the true one.
    fn noise(&self) -> f64 {
        let n = self.n as f64;
        let mean: f64 = self.mean().iter().map(|x| x * x).sum();
        ((self.squares / n - mean) / (n - 1.0)).max(0.0)
    }
}

/// Sums of both classes of every segment; as many as there are segments.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Prototypes {
    segments: BTreeMap<Segment, [Class; 2]>,
}

/// What is shown and loved in a segment.
struct Summary {
    middle: Vec<f64>,
    direction: Vec<f64>,
    /// Length of the direction, without noise.
    length: f64,
    /// Noise of the middle.
    noise: f64,
}

impl Summary {
    fn of([negatives, positives]: &[Class; 2]) -> Option<Self> {
        if negatives.n.min(positives.n) < LEAST {
            return None;
        }
        let (low, high) = (negatives.mean(), positives.mean());
        let noise = negatives.noise() + positives.noise();
        let pairs = || high.iter().zip(&low);
        let direction: Vec<f64> = pairs().map(|(high, low)| high - low).collect();
        let squared = dot(&direction, &direction);
        let signal = squared - noise;
        (signal > SIGNAL * squared).then(|| Self {
            middle: pairs().map(|(high, low)| 0.5 * (high + low)).collect(),
            direction,
            length: signal.sqrt(),
            noise: 0.25 * noise,
        })
    }

    /// Closeness and agreement.
    fn against(&self, other: &Self) -> (f64, f64) {
        let scale = self.length * other.length;
        let agreement = (dot(&self.direction, &other.direction) / scale).clamp(-1.0, 1.0);
        let apart: f64 = self.middle.iter().zip(&other.middle).map(|(a, b)| (a - b) * (a - b)).sum();
        let apart = (apart - self.noise - other.noise).max(0.0);
        (1.0 / (1.0 + apart / scale), agreement)
    }
}

impl Prototypes {
    /// Adds a row.
    pub(crate) fn add(&mut self, segment: Segment, is_positive: bool, features: &Features) {
        let class = &mut self.segments.entry(segment).or_default()[usize::from(is_positive)];
        let sketch = sketch(features);
        class.n += 1;
        class.squares += dot(&sketch, &sketch);
        class.sum.iter_mut().zip(sketch).for_each(|(sum, x)| *sum += x);
    }

    /// Confusion of each pair of segments of which there is enough to say something.
    fn pairs(&self) -> Vec<(Segment, Segment, f64, f64)> {
        let known: Vec<(Segment, Summary)> =
            self.segments.iter().filter_map(|(segment, classes)| Some((*segment, Summary::of(classes)?))).collect();
        let mut pairs = Vec::new();
        for (at, (a, left)) in known.iter().enumerate() {
            for (b, right) in &known[at + 1..] {
                let (closeness, agreement) = left.against(right);
                pairs.push((*a, *b, closeness, agreement));
            }
        }
        pairs
    }

    /// The pairs of segments with a confusion of at least [`CONFUSABLE`], the worst first.
    pub(crate) fn confusable(&self, names: &[String]) -> Vec<ConfusablePair> {
        let name = |segment: Segment| names.get(usize::from(segment)).cloned().unwrap_or_default();
        let told = |(a, b, closeness, agreement): (Segment, Segment, f64, f64)| ConfusablePair {
            a: name(a),
            b: name(b),
            closeness,
            agreement,
            confusion: confusion(closeness, agreement),
        };
        let mut pairs: Vec<ConfusablePair> = self.pairs().into_iter().map(told).collect();
        pairs.retain(|pair| pair.confusion >= CONFUSABLE);
        pairs.sort_by(|a, b| b.confusion.total_cmp(&a.confusion));
        pairs.truncate(MOST_PAIRS);
        pairs
    }

    /// The largest confusion of each segment with another one, where there is any.
    pub(crate) fn worst(&self) -> BTreeMap<Segment, f64> {
        let mut worst: BTreeMap<Segment, f64> = BTreeMap::new();
        for (a, b, closeness, agreement) in self.pairs() {
            let found = confusion(closeness, agreement);
            for segment in [a, b] {
                let known = worst.entry(segment).or_default();
                *known = known.max(found);
            }
        }
        worst.retain(|_, confusion| *confusion >= CONFUSABLE);
        worst
    }
}

fn confusion(closeness: f64, agreement: f64) -> f64 {
    closeness * (1.0 - agreement) / 2.0
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The words and word pairs of the response, each set of length 1.
fn sketch(features: &Features) -> [f64; WIDTH] {
    let mut sketch = [0.0; WIDTH];
    for group in [Group::ResponseWords, Group::ResponsePairs] {
        let members = features.group(group);
        let value = 1.0 / (members.len().max(1) as f64).sqrt();
        for index in members {
            let lot = mix(u64::from(*index) ^ SALT);
            let sign = if lot >> 63 == 0 { value } else { -value };
            sketch[lot as usize % WIDTH] += sign;
        }
    }
    sketch
}

#[cfg(test)]
mod tests {
    use plaudit_event::{Context, Seed};
    use rand::Rng;

    use super::*;
    use crate::encode::Encoder;
    use crate::{Config, Row};

    const NAMES: [&str; 4] = ["other", "a", "b", "c"];

    fn names() -> Vec<String> {
        NAMES.map(str::to_owned).into()
    }

    /// Rows of `segment` with ten words of a vocabulary, loved when there are more of its first half than of its second;
    /// `flip` turns that round.
    fn add(to: &mut Prototypes, segment: Segment, rows: usize, vocabulary: u32, flip: bool) {
        let encoder = Encoder::new(&Config::default().encoder);
        let mut stream = Seed::new(u64::from(segment)).stream("prototypes");
        let context = Context::of_user("tell me");
        for _ in 0..rows {
            let words: Vec<u32> = (0..10).map(|_| stream.random_range(0..40_u32)).collect();
            let loved = words.iter().filter(|word| **word < 20).count() > 5;
            let text: Vec<String> = words.iter().map(|word| format!("word{}", 1_000 * vocabulary + word)).collect();
            let features = encoder.encode(&Row { context: &context, response: &text.join(" ") });
            to.add(segment, loved != flip, &features);
        }
    }

    #[test]
    fn segments_that_love_the_opposite_of_the_same_are_found_and_others_are_not() {
        let mut prototypes = Prototypes::default();
        add(&mut prototypes, 1, 1_000, 0, false);
        add(&mut prototypes, 2, 1_000, 0, false);
        assert_eq!(prototypes.confusable(&names()), [], "the same is loved");
        add(&mut prototypes, 3, 1_000, 0, true);
        let found = prototypes.confusable(&names());
        let pairs: Vec<_> = found.iter().map(|pair| (pair.a.as_str(), pair.b.as_str())).collect();
        assert_eq!(pairs.len(), 2, "{found:?}");
        assert!(pairs.contains(&("a", "c")) && pairs.contains(&("b", "c")), "{found:?}");
        assert!(found.iter().all(|pair| pair.agreement < -0.8 && pair.closeness > 0.8), "{found:?}");
        assert_eq!(prototypes.worst().keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn segments_that_show_something_else_are_not_confused() {
        let mut prototypes = Prototypes::default();
        add(&mut prototypes, 1, 2_000, 0, false);
        add(&mut prototypes, 2, 2_000, 7, true);
        assert_eq!(prototypes.confusable(&names()), []);
    }

    #[test]
    fn few_rows_of_which_nothing_is_known_are_not_taken_for_disagreement() {
        let mut prototypes = Prototypes::default();
        add(&mut prototypes, 1, 2_000, 0, false);
        for segment in 2..4 {
            add(&mut prototypes, segment, 75, 0, false);
        }
        assert_eq!(prototypes.confusable(&names()), []);
        let mut unknown = Prototypes::default();
        add(&mut unknown, 1, 40, 0, false);
        add(&mut unknown, 2, 40, 0, true);
        assert_eq!(unknown.pairs(), [], "fewer than 30 of a class");
    }
}
