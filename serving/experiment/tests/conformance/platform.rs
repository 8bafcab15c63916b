//! What a known platform computes from the same sums.

use plaudit_experiment::stats::{
    self, Alternative, ClusteredQuantile, Correction, CovariateMoments, Effect, EffectPrior, Estimate,
    RatioCovariateMoments, RatioMoments, Test,
};
use serde_json::Value;

use super::harness::{Case, Check, Tolerance, float, floats};

/// What this area checks.
pub(crate) const CHECKS: &[Check] = &[
    Check { file: "gb_mean", case: gb_mean },
    Check { file: "gb_ratio", case: gb_ratio },
    Check { file: "gb_cuped", case: gb_cuped },
    Check { file: "gb_cuped_ratio", case: gb_cuped_ratio },
    Check { file: "gb_quantile_clustered", case: gb_quantile },
    Check { file: "gb_bayes", case: gb_bayes },
    Check { file: "multiple_testing", case: multiple_testing },
];

fn mean(value: &Value) -> Estimate {
    let units = value["n"].as_u64().expect("a count");
    let sums = [float(&value["sum"]), float(&value["sum_squares"]), units as f64, units as f64, float(&value["sum"])];
    RatioMoments::from_sums(units, sums).estimate().expect("the arm has units")
}

fn compare(case: &mut Case, (absolute, relative): (Effect, Effect)) {
    let alpha = float(&case.file["alpha"]);
    for (kind, effect) in [("absolute", absolute), ("relative", relative)] {
        let fixed = |side| effect.fixed(side, alpha);
        let watched = |side, horizon| effect.sequential(side, alpha, horizon);
        test(case, &format!("t_two_sided_{kind}"), &effect, fixed(Alternative::TwoSided));
        test(case, &format!("t_greater_{kind}"), &effect, fixed(Alternative::Greater));
        test(case, &format!("t_lesser_{kind}"), &effect, fixed(Alternative::Lesser));
        test(case, &format!("seq_two_sided_{kind}_N5000"), &effect, watched(Alternative::TwoSided, 5000.0));
        test(case, &format!("seq_two_sided_{kind}_N500"), &effect, watched(Alternative::TwoSided, 500.0));
        test(case, &format!("seq_lesser_{kind}_N500"), &effect, watched(Alternative::Lesser, 500.0));
    }
}

fn test(case: &mut Case, key: &str, effect: &Effect, got: Test) {
    let want = &case.out[key];
    case.near(key, effect.value, &want["expected"]);
    case.near(key, effect.standard_error, &want["sd"]);
    case.interval(key, (got.lower, got.upper), &want["ci"]);
    // The reference finds this p-value by bisection to four digits.
    if key.starts_with("seq_lesser") {
        case.near_within(key, (got.p, &want["p"]), Tolerance::Absolute(1e-4));
    } else {
        case.near_p(key, got.p, &want["p"]);
    }
}

fn both(treatment: &Estimate, control: &Estimate) -> (Effect, Effect) {
    let absolute = Effect::absolute(treatment, control).expect("the arms vary");
    (absolute, Effect::relative(treatment, control).expect("the control is not zero"))
}

fn gb_mean(case: &mut Case) {
    let effects = both(&mean(&case.inp["treatment"]), &mean(&case.inp["control"]));
    compare(case, effects);
}

fn gb_ratio(case: &mut Case) {
    let arm = |value: &Value| {
        let sums = [
            float(&value["num"]["sum"]),
            float(&value["num"]["sum_squares"]),
            float(&value["den"]["sum"]),
            float(&value["den"]["sum_squares"]),
            float(&value["num_den_sum_of_products"]),
        ];
        RatioMoments::from_sums(value["n"].as_u64().expect("a count"), sums).estimate().expect("units")
    };
    let (treatment, control) = (arm(&case.inp["treatment"]), arm(&case.inp["control"]));
    let out = case.out;
    case.near("variance", treatment.variance, &out["var_t"]);
    case.near("variance", control.variance, &out["var_c"]);
    compare(case, both(&treatment, &control));
}

fn gb_cuped(case: &mut Case) {
    let arm = |value: &Value| CovariateMoments {
        units: value["post"]["n"].as_u64().expect("a count"),
        post: float(&value["post"]["sum"]),
        post_squared: float(&value["post"]["sum_squares"]),
        pre: float(&value["pre"]["sum"]),
        pre_squared: float(&value["pre"]["sum_squares"]),
        product: float(&value["post_pre_sum_of_products"]),
    };
    let (treatment, control) = (arm(&case.inp["treatment"]), arm(&case.inp["control"]));
    let adjusted = stats::cuped(&treatment, &control).expect("units");
    let out = case.out;
    case.near("theta", adjusted.theta, &out["theta"]);
    case.near("mean", adjusted.control.mean, &out["adj_mean_c"]);
    case.near("variance", adjusted.treatment.variance, &out["adj_var_t"]);
    let absolute = adjusted.absolute().expect("the arms vary");
    let relative = adjusted.relative().expect("a base");
    compare(case, (absolute, relative));
}

