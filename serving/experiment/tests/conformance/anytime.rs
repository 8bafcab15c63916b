//! Tests that may be watched.

use plaudit_experiment::stats::{
    self, Boundary, LineSums, Mixture, Msprt, Prior, SequentialSrm, Spending, SuccessArms, Votes,
};

use super::harness::{Case, Check, Tolerance, counts, float, floats};

/// What this area checks.
pub(crate) const CHECKS: &[Check] = &[
    Check { file: "asymp_cs", case: asymp_cs },
    Check { file: "srm_sequential", case: srm_sequential },
    Check { file: "msprt", case: msprt },
    Check { file: "inhomogeneous_bernoulli", case: conversions },
    Check { file: "confseq_boundaries", case: boundaries },
    Check { file: "confseq_log_mixture", case: log_mixtures },
    Check { file: "bernoulli_cs", case: bernoulli },
    Check { file: "group_sequential", case: group_sequential },
    Check { file: "anytime_regression", case: regression },
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

fn boundaries(case: &mut Case) {
    let (v, alpha) = (case.number("v"), case.number("alpha"));
    let (c, g, h) = (case.number("c"), case.number("g"), case.number("h"));
    let mixtures = [
        ("normal_two", Mixture::NormalTwoSided),
        ("normal_one", Mixture::NormalOneSided),
        ("gamma_exp", Mixture::GammaExponential(c)),
        ("gamma_poisson", Mixture::GammaPoisson(c)),
        ("beta_binomial_one", Mixture::BetaBinomialOneSided(g, h)),
    ];
    for (key, mixture) in mixtures {
        let boundary = Boundary::new(mixture, case.number("v_opt"), case.number("alpha_opt"));
        case.near(key, boundary.at(v, alpha), &case.out[key]);
    }
    let stitched = stats::poly_stitching(v, alpha, case.number("v_min"), c);
    case.near("poly_stitching", stitched, &case.out["poly_stitching"]);
}

fn log_mixtures(case: &mut Case) {
    let (s, v) = (case.number("s"), case.number("v"));
    let mixtures = [
        ("normal_two", Mixture::NormalTwoSided),
        ("normal_one", Mixture::NormalOneSided),
        ("gamma_exp", Mixture::GammaExponential(case.number("c"))),
        ("beta_binomial_one", Mixture::BetaBinomialOneSided(case.number("g"), case.number("h"))),
        ("beta_binomial_two", Mixture::BetaBinomialTwoSided(case.number("g"), case.number("h"))),
    ];
    for (key, mixture) in mixtures {
        let boundary = Boundary::new(mixture, case.number("v_opt"), case.number("alpha_opt"));
        // The beta-binomial is undefined where the sum is beyond its range; the file leaves it out there.
        if let Some(want) = case.out.get(key).filter(|want| want.is_number()) {
            case.near(key, boundary.log_mixture(s, v), want);
        }
    }
}

fn bernoulli(case: &mut Case) {
    let (successes, trials) = (case.count("successes"), case.count("trials"));
    let got = stats::bernoulli_sequence(successes, trials, case.number("alpha"), case.number("t_opt"));
    case.interval("interval", got, &case.out["ci"]);
}

fn group_sequential(case: &mut Case) {
    let spending = match case.inp["spending"].as_str().expect("a name") {
        "lan_demets_obf" => Spending::OBrienFleming,
        "lan_demets_pocock" => Spending::Pocock,
        name => Spending::Power(name.strip_prefix("power_").expect("a power").parse().expect("a number")),
    };
    let (looks, alpha) = (floats(&case.inp["information"]), case.number("one_sided_alpha"));
    let got = stats::group_sequential(&looks, alpha, spending).expect("information increases");
    for (look, t) in looks.iter().enumerate() {
        case.near("spent", spending.spent(alpha, *t), &case.out["cum_alpha"][look]);
        // The reference rounds 1 − Φ to 2.2e-16; at the boundary that is this much in z.
        let density = (-got[look] * got[look] / 2.0).exp() / std::f64::consts::TAU.sqrt();
        let tolerance = Tolerance::Absolute(f64::max(1e-5, 2.3e-16 / density));
        case.near_within("boundary", (got[look], &case.out["z_upper"][look]), tolerance);
    }
}

fn regression(case: &mut Case) {
    let rows: Vec<Vec<f64>> = case.inp["rows_y_t"].as_array().expect("rows").iter().map(floats).collect();
    let looks = case.out.as_array().expect("looks").clone();
    for want in &looks {
        let mut sums = LineSums::default();
        let n = usize::try_from(want["n"].as_u64().expect("a count")).expect("a count");
        for row in &rows[..n] {
            sums.add(row[0], row[1]);
        }
        let got = sums.coefficients(case.number("phi"), case.number("alpha")).expect("the covariate varies");
        for (index, coefficient) in got.iter().enumerate() {
            // The reference starts from a prior precision of 1e-6 where there is none here.
            let near_zero = Tolerance::Absolute(1e-6);
            let is_small = float(&want["beta"][index]).abs() < 1e-2;
            let tolerance = if is_small { near_zero } else { case.tolerance };
            case.near_within("estimate", (coefficient.estimate, &want["beta"][index]), tolerance);
            case.near("p", (-coefficient.log_e).exp(), &want["p"][index]);
            case.interval("interval", coefficient.interval, &want["ci"][index]);
        }
    }
}
