//! Learning from pairs: which of two responses to one context was preferred.
//!
//! Bradley & Terry (Biometrika 1952): `Pr(chosen ≻ rejected) = σ(z_chosen − z_rejected)`, so that the loss
//! `−ln σ(z_chosen − z_rejected)` is the logistic loss of one row whose features are the difference of the two. What both
//! responses share, the intercept among it, cancels before the step: it neither moves nor counts as evidence.
//!
//! Pairs say which response is better, not how often one is loved: neither the calibration nor the record of predictions
//! changes. A bounded sample of them is remembered and learned again, after new pairs and after examples, so that what
//! comes later does not wash out their order. Several passes are the caller's business.

pub(crate) mod config;
pub(crate) mod memory;

use std::sync::Arc;

use plaudit_event::Context;
use plaudit_nn::loss::{bce, sigmoid};
use serde::Serialize;

use super::Trainer;
use super::head::{Head, Tools};
use super::pending::{Pending, Task};
use crate::config::LearnerConfig;
use crate::encode::{Features, mix};
use crate::error::argument;
use crate::linear::{self, Rates};
use crate::{Error, Row};
use memory::Kept;

/// Two responses to one context, of which one was preferred.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    /// What both responses were made for.
    pub context: &'a Context,
    /// The response that was preferred.
    pub chosen: &'a str,
    /// The other one.
    pub rejected: &'a str,
    /// What the loss is multiplied with, 0 to 1e6.
    pub weight: f32,
}

/// How well pairs were told before each was learned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct PairReport {
    /// Pairs learned.
    pub pairs: u64,
    /// Share of them whose chosen response had the higher logit; equal logits count half. 0 without pairs.
    pub accuracy: f64,
    /// Mean of `−ln σ(z_chosen − z_rejected)`, in nats, not weighted. 0 without pairs.
    pub log_loss: f64,
}

impl Trainer {
    /// Learns `pairs` in order under `objective`; each is predicted first. One call with many is the same as many calls
    /// with one, but for what the reports are about.
    ///
    /// # Errors
    /// Fails before anything is learned when `objective` is none of the configuration's or a weight is out of range, and
    /// when a network cannot be computed.
    pub fn learn_pairs(&mut self, objective: &str, pairs: &[Pair<'_>]) -> Result<PairReport, Error> {
        let known = self.objectives.iter().position(|known| known.0 == objective);
        let at = known.ok_or_else(|| argument("objective", "one of the configuration", objective))?;
        if let Some(pair) = pairs.iter().find(|pair| !(0.0..=1e6).contains(&pair.weight)) {
            return Err(argument("weight", "0 to 1e6", pair.weight));
        }
        let (mut hits, mut loss) = (0.0, 0.0);
        let mut rest = pairs;
        while !rest.is_empty() {
            // The network stays as it is until its next round.
            let count = self.pairs();
            let (part, others) = rest.split_at(rest.len().min(self.until_round(count)));
            rest = others;
            let rows =
                part.iter().flat_map(|pair| [pair.chosen, pair.rejected].map(|response| (pair.context, response)));
            let rows: Vec<Row<'_>> = rows.map(|(context, response)| Row { context, response }).collect();
            let mut features = self.encoder.encode_all(&rows)?.into_iter();
            let mut tools = Tools {
                config: &self.config,
                rates: self.rates,
                stream: &mut self.stream,
                pair_stream: &mut self.pair_stream,
                pending: self.tuner.is_some().then_some(&mut self.pending),
            };
            for pair in part {
                let (Some(chosen), Some(rejected)) = (features.next(), features.next()) else { break };
                let both = Arc::new(Both { chosen, rejected });
                let margin = self.heads[at].margin(&both);
                hits += if margin == 0.0 { 0.5 } else { f64::from(u8::from(margin > 0.0)) };
                loss += bce(margin, 1.0);
                self.heads[at].learn_pair(at as u32, Kept { both, weight: pair.weight }, &mut tools);
            }
            self.settle_if_due(count + part.len() as u64)?;
        }
        let count = pairs.len().max(1) as f64;
        Ok(PairReport { pairs: pairs.len() as u64, accuracy: hits / count, log_loss: loss / count })
    }
}

impl Trainer {
    /// How many pairs were learned, over all objectives.
    #[must_use]
    pub fn pairs(&self) -> u64 {
        self.heads.iter().map(|head| head.pairs.seen).sum()
    }
}

/// The features of a pair.
#[derive(Debug, Clone)]
pub(crate) struct Both {
    pub(crate) chosen: Features,
    pub(crate) rejected: Features,
}

impl Both {
    pub(crate) fn map(&self, change: impl Fn(&Features) -> Features) -> Self {
        Self { chosen: change(&self.chosen), rejected: change(&self.rejected) }
    }

