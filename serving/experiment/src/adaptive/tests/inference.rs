use plaudit_event::Seed;
use rand::Rng;

use super::super::*;

/// Runs `episodes` under top-two sampling; the rates of an arm at a time are given. Returns the episode and arm of
/// a declared winner.
fn run(seed: u64, arms: usize, episodes: u32, goal: Goal, rate: impl Fn(usize, f64) -> f64) -> Option<(u32, usize)> {
    let mut rng = Seed::new(seed).stream("run");
    let settings = Settings { rule: Rule::TopTwo(0.5), goal, floor: 0.02, min_units: 50, ..Settings::default() };
    let mut allocator = Allocator::new(arms, settings).unwrap();
    let mut test = WinnerTest::new(arms, goal, 0.05).unwrap();
    for episode in 0..episodes {
        let arm = allocator.choose(rng.random()).arm;
        let time = f64::from(episode) / f64::from(episodes);
        let reward = f64::from(u8::from(rng.random_bool(rate(arm, time))));
        test.observe(arm, reward, allocator.weights()).unwrap();
        let mut sums = ArmSums::default();
        sums.add(reward);
        allocator.observe(arm, &sums).unwrap();
        if (episode + 1) % 250 == 0 {
            allocator.advance();
            if let Some(winner) = test.winner() {
                return Some((episode, winner));
            }
        }
    }
    None
}

#[test]
fn a_rising_base_rate_makes_no_winner() {
    let false_winners = (0..100).filter(|seed| run(*seed, 3, 6_000, Goal::Maximise, |_, t| 0.1 + 0.2 * t).is_some());
    // 5 % of 100 plus three standard errors is 11.
    assert!(false_winners.count() <= 11);
}

#[test]
fn a_clear_winner_is_found_whichever_way_is_better() {
    for (goal, best) in [(Goal::Maximise, 1), (Goal::Minimise, 0)] {
        for seed in 0..5 {
            let found = run(seed, 3, 12_000, goal, |arm, _| [0.05, 0.2, 0.1][arm]);
            assert!(found.is_some_and(|(_, arm)| arm == best), "{goal:?} {found:?}");
        }
    }
}

#[test]
fn evidence_is_a_fair_bet_when_arms_are_equal() {
    // The expected factor of one unit is one for every split and rate, by enumeration of what can happen.
    for goal in [Goal::Maximise, Goal::Minimise] {
        let weights = [0.7, 0.2, 0.1];
        for (rate, reward) in [(0.3, 1.0), (0.6, 0.4)] {
            let mut expected = 0.0;
            for (arm, weight) in weights.into_iter().enumerate() {
                for (probability, earned) in [(rate, reward), (1.0 - rate, 0.0)] {
                    let mut test = WinnerTest::new(3, goal, 0.05).unwrap();
                    test.observe(arm, earned, &weights).unwrap();
                    expected += weight * probability * test.ln_evidence(0, 2).exp();
                }
            }
            assert!((expected - 1.0).abs() < 1e-12, "{expected}");
        }
    }
}

#[test]
fn stabilised_weights_cover_where_plain_means_do_not() {
    let (rate, units, runs) = (0.1, 2_000, 300_u64);
    let mut covered = [0_u32; 2];
    for seed in 0..runs {
        let mut rng = Seed::new(seed).stream("coverage");
        let settings = Settings { rule: Rule::Thompson, floor: 0.01, min_units: 20, ..Settings::default() };
        let mut allocator = Allocator::new(2, settings).unwrap();
        let mut aipw = WeightedAipw::new(2, Weighting::Stabilised);
        let mut plain = [ArmSums::default(); 2];
        for unit in 0..units {
            let arm = allocator.choose(rng.random()).arm;
            let reward = f64::from(u8::from(rng.random_bool(rate)));
            aipw.observe(arm, reward, allocator.weights()).unwrap();
            plain[arm].add(reward);
            let mut sums = ArmSums::default();
            sums.add(reward);
            allocator.observe(arm, &sums).unwrap();
            if unit % 100 == 99 {
                allocator.advance();
            }
        }
        for (arm, plain) in plain.iter().enumerate() {
            let (value, error) = aipw.estimate(arm).unwrap();
            covered[0] += u32::from((value - rate).abs() <= 1.96 * error);
            let (mean, variance) = (plain.mean().unwrap(), plain.variance().unwrap());
            covered[1] += u32::from((mean - rate).abs() <= 1.96 * (variance / plain.units).sqrt());
        }
    }
    let share = covered.map(|covered| f64::from(covered) / (2 * runs) as f64);
    // The standard error is 1 %.
    assert!(share[0] > 0.91 && share[0] > share[1], "{share:?}");
}

#[test]
fn what_cannot_have_happened_is_named() {
    let mut test = WinnerTest::new(2, Goal::Maximise, 0.05).unwrap();
    assert!(matches!(test.observe(2, 1.0, &[0.5, 0.5]), Err(Error::Value { field: "arm", .. })));
    assert!(matches!(test.observe(0, 1.5, &[0.5, 0.5]), Err(Error::Value { field: "reward", .. })));
    assert!(matches!(test.observe(0, f64::NAN, &[0.5, 0.5]), Err(Error::Value { field: "reward", .. })));
    assert!(matches!(test.observe(0, 1.0, &[1.0]), Err(Error::Length { field: "propensities", .. })));
    assert!(matches!(test.observe(0, 1.0, &[0.0, 1.0]), Err(Error::Value { field: "propensity", .. })));
    assert!(matches!(test.observe(0, 1.0, &[0.5, 0.6]), Err(Error::Value { field: "sum of propensities", .. })));
    assert_eq!(test, WinnerTest::new(2, Goal::Maximise, 0.05).unwrap());
    assert_eq!((test.winner(), test.ln_evidence(0, 0)), (None, f64::NEG_INFINITY));
    assert!(WinnerTest::new(1, Goal::Maximise, 0.05).is_err());
    let aipw = WeightedAipw::new(2, Weighting::Even);
    assert_eq!((aipw.estimate(0), aipw.estimate(7)), (None, None));
}
