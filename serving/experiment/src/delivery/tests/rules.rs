use super::support::*;
use crate::delivery::*;
use crate::delivery::{judge, ratio};

fn observe(metric: &str, treatment: Sums, control: Sums) -> Observation {
    let of = |sums: Sums| Arm { units: sums.units, metrics: [(metric.to_owned(), sums)].into() };
    let arms = Pair { treatment: of(treatment), control: of(control) };
    Observation { shadow: None, phases: vec![Phase { step: 0, arms, ..Phase::default() }] }
}

fn verdict(rule: &Rule, treatment: Sums, control: Sums) -> RuleEvidence {
    judge::judge(rule, &observe(&rule.metric, treatment, control), &DeliveryConfig::default(), 0.005)
}

#[test]
fn a_guardrail_has_three_answers_and_a_tripwire_two() {
    let rule = |kind| Rule::new("help", kind, Harm::Lower, Margin::Absolute(0.02));
    let cases = [
        (50_000, 0.65, Verdict::Fail, Verdict::Fail),
        (50_000, 0.70, Verdict::Pass, Verdict::Pass),
        (3_000, 0.69, Verdict::Inconclusive, Verdict::Pass),
        (500, 0.1, Verdict::Inconclusive, Verdict::Inconclusive),
    ];
    for (units, rate, guardrail, tripwire) in cases {
        for (kind, want) in [(Kind::Guardrail, guardrail), (Kind::Tripwire, tripwire)] {
            let got = verdict(&rule(kind), binary(units, rate), binary(units, 0.7));
            assert_eq!(got.verdict, want, "{units} {rate} {got:?}");
            // The interval and the level of the evidence say the same.
            let is_proven = got.p.unwrap() <= got.alpha;
            assert_eq!(is_proven, got.upper.unwrap() < got.threshold, "{got:?}");
            assert!((got.value.unwrap() - (rate - 0.7)).abs() < 1e-9 && got.threshold == -0.02);
        }
    }
}

#[test]
fn the_interval_and_the_level_say_the_same_at_every_rate() {
    let rule = Rule::new("help", Kind::Guardrail, Harm::Lower, Margin::Absolute(0.02));
    let mut verdicts = Vec::new();
    for rate in 600..720 {
        let got = verdict(&rule, binary(3_000, f64::from(rate) / 1_000.0), binary(3_000, 0.7));
        let is_proven = got.upper.unwrap() < got.threshold;
        assert_eq!((got.p.unwrap() <= got.alpha, got.verdict == Verdict::Fail), (is_proven, is_proven), "{got:?}");
        verdicts.push(got.verdict);
    }
    verdicts.dedup();
    assert_eq!(verdicts, [Verdict::Fail, Verdict::Inconclusive]);
}

#[test]
fn margins_are_shares_differences_or_levels() {
    let higher = |margin| Rule::new("m", Kind::Tripwire, Harm::Higher, margin);
    let control = || mean(20_000, 100.0, 50.0);
    let of = |rule: &Rule, value: f64| verdict(rule, mean(20_000, value, 50.0), control());
    let relative = higher(Margin::Relative(0.1));
    let got = of(&relative, 120.0);
    assert_eq!(got.verdict, Verdict::Fail);
    assert!((got.value.unwrap() - 0.2).abs() < 1e-12 && got.lower.unwrap() > 0.1 && got.upper.unwrap() < 0.3);
    assert_eq!(of(&relative, 105.0).verdict, Verdict::Pass);
    assert_eq!(of(&higher(Margin::Level(110.0)), 120.0).verdict, Verdict::Fail);
    assert_eq!(of(&higher(Margin::Level(130.0)), 120.0).verdict, Verdict::Pass);
    assert_eq!(of(&Rule { floor: 125.0, ..higher(Margin::Absolute(1.0)) }, 120.0).verdict, Verdict::Pass);
    assert_eq!(of(&Rule { floor: 125.0, ..higher(Margin::Absolute(1.0)) }, 130.0).verdict, Verdict::Fail);
    let either = Rule { harm: Harm::Either, ..higher(Margin::Relative(0.25)) };
    for (value, want) in [(70.0, Verdict::Fail), (90.0, Verdict::Pass), (115.0, Verdict::Pass), (140.0, Verdict::Fail)]
    {
        assert_eq!(of(&either, value).verdict, want, "{value}");
    }
    let better = Rule::new("m", Kind::Objective, Harm::Lower, Margin::Relative(0.05));
    for (value, want) in [(120.0, Verdict::Pass), (105.0, Verdict::Inconclusive), (50.0, Verdict::Inconclusive)] {
        assert_eq!(of(&better, value).verdict, want, "{value}");
    }
}

