//! Choice by context: the regression, its forgetting and corrections, and the probabilities.

use plaudit_event::Seed;
use rand::Rng;

use crate::adaptive::{
    Beta, Contextual, ContextualSettings, Error, Fading, Features, Goal, HalfLife, Posterior, beta_best, inverse_gap,
    key, probability_best,
};

fn policy(change: impl FnOnce(&mut ContextualSettings)) -> Contextual {
    let mut settings = ContextualSettings::default();
    change(&mut settings);
    Contextual::new(settings).unwrap()
}

/// Two items for someone from `country`.
fn candidates(country: &str) -> Vec<Features> {
    let about = [(key("country", Some(country)), 1.0)];
    ["a", "b"].map(|item| Features::crossed(&about, &[(key("item", Some(item)), 1.0)])).to_vec()
}

#[test]
fn probabilities_of_equal_gaps_follow_the_formula() {
    let p = inverse_gap(&[0.1, 0.3, 0.2], 10.0).unwrap();
    let (first, last) = (1.0 / (3.0 + 2.0), 1.0 / (3.0 + 1.0));
    assert!((p[0] - first).abs() < 1e-15 && (p[2] - last).abs() < 1e-15);
    assert!((p[1] - (1.0 - first - last)).abs() < 1e-15);
    assert_eq!(inverse_gap(&[0.5, 0.1], 0.0).unwrap(), [0.5, 0.5]);
    assert!(inverse_gap(&[], 1.0).is_err() && inverse_gap(&[0.1, f64::NAN], 1.0).is_err());
    assert!(inverse_gap(&[0.1], -1.0).is_err());
}

#[test]
fn one_weight_is_the_shrunken_mean() {
    let mut policy = policy(|settings| settings.ridge = 2.0);
    let constant = Features::crossed(&[], &[]);
    for reward in [1.0, 0.0, 1.0, 1.0] {
        policy.learn(&constant, reward, 1.0, 0).unwrap();
    }
    assert!((policy.values(&[constant])[0] - 3.0 / 6.0).abs() < 1e-12);
    assert_eq!((policy.dimensions(), policy.observations()), (1, 4.0));
}

/// The gradient of `Σ(r − xᵀθ)² + λ|θ|²` vanishes at the solution: checked in the plain normal equations of two
/// features, one of which scales.
#[test]
fn two_weights_solve_the_normal_equations() {
    let mut policy = policy(|_| {});
    let rows = [(0.5, 0.2), (1.0, 0.9), (-1.0, 0.1), (2.0, 0.7)];
    for (x, reward) in rows {
        policy.learn(&Features::crossed(&[(key("x", None), x)], &[]), reward, 1.0, 0).unwrap();
    }
    let [n, sx, sxx, sr, sxr] =
        rows.iter().fold([0.0; 5], |[n, sx, sxx, sr, sxr], (x, r)| [n + 1.0, sx + x, sxx + x * x, sr + r, sxr + x * r]);
    let determinant = (n + 1.0) * (sxx + 1.0) - sx * sx;
    let (constant, slope) = ((sr * (sxx + 1.0) - sx * sxr) / determinant, ((n + 1.0) * sxr - sx * sr) / determinant);
    let at = |x: f64| policy.values(&[Features::crossed(&[(key("x", None), x)], &[])])[0];
    assert!((at(0.3) - (constant + 0.3 * slope)).abs() < 1e-12);
    assert!((at(1.0) - (constant + slope)).abs() < 1e-12);
}

#[test]
fn what_pays_for_whom_is_found() {
    let mut policy = policy(|_| {});
    let mut rng = Seed::new(1).stream("world");
    for step in 0..2_000 {
        let country = if rng.random() { "fr" } else { "de" };
        let shown = candidates(country);
        let arm = usize::from(policy.propensities(&shown, 0.0).unwrap()[0] < rng.random());
        let rate = if (country == "fr") == (arm == 0) { 0.4 } else { 0.2 };
        let reward = f64::from(u8::from(rng.random_bool(rate)));
        policy.learn(&shown[arm], reward, 1.0, step).unwrap();
    }
    let (fr, de) = (policy.propensities(&candidates("fr"), 0.0), policy.propensities(&candidates("de"), 0.0));
    assert!(fr.unwrap()[0] > 0.9 && de.unwrap()[1] > 0.9);
}

#[test]
fn arms_are_drawn_with_the_probability_that_is_logged() {
    let mut policy = policy(|settings| settings.greed = 3.0);
    let mut rng = Seed::new(2).stream("draws");
    let (mut drawn, mut expected, mut variance) = (0.0, 0.0, 0.0);
    for step in 0..4_000 {
        let shown = candidates(if step % 3 == 0 { "fr" } else { "de" });
        let p = policy.propensities(&shown, 0.05).unwrap();
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12 && p.iter().all(|p| *p >= 0.05));
        let arm = usize::from(p[0] <= rng.random());
        drawn += f64::from(u8::from(arm == 0));
        expected += p[0];
        variance += p[0] * p[1];
        let reward = f64::from(u8::from(rng.random_bool(if arm == 0 { 0.3 } else { 0.25 })));
        policy.learn(&shown[arm], reward, 1.0, step).unwrap();
    }
    assert!((drawn - expected).abs() < 4.0 * f64::sqrt(variance), "{drawn} {expected}");
}