fn gb_cuped_ratio(case: &mut Case) {
    const NAMES: [&str; 4] = ["num", "den", "nump", "denp"];
    let arm = |value: &Value| {
        let product = |row: usize, column: usize| {
            let (first, second) = (row.min(column), row.max(column));
            float(&value[format!("sum_{}_{}", NAMES[first], NAMES[second])])
        };
        RatioCovariateMoments {
            units: value["n"].as_u64().expect("a count"),
            sums: NAMES.map(|name| float(&value[format!("sum_{name}")])),
            products: std::array::from_fn(|row| std::array::from_fn(|column| product(row, column))),
        }
    };
    let (treatment, control) = (arm(&case.inp["treatment"]), arm(&case.inp["control"]));
    let adjusted = stats::cuped_ratio(&treatment, &control).expect("units");
    case.near("theta", adjusted.theta, &case.out["theta"]);
    let absolute = adjusted.absolute().expect("the arms vary");
    let relative = adjusted.relative().expect("a base");
    compare(case, (absolute, relative));
}

fn gb_quantile(case: &mut Case) {
    let alpha = float(&case.file["alpha"]);
    let arm = |value: &Value| {
        let number = |key: &str| float(&value[key]);
        let sums = [
            number("main_sum"),
            number("main_sum_squares"),
            number("denominator_sum"),
            number("denominator_sum_squares"),
            number("main_denominator_sum_product"),
        ];
        ClusteredQuantile {
            events: value["n"].as_u64().expect("a count"),
            sampled: value["n_star"].as_u64().expect("a count"),
            nu: number("nu"),
            quantile: number("quantile_hat"),
            ends: (number("quantile_lower"), number("quantile_upper")),
            below: RatioMoments::from_sums(value["n_clusters"].as_u64().expect("a count"), sums),
        }
    };
    let (treatment, control) = (arm(&case.inp["treatment"]), arm(&case.inp["control"]));
    let out = case.out;
    let independent = treatment.independent_variance(alpha).expect("events");
    case.near("independent", independent, &out["var_iid_treatment"]);
    let (treatment, control) = (treatment.estimate(alpha).expect("units"), control.estimate(alpha).expect("units"));
    case.near("variance", treatment.variance, &out["var_clustered_treatment"]);
    case.near("variance", control.variance, &out["var_clustered_control"]);
    let (absolute, relative) = both(&treatment, &control);
    test(case, "abs", &absolute, absolute.fixed(Alternative::TwoSided, alpha));
    test(case, "rel", &relative, relative.fixed(Alternative::TwoSided, alpha));
}

fn gb_bayes(case: &mut Case) {
    let (treatment, control) = (mean(&case.inp["treatment"]), mean(&case.inp["control"]));
    let (absolute, relative) = both(&treatment, &control);
    let prior = |sd: f64| Some(EffectPrior { mean: 0.0, sd });
    let variants = [
        ("absolute_flat", absolute, None),
        ("absolute_n0_0.3", absolute, prior(0.3 * control.mean.abs())),
        ("relative_flat", relative, None),
        ("relative_n0_0.3", relative, prior(0.3)),
    ];
    for (key, effect, prior) in variants {
        let got = stats::posterior(&effect, prior);
        let want = &case.out[key];
        case.near(key, got.mean, &want["expected"]);
        case.near(key, got.sd, &want["sd"]);
        case.near(key, got.chance_to_win, &want["chance_to_win"]);
        case.near(key, got.risk_control, &want["risk"][0]);
        case.near(key, got.risk_treatment, &want["risk"][1]);
        case.interval(key, got.interval(float(&case.file["alpha"])), &want["ci"]);
    }
}

fn multiple_testing(case: &mut Case) {
    let (p, alpha) = (floats(&case.inp["p"]), case.number("alpha"));
    let corrections = [
        ("bonferroni", Correction::Bonferroni),
        ("sidak", Correction::Sidak),
        ("holm", Correction::Holm),
        ("holm-sidak", Correction::HolmSidak),
        ("simes-hochberg", Correction::Hochberg),
        ("hommel", Correction::Hommel),
        ("fdr_bh", Correction::BenjaminiHochberg),
        ("fdr_by", Correction::BenjaminiYekutieli),
        ("fdr_tsbh", Correction::TwoStage { alpha }),
    ];
    let flags = |value: &Value| -> Vec<bool> {
        value.as_array().expect("flags").iter().map(|flag| flag.as_bool().expect("a flag")).collect()
    };
    for (key, correction) in corrections {
        let got = stats::adjust(&p, correction);
        for (index, value) in got.iter().enumerate() {
            case.near(key, *value, &case.out[key]["p_adj"][index]);
        }
        let rejected: Vec<bool> = got.iter().map(|value| *value <= alpha).collect();
        case.same(key, &rejected, &flags(&case.out[key]["reject"]));
    }
    let got = stats::e_bh(&floats(&case.out["e_bh"]["e"]), alpha);
    case.same("e-BH", &got, &flags(&case.out["e_bh"]["reject"]));
}
