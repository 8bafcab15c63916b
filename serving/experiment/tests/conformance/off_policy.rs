//! Off-policy evaluation.

use plaudit_experiment::off_policy::{
    Candidates, Estimator, Model, PlackettLuce, Row, Sample, SlateEstimator, SlateRow, SlateSample, Slot,
    empirical_bernstein, hoeffding, student_t,
};
use serde_json::Value;

use super::harness::{Case, Check, floats};

/// What this area checks.
pub(crate) const CHECKS: &[Check] =
    &[Check { file: "ope", case: estimators }, Check { file: "ope_slate", case: slate_estimators }];

const ESTIMATORS: [(&str, Estimator); 13] = [
    ("ips", Estimator::Ips),
    ("ips_clip2", Estimator::ClippedIps(2.0)),
    ("snips", Estimator::Snips),
    ("dm", Estimator::Dm),
    ("dr", Estimator::Dr),
    ("dr_clip2", Estimator::ClippedDr(2.0)),
    ("sndr", Estimator::Sndr),
    ("switch_dr_2", Estimator::SwitchDr(2.0)),
    ("switch_dr_1", Estimator::SwitchDr(1.0)),
    ("drs_lambda5", Estimator::DrOs(5.0)),
    ("sg_ips_05", Estimator::SubGaussianIps(0.05)),
    ("sg_dr_05", Estimator::SubGaussianDr(0.05)),
    ("replay", Estimator::Replay),
];

fn sample(inp: &Value) -> Sample {
    let rewards = floats(&inp["reward"]);
    let row = |index: usize| {
        let (behavior, evaluation) = (floats(&inp["pi_b"][index]), floats(&inp["pi_e"][index]));
        let values = floats(&inp["q_hat"][index]);
        let action = inp["action"][index].as_u64().expect("an action") as usize;
        let of = Candidates { behavior: &behavior, evaluation: &evaluation, values: Some(&values), action };
        Row::from_candidates(index, index as u64, rewards[index], &of).expect("candidates fit")
    };
    Sample::new((0..rewards.len()).map(row).collect()).expect("rows in range")
}

fn estimators(case: &mut Case) {
    let (sample, out) = (sample(case.inp), case.out);
    for (name, estimator) in ESTIMATORS {
        if !out[name].is_null() {
            case.near(name, sample.evaluate(estimator).expect("a value").value, &out[name]);
        }
    }
    let error = |estimator| sample.evaluate(estimator).expect("a value").standard_error;
    case.near("se_snips_delta", error(Estimator::Snips), &out["se_snips_delta"]);
    let n = sample.rows().len() as f64;
    // The reference divides by n − 1, the delta method by n.
    case.near("se_ips", error(Estimator::Ips) * (n / (n - 1.0)).sqrt(), &out["se_ips"]);
    let diagnostics = sample.diagnostics();
    case.near("ess", diagnostics.effective_rows, &out["ess"]);
    case.near("mean_w", diagnostics.mean_weight, &out["mean_w"]);
    case.near("max_w", diagnostics.max_weight, &out["max_w"]);
    case.near("bias_ub_clip2", sample.clipping_bias(2.0, 0.05).expect("a bound"), &out["bias_ub_clip2"]);
    if let Some(width) = out["x_max"].as_f64() {
        let scores = sample.scores(Estimator::Ips).expect("scores");
        case.near("lb_hoeffding", hoeffding(&scores, width, 0.05).expect("a bound"), &out["lb_hoeffding"]);
        let bernstein = empirical_bernstein(&scores, width, 0.05).expect("a bound");
        case.near("lb_emp_bernstein", bernstein, &out["lb_emp_bernstein"]);
        case.near("lb_student_t", student_t(&scores, 0.05).expect("a bound"), &out["lb_student_t"]);
    }
}

fn slates(inp: &Value) -> SlateSample {
    let length = inp["len_list"].as_u64().expect("a length") as usize;
    let (actions, rewards) = (floats(&inp["action"]), floats(&inp["reward"]));
    let policies = |name: &str| -> Vec<PlackettLuce> {
        let scores = inp[name].as_array().expect("scores");
        scores.iter().map(|scores| PlackettLuce::new(&floats(scores)).expect("finite scores")).collect()
    };
    let rows = policies("score_b").into_iter().zip(policies("score_e")).enumerate();
    let row = |(index, (behavior, evaluation)): (usize, (PlackettLuce, PlackettLuce))| {
        let start = index * length;
        let ranking: Vec<usize> = actions[start..start + length].iter().map(|action| *action as usize).collect();
        let (prefix_b, prefix_e) = (behavior.prefixes(&ranking), evaluation.prefixes(&ranking));
        let (marginal_b, marginal_e) = (behavior.marginals(length), evaluation.marginals(length));
        let slot = |place: usize| {
            let item = ranking[place];
            let values = floats(&inp["q_hat"][start + place]);
            let next = evaluation.next(&ranking[..place]);
            let expected = next.iter().zip(&values).map(|(p, q)| p * q).sum();
            Slot {
                reward: rewards[start + place],
                prefix: (prefix_b[place], prefix_e[place]),
                marginal: (marginal_b[place][item], marginal_e[place][item]),
                model: Some(Model { logged: values[item], expected }),
            }
        };
        SlateRow { unit: index as u64, slots: (0..length).map(slot).collect() }
    };
    SlateSample::new(rows.map(row).collect()).expect("slates in range")
}

fn slate_estimators(case: &mut Case) {
    let (sample, out) = (slates(case.inp), case.out);
    for (name, estimator) in [
        ("sips", SlateEstimator::Sips),
        ("iips", SlateEstimator::Iips),
        ("rips", SlateEstimator::Rips),
        ("snsips", SlateEstimator::Snsips),
        ("sniips", SlateEstimator::Sniips),
        ("snrips", SlateEstimator::Snrips),
        ("cascade_dr", SlateEstimator::CascadeDr),
    ] {
        case.near(name, sample.evaluate(estimator).expect("a value").value, &out[name]);
    }
}
