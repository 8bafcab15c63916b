//! Tests at a horizon fixed beforehand.

use plaudit_experiment::stats::{self, Sample};

use super::harness::{Case, Check, counts, floats};

/// What this area checks.
pub(crate) const CHECKS: &[Check] =
    &[Check { file: "welch_t", case: welch_t }, Check { file: "srm_chi2", case: srm_chi2 }];

fn welch_t(case: &mut Case) {
    let sample = |arm: &str| Sample {
        mean: case.number(&format!("mean_{arm}")),
        sd: case.number(&format!("sd_{arm}")),
        units: case.count(&format!("n_{arm}")),
    };
    let test = stats::welch(&sample("t"), &sample("c")).expect("the arms vary");
    let out = case.out;
    case.near("diff", test.difference, &out["diff"]);
    case.near("se", test.standard_error, &out["se"]);
    case.near("df", test.df, &out["df"]);
    case.near("t", test.t, &out["t"]);
    case.near("p", test.p(), &out["p_two_sided"]);
    case.near("p greater", test.p_greater(), &out["p_greater"]);
    case.interval("interval", test.interval(0.05), &out["ci95"]);
}

fn srm_chi2(case: &mut Case) {
    let got = stats::srm_chi2(&counts(&case.inp["counts"]), &floats(&case.inp["weights"])).expect("two variants");
    let out = case.out;
    case.near("chi2", got.chi2, &out["chi2"]);
    case.near("p", got.p, &out["p"]);
    case.near("df", f64::from(got.df), &out["df"]);
}