#[test]
fn data_without_variance_or_without_data_have_an_answer() {
    let tripwire = Rule::new("m", Kind::Tripwire, Harm::Higher, Margin::Relative(0.2));
    let guardrail = Rule { kind: Kind::Guardrail, ..tripwire.clone() };
    let none = || mean(5_000, 0.0, 0.0);
    assert_eq!(verdict(&tripwire, none(), none()).verdict, Verdict::Pass);
    assert_eq!(verdict(&guardrail, none(), none()).verdict, Verdict::Inconclusive);
    let all = verdict(&tripwire, mean(5_000, 1.0, 0.0), none());
    assert_eq!((all.verdict, all.value, all.note.as_deref()), (Verdict::Fail, None, Some("no variance")));
    let exact = Rule { method: Method::Exact, ..tripwire.clone() };
    assert_eq!(verdict(&exact, none(), none()).verdict, Verdict::Pass);
    assert_eq!(verdict(&exact, binary(5_000, 1.0), none()).verdict, Verdict::Fail);
    let elsewhere = judge::judge(&tripwire, &observe("other", none(), none()), &DeliveryConfig::default(), 0.01);
    assert_eq!((elsewhere.verdict, elsewhere.units), (Verdict::Inconclusive, [0, 0]));
}

#[test]
fn a_ramp_under_a_rising_rate_shows_no_effect() {
    // Half the exposures at 2 %, half at 20 %: pooled, the arm with more late units looks far better.
    let config = DeliveryConfig::default();
    let mut seen = equal(&[40_000, 40_000], &config);
    for (phase, (rate, units)) in seen.phases.iter_mut().zip([(0.02, 5_000), (0.2, 40_000)]) {
        phase.arms.treatment.metrics.insert("love".to_owned(), binary(units, rate));
        phase.arms.control.metrics.insert("love".to_owned(), binary(20_000, rate));
    }
    let rule = Rule::new("love", Kind::Objective, Harm::Lower, Margin::Relative(0.0));
    let got = judge::judge(&rule, &seen, &config, 0.005);
    assert!(got.value.unwrap().abs() < 1e-9 && got.verdict == Verdict::Inconclusive, "{got:?}");
    let drop = Rule { kind: Kind::Guardrail, margin: Margin::Relative(0.1), ..rule };
    assert_eq!(judge::judge(&drop, &seen, &config, 0.005).verdict, Verdict::Pass);
}

/// Steps with effects of their own: neither pooled arms nor a plain mean of the steps comes to what weights of
/// n_T·n_C / (n_T + n_C) come to.
#[test]
fn steps_count_by_their_units_and_are_never_pooled() {
    let config = DeliveryConfig::default();
    let mut seen = equal(&[1, 1], &config);
    // Treatment and control: +.02 in the first step, −.04 in the second, which weigh 8,000 and 16,000.
    let steps = [[(10_000, 0.12), (40_000, 0.10)], [(80_000, 0.56), (20_000, 0.60)]];
    for (phase, [treatment, control]) in seen.phases.iter_mut().zip(steps) {
        phase.arms.treatment.metrics.insert("help".to_owned(), binary(treatment.0, treatment.1));
        phase.arms.control.metrics.insert("help".to_owned(), binary(control.0, control.1));
    }
    let pooled = |arm: usize| {
        let sum: f64 = steps.iter().map(|step| step[arm].0 as f64 * step[arm].1).sum();
        sum / steps.iter().map(|step| step[arm].0).sum::<u64>() as f64
    };
    // Pooled, treatment is far better; by the plain mean of the steps it is worse by a hundredth.
    assert!(pooled(0) - pooled(1) > 0.2);
    let rule = Rule::new("help", Kind::Guardrail, Harm::Lower, Margin::Absolute(0.005));
    let got = judge::judge(&rule, &seen, &config, 0.005);
    let value = got.value.unwrap();
    assert!((value - (8_000.0 * 0.02 - 16_000.0 * 0.04) / 24_000.0).abs() < 1e-12, "{got:?}");
    assert_eq!(got.verdict, Verdict::Fail, "{got:?}");
    // The width is that of the weighted sum of the steps' errors.
    let error = |(units, rate): (u64, f64)| rate * (1.0 - rate) / (units as f64 - 1.0);
    let of_step = |step: [(u64, f64); 2]| error(step[0]) + error(step[1]);
    let squared = (of_step(steps[0]) * 8_f64.powi(2) + of_step(steps[1]) * 16_f64.powi(2)) / 24_f64.powi(2);
    let interval = crate::stats::sequence(value, squared, 150_000, 0.005, config.horizon_units as f64).unwrap();
    assert!((got.upper.unwrap() - interval.upper).abs() < 1e-9, "{got:?} {interval:?}");
}

