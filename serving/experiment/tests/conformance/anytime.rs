//! Tests that may be watched.

use plaudit_experiment::stats::{self, Msprt, Prior, SequentialSrm, SuccessArms, Votes};

use super::harness::{Case, Check, counts, float, floats};

/// What this area checks.
pub(crate) const CHECKS: &[Check] = &[
    Check { file: "asymp_cs", case: asymp_cs },
    Check { file: "srm_sequential", case: srm_sequential },
    Check { file: "msprt", case: msprt },
    Check { file: "inhomogeneous_bernoulli", case: conversions },
];

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

fn msprt(case: &mut Case) {
    let test = Msprt {
        difference: case.number("diff"),
        variance: 2.0 * case.number("sigma2_per_obs") / case.number("n_per_arm"),
        tau_squared: case.number("tau2"),
    };
    let out = case.out;
    case.near("log Λ", test.log_ratio().expect("a variance"), &out["log_lambda"]);
    case.near("p", test.p().expect("a variance"), &out["p_always_valid"]);
    let interval = test.interval(case.number("alpha")).expect("a variance");
    case.interval("interval", (interval.lower, interval.upper), &out["ci"]);
}

fn conversions(case: &mut Case) {
    // The reference uses its default level, 5 %.
    let share = floats(&case.inp["assignment"])[1];
    let prior = Prior::Beta { strength: case.number("k") };
    let batches = case.inp["conversion_batches"].as_array().expect("batches").clone();
    let (mut control, mut treatment) = (0, 0);
    for (look, batch) in batches.iter().enumerate() {
        let batch = counts(batch);
        control += batch[0];
        treatment += batch[1];
        let arms = SuccessArms::from_votes(&[Votes { share, treatment, control }]).expect("a share");
        let want = &case.out[look];
        let log_e = arms.log_e(&prior, 0.0);
        case.near_within("log odds", (log_e, &float(&want["odds"]).ln().into()), case.tolerance);
        let interval = arms.log_ratio_sequence(&prior, 0.05);
        case.near("estimate", interval.value, &want["estimate"]);
        case.interval("interval", (interval.lower, interval.upper), &want["log_rate_ratio_ci"]);
    }
}
