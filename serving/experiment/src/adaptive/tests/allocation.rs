use proptest::prelude::*;

use super::super::*;

fn beta(a: f64, b: f64) -> Posterior {
    Posterior::Beta { a, b }
}

fn sums(units: f64, rate: f64) -> ArmSums {
    ArmSums { units, sum: units * rate, squares: units * rate }
}

fn trained(settings: Settings, rates: &[f64]) -> Allocator {
    let mut allocator = Allocator::new(rates.len(), settings).unwrap();
    for (arm, rate) in rates.iter().enumerate() {
        allocator.observe(arm, &sums(2_000.0, *rate)).unwrap();
    }
    allocator.advance();
    allocator
}

#[test]
fn the_best_arm_gets_most_whichever_way_is_better() {
    let rates = [0.10, 0.12, 0.14];
    for belief in [Belief::Beta, Belief::Gaussian] {
        for rule in [Rule::Thompson, Rule::TopTwo(0.5), Rule::TrackAndStop] {
            let of = |goal| trained(Settings { rule, goal, belief, ..Settings::default() }, &rates).weights().to_vec();
            let (up, down) = (of(Goal::Maximise), of(Goal::Minimise));
            assert!(up[2] > up[1] && up[1] > up[0] && up[0] < 0.1, "{rule:?} {up:?}");
            assert!(down[0] > 0.4 && down[2] < 0.1 && down[1] > down[2], "{rule:?} {down:?}");
        }
    }
}

#[test]
fn two_arms_where_less_is_better() {
    let best = probability_best(&[beta(10.0, 90.0), beta(20.0, 80.0)], Goal::Minimise).unwrap();
    assert!(best[0] > 0.9, "{best:?}");
    let even = top_two(&best, 0.5).unwrap();
    assert!(even.iter().all(|weight| (weight - 0.5).abs() < 1e-12));
    assert_eq!(top_two(&[1.0, 0.0, 0.0], 0.5).unwrap(), [0.5, 0.25, 0.25]);
    let near = top_two(&[1.0 - 1e-300, 1e-300, 0.0], 0.5).unwrap();
    assert!((near.iter().sum::<f64>() - 1.0).abs() < 1e-9 && near[1] > 0.49, "{near:?}");
}

#[test]
fn losses_turn_with_the_goal() {
    let arms = [Posterior::Gaussian { mean: 1e6, sd: 1.0 }, Posterior::Gaussian { mean: 1e6 + 1.0, sd: 1.0 }];
    let up = expected_loss(&arms, Goal::Maximise).unwrap();
    let down = expected_loss(&arms, Goal::Minimise).unwrap();
    assert!((up[0] - down[1]).abs() < 1e-6 && (up[1] - down[0]).abs() < 1e-6, "{up:?} {down:?}");
    // E|N(1, √2)|₊ by hand: √2·φ(1/√2) + Φ(1/√2).
    assert!((up[0] - 1.199_641_5).abs() < 1e-5, "{up:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn probabilities_sum_to_one_for_any_arms(
        arms in prop::collection::vec((0.05_f64..3e4, 0.05_f64..3e4), 2..6)
    ) {
        let arms: Vec<Posterior> = arms.into_iter().map(|(a, b)| beta(a, b)).collect();
        for goal in [Goal::Maximise, Goal::Minimise] {
            let total: f64 = super::super::posterior::integrals(&arms, goal, 0.0).iter().map(|[mass, _]| mass).sum();
            prop_assert!((total - 1.0).abs() < 1e-8, "{}", total);
        }
    }
}

#[test]
fn weights_stay_even_until_every_arm_has_enough() {
    let mut allocator = Allocator::new(2, Settings { rule: Rule::Thompson, ..Settings::default() }).unwrap();
    allocator.observe(0, &sums(5_000.0, 0.2)).unwrap();
    allocator.observe(1, &sums(99.0, 1.0 / 9.0)).unwrap();
    assert_eq!(allocator.advance(), [0.5, 0.5]);
    allocator.observe(1, &sums(1.0, 0.0)).unwrap();
    let weights = allocator.advance();
    assert!(weights[0] > 0.9 && weights[1] >= 0.01, "{weights:?}");
    assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    assert_eq!(allocator.epoch(), 2);
}

#[test]
fn choices_follow_the_weights_and_carry_their_propensity() {
    let allocator = trained(Settings { rule: Rule::Thompson, floor: 0.05, ..Settings::default() }, &[0.1, 0.12, 0.11]);
    let draws = 30_000_u32;
    let mut counts = [0_u32; 3];
    for draw in 0..draws {
        let choice = allocator.choose((f64::from(draw) + 0.5) / f64::from(draws));
        assert_eq!(choice.propensity, allocator.weights()[choice.arm]);
        counts[choice.arm] += 1;
    }
    for (count, weight) in counts.iter().zip(allocator.weights()) {
        assert!((f64::from(*count) / f64::from(draws) - weight).abs() < 1e-4);
        assert!(*weight >= 0.05);
    }
    assert_eq!(allocator.choose(1.0).arm, 2);
}