#[test]
fn the_exact_rule_knows_the_share_of_each_step() {
    let mut config = DeliveryConfig::default();
    config.ramp[0].share = 0.75;
    let mut seen = equal(&[1, 1], &config);
    // Equal rates within each step; over both, treatment has 62.5 % of the units and 52 % of the reactions.
    let steps = [[(20_000, 0.2), (20_000, 0.2)], [(30_000, 0.02), (10_000, 0.02)]];
    for (phase, [treatment, control]) in seen.phases.iter_mut().zip(steps) {
        phase.arms.treatment.metrics.insert("love".to_owned(), binary(treatment.0, treatment.1));
        phase.arms.control.metrics.insert("love".to_owned(), binary(control.0, control.1));
    }
    let rule = Rule::new("love", Kind::Guardrail, Harm::Lower, Margin::Relative(0.1));
    let got = judge::judge(&Rule { method: Method::Exact, ..rule }, &seen, &config, 0.005);
    assert!(got.value.unwrap().abs() < 1e-6 && got.verdict == Verdict::Pass, "{got:?}");
}

#[test]
fn a_leak_fails_and_only_an_excluded_leak_passes() {
    let config = DeliveryConfig::default();
    let mut seen = equal(&[2_000, 120_000], &config);
    assert_eq!(ratio::judge(&seen, &config, 0.004).verdict, Verdict::Pass);
    let few = equal(&[2_000], &config);
    assert_eq!(ratio::judge(&few, &config, 0.004).verdict, Verdict::Inconclusive);
    seen.phases[1].arrivals.treatment = 120_000 * 98 / 100;
    let leak = ratio::judge(&seen, &config, 0.004);
    assert!(leak.verdict == Verdict::Fail && leak.p.unwrap() < 1e-4, "{leak:?}");
    assert!((leak.value.unwrap() + 0.02).abs() < 0.002);
    // Without the rest the two arms only have each other.
    seen.phases[1].arrivals.rest = None;
    assert!(ratio::judge(&seen, &config, 0.004).log_e < leak.log_e);
    let nobody = ratio::judge(&Observation::default(), &config, 0.004);
    assert_eq!((nobody.verdict, nobody.log_e, nobody.value), (Verdict::Inconclusive, Some(0.0), None));
}

#[test]
fn ratio_odds_agree_with_the_sequential_test() {
    let config = DeliveryConfig::default();
    let mut seen = equal(&[0], &config);
    seen.phases[0].arrivals = Arrivals { treatment: 40, control: 20, rest: Some(3_000) };
    // The smallest share deviates by 2 % at this concentration.
    let mut by_unit = crate::stats::SequentialSrm::new(&[0.01, 0.01, 0.98], 1.0 / (0.01 * 0.02 * 0.02));
    for (arm, count) in [(0, 40), (1, 20), (2, 3_000)] {
        (0..count).for_each(|_| by_unit.observe(arm));
    }
    let got = ratio::judge(&seen, &config, 0.004).log_e.unwrap();
    assert!((got - by_unit.log_odds()).abs() < 1e-7, "{got} {}", by_unit.log_odds());
}
