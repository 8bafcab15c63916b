//! Tests at a horizon fixed beforehand.

use plaudit_experiment::stats::{self, Proportions, Sample, Successes};

use super::harness::{Case, Check, Tolerance, counts, floats};

/// What this area checks.
pub(crate) const CHECKS: &[Check] = &[
    Check { file: "welch_t", case: welch_t },
    Check { file: "srm_chi2", case: srm_chi2 },
    Check { file: "proportions", case: proportions },
    Check { file: "power", case: power },
];

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
    if out["p_binom"].is_number() {
        let exact = stats::srm_binomial(&counts(&case.inp["counts"]), &floats(&case.inp["weights"]));
        case.near("binomial p", exact.expect("two variants"), &out["p_binom"]);
    }
}

fn proportions(case: &mut Case) {
    let arm = |arm: &str| Successes { hits: case.count(&format!("x_{arm}")), units: case.count(&format!("n_{arm}")) };
    let treatment = arm("t");
    let test = Proportions::new(treatment, arm("c")).expect("units");
    let out = case.out;
    let (z, p) = test.pooled_z().expect("some units have the outcome");
    case.near("z", z, &out["z_pooled"]);
    case.near("p", p, &out["p_pooled"]);
    case.near("Fisher", test.fisher(), &out["fisher_p"]);
    let intervals = [
        ("ci95_diff_wald", Some(test.wald(0.05))),
        ("ci95_diff_agresti-caffo", Some(test.agresti_caffo(0.05))),
        ("ci95_diff_newcomb", test.newcombe(0.05)),
        ("ci95_ratio_log", test.log_ratio(0.05)),
        ("ci95_ratio_log-adjusted", Some(test.log_ratio_adjusted(0.05))),
        ("ci95_t_wilson", treatment.wilson(0.05)),
        ("ci95_t_jeffreys", treatment.jeffreys(0.05)),
        ("ci95_t_beta", treatment.clopper_pearson(0.05)),
        ("ci95_t_agresti_coull", treatment.agresti_coull(0.05)),
    ];
    for (key, got) in intervals {
        if let Some(want) = out.get(key).filter(|want| want.is_array()) {
            case.interval(key, got.expect("the reference has one"), want);
        }
    }
    if out.get("ci95_ratio_score").is_some_and(serde_json::Value::is_array) {
        // The reference finds it by a search that stops early, and says how early.
        let (got, want) = (test.score_ratio(0.05).expect("hits"), &out["ci95_ratio_score"]);
        case.near_within("score ratio lower", (got.0, &want[0]), Tolerance::Relative(1e-6));
        case.near_within("score ratio upper", (got.1, &want[1]), Tolerance::Relative(1e-6));
    }
    if out["barnard_p"].is_number() {
        let p = test.barnard().expect("few units");
        case.near_within("Barnard", (p, &out["barnard_p"]), Tolerance::Relative(1e-4));
    }
}

fn power(case: &mut Case) {
    let (power, alpha) = (case.number("power"), case.number("alpha"));
    let out = case.out;
    if case.inp.get("p_c").is_some() {
        let rates = (case.number("p_c"), case.number("p_t"));
        case.near("h", stats::cohen_h(rates.1, rates.0), &out["cohen_h"]);
        case.near("arcsine", stats::units_per_arm_arcsine(rates, alpha, power), &out["n_per_arm_arcsine"]);
        case.near("pooled", stats::units_per_arm_pooled(rates, alpha, power), &out["n_per_arm_pooled"]);
        let lift = rates.1 / rates.0 - 1.0;
        case.near("unpooled", stats::units_per_arm(rates.0, lift, alpha, power), &out["n_per_arm_unpooled"]);
    } else {
        let ratio = case.number("ratio_t_over_c");
        let got = stats::units_of_t_test(case.number("effect_sd"), ratio, alpha, power).expect("an effect");
        case.near("t test", got, &out["n_c_ttest"]);
    }
}
