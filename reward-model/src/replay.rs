//! The memory of past examples: per objective and class a bounded selection of everything seen.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use plaudit_event::Stream;
use plaudit_nn::loss::logit;
use rand::Rng;

use crate::config::{ReplayConfig, ReplayStrategy};
use crate::encode::Features;
use crate::segments::Segment;

/// One remembered example.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    /// Hash of the exposure's id, to find it when a correction comes.
    pub(crate) exposure: u64,
    /// Hash of the unit's id.
    pub(crate) unit: u64,
    pub(crate) segment: Segment,
    pub(crate) features: Arc<Features>,
    pub(crate) label: f32,
    pub(crate) weight: f32,
    /// The logit of the weights in training when it was new.
    pub(crate) logit: f32,
}

/// The remembered examples of one class.
#[derive(Debug, Clone, Default)]
pub(crate) struct Class {
    pub(crate) items: VecDeque<Memory>,
    /// Examples offered and not taken back, by segment.
    pub(crate) seen: BTreeMap<Segment, u64>,
    /// Examples held, by segment. Follows from the items.
    held: BTreeMap<Segment, u64>,
}

impl Class {
    pub(crate) fn of(items: VecDeque<Memory>, seen: BTreeMap<Segment, u64>) -> Self {
        let mut held = BTreeMap::new();
        items.iter().for_each(|item| *held.entry(item.segment).or_default() += 1);
        Self { items, seen, held }
    }

    fn push(&mut self, memory: Memory) {
        *self.held.entry(memory.segment).or_default() += 1;
        self.items.push_back(memory);
    }

    /// Counts that a row of `segment` is no longer held.
    fn let_go(&mut self, segment: Segment) {
        if let Some(count) = self.held.get_mut(&segment) {
            *count = count.saturating_sub(1);
        }
    }

    pub(crate) fn seen(&self) -> u64 {
        self.seen.values().sum()
    }

    fn offer(&mut self, memory: Memory, config: &ReplayConfig, boosts: &Boosts, stream: &mut Stream) {
        let segment = memory.segment;
        *self.seen.entry(segment).or_default() += 1;
        if config.strategy == ReplayStrategy::None {
            return;
        }
        if self.items.len() < config.capacity {
            self.push(memory);
            return;
        }
        match config.strategy {
            ReplayStrategy::None => {}
            ReplayStrategy::Recent => {
                if let Some(oldest) = self.items.pop_front() {
                    self.let_go(oldest.segment);
                }
                self.push(memory);
            }
            ReplayStrategy::Reservoir | ReplayStrategy::Logits => {
                let place = stream.random_range(0..self.seen());
                self.replace(usize::try_from(place).ok(), memory);
            }
            ReplayStrategy::Stratified => self.offer_to_segment(memory, boosts, stream),
        }
    }

    /// Takes the place of a row of the segment with the most rows (each divided by the segment's boost), or, where that is its own, of one of its own as in a
    /// uniform sample of the segment.
    fn offer_to_segment(&mut self, memory: Memory, boosts: &Boosts, stream: &mut Stream) {
        let level = |segment: Segment, count: u64| count as f64 / boosts.get(&segment).copied().unwrap_or(1.0);
        let own = level(memory.segment, self.held(memory.segment));
        let levels = self.held.iter().map(|(segment, count)| (level(*segment, *count), *segment, *count));
        let largest = levels.max_by(|(a, first, _), (b, second, _)| a.total_cmp(b).then(second.cmp(first)));
        let Some((highest, largest, most)) = largest else { return };
        let (segment, place) = if own < highest {
            (largest, stream.random_range(0..most))
        } else {
            let seen = self.seen.get(&memory.segment).copied().unwrap_or(1);
            (memory.segment, stream.random_range(0..seen))
        };
        let mut members = self.items.iter().enumerate().filter(|(_, item)| item.segment == segment);
        let slot = usize::try_from(place).ok().and_then(|place| members.nth(place)).map(|(at, _)| at);
        self.replace(slot, memory);
    }

    fn replace(&mut self, place: Option<usize>, memory: Memory) {
        if let Some(slot) = place.and_then(|at| self.items.get_mut(at)) {
            let (segment, gone) = (memory.segment, std::mem::replace(slot, memory).segment);
            *self.held.entry(segment).or_default() += 1;
            self.let_go(gone);
        }
    }

