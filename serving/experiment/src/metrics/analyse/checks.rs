//! Whether the data can be trusted.

use super::super::aggregate::Aggregates;
use super::super::report::{ReportWarning, Srm};
use super::Reading;
use crate::stats::{srm_log_odds, srm_once};

/// How close the alternative sits to the promised proportions.
const CONCENTRATION: f64 = 100.0;

/// All phases together (their odds multiply), then each.
pub(super) fn srm(aggregates: &Aggregates) -> Vec<Srm> {
    let mut total = 0.0;
    let mut phases = Vec::new();
    for stratum in &aggregates.strata {
        let counts: Vec<u64> = stratum.arms.iter().map(|arm| arm.cells[0].units).collect();
        let log_odds = srm_log_odds(&counts, &stratum.weights, CONCENTRATION).unwrap_or(0.0);
        total += log_odds;
        phases.push(Srm {
            phase: Some(stratum.phase),
            chi2: srm_once(&counts, &stratum.weights),
            counts,
            weights: stratum.weights.clone(),
            p: (-log_odds).exp().min(1.0),
        });
    }
    let p = (-total).exp().min(1.0);
    let mut all = vec![Srm { phase: None, counts: aggregates.units(), weights: Vec::new(), chi2: None, p }];
    all.append(&mut phases);
    all
}

pub(super) fn warnings(aggregates: &Aggregates, srm: &[Srm], reading: &Reading) -> Vec<ReportWarning> {
    let mut warnings = Vec::new();
    let units: u64 = aggregates.units().iter().sum();
    if units == 0 {
        warnings.push(ReportWarning::NoUnits);
    }
    // Bonferroni over the phases and their product keeps the level of the alarm.
    let level = reading.srm_alpha / srm.len() as f64;
    let alarms = srm.iter().filter(|check| check.p <= level);
    warnings.extend(alarms.map(|check| ReportWarning::SampleRatioMismatch { phase: check.phase, p: check.p }));
    if aggregates.multiple > 0 {
        let share = aggregates.multiple as f64 / (units + aggregates.multiple) as f64;
        let is_alarm = share > reading.most_multiple;
        warnings.push(ReportWarning::MultipleExposure { units: aggregates.multiple, share, is_alarm });
    }
    let ignored = &aggregates.ignored;
    let counted = [
        (ignored.backwards, ReportWarning::ClockWentBackwards { events: ignored.backwards }),
        (ignored.unknown_variants, ReportWarning::UnknownVariants { events: ignored.unknown_variants }),
        (ignored.not_numbers, ReportWarning::NotNumbers { events: ignored.not_numbers }),
        (ignored.beyond_limit, ReportWarning::BeyondLimit { events: ignored.beyond_limit }),
    ];
    warnings.extend(counted.into_iter().filter(|(events, _)| *events > 0).map(|(_, warning)| warning));
    warnings
}
