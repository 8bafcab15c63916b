use plaudit_event::Seed;
use rand::Rng;

use super::*;

mod product;

#[test]
fn draws_follow_the_exact_distribution() {
    let rankings = [vec![1, 2, 3, 4, 5], vec![5, 1, 6, 2], vec![7, 1, 2]];
    let exact = distribution(&rankings, 5).unwrap();
    assert!((exact.iter().map(|(_, p)| p).sum::<f64>() - 1.0).abs() < 1e-12);
    let mut rng = Seed::new(1).stream("team draft");
    let draws = 20_000;
    let mut counts = vec![0_u32; exact.len()];
    for _ in 0..draws {
        let list = team_draft(&rankings, 5, &mut rng).unwrap();
        counts[exact.iter().position(|(known, _)| *known == list).unwrap()] += 1;
    }
    for ((_, p), count) in exact.iter().zip(counts) {
        let error = (p * (1.0 - p) / f64::from(draws)).sqrt();
        assert!((f64::from(count) / f64::from(draws) - p).abs() < 5.0 * error);
    }
}

#[test]
fn the_probability_of_a_list_is_that_of_the_exact_distribution() {
    let sets: [(&[&[u32]], usize); 4] = [
        (&[&[1, 2, 3, 4, 5], &[5, 1, 6, 2], &[7, 1, 2]], 5),
        (&[&[1], &[1, 2, 3, 4, 5, 6]], 6),
        (&[&[1, 2], &[2, 1], &[3], &[2, 4, 5, 6]], 6),
        (&[&[1, 2], &[1, 2]], 9),
    ];
    for (rankings, length) in sets {
        let rankings: Vec<Vec<u32>> = rankings.iter().map(|ranking| ranking.to_vec()).collect();
        for (list, exact) in distribution(&rankings, length).unwrap() {
            assert!((probability(&rankings, &list) - exact).abs() < 1e-12, "{list:?}");
        }
    }
    let never =
        |items: Vec<u32>, teams: Vec<usize>| probability(&[vec![1, 2], vec![2, 1]], &Interleaved { items, teams });
    assert_eq!(
        (never(vec![1, 2], vec![0, 0]), never(vec![1, 2, 3], vec![0, 1, 0]), never(vec![3], vec![0])),
        (0.0, 0.0, 0.0)
    );
}

#[test]
fn a_short_ranking_passes_and_the_rest_goes_on() {
    let mut rng = Seed::new(2).stream("short");
    let list = team_draft(&[vec!['a'], vec!['a', 'b', 'c']], 10, &mut rng).unwrap();
    assert_eq!(list.items, ['a', 'b', 'c']);
    assert_eq!(list.teams[1..], [1, 1]);
    assert_eq!(credit(&list.teams, 2, &[1, 2, 9]), [0, 2]);
}

#[test]
fn optimised_lists_are_neutral_for_blind_users() {
    let pairs: [(&[u32], &[u32]); 5] = [
        (&[1, 2, 3, 4], &[2, 1, 4, 3]),
        (&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], &[3, 1, 2, 7, 4, 11, 5, 6, 12, 8]),
        (&[1, 2, 3], &[4, 5, 6]),
        (&[1, 2, 3, 4, 5], &[5, 4, 3, 2, 1]),
        (&[1, 2], &[1, 2]),
    ];
    for (first, second) in pairs {
        for credit in [Credit::Linear, Credit::Reciprocal] {
            let optimised = Optimised::new(first, second, first.len(), credit).unwrap();
            let total: f64 = optimised.lists().map(|(_, p)| p).sum();
            assert!((total - 1.0).abs() < 1e-12);
            for k in 1..=first.len() {
                let top: Vec<usize> = (0..k).collect();
                let expected: f64 =
                    optimised.lists().enumerate().map(|(index, (_, p))| p * optimised.credit(index, &top)).sum();
                assert!(expected.abs() < 1e-6, "{first:?} {second:?} {credit:?} top {k}: {expected}");
            }
            for (list, _) in optimised.lists() {
                for k in 1..=list.len() {
                    let is_union = (0..=k).any(|a| {
                        let heads = |item: &u32| first[..a.min(first.len())].contains(item);
                        let others = list[..k].iter().filter(|item| !heads(item)).count();
                        let b = second.iter().take_while(|item| list[..k].contains(item)).count();
                        first[..a.min(first.len())].iter().all(|item| list[..k].contains(item))
                            && list[..k].iter().filter(|item| !heads(item)).all(|item| second[..b].contains(item))
                            && others <= b
                    });
                    assert!(is_union, "{list:?}");
                }
            }
        }
    }
}