    /// Forgets an example, whether it is still here or has given way to another; `false` when it was never offered.
    ///
    /// That an example gave way is told from there having been any for which there was no room: after an overflow an
    /// example that was never offered counts as one that gave way.
    fn forget(&mut self, exposure: u64, segment: Segment) -> bool {
        let found = self.items.iter().position(|item| item.exposure == exposure);
        let segment = match found {
            Some(at) => {
                let held = self.items.remove(at).map_or(segment, |item| item.segment);
                self.let_go(held);
                held
            }
            None if self.seen() <= self.items.len() as u64 => return false,
            None => segment,
        };
        if let Some(count) = self.seen.get_mut(&segment) {
            *count = count.saturating_sub(1);
        }
        true
    }

    /// Removes the rows for which `is_gone` holds; returns how many there were. Those that gave way to others left nothing.
    fn remove(&mut self, is_gone: impl Fn(&Memory) -> bool) -> u64 {
        let mut removed = 0;
        for item in self.items.iter().filter(|item| is_gone(item)) {
            removed += 1;
            if let Some(count) = self.seen.get_mut(&item.segment) {
                *count = count.saturating_sub(1);
            }
        }
        let mut kept = std::mem::take(&mut self.items);
        kept.retain(|item| !is_gone(item));
        *self = Self::of(kept, std::mem::take(&mut self.seen));
        removed
    }

    fn held(&self, segment: Segment) -> u64 {
        self.held.get(&segment).copied().unwrap_or(0)
    }
}

/// How many times as many rows as others a segment may hold; 1 where there is nothing.
pub(crate) type Boosts = BTreeMap<Segment, f64>;

/// The remembered examples of one objective.
#[derive(Debug, Clone, Default)]
pub(crate) struct Replay {
    pub(crate) positives: Class,
    pub(crate) negatives: Class,
    /// Of segments that are easily confused with others.
    pub(crate) boosts: Boosts,
}

/// A row drawn from the memory.
pub(crate) struct Draw<'a> {
    pub(crate) memory: &'a Memory,
    /// Logarithm of the odds of a positive among the drawn rows over those among all examples. The loss is taken at
    /// the model's logit plus this, so that the logit itself is the one at the true base rate.
    pub(crate) shift: f64,
}

impl Replay {
    /// Whether an example of each class has been seen and not been taken back.
    pub(crate) fn has_both_classes(&self) -> bool {
        self.positives.seen() > 0 && self.negatives.seen() > 0
    }

    pub(crate) fn offer(&mut self, memory: Memory, config: &ReplayConfig, stream: &mut Stream) {
        let class = if memory.label >= 0.5 { &mut self.positives } else { &mut self.negatives };
        class.offer(memory, config, &self.boosts, stream);
    }

    /// Forgets an example of `segment` that was offered with `label`; `false` when it was not.
    pub(crate) fn forget(&mut self, exposure: u64, segment: Segment, label: f32) -> bool {
        self.class(label).forget(exposure, segment)
    }

    /// Removes every row of these exposures; returns how many there were.
    pub(crate) fn erase(&mut self, exposures: &HashSet<u64>) -> u64 {
        let is_gone = |item: &Memory| exposures.contains(&item.exposure);
        self.positives.remove(is_gone) + self.negatives.remove(is_gone)
    }

    /// Removes every row of `unit`; returns how many there were.
    pub(crate) fn forget_unit(&mut self, unit: u64) -> u64 {
        let is_gone = |item: &Memory| item.unit == unit;
        self.positives.remove(is_gone) + self.negatives.remove(is_gone)
    }

    /// The units of the rows of these exposures.
    pub(crate) fn units_of(&self, exposures: &HashSet<u64>) -> impl Iterator<Item = u64> {
        let items = self.positives.items.iter().chain(&self.negatives.items);
        items.filter(|item| exposures.contains(&item.exposure)).map(|item| item.unit)
    }

    fn class(&mut self, label: f32) -> &mut Class {
        if label >= 0.5 { &mut self.positives } else { &mut self.negatives }
    }

    /// The share of positives among drawn rows that brings their share among all rows trained on (each example once
    /// fresh, `per_example` times drawn) to `wanted`, or the natural share where that is larger.
    pub(crate) fn drawn_share(&self, wanted: f64, per_example: usize) -> f64 {
        let natural = self.natural_share();
        if natural >= wanted {
            return natural;
        }
        let draws = per_example as f64;
        ((wanted * (1.0 + draws) - natural) / draws).min(0.5)
    }

    fn natural_share(&self) -> f64 {
        let positives = self.positives.seen() as f64;
        positives / (positives + self.negatives.seen() as f64).max(1.0)
    }

