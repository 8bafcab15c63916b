//! Agreement with obp 0.5.7.

use serde_json::Value;

use super::super::*;

const TOLERANCE: f64 = 1e-9;

fn cases(name: &str) -> Vec<Value> {
    let path = format!("{}/tests/oracles/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(file["rel_tol"].as_f64(), Some(TOLERANCE));
    file["cases"].as_array().unwrap().clone()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn assert_close(name: &str, got: f64, want: &Value) {
    let want = want.as_f64().unwrap_or_else(|| panic!("no {name}"));
    assert!((got - want).abs() <= TOLERANCE * want.abs().max(got.abs()), "{name}: {got} {want}");
}

fn sample(inp: &Value) -> Sample {
    let rewards = numbers(&inp["reward"]);
    let row = |index: usize| {
        let (behavior, evaluation) = (numbers(&inp["pi_b"][index]), numbers(&inp["pi_e"][index]));
        let values = numbers(&inp["q_hat"][index]);
        let action = inp["action"][index].as_u64().unwrap() as usize;
        let of = Candidates { behavior: &behavior, evaluation: &evaluation, values: Some(&values), action };
        Row::from_candidates(index, index as u64, rewards[index], &of).unwrap()
    };
    Sample::new((0..rewards.len()).map(row).collect()).unwrap()
}

#[test]
fn every_estimator_agrees() {
    let all = [
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
    ];
    let (cases, mut replays, mut bounds) = (cases("ope"), 0, 0);
    assert_eq!(cases.len(), 10);
    for case in cases {
        let (sample, out) = (sample(&case["inp"]), &case["out"]);
        for (name, estimator) in all {
            assert_close(name, sample.evaluate(estimator).unwrap().value, &out[name]);
        }
        if out.get("replay").is_some() {
            assert_close("replay", sample.evaluate(Estimator::Replay).unwrap().value, &out["replay"]);
            replays += 1;
        }
        assert_close(
            "se_snips_delta",
            sample.evaluate(Estimator::Snips).unwrap().standard_error,
            &out["se_snips_delta"],
        );
        let n = sample.rows().len() as f64;
        let unbiased = (n / (n - 1.0)).sqrt();
        assert_close("se_ips", sample.evaluate(Estimator::Ips).unwrap().standard_error * unbiased, &out["se_ips"]);
        let diagnostics = sample.diagnostics();
        assert_close("ess", diagnostics.effective_rows, &out["ess"]);
        assert_close("mean_w", diagnostics.mean_weight, &out["mean_w"]);
        assert_close("max_w", diagnostics.max_weight, &out["max_w"]);
        assert_close("bias_ub_clip2", sample.clipping_bias(2.0, 0.05).unwrap(), &out["bias_ub_clip2"]);
        if let Some(width) = out["x_max"].as_f64() {
            let scores = sample.scores(Estimator::Ips).unwrap();
            assert_close("lb_hoeffding", hoeffding(&scores, width, 0.05).unwrap(), &out["lb_hoeffding"]);
            assert_close(
                "lb_emp_bernstein",
                empirical_bernstein(&scores, width, 0.05).unwrap(),
                &out["lb_emp_bernstein"],
            );
            assert_close("lb_student_t", student_t(&scores, 0.05).unwrap(), &out["lb_student_t"]);
            bounds += 1;
        }
    }
    assert_eq!((replays, bounds), (1, 5));
}

fn slates(inp: &Value) -> SlateSample {
    let length = inp["len_list"].as_u64().unwrap() as usize;
    let (actions, rewards) = (numbers(&inp["action"]), numbers(&inp["reward"]));
    let policies = |name: &str| -> Vec<PlackettLuce> {
        let scores = inp[name].as_array().unwrap();
        scores.iter().map(|scores| PlackettLuce::new(&numbers(scores)).unwrap()).collect()
    };
    let rows = policies("score_b").into_iter().zip(policies("score_e")).enumerate();
    let row = |(index, (behavior, evaluation)): (usize, (PlackettLuce, PlackettLuce))| {
        let start = index * length;
        let ranking: Vec<usize> = actions[start..start + length].iter().map(|action| *action as usize).collect();
        let (prefix_b, prefix_e) = (behavior.prefixes(&ranking), evaluation.prefixes(&ranking));
        let (marginal_b, marginal_e) = (behavior.marginals(length), evaluation.marginals(length));
        let slot = |place: usize| {
            let item = ranking[place];
            let values = numbers(&inp["q_hat"][start + place]);
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
    SlateSample::new(rows.map(row).collect()).unwrap()
}

#[test]
fn every_slate_estimator_agrees() {
    let all = [
        ("sips", SlateEstimator::Sips),
        ("iips", SlateEstimator::Iips),
        ("rips", SlateEstimator::Rips),
        ("snsips", SlateEstimator::Snsips),
        ("sniips", SlateEstimator::Sniips),
        ("snrips", SlateEstimator::Snrips),
        ("cascade_dr", SlateEstimator::CascadeDr),
    ];
    let cases = cases("ope_slate");
    assert_eq!(cases.len(), 8);
    for case in cases {
        let sample = slates(&case["inp"]);
        for (name, estimator) in all {
            assert_close(name, sample.evaluate(estimator).unwrap().value, &case["out"][name]);
        }
    }
}