    /// Features of the chosen response less those of the other, by number, without zeros.
    fn difference(&self) -> Vec<(usize, f32)> {
        let mut parts = Vec::with_capacity(512);
        self.chosen.for_each(|index, value| parts.push((index, value)));
        self.rejected.for_each(|index, value| parts.push((index, -value)));
        merged(parts)
    }
}

/// One entry per number, the sum of its values; zeros are left out.
pub(crate) fn merged(mut parts: Vec<(usize, f32)>) -> Vec<(usize, f32)> {
    parts.sort_by_key(|(index, _)| *index);
    parts.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        kept.1 += if same { next.1 } else { 0.0 };
        same
    });
    parts.retain(|(_, value)| *value != 0.0);
    parts
}

impl Head {
    /// By how much the logit of the chosen response is the higher one, by the weights that predict.
    fn margin(&self, both: &Both) -> f64 {
        self.logit(&both.chosen) - self.logit(&both.rejected)
    }

    /// Learns a new pair, remembers it, and learns some that are remembered. `number` is that of this head.
    fn learn_pair(&mut self, number: u32, mut kept: Kept, tools: &mut Tools<'_>) {
        let learner = &tools.config.learner;
        if let Some(pending) = &mut tools.pending {
            // The vectors of a network that is trained are others when the pair is learned.
            kept.both = Arc::new(kept.both.map(|features| features.with_vector(&[])));
            pending.push(Pending { head: number, task: Task::Pair(kept.clone()), fresh: true });
        } else {
            self.step_pair(&kept.both, f64::from(kept.weight), learner, tools.rates);
        }
        self.pairs.offer(kept, tools.config.pairs.capacity, tools.pair_stream);
        self.rehearse_pairs(number, tools.config.pairs.per_pair, tools);
        if tools.pending.is_none() {
            self.finish_example(learner);
        }
    }

    /// Learns `times` remembered pairs, where there are any.
    pub(super) fn rehearse_pairs(&mut self, number: u32, times: usize, tools: &mut Tools<'_>) {
        for _ in 0..times {
            let Some(kept) = self.pairs.draw(tools.pair_stream) else { return };
            if let Some(pending) = &mut tools.pending {
                pending.push(Pending { head: number, task: Task::Pair(kept), fresh: false });
            } else {
                self.step_pair(&kept.both, f64::from(kept.weight), &tools.config.learner, tools.rates);
            }
        }
    }