    /// Draws a row, a positive with probability `share`; `None` while no row of one class is remembered.
    pub(crate) fn draw(&self, share: f64, strategy: ReplayStrategy, stream: &mut Stream) -> Option<Draw<'_>> {
        if self.positives.items.is_empty() || self.negatives.items.is_empty() {
            return None;
        }
        let class = if stream.random::<f64>() < share { &self.positives } else { &self.negatives };
        let memory = &class.items[stream.random_range(0..class.items.len())];
        let own = (strategy == ReplayStrategy::Stratified).then(|| self.segment_shift(memory.segment)).flatten();
        let shift = logit(share) - logit(self.natural_share()) + own.unwrap_or(0.0);
        Some(Draw { memory, shift })
    }

    /// How much more often positives of `segment` are held, against its negatives, than the segment's share of what was
    /// seen says; `None` where a class of it is not held.
    fn segment_shift(&self, segment: Segment) -> Option<f64> {
        let odds = |class: &Class| {
            let held = class.held(segment) as f64 / class.items.len() as f64;
            let seen = class.seen.get(&segment).copied().unwrap_or(0) as f64 / class.seen().max(1) as f64;
            (held > 0.0 && seen > 0.0).then(|| (held / seen).ln())
        };
        Some(odds(&self.positives)? - odds(&self.negatives)?)
    }
}

#[cfg(test)]
mod tests {
    use plaudit_event::Seed;

    use super::*;
    use crate::encode::GROUPS;
    use crate::encode::surface::DENSE;

    fn room(capacity: usize) -> ReplayConfig {
        ReplayConfig { strategy: ReplayStrategy::Reservoir, capacity, ..ReplayConfig::default() }
    }

    fn memory(exposure: u64, label: f32) -> Memory {
        let features = Features { indices: Box::default(), ends: [0; GROUPS], dense: [0.0; DENSE], deep: None };
        Memory { exposure, unit: exposure, segment: 0, features: Arc::new(features), label, weight: 1.0, logit: 0.0 }
    }

    #[test]
    fn erased_rows_are_gone_and_the_others_stay() {
        let mut stream = Seed::new(1).stream("replay");
        let mut replay = Replay::default();
        for exposure in 0..10 {
            replay.offer(memory(exposure, f32::from(exposure % 2 == 0)), &room(100), &mut stream);
        }
        let erased = HashSet::from([0, 1, 2, 99]);
        assert_eq!(replay.erase(&erased), 3);
        assert_eq!(replay.erase(&erased), 0);
        assert_eq!((replay.positives.seen(), replay.negatives.seen()), (3, 4));
        let left = replay.positives.items.iter().chain(&replay.negatives.items);
        assert!(left.into_iter().all(|item| !erased.contains(&item.exposure)));
    }

    /// 10,000 examples with 5 % positives, in memories of 400.
    fn filled() -> (Replay, Stream) {
        let mut stream = Seed::new(1).stream("replay");
        let mut replay = Replay::default();
        for i in 0..10_000 {
            let label = f32::from(u8::from(i % 20 == 0));
            replay.offer(memory(i, label), &room(400), &mut stream);
        }
        (replay, stream)
    }

    #[test]
    fn memories_are_bounded_and_a_uniform_sample() {
        let (replay, _) = filled();
        assert_eq!(replay.positives.items.len(), 400);
        assert_eq!(replay.negatives.items.len(), 400);
        let early = replay.negatives.items.iter().filter(|m| m.exposure < 5_000).count();
        // Binomial(400, ½): standard deviation 10.
        assert!((150..=250).contains(&early), "{early} of 400 from the first half");
    }

    #[test]
    fn rare_positives_are_drawn_to_the_wanted_share_and_the_shift_says_so() {
        let (replay, mut stream) = filled();
        let share = replay.drawn_share(0.1, 2);
        // One fresh row at 5 % and two drawn at 12.5 % make 10 %.
        assert!((share - 0.125).abs() < 1e-9, "{share}");
        let draws = 20_000;
        let mut positives = 0;
        for _ in 0..draws {
            let draw = replay.draw(share, ReplayStrategy::Reservoir, &mut stream).unwrap();
            positives += u32::from(draw.memory.label >= 0.5);
            let expected = (0.125_f64 / 0.875).ln() - (0.05_f64 / 0.95).ln();
            assert!((draw.shift - expected).abs() < 1e-9);
        }
        let got = f64::from(positives) / f64::from(draws);
        assert!((got - 0.125).abs() < 0.01, "{got}");
    }