#[test]
fn a_correction_leaves_what_the_right_label_would_have() {
    let observe = |policy: &mut Contextual, first: f64| {
        let shown = candidates("fr");
        let learned = policy.learn(&shown[0], first, 1.0, 0).unwrap();
        for step in 1..150 {
            policy.learn(&candidates("de")[1], f64::from(u8::from(step % 4 == 0)), 1.0, step).unwrap();
        }
        learned
    };
    let half_life = HalfLife { observations: 50.0, millis: 100.0 };
    let (mut wrong, mut right) = (policy(|s| s.half_life = half_life), policy(|s| s.half_life = half_life));
    let learned = observe(&mut wrong, 0.0);
    observe(&mut right, 1.0);
    wrong.correct(&candidates("fr")[0], learned, (1.0, 1.0)).unwrap();
    for policy in [&mut wrong, &mut right] {
        let at = policy.refresh_at();
        for step in 0..(at as i64) {
            policy.learn(&candidates("de")[0], 0.0, 1.0, 150 + step).unwrap();
        }
    }
    let (wrong, right) = (wrong.values(&candidates("fr")), right.values(&candidates("fr")));
    assert!(right[0] > 0.0);
    wrong.iter().zip(right).for_each(|(wrong, right)| assert!((wrong - right).abs() < 1e-12, "{wrong} {right}"));
}

#[test]
fn half_as_much_counts_after_a_half_life() {
    let mut fading = Fading::new(HalfLife { observations: 0.0, millis: 1_000.0 });
    let (first, _) = fading.place(5_000);
    let (late, _) = fading.place(7_000);
    assert!((fading.weight(first) / fading.unit() - 0.25).abs() < 1e-15);
    assert!((fading.weight(late) / fading.unit() - 1.0).abs() < 1e-15);
    // Older than the newest: it counts as old as it is, and the newest stays what it was.
    let (old, _) = fading.place(6_000);
    assert!((fading.weight(old) / fading.unit() - 0.5).abs() < 1e-15);
    let mut forever = Fading::new(HalfLife::default());
    let places: Vec<f64> = (0..10_000).map(|step| forever.place(step * 86_400_000).0).collect();
    assert!(places.iter().all(|place| forever.weight(*place) == 1.0) && forever.unit() == 1.0);
}

#[test]
fn sums_stay_finite_however_long_it_forgets() {
    let mut policy = policy(|settings| settings.half_life = HalfLife { observations: 3.0, millis: 1.0 });
    for step in 0..10_000_i64 {
        // Every thousandth comes after a thousand half-lives.
        let at = step + step / 1_000 * 1_000;
        policy.learn(&candidates("fr")[0], 1.0, 1.0, at).unwrap();
    }
    let n = policy.observations();
    assert!(n > 1.0 && n < 2.0, "{n}");
    assert!(policy.values(&candidates("fr"))[0] > 0.3);
}

#[test]
fn features_beyond_the_dimensions_share() {
    let mut policy = policy(|settings| settings.dimensions = 4);
    for step in 0..500 {
        let name = format!("n{}", step % 50);
        let shown = Features::crossed(&[(key(&name, None), 1.0)], &[(key("item", Some("a")), 1.0)]);
        policy.learn(&shown, 0.5, 1.0, step).unwrap();
        assert!(policy.dimensions() <= 4);
    }
    assert!(policy.values(&candidates("fr"))[0].is_finite());
}

#[test]
fn names_and_values_are_kept_apart() {
    assert_ne!(key("ab", Some("c")), key("a", Some("bc")));
    assert_ne!(key("a", None), key("a", Some("")));
    let one = Features::crossed(&[(1, 1.0)], &[(2, 1.0)]);
    assert_ne!(one.fingerprint(), Features::crossed(&[(2, 1.0)], &[(1, 1.0)]).fingerprint());
    assert_ne!(one.fingerprint(), Features::crossed(&[(1, 0.5)], &[(2, 1.0)]).fingerprint());
}

#[test]
fn bad_settings_and_observations_are_named() {
    let refused = |settings: ContextualSettings| match Contextual::new(settings) {
        Err(Error::Value { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    let good = ContextualSettings::default();
    assert_eq!(refused(ContextualSettings { dimensions: 1, ..good }), "dimensions");
    assert_eq!(refused(ContextualSettings { ridge: 0.0, ..good }), "ridge");
    assert_eq!(refused(ContextualSettings { greed: f64::INFINITY, ..good }), "greed");
    let half_life = HalfLife { observations: -1.0, millis: 0.0 };
    assert_eq!(refused(ContextualSettings { half_life, ..good }), "half_life.observations");
    let mut policy = policy(|_| {});
    let shown = candidates("fr").remove(0);
    assert!(policy.learn(&shown, 1.5, 1.0, 0).is_err() && policy.learn(&shown, 1.0, f64::NAN, 0).is_err());
    let endless = Features::crossed(&[(1, f64::INFINITY)], &[]);
    assert!(policy.learn(&endless, 1.0, 1.0, 0).is_err());
    assert_eq!(policy.observations(), 0.0, "nothing was learned");
    assert!(policy.propensities(&[], 0.0).is_err() && policy.propensities(&[shown], 1.5).is_err());
}

#[test]
fn rates_are_compared_by_one_rule() {
    let arms = [Beta { a: 3.0, b: 20.0 }, Beta { a: 8.0, b: 30.0 }];
    let posteriors = arms.map(|Beta { a, b }| Posterior::Beta { a, b });
    assert_eq!(probability_best(&posteriors, Goal::Maximise).unwrap(), beta_best(&arms));
    let least = probability_best(&posteriors, Goal::Minimise).unwrap();
    assert!((least[0] + beta_best(&arms)[0] - 1.0).abs() < 1e-12);
}
