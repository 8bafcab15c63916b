//! Users who click by place and attraction.

use super::*;

/// Users of `units`, two lists each; `noise` blurs what the old and the new ranking see. What they prefer is also told by the
/// library alone.
fn simulate(config: &InterleavingConfig, seed: u64, units: usize, noise: [f64; 2]) -> (Fold, Vec<f64>) {
    let mut rng = Seed::new(seed).stream("users");
    let mut fold = Fold::new(config.clone());
    let mut direct = Vec::new();
    for unit in 0..units {
        let mut lists = Vec::new();
        for number in 0..2 {
            let attraction: Vec<f64> = (0..12).map(|_| 0.4 * rng.random::<f64>().powi(3) + 0.01).collect();
            let rankings = noise.map(|noise| ranking(&attraction, noise, &mut rng));
            let name = format!("e{unit}-{number}");
            let at = unit as i64 * 1_000 + number * MINUTE;
            let list = shown(config, [&rankings[0], &rankings[1]], (&name, &format!("u{unit}"), at));
            fold.exposure(&list);
            let mut clicked = Vec::new();
            for (place, item) in list.slate.iter().enumerate() {
                let looks = ((place + 1) as f64).powf(-0.7);
                if rng.random_bool(looks * attraction[item.item_id.parse::<usize>().unwrap()]) {
                    fold.signal(&click(&format!("s{unit}-{number}-{place}"), &list, place, 1));
                    clicked.push(place);
                }
            }
            lists.push((rankings.map(|ranking| ranking[..config.length].to_vec()), list, clicked));
        }
        direct.push(directly(config, &lists));
    }
    (fold, direct)
}

fn ranking(attraction: &[f64], noise: f64, rng: &mut Stream) -> Vec<u32> {
    let mut order: Vec<(f64, u32)> =
        attraction.iter().zip(0..).map(|(a, item)| (a + noise * (rng.random::<f64>() - 0.5), item)).collect();
    order.shuffle(rng);
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    order.into_iter().map(|(_, item)| item).collect()
}

/// Both rankings, the list made of them, and the places clicked.
type Clicked = ([Vec<u32>; 2], Exposure, Vec<usize>);

/// What a unit prefers by the functions of the library, without the fold.
fn directly(config: &InterleavingConfig, lists: &[Clicked]) -> f64 {
    let mut sum = 0.0;
    for (rankings, list, clicked) in lists {
        let logged = list.interleaving.as_ref().unwrap();
        match config.method {
            // Clicks on a list of equal rankings are noise.
            Method::TeamDraft if rankings[0] == rankings[1] => {}
            Method::TeamDraft => {
                let teams: Vec<usize> = logged.teams.iter().map(|team| *team as usize).collect();
                let won = credit(&teams, 2, clicked);
                sum += f64::from(won[1]) - f64::from(won[0]);
            }
            Method::Optimised => {
                let all = Optimised::new(&rankings[0], &rankings[1], config.length, config.credit).unwrap();
                let items: Vec<u32> = list.slate.iter().map(|shown| shown.item_id.parse().unwrap()).collect();
                let index = all.lists().position(|(known, _)| known == items).unwrap();
                sum -= all.credit(index, clicked) / lists.len() as f64;
            }
        }
    }
    if config.method == Method::TeamDraft && sum != 0.0 { sum.signum() } else { sum }
}

#[test]
fn the_fold_says_what_the_library_says_of_the_same_clicks() {
    for (more, scale) in [(json!({}), 1.0), (json!({"method": "optimised"}), 0.25)] {
        let config = config(&more);
        let (fold, direct) = simulate(&config, 3, 400, [0.5, 0.1]);
        let folded = fold.finish(LATER);
        assert_eq!(folded.preferences[0].len(), 400);
        for (found, expected) in folded.preferences[0].iter().zip(&direct) {
            assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        }
        let mut preference = Preference::new(scale).unwrap();
        direct.iter().for_each(|x| preference.observe(*x).unwrap());
        let told = fold.report(LATER).unwrap();
        let comparison = &told.comparisons[0];
        assert!((comparison.p / preference.p() - 1.0).abs() < 1e-6 && comparison.p < 0.05, "{told:?}");
        assert!((comparison.preference.unwrap() - preference.mean().unwrap()).abs() < 1e-9);
        assert_eq!(comparison.verdict, Verdict::Better);
        assert!(comparison.interval[0] <= comparison.preference.unwrap());
        assert!(comparison.interval[1] >= comparison.preference.unwrap());
        assert!(comparison.clicks[1] > comparison.clicks[0]);
        let found = &comparison.sensitivity;
        assert!(found.units_needed.unwrap() > 0.0 && found.ab_detectable_lift.unwrap() > 0.0, "{found:?}");
        assert!(found.click_rate > 0.2 && found.click_rate < 0.95, "{found:?}");
        let text = told.to_text();
        assert!(text.contains("new: better than old") && !text.contains("NaN"), "{text}");
        let json = serde_json::to_string(&told).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&json).unwrap().to_text(), text);
        let worse = simulate(&config, 4, 1_000, [0.1, 0.5]).0.report(LATER).unwrap();
        assert_eq!(worse.comparisons[0].verdict, Verdict::Worse);
    }
}

#[test]
fn equal_rankers_are_seldom_told_apart() {
    for more in [json!({}), json!({"method": "optimised"})] {
        let config = config(&more);
        let told = |seed: u64| simulate(&config, seed, 250, [0.3; 2]).0.report(LATER).unwrap();
        let wrong = (100..160).filter(|seed| told(*seed).comparisons[0].verdict != Verdict::Undecided).count();
        // 5 % of 60 plus three standard errors is 8.
        assert!(wrong <= 8, "{wrong}");
    }
}

#[test]
fn more_than_two_are_each_compared_with_the_control() {
    let config = config(&json!({"policies": ["old", "same", "new"], "length": 6}));
    let mut fold = Fold::new(config.clone());
    let mut rng = Seed::new(1).stream("clicks");
    for unit in 0..300 {
        let rankings = [&[9, 8, 7, 6][..], &[19, 18, 17], &[1, 2, 3, 4]].map(names).to_vec();
        let name = format!("e{unit}");
        let drawn = config.draw(rankings, &id(&name), true).unwrap();
        let two = super::config(&json!({}));
        let mut list = shown(&two, [&[1], &[2]], (&name, &format!("u{unit}"), unit));
        list.slate = drawn
            .items
            .iter()
            .map(|item| serde_json::from_value(json!({"item_id": item, "position": 0})).unwrap())
            .collect();
        list.interleaving = Some(Box::new(drawn.interleaving));
        fold.exposure(&list);
        for (place, item) in drawn.items.iter().enumerate() {
            let chance = if item.len() == 1 && item.as_str() < "5" { 0.3 } else { 0.1 };
            if rng.random_bool(chance) {
                fold.signal(&click(&format!("s{unit}-{place}"), &list, place, 1));
            }
        }
    }
    let told = fold.report(LATER).unwrap();
    let verdicts: Vec<Verdict> = told.comparisons.iter().map(|comparison| comparison.verdict).collect();
    assert_eq!(verdicts, [Verdict::Undecided, Verdict::Better]);
}