#[test]
fn what_is_forgotten_no_longer_decides() {
    // The first arm was better for ten epochs, then the second for five.
    let last = |memory| {
        let settings = Settings { rule: Rule::Thompson, memory, ..Settings::default() };
        let mut allocator = Allocator::new(2, settings).unwrap();
        for epoch in 0..15 {
            let rates = if epoch < 10 { [0.2, 0.1] } else { [0.1, 0.2] };
            for (arm, rate) in rates.into_iter().enumerate() {
                allocator.observe(arm, &sums(1_000.0, rate)).unwrap();
            }
            allocator.advance();
        }
        allocator.weights()[1]
    };
    assert!(last(Memory::Forever) < 0.05);
    assert!(last(Memory::HalfLife(2.0)) > 0.9);
    assert!(last(Memory::Window(3)) > 0.9);
}

#[test]
fn a_saved_allocator_goes_on_as_before() {
    let settings = Settings { memory: Memory::Window(2), ..Settings::default() };
    let mut allocator = trained(settings, &[0.1, 0.12, 0.11]);
    let text = serde_json::to_string(&allocator).unwrap();
    let mut restored: Allocator = serde_json::from_str(&text).unwrap();
    for allocator in [&mut allocator, &mut restored] {
        allocator.observe(1, &sums(500.0, 0.1)).unwrap();
        allocator.advance();
    }
    assert_eq!(restored.epoch(), allocator.epoch());
    for (restored, weight) in restored.weights().iter().zip(allocator.weights()) {
        assert!((restored - weight).abs() < 1e-12 && *weight != 1.0 / 3.0);
    }
}

#[test]
fn settings_out_of_range_are_named() {
    let field = |arms, settings| match Allocator::new(arms, settings) {
        Err(Error::Value { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    let good = Settings::default();
    assert_eq!(field(1, good), "arms");
    assert_eq!(field(5, Settings { floor: 0.21, ..good }), "floor");
    assert_eq!(field(5, Settings { floor: 0.0, ..good }), "floor");
    assert_eq!(field(5, Settings { floor: f64::NAN, ..good }), "floor");
    assert_eq!(field(2, Settings { min_units: 1, ..good }), "min_units");
    assert_eq!(field(2, Settings { rule: Rule::TopTwo(1.0), ..good }), "beta");
    assert_eq!(field(2, Settings { memory: Memory::Window(0), ..good }), "window");
    assert_eq!(field(2, Settings { memory: Memory::HalfLife(0.0), ..good }), "half_life");
    assert!(Allocator::new(5, Settings { floor: 0.2, ..good }).is_ok());
}

#[test]
fn observations_out_of_range_are_named() {
    let mut allocator = Allocator::new(2, Settings::default()).unwrap();
    let field = |allocator: &mut Allocator, arm, sums: ArmSums| match allocator.observe(arm, &sums) {
        Err(Error::Value { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field(&mut allocator, 2, sums(1.0, 0.0)), "arm");
    assert_eq!(field(&mut allocator, 0, ArmSums { units: f64::NAN, ..ArmSums::default() }), "units");
    assert_eq!(field(&mut allocator, 0, ArmSums { units: 10.0, sum: 5.0, squares: 1.0 }), "squares");
    assert_eq!(field(&mut allocator, 0, ArmSums { units: 1.0, sum: 2.0, squares: 4.0 }), "sum");
    assert_eq!(allocator, Allocator::new(2, Settings::default()).unwrap());
}

#[test]
fn equal_arms_have_no_optimal_shares() {
    assert_eq!(track_and_stop(&[0.1, 0.1], &[0.09, 0.09], 0.0, Goal::Maximise).unwrap(), None);
    assert!(track_and_stop(&[0.1, 0.1], &[0.09, 0.09], 0.01, Goal::Maximise).unwrap().is_some());
    assert!(track_and_stop(&[0.1, 0.2], &[0.0, 0.09], 0.0, Goal::Maximise).is_err());
    assert!(glr_stop(&[0, 5], &[0.1, 0.2], &[0.1, 0.1], 0.0, 0.05).is_err());
    assert!(probability_best(&[], Goal::Maximise).is_err());
    assert!(probability_best(&[beta(0.0, 1.0)], Goal::Maximise).is_err());
    assert!(probability_best(&[beta(1.0, 1.0), Posterior::Gaussian { mean: 0.0, sd: 1.0 }], Goal::Maximise).is_err());
}
