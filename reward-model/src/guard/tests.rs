use super::summary::binomial_tail;
use super::*;
use crate::encode::GROUPS;
use crate::encode::surface::DENSE;

/// A response with these words (sorted).
fn words(numbers: &[u32]) -> Features {
    let ends = [numbers.len() as u32; GROUPS];
    Features { indices: numbers.into(), ends, dense: [0.0; DENSE], deep: None }
}

fn new(positive: bool) -> Sight {
    Sight::New { positive }
}

/// 2,000 examples of believable units with words 0 to 9; every twentieth is loved.
fn crowd(config: &GuardConfig) -> Guard {
    let mut guard = Guard::default();
    for i in 0..2_000_u32 {
        let verdict = guard.take(u64::from(i % 400), &words(&[i % 10, 100]), new(i % 20 == i / 20 % 20), config);
        assert_eq!(verdict, Verdict::Believed);
    }
    guard
}

/// Example `i` of a unit that sees all words and loves word 3.
fn push(guard: &mut Guard, unit: u64, i: u32, config: &GuardConfig) -> Verdict {
    guard.take(unit, &words(&[i % 10, 100]), new(i % 10 == 3), config)
}

#[test]
fn the_tail_is_that_of_the_binomial_distribution() {
    // 1 - (0.7^4 + 4 * 0.3 * 0.7^3), and 0.2^5, by hand.
    assert!((binomial_tail(2, 4, 0.3) - 0.3483).abs() < 1e-9);
    assert!((binomial_tail(5, 5, 0.2) - 0.00032).abs() < 1e-12);
    assert!((binomial_tail(0, 5, 0.2) - 1.0).abs() < 1e-12 && (binomial_tail(3, 5, 1.0) - 1.0).abs() < 1e-12);
    assert!(binomial_tail(6, 5, 0.2).abs() < 1e-12);
}

#[test]
fn a_unit_that_loves_one_word_is_accused_and_others_like_it_sooner() {
    let config = GuardConfig::default();
    let mut guard = crowd(&config);
    let mut needed = Vec::new();
    for unit in 1_000..1_006 {
        let accused = (0..1_000).find(|i| push(&mut guard, unit, *i, &config) == Verdict::Accused);
        needed.push(accused.unwrap() / 10);
    }
    assert!(needed[3] < needed[0], "{needed:?}");
    assert_eq!(guard.suspects(), 6);
    assert_eq!(push(&mut guard, 1_000, 4, &config), Verdict::Suspect);
    guard.forget(1_000);
    assert_eq!(guard.suspects(), 5);
}

#[test]
fn a_unit_comes_back_when_its_loves_are_of_many_kinds() {
    let config = GuardConfig::default();
    let mut guard = crowd(&config);
    assert!((0..200).any(|i| push(&mut guard, 1_000, i, &config) == Verdict::Accused));
    let other = |i: u32| words(&[4 + i % 6, 100]);
    let back = (0..500).any(|i| guard.take(1_000, &other(i), new(true), &config) == Verdict::Believed);
    assert!(back && guard.suspects() == 0);
}

#[test]
fn loves_taken_back_are_no_evidence() {
    let config = GuardConfig::default();
    let mut guard = crowd(&config);
    for i in 0..1_000 {
        push(&mut guard, 1_000, i, &config);
        if i % 10 == 3 {
            guard.take(1_000, &words(&[3, 100]), Sight::Relabelled { positive: false }, &config);
        }
    }
    assert_eq!((guard.suspects(), guard.units[&1_000].positives), (0, 0));
}

#[test]
fn memory_is_bounded_and_the_oldest_unit_gives_way() {
    let config = GuardConfig { max_units: 10, ..GuardConfig::default() };
    let mut guard = Guard::default();
    for i in 0..100_u32 {
        let many: Vec<u32> = (i * 200..(i + 1) * 200).collect();
        guard.take(u64::from(i % 25), &words(&many), new(true), &config);
        assert!(guard.units.len() <= 10 && guard.order.len() == guard.units.len());
    }
    assert!(guard.units.values().all(|unit| unit.counters.len() <= COUNTERS));
    assert!(guard.units.keys().all(|unit| *unit >= 15), "the newest are kept");
}
