//! From sums by phase to one estimate per arm.
//!
//! Phases are never pooled: within each phase arms are compared, and both arms get the same weights over the
//! phases, `n_T·n_C / (n_T + n_C)` (Cochran 1954). A base rate that changes over a ramp then cancels. The weights
//! depend on how many units came and not on what they did.

use super::aggregate::{Aggregates, Sums};
use super::config::{Cuped, Kind, MetricConfig, Winsorise};
use super::sample::Sampled;
use crate::stats::special::normal_quantile;
use crate::stats::{
    ClusteredQuantile, CovariateMoments, Estimate, RatioCovariateMoments, RatioMoments, cuped, cuped_ratio,
};

/// Both arms of a comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair {
    pub(super) control: Estimate,
    pub(super) treatment: Estimate,
    /// Weighted mean of θ over the phases, where a covariate was asked for.
    pub(super) theta: Option<f64>,
    /// Share of the units that the numbers come from; below 1 where only a sample is kept.
    pub(super) sampled: f64,
}

/// Both arms in one phase, with θ.
#[derive(Debug, Clone, Copy)]
struct Phase {
    control: Estimate,
    treatment: Estimate,
    theta: Option<f64>,
}

impl Phase {
    fn weight(&self) -> f64 {
        let (control, treatment) = (self.control.units as f64, self.treatment.units as f64);
        control * treatment / (control + treatment)
    }
}

/// A metric in a cell of an experiment, treatment `variant` against the control.
#[derive(Debug, Clone, Copy)]
pub(super) struct Comparison<'a> {
    pub(super) metric: &'a MetricConfig,
    pub(super) index: usize,
    pub(super) aggregates: &'a Aggregates,
    pub(super) cell: usize,
    pub(super) variant: usize,
}

