//! Tests that may be watched.

use plaudit_experiment::stats::{self, SequentialSrm};

use super::harness::{Case, Check, counts, floats};

/// What this area checks.
pub(crate) const CHECKS: &[Check] =
    &[Check { file: "asymp_cs", case: asymp_cs }, Check { file: "srm_sequential", case: srm_sequential }];

fn asymp_cs(case: &mut Case) {
    let (alpha, rho) = (case.number("alpha"), case.inp["rho"].as_f64());
    let got = stats::asymp_cs(case.number("mean"), case.number("variance"), case.count("count"), alpha, rho);
    let out = case.out;
    case.near("lower", got.lower, &out["lower"]);
    case.near("upper", got.upper, &out["upper"]);
    if rho.is_none() {
        case.near("rho", stats::default_rho(alpha), &out["rho"]);
    }
}

fn srm_sequential(case: &mut Case) {
    let mut srm = SequentialSrm::new(&floats(&case.inp["theta0"]), case.number("concentration_k"));
    let batches = case.inp["count_batches"].as_array().expect("batches").clone();
    let out = case.out;
    let mut least = 1.0_f64;
    for (look, batch) in batches.iter().enumerate() {
        for (index, count) in counts(batch).into_iter().enumerate() {
            for _ in 0..count {
                srm.observe(index);
            }
        }
        let odds = srm.log_odds();
        least = least.min((-odds).exp());
        case.near_log("log odds", odds, &out["log_odds"][look]);
        case.near("running p at the looks", least, &out["running_min_p"][look]);
    }
}