#[test]
fn credit_goes_to_who_ranked_the_click_higher() {
    let optimised = Optimised::new(&[1, 2, 3], &[3, 1, 2], 3, Credit::Linear).unwrap();
    for (index, (list, _)) in optimised.lists().enumerate() {
        let place = |item: u32| list.iter().position(|other| *other == item).unwrap();
        assert!(optimised.credit(index, &[place(1)]) > 0.0 && optimised.credit(index, &[place(3)]) < 0.0);
        assert!((-1.0..=1.0).contains(&optimised.credit(index, &[0, 1, 2])));
    }
    assert_eq!(optimised.credit(99, &[0]), 0.0);
}

#[test]
fn the_sign_test_is_exact() {
    // 2·(1 + 10 + 45)/2¹⁰ for 8 or more heads of ten.
    assert!((sign_test(8, 2) - 112.0 / 1024.0).abs() < 1e-12);
    assert!((sign_test(2, 8) - sign_test(8, 2)).abs() < 1e-15);
    assert!((sign_test(5, 0) - 2.0 / 32.0).abs() < 1e-12);
    assert_eq!((sign_test(0, 0), sign_test(4, 4)), (1.0, 1.0));
}

#[test]
fn a_preference_may_be_watched() {
    let run = |seed: u64, units: u32, heads: f64| {
        let mut rng = Seed::new(seed).stream("coin");
        let mut preference = Preference::new(1.0).unwrap();
        for _ in 0..units {
            preference.observe(if rng.random_bool(heads) { 1.0 } else { -1.0 }).unwrap();
        }
        (preference.p(), preference.mean().unwrap())
    };
    // 5 % of 400 plus three standard errors is 33.
    assert!((0..400).filter(|seed| run(*seed, 2_000, 0.5).0 <= 0.05).count() <= 33);
    assert!((0..40).filter(|seed| run(*seed, 2_000, 0.56).0 <= 0.05).count() >= 36);
    assert!(run(1, 2_000, 0.4).1 < -0.1);
    assert_eq!(Preference::new(1.0).unwrap().p(), 1.0);
}

#[test]
fn bad_input_is_named() {
    let mut rng = Seed::new(1).stream("bad");
    assert!(matches!(team_draft(&[vec![1]], 3, &mut rng), Err(Error::Value { field: "rankings", .. })));
    assert!(matches!(team_draft(&[vec![1], vec![]], 3, &mut rng), Err(Error::Value { field: "items", .. })));
    assert!(matches!(team_draft(&[vec![1], vec![2]], 0, &mut rng), Err(Error::Value { field: "length", .. })));
    let twice = team_draft(&[vec![1], vec![2, 3, 2]], 3, &mut rng);
    assert_eq!(twice, Err(Error::Repeated { ranking: 1, first: 0, second: 2 }));
    assert!(distribution(&[vec![1], vec![2]], 11).is_err());
    assert!(Optimised::new(&[1], &[2], 11, Credit::Linear).is_err());
    let mut preference = Preference::new(1.0).unwrap();
    assert!(preference.observe(f64::NAN).is_err() && preference.observe(1.1).is_err());
    assert!(Preference::new(0.0).is_err());
    assert_eq!(preference.mean(), None);
}

#[test]
fn rankings_without_a_neutral_mixture_are_refused() {
    let (first, second) = ([1, 0, 2, 4, 5, 3, 6, 8, 7, 14], [2, 5, 4, 0, 19, 10, 9, 7, 17, 3]);
    let refused = Optimised::new(&first, &second, 6, Credit::Linear);
    assert!(matches!(refused, Err(Error::Biased { residual }) if residual > 1e-6), "{refused:?}");
    assert!(Optimised::new(&first, &second, 6, Credit::Reciprocal).is_ok());
}
