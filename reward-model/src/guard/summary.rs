//! What is remembered of one unit, and the statistic that judges it.

use statrs::function::beta::beta_reg;

/// Most features counted per unit.
pub(super) const COUNTERS: usize = 64;

/// Examples that the population counts for in the share of a unit's examples with a feature.
const PRIOR_EXAMPLES: f64 = 10.0;

/// One feature of the positives of a unit. The example that brought it in is not counted: it has the feature because
/// it was chosen for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counter {
    pub(crate) feature: u32,
    /// Positives with it since.
    pub(crate) hits: u32,
    /// Positives since.
    pub(crate) positives: u32,
    /// Examples with it since.
    pub(crate) with: u32,
    /// Examples since.
    pub(crate) examples: u32,
}

impl Counter {
    pub(super) const fn new(feature: u32) -> Self {
        Self { feature, hits: 0, positives: 0, with: 0, examples: 0 }
    }

    /// The probability that at least as many of the unit's positives would have the feature if its odds were `odds`
    /// times as large with it as without; `share` is the share of all examples that have it.
    ///
    /// Given the number of positives k, one of them has the feature with probability `b = ψs / (ψs + 1 − s)` (Fisher's
    /// noncentral hypergeometric distribution while positives are few among examples), so that the number is at most
    /// binomial.
    pub(super) fn tail(&self, odds: f64, share: f64) -> f64 {
        let own = (f64::from(self.with) + PRIOR_EXAMPLES * share) / (f64::from(self.examples) + PRIOR_EXAMPLES);
        let chance = odds * own / (odds * own + 1.0 - own);
        binomial_tail(self.hits, self.positives, chance)
    }
}

/// `Pr(X ≥ hits)` for `X ~ Binomial(of, chance)`.
pub(super) fn binomial_tail(hits: u32, of: u32, chance: f64) -> f64 {
    if hits == 0 || chance >= 1.0 {
        return 1.0;
    }
    if hits > of || chance <= 0.0 {
        return 0.0;
    }
    beta_reg(f64::from(hits), f64::from(of - hits) + 1.0, chance)
}

/// One unit with positives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// Positives so far, those taken back left out.
    pub(crate) positives: u32,
    /// Number of the positive that came last, over all units: the oldest gives way.
    pub(crate) touched: u64,
    /// Sorted by feature.
    pub(crate) counters: Vec<Counter>,
    /// What it is suspected of, sorted; empty while it is believed.
    pub(crate) charges: Vec<u32>,
}

impl Summary {
    /// Counts an example with `features` (sorted).
    pub(super) fn see(&mut self, features: &[u32], positive: bool) {
        for counter in &mut self.counters {
            let has = u32::from(features.binary_search(&counter.feature).is_ok());
            counter.examples = counter.examples.saturating_add(1);
            counter.with = counter.with.saturating_add(has);
            if positive {
                counter.positives = counter.positives.saturating_add(1);
                counter.hits = counter.hits.saturating_add(has);
            }
        }
        self.positives = self.positives.saturating_add(u32::from(positive));
    }

    /// The label of an example that was counted is another now.
    pub(super) fn relabel(&mut self, features: &[u32], positive: bool) {
        let step = |count: u32, by: u32| if positive { count.saturating_add(by) } else { count.saturating_sub(by) };
        for counter in &mut self.counters {
            let has = u32::from(features.binary_search(&counter.feature).is_ok());
            (counter.positives, counter.hits) = (step(counter.positives, 1), step(counter.hits, has));
        }
        self.positives = step(self.positives, 1);
    }

    /// Counts these features from now on, the most wanted first: those with the fewest hits give way, but none with
    /// more than one.
    pub(super) fn follow(&mut self, wanted: &[u32]) {
        let is_known = |feature: &&u32| self.counters.binary_search_by_key(*feature, |c| c.feature).is_err();
        let mut new: Vec<u32> = wanted.iter().filter(is_known).copied().collect();
        let mut weak: Vec<(u32, std::cmp::Reverse<u32>, u32)> = self
            .counters
            .iter()
            .filter(|c| c.hits <= 1)
            .map(|c| (c.hits, std::cmp::Reverse(c.positives), c.feature))
            .collect();
        weak.sort_unstable();
        let free = COUNTERS - self.counters.len();
        // At most half of the table per positive, so that one long response does not push out all others.
        new.truncate((free + weak.len()).min(free.max(COUNTERS / 2)));
        let mut out: Vec<u32> =
            weak.into_iter().take(new.len().saturating_sub(free)).map(|(_, _, feature)| feature).collect();
        out.sort_unstable();
        self.counters.retain(|c| out.binary_search(&c.feature).is_err());
        self.counters.extend(new.into_iter().map(Counter::new));
        self.counters.sort_unstable_by_key(|c| c.feature);
    }
}