    /// One step on a pair, of the members of the ensemble those that have it; the derivative of its loss by the
    /// difference of the logits.
    pub(super) fn step_pair(&mut self, both: &Both, weight: f64, config: &LearnerConfig, rates: Rates) -> f64 {
        let difference = both.difference();
        let crossed = self.factors.vectors.forward_pair(&both.chosen, &both.rejected);
        let slope = |weights: &[f32]| weight * (sigmoid(linear::product(weights, &difference) + crossed.margin) - 1.0);
        let own = slope(&self.learner.linear.weights);
        self.learner.linear.step(difference.iter().copied(), own as f32, rates);
        let key =
            difference.iter().fold(0, |key, (index, value)| mix(key ^ *index as u64 ^ u64::from(value.to_bits())));
        for (number, member) in self.members.iter_mut().enumerate() {
            if key >> number & 1 == 1 {
                let slope = 2.0 * slope(&member.linear.weights);
                member.linear.step(difference.iter().copied(), slope as f32, rates);
            }
        }
        self.factors.update_pair(&both.chosen, &both.rejected, &crossed, own as f32, Rates::of_factors(config));
        own
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;
    use crate::encode::{Encoder, Group};

    const WEIGHT: f64 = 0.7;

    fn setting() -> (Head, Both, Config) {
        let mut config = Config::default();
        config.learner.ensemble = 0;
        config.learner.factors = 3;
        // With a rate beyond all bounds nothing is subtracted from the gradient that goes into the pulls.
        (config.learner.alpha, config.learner.factor_alpha) = (1e6, 1e6);
        let context = Context::of_user("what is a good name for my cat?");
        let encoder = Encoder::new(&config.encoder);
        let encode = |response| encoder.encode(&Row { context: &context, response });
        let both = Both {
            chosen: encode("Mia is a lovely name. Or Felix, the name of lucky cats!"),
            rejected: encode("I do not name things. A cat is a cat"),
        };
        let mut head = Head::new(&config, config.encoder.buckets as usize);
        for (at, weight) in head.learner.linear.weights.iter_mut().enumerate() {
            *weight = ((at % 17) as f32 - 8.0) / 10.0;
        }
        head.learner.average.weights.clone_from(&head.learner.linear.weights);
        head.factors.vectors.values.iter_mut().for_each(|value| *value *= 5.0);
        (head, both, config)
    }

    fn loss(head: &Head, both: &Both) -> f64 {
        WEIGHT * bce(head.margin(both), 1.0)
    }

    /// The numeric derivative of the loss by the number that `of` finds.
    fn numeric(head: &Head, both: &Both, of: impl Fn(&mut Head) -> &mut f32) -> f64 {
        let step = 0.01;
        let mut moved = head.clone();
        *of(&mut moved) += step;
        let above = loss(&moved, both);
        *of(&mut moved) -= 2.0 * step;
        (above - loss(&moved, both)) / (2.0 * f64::from(step))
    }

    fn assert_close(numeric: f64, analytic: f32, at: usize) {
        let analytic = f64::from(analytic);
        assert!((numeric - analytic).abs() < 2e-4 + 0.01 * analytic.abs(), "{at}: {numeric} {analytic}");
    }

    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        let (head, both, config) = setting();
        let mut learned = head.clone();
        learned.step_pair(&both, WEIGHT, &config.learner, Rates::new(&config.learner));
        let mut checked = 0;
        for (at, _) in both.difference() {
            let numeric = numeric(&head, &both, |head| &mut head.learner.average.weights[at]);
            assert_close(numeric, learned.learner.linear.pulls[at], at);
            checked += 1;
        }
        let words =
            [&both.chosen, &both.rejected].map(|f| [f.group(Group::RequestWords), f.group(Group::ResponseWords)]);
        for word in words.concat().concat() {
            for at in word as usize * 3..(word as usize + 1) * 3 {
                let numeric = numeric(&head, &both, |head| &mut head.factors.vectors.values[at]);
                assert_close(numeric, learned.factors.pulls[at], at);
                checked += 1;
            }
        }
        assert!(checked > 150, "{checked} numbers");
    }

    #[test]
    fn what_both_responses_share_is_no_evidence() {
        let (mut head, both, config) = setting();
        head.step_pair(&both, WEIGHT, &config.learner, Rates::new(&config.learner));
        assert_eq!(head.learner.linear.squares[0], 0.0, "the intercept");
        let asked = both.chosen.group(Group::RequestWords);
        assert!(asked.iter().all(|word| head.learner.linear.squares[*word as usize] == 0.0), "words of the request");
    }

    #[test]
    fn equal_numbers_are_added_and_zeros_left_out() {
        let parts = vec![(4, 1.0), (1, 0.5), (4, -1.0), (2, 3.0), (1, 0.25)];
        assert_eq!(merged(parts), [(1, 0.75), (2, 3.0)]);
    }
}