impl<'a> Comparison<'a> {
    /// By phase: the probability of treatment, given treatment or control, with the sums of control and treatment.
    /// A phase in which one of them had none is left out.
    pub(super) fn strata(self) -> impl Iterator<Item = (f64, [&'a Sums; 2])> {
        self.aggregates.strata.iter().filter_map(move |stratum| {
            let (control, treatment) = (stratum.weights[0], stratum.weights[self.variant]);
            let share = treatment / (treatment + control);
            let sums = [0, self.variant].map(|arm| &stratum.arms[arm].cells[self.cell].metrics[self.index]);
            (control > 0.0 && treatment > 0.0).then_some((share, sums))
        })
    }

    /// Units with a value, of control and treatment.
    pub(super) fn units(self) -> [u64; 2] {
        [0, 1].map(|arm| self.strata().map(|(_, sums)| sums[arm].moments.units).sum())
    }

    /// Whether an arm has units and a denominator of zero throughout.
    pub(super) fn divides_by_zero(self) -> bool {
        let total = |arm: usize| self.strata().map(|(_, sums)| sums[arm].moments.sums[1]).sum::<f64>();
        self.metric.kind == Kind::Ratio && [0, 1].into_iter().any(|arm| self.units()[arm] > 0 && total(arm) <= 0.0)
    }

    /// Units of either arm as far as they are kept, by phase.
    pub(super) fn sampled(self) -> impl Iterator<Item = (f64, [Vec<&'a Sampled>; 2])> {
        self.strata().map(|(share, sums)| {
            (share, sums.map(|sums| sums.sample.iter().flat_map(|sample| sample.units()).collect()))
        })
    }

    /// Share of the units that are kept.
    pub(super) fn kept(self) -> f64 {
        let (mut kept, mut all) = (0_u64, 0_u64);
        for (_, sums) in self.strata() {
            for sample in sums.into_iter().filter_map(|sums| sums.sample.as_ref()) {
                kept += sample.units().count() as u64;
                all += sample.seen();
            }
        }
        if all == 0 { 1.0 } else { kept as f64 / all as f64 }
    }

    /// The estimates of both arms. Nothing while no phase has two units in either arm, or without a denominator.
    pub(super) fn pair(self) -> Option<Pair> {
        let mut phases = Vec::new();
        let mut sampled = 1.0;
        match (self.metric.kind, self.metric.winsorise) {
            (Kind::Quantile, _) => {
                sampled = self.kept();
                for (_, arms) in self.sampled() {
                    let of = |arm: usize| quantile_estimate(&arms[arm], self.metric.quantile?);
                    phases.extend(of(0).zip(of(1)).map(|(control, treatment)| Phase {
                        control,
                        treatment,
                        theta: None,
                    }));
                }
            }
            (Kind::Mean, Some(Winsorise::Percentile(percentile))) => {
                sampled = self.kept();
                let limit = self.percentile(percentile)?;
                for (_, arms) in self.sampled() {
                    let moments = arms.map(|units| winsorised(&units, limit));
                    phases.extend(self.estimates(&moments[0], &moments[1]));
                }
            }
            _ => {
                for (_, [control, treatment]) in self.strata() {
                    phases.extend(self.estimates(&control.moments, &treatment.moments));
                }
            }
        }
        combined(&phases).map(|pair| Pair { sampled, ..pair })
    }

    /// The quantile of the kept units' values, both arms and all phases together.
    pub(super) fn percentile(self, percentile: f64) -> Option<f64> {
        let mut values: Vec<f64> = self.sampled().flat_map(|(_, arms)| arms).flatten().map(|unit| unit.value).collect();
        values.sort_by(f64::total_cmp);
        quantile(&values, percentile)
    }

    fn estimates(self, control: &RatioCovariateMoments, treatment: &RatioCovariateMoments) -> Option<Phase> {
        if self.metric.cuped.is_none() {
            return Some(Phase { control: plain(control)?, treatment: plain(treatment)?, theta: None });
        }
        let before = |moments: &RatioCovariateMoments| (moments.sums[2], moments.sums[3]);
        let ((sum_c, below_c), (sum_t, below_t)) = (before(control), before(treatment));
        let is_ratio = self.metric.kind == Kind::Ratio && matches!(self.metric.cuped, Some(Cuped::Days(_)));
        let adjusted = if is_ratio {
            cuped_ratio(treatment, control)?
        } else {
            cuped(&covariate(treatment), &covariate(control))?
        };
        // Back to the scale of the metric: an adjusted mean alone has no meaningful zero.
        let centre = if adjusted.theta == 0.0 { 0.0 } else { adjusted.theta * (sum_c + sum_t) / (below_c + below_t) };
        let back = |estimate: Estimate| Estimate { mean: estimate.mean + centre, ..estimate };
        let (control, treatment) = (back(adjusted.control), back(adjusted.treatment));
        Some(Phase { control, treatment, theta: Some(adjusted.theta) })
    }
}

/// A ratio by the delta method; a mean is a ratio to ones.
fn plain(moments: &RatioCovariateMoments) -> Option<Estimate> {
    let [numerator, denominator, ..] = moments.sums;
    let products = &moments.products;
    let sums = [numerator, products[0][0], denominator, products[1][1], products[0][1]];
    RatioMoments::from_sums(moments.units, sums).estimate()
}

fn covariate(moments: &RatioCovariateMoments) -> CovariateMoments {
    CovariateMoments {
        units: moments.units,
        post: moments.sums[0],
        post_squared: moments.products[0][0],
        pre: moments.sums[2],
        pre_squared: moments.products[2][2],
        product: moments.products[0][2],
    }
}

fn winsorised(units: &[&Sampled], limit: f64) -> RatioCovariateMoments {
    let mut moments = RatioCovariateMoments::default();
    for unit in units {
        moments.add([unit.value.min(limit), 1.0, unit.before, 1.0]);
    }
    moments
}

/// The value at rank ⌈p·n⌉ of sorted values.
fn quantile(sorted: &[f64], p: f64) -> Option<f64> {
    let rank = (p * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied()
}

/// The quantile of the single values with its variance over units.
fn quantile_estimate(units: &[&Sampled], nu: f64) -> Option<Estimate> {
    const ALPHA: f64 = 0.05;
    let mut values: Vec<f64> = units.iter().flat_map(|unit| &unit.events).copied().collect();
    values.sort_by(f64::total_cmp);
    let at = quantile(&values, nu)?;
    let n = values.len() as f64;
    let reach = normal_quantile(1.0 - ALPHA / 2.0) * (nu * (1.0 - nu) / n).sqrt();
    let ends = (quantile(&values, (nu - reach).max(0.0))?, quantile(&values, (nu + reach).min(1.0))?);
    let mut below = RatioMoments::default();
    for unit in units {
        let hits = unit.events.iter().filter(|value| **value <= at).count();
        below.add((hits as f64, unit.events.len() as f64));
    }
    let events = values.len() as u64;
    let clustered = ClusteredQuantile { events, sampled: events, nu, quantile: at, ends, below };
    let error = clustered.estimate(ALPHA)?.squared_error();
    let count = units.len() as u64;
    Some(Estimate { mean: at, variance: error * count as f64, units: count })
}

fn combined(phases: &[Phase]) -> Option<Pair> {
    let total: f64 = phases.iter().map(Phase::weight).sum();
    let arm = |of: fn(&Phase) -> Estimate| {
        let (mut mean, mut error, mut units) = (0.0, 0.0, 0_u64);
        for phase in phases {
            let (estimate, share) = (of(phase), phase.weight() / total);
            mean += share * estimate.mean;
            error += share * share * estimate.squared_error();
            units += estimate.units;
        }
        Estimate { mean, variance: error * units as f64, units }
    };
    let mut theta = None;
    for phase in phases {
        let share = phase.weight() / total;
        theta = phase.theta.map(|of_phase| theta.unwrap_or(0.0) + share * of_phase).or(theta);
    }
    let (control, treatment) = (arm(|phase| phase.control), arm(|phase| phase.treatment));
    (total > 0.0).then_some(Pair { control, treatment, theta, sampled: 1.0 })
}