    #[test]
    fn common_positives_are_drawn_as_they_occur() {
        let mut stream = Seed::new(1).stream("replay");
        let mut replay = Replay::default();
        for i in 0..100 {
            replay.offer(memory(i, f32::from(u8::from(i % 5 < 3))), &room(400), &mut stream);
        }
        let share = replay.drawn_share(0.1, 2);
        assert!((share - 0.6).abs() < 1e-9);
        assert!(replay.draw(share, ReplayStrategy::Reservoir, &mut stream).unwrap().shift.abs() < 1e-9);
    }

    #[test]
    fn nothing_is_drawn_before_both_classes_are_known_nor_after_one_was_forgotten() {
        let mut stream = Seed::new(1).stream("replay");
        let mut replay = Replay::default();
        replay.offer(memory(1, 1.0), &room(4), &mut stream);
        assert!(replay.draw(0.1, ReplayStrategy::Reservoir, &mut stream).is_none());
        replay.offer(memory(2, 0.0), &room(4), &mut stream);
        assert!(replay.draw(0.1, ReplayStrategy::Reservoir, &mut stream).is_some());
        assert!(replay.has_both_classes());
        assert!(replay.forget(1, 0, 1.0) && !replay.forget(1, 0, 1.0));
        assert!(!replay.has_both_classes() && replay.draw(0.1, ReplayStrategy::Reservoir, &mut stream).is_none());
    }

    #[test]
    fn what_gave_way_is_forgotten_in_the_count() {
        let (mut replay, _) = filled();
        let remembered = |replay: &Replay, i| replay.negatives.items.iter().any(|item| item.exposure == i);
        let gone = (1..).find(|i| !remembered(&replay, *i)).unwrap();
        let kept = (1..).find(|i| remembered(&replay, *i)).unwrap();
        assert!(replay.forget(gone, 0, 0.0));
        assert_eq!((replay.negatives.seen(), replay.negatives.items.len()), (9_499, 400));
        assert!(replay.forget(kept, 0, 0.0));
        assert_eq!((replay.negatives.seen(), replay.negatives.items.len()), (9_498, 399));
        assert_eq!(replay.positives.seen(), 500, "the other class is not looked at");
    }

    fn of_segment(exposure: u64, segment: Segment) -> Memory {
        Memory { segment, ..memory(exposure, 0.0) }
    }

    #[test]
    fn counts_of_segments_follow_every_change_and_boosted_segments_hold_more() {
        let mut stream = Seed::new(1).stream("replay");
        let stratified = ReplayConfig { strategy: ReplayStrategy::Stratified, ..room(120) };
        let mut replay = Replay::default();
        let fill = |replay: &mut Replay, stream: &mut Stream| {
            for i in 0..3_000 {
                // Segments 0, 1 and 2 with shares of 80, 10 and 10 %.
                let segment = [0, 0, 0, 0, 0, 0, 0, 0, 1, 2][i as usize % 10];
                replay.offer(of_segment(i, segment), &stratified, stream);
            }
        };
        fill(&mut replay, &mut stream);
        let held = |replay: &Replay| [0, 1, 2].map(|segment| replay.negatives.held(segment));
        assert_eq!(held(&replay), [40, 40, 40], "an equal share each");
        let counted = |replay: &Replay| {
            let items = &replay.negatives.items;
            [0, 1, 2].map(|segment| items.iter().filter(|item| item.segment == segment).count() as u64)
        };
        let kept: Vec<u64> = replay.negatives.items.iter().take(30).map(|item| item.exposure).collect();
        replay.erase(&kept.iter().copied().take(20).collect());
        kept.iter().skip(20).for_each(|exposure| assert!(replay.forget(*exposure, 0, 0.0)));
        assert_eq!(held(&replay), counted(&replay));
        assert_eq!(held(&replay).iter().sum::<u64>(), 90);

        let mut boosted = Replay { boosts: Boosts::from([(1, 4.0)]), ..Replay::default() };
        fill(&mut boosted, &mut stream);
        assert_eq!((held(&boosted), counted(&boosted)), ([20, 80, 20], [20, 80, 20]));
    }

    #[test]
    fn what_was_never_offered_is_not_forgotten() {
        let mut stream = Seed::new(1).stream("replay");
        let mut replay = Replay::default();
        for i in 0..10 {
            replay.offer(memory(i, 0.0), &room(10), &mut stream);
        }
        assert!(!replay.forget(77, 0, 0.0));
        assert_eq!(replay.negatives.seen(), 10);
    }
}
