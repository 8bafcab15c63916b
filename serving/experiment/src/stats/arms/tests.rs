use plaudit_event::Seed;
use proptest::prelude::*;
use rand::Rng;

use super::*;

fn arms(strata: &[(f64, u64, u64)]) -> SuccessArms {
    let votes: Vec<Votes> = strata
        .iter()
        .map(|(share, treatment, control)| Votes { share: *share, treatment: *treatment, control: *control })
        .collect();
    SuccessArms::from_votes(&votes).unwrap()
}

#[test]
fn without_votes_nothing_is_known() {
    let nothing = SuccessArms::default();
    assert!(nothing.log_e(&Prior::default(), 0.0).abs() < 1e-9);
    let lift = nothing.lift(&Prior::default(), 0.05);
    assert_eq!((lift.lower, lift.upper), (-1.0, f64::INFINITY));
}

#[test]
fn a_vote_needs_a_real_share_and_can_be_withdrawn_once() {
    let mut arms = SuccessArms::default();
    for share in [0.0, 1.0, -0.5, f64::NAN] {
        assert!(matches!(arms.vote(share, true), Err(VoteError::Share(_))));
    }
    arms.vote(0.2, true).unwrap();
    assert_eq!(arms.withdraw(0.2, false), Err(VoteError::Missing(0.2)));
    arms.withdraw(0.2, true).unwrap();
    assert_eq!(arms.votes(), 0);
    assert!(arms.withdraw(0.3, true).is_err());
}

#[test]
fn votes_in_one_arm_only_give_a_finite_bound_on_one_side() {
    let lift = arms(&[(0.5, 40, 0)]).lift(&Prior::default(), 0.05);
    assert!(lift.lower > 0.0 && lift.upper.is_infinite() && lift.value.is_infinite(), "{lift:?}");
}

/// The e-value has expectation 1 under no effect, over all outcomes of a fixed number of votes.
#[test]
fn the_expectation_of_the_e_value_is_one() {
    let (n, share): (u64, f64) = (60, 0.2);
    for prior in [Prior::default(), Prior::Beta { strength: 50.0 }] {
        let mut expectation = 0.0;
        let mut log_binomial = 0.0;
        for k in 0..=n {
            let log_p = log_binomial + k as f64 * share.ln() + (n - k) as f64 * (1.0 - share).ln();
            expectation += (log_p + arms(&[(share, k, n - k)]).log_e(&prior, 0.0)).exp();
            log_binomial += ((n - k) as f64 / (k + 1) as f64).ln();
        }
        assert!((expectation - 1.0).abs() < 1e-6, "{prior:?} {expectation}");
    }
}

#[test]
fn watching_a_ramp_with_a_rising_base_rate_keeps_alpha_and_finds_a_lift() {
    let prior = Prior::default();
    let mut alarms = [0_u32; 2];
    for (kind, ratio) in [1.0, 1.5].into_iter().enumerate() {
        for run in 0..200_u64 {
            let mut rng = Seed::new(run).stream("ramp");
            let mut arms = SuccessArms::default();
            let mut has_alarm = false;
            for unit in 0..6_000_u32 {
                let share = [0.01, 0.05, 0.2, 0.5][(unit / 1500) as usize];
                let in_treatment = rng.random_bool(share);
                let rate = (0.02 + 0.08 * f64::from(unit) / 6000.0) * if in_treatment { ratio } else { 1.0 };
                if rng.random_bool(rate) {
                    arms.vote(share, in_treatment).unwrap();
                    has_alarm |= arms.log_e(&prior, 0.0) >= 20_f64.ln();
                }
            }
            alarms[kind] += u32::from(has_alarm);
        }
    }
    // 5 % of 200 is 10, plus three standard errors.
    assert!(alarms[0] <= 19 && alarms[1] > 60, "{alarms:?}");
}

proptest! {
    #[test]
    fn the_interval_excludes_exactly_what_the_e_value_rejects(
        strata in prop::collection::vec((0.01_f64..0.99, 0_u64..300, 0_u64..300), 1..5),
        delta in -2.0_f64..2.0,
    ) {
        let arms = arms(&strata);
        let prior = Prior::default();
        let interval = arms.log_ratio_sequence(&prior, 0.05);
        let is_rejected = arms.log_e(&prior, delta) >= 20_f64.ln();
        prop_assert!(interval.lower <= interval.value && interval.value <= interval.upper);
        let near = (delta - interval.lower).abs() < 1e-9 || (delta - interval.upper).abs() < 1e-9;
        prop_assert!(near || is_rejected == (delta < interval.lower || delta > interval.upper));
        prop_assert!(arms.log_e(&prior, 0.0) <= arms.log_e_bound() + 1e-9);
    }
}
