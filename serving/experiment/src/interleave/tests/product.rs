//! Lists as exposures, and what is told of the clicks on them.

use plaudit_event::{
    Actor, Context, Exposure, ExposureId, Mixture, PolicyId, Signal, SignalId, SignalKind, Stream, Surface, Timestamp,
    UnitId,
};
use rand::seq::SliceRandom;
use serde_json::{Map, Value, json};

use super::super::*;
use super::Seed;
use crate::assign::{Definition, check_change};
use rand::Rng;

const START: i64 = 1_700_000_000_000;
const DAY: i64 = 86_400_000;
const MINUTE: i64 = 60_000;

fn config(more: &Value) -> InterleavingConfig {
    let mut value = json!({"id": "ranker-2", "method": "team_draft", "policies": ["old", "new"], "length": 5});
    for (key, more) in more.as_object().unwrap() {
        value[key] = more.clone();
    }
    serde_json::from_value(value).unwrap()
}

fn names(items: &[u32]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

fn id(name: &str) -> ExposureId {
    ExposureId::new(name).unwrap()
}

fn shown(config: &InterleavingConfig, rankings: [&[u32]; 2], (name, unit, ms): (&str, &str, i64)) -> Exposure {
    let drawn = config.draw(rankings.map(names).to_vec(), &id(name), config.is_mixing()).unwrap();
    let slate = drawn.items.iter().enumerate().map(|(place, item)| {
        let json = json!({"item_id": item, "position": place});
        serde_json::from_value(json).unwrap()
    });
    Exposure {
        exposure_id: id(name),
        unit_id: UnitId::new(unit).unwrap(),
        session_id: None,
        surface: Surface::Search,
        context: Context::default(),
        slate: slate.collect(),
        chosen: 0,
        propensity: None,
        token_logprobs: None,
        policy_id: config.mixture_id(),
        stage: None,
        assignments: Vec::new(),
        rewrite_applied: None,
        interleaving: Some(Box::new(drawn.interleaving)),
        attributes: Map::new(),
        ts: Timestamp::from_millis(START + ms),
        unknown: Map::new(),
    }
}

/// A click on a place, or on an item that is not there, so many milliseconds after the list.
fn click(name: &str, list: &Exposure, place: usize, after: i64) -> Signal {
    Signal {
        signal_id: SignalId::new(name).unwrap(),
        exposure_id: list.exposure_id.clone(),
        item_id: Some(list.slate.get(place).map_or("nowhere".to_owned(), |shown| shown.item_id.clone())),
        kind: SignalKind::Click,
        value: None,
        text: None,
        spans: Vec::new(),
        stage: None,
        op: None,
        actor: Actor::User,
        ts: list.ts.plus_millis(after),
        retracts: None,
        unknown: Map::new(),
    }
}

const LATER: Timestamp = Timestamp::from_millis(START + 200 * DAY);

#[test]
fn a_list_can_be_drawn_again_from_what_is_logged() {
    for more in [json!({}), json!({"method": "optimised"})] {
        let config = config(&more);
        let mut lists = std::collections::BTreeSet::new();
        for number in 0..200 {
            let name = format!("e{number}");
            let exposure = shown(&config, [&[1, 2, 3, 4, 5, 6, 7], &[7, 3, 1, 9, 2]], (&name, "u", 0));
            let logged = exposure.interleaving.unwrap();
            assert_eq!(logged.rankings, [names(&[1, 2, 3, 4, 5]), names(&[7, 3, 1, 9, 2])]);
            let again = InterleavingConfig { seed: Some(logged.seed.clone()), ..config.clone() };
            let drawn = again.draw(logged.rankings.clone(), &exposure.exposure_id, true).unwrap();
            assert_eq!(drawn.interleaving, *logged);
            let items: Vec<String> = exposure.slate.into_iter().map(|shown| shown.item_id).collect();
            assert_eq!(drawn.items, items);
            assert!(logged.propensity > 0.0 && logged.propensity <= 1.0);
            lists.insert(items);
        }
        assert!(lists.len() > 3, "{}", lists.len());
    }
}

#[test]
fn the_control_is_alone_where_nothing_is_mixed() {
    let config = config(&json!({"active": false}));
    let drawn = config.draw(vec![names(&[1, 2, 3]), names(&[3, 4])], &id("e"), config.is_mixing()).unwrap();
    assert_eq!((drawn.items, drawn.interleaving.method), (names(&[1, 2, 3]), Mixture::Control));
    assert_eq!((drawn.interleaving.propensity, drawn.interleaving.teams.len()), (1.0, 0));
    let optimised = super::product::config(&json!({"method": "optimised", "length": 6}));
    let few = optimised.draw(vec![names(&[1])], &id("e"), true).unwrap_err();
    assert!(matches!(few, Error::Value { field: "rankings", .. }), "{few}");
    assert!(optimised.draw(vec![names(&[1]), Vec::new()], &id("e"), true).is_err());
    assert!(optimised.draw(vec![names(&[1]), names(&[2, 2])], &id("e"), true).is_err());
}

#[test]
fn clicks_that_do_not_count_are_told_apart() {
    let config = config(&json!({}));
    let [first, second] = [[1_u32, 2, 3, 4], [5, 6, 7, 8]];
    let mut fold = Fold::new(config.clone());
    let list = shown(&config, [&first, &second], ("e1", "ada", 0));
    fold.exposure(&list);
    fold.exposure(&list);
    let teams = list.interleaving.as_ref().unwrap().teams.clone();
    let [old, new] = [0, 1].map(|team| teams.iter().position(|one| *one == team).unwrap());
    let second_new = teams.iter().rposition(|one| *one == 1).unwrap();
    for (name, place, after) in [
        ("old", old, 5),
        ("new", new, 10),
        ("new", new, 10),
        ("new again", new, 20),
        ("new too", second_new, 60 * MINUTE),
        ("late", old, 60 * MINUTE + 1),
        ("early", old, -MINUTE - 1),
        ("nowhere", 9, 0),
    ] {
        fold.signal(&click(&name.replace(' ', "-"), &list, place, after));
    }
    let mut shadow = click("shadow", &list, old, 1);
    shadow.actor = Actor::Shadow;
    fold.signal(&shadow);
    let mut other = click("other-kind", &list, old, 1);
    other.kind = SignalKind::Dwell;
    fold.signal(&other);
    let mut unknown = click("unknown-list", &list, old, 1);
    unknown.exposure_id = id("e99");
    fold.signal(&unknown);
    let folded = fold.finish(LATER);
    assert_eq!((folded.preferences.clone(), folded.clicks.clone()), (vec![vec![1.0]], vec![[1, 2]]));
    let expected = Ignored { duplicates: 2, not_shown: 1, outside_window: 2, not_by_users: 1, ..Ignored::default() };
    assert_eq!((folded.ignored, folded.clicked, folded.lists), (expected, 1, 1));
    // One of two is taken back: a tie. What is taken back after the window stands.
    let mut back = click("back", &list, new, 30);
    back.retracts = Some(SignalId::new("new-too").unwrap());
    let mut too_late = click("too-late", &list, new, 61 * MINUTE);
    too_late.retracts = Some(SignalId::new("old").unwrap());
    fold.signal(&too_late);
    fold.signal(&back);
    let folded = fold.finish(LATER);
    assert_eq!((folded.preferences, folded.ignored.taken_back), (vec![vec![0.0]], 1));
}

#[test]
fn what_has_no_unbiased_mixture_is_drafted() {
    let config = config(&json!({"method": "optimised"}));
    // Whatever the lists: the third place is never worse for the first ranking, and so the first two never even out.
    let list = shown(&config, [&[1], &[2, 3]], ("e1", "ada", 0));
    let logged = list.interleaving.clone().unwrap();
    assert_eq!((logged.method, logged.teams.len(), logged.credits.len()), (Mixture::TeamDraft, 3, 0));
    let mut fold = Fold::new(config);
    fold.exposure(&list);
    let place = logged.teams.iter().position(|team| *team == 0).unwrap();
    fold.signal(&click("s", &list, place, 1));
    let folded = fold.finish(LATER);
    assert_eq!((folded.fallbacks, folded.preferences), (1, vec![vec![-1.0 / 3.0]]));
}

#[test]
fn a_click_without_an_item_is_one_on_the_top() {
    let config = config(&json!({"clicks": ["love"]}));
    let list = shown(&config, [&[1, 2], &[3, 4]], ("e1", "ada", 0));
    let mut fold = Fold::new(config);
    fold.exposure(&list);
    let mut signal = click("s", &list, 0, 1);
    (signal.item_id, signal.kind) = (None, SignalKind::Love);
    fold.signal(&signal);
    let sign = if list.interleaving.unwrap().teams[0] == 1 { 1.0 } else { -1.0 };
    assert_eq!(fold.finish(LATER).preferences, [[sign]]);
}

#[test]
fn a_unit_is_one_number_that_does_not_change_once_it_is_final() {
    let config = config(&json!({"days": 2}));
    let rankings: [&[u32]; 2] = [&[1, 2, 3, 4], &[5, 6, 7, 8]];
    let mut fold = Fold::new(config.clone());
    let inside = shown(&config, rankings, ("e1", "ada", 0));
    let also = shown(&config, rankings, ("e2", "ada", 2 * DAY - 1));
    let after = shown(&config, rankings, ("e3", "ada", 2 * DAY));
    let same = shown(&config, [&[1, 2], &[1, 2]], ("e4", "bob", 5));
    for list in [&inside, &also, &after, &same] {
        fold.exposure(list);
        for place in 0..list.slate.len() {
            let teams = &list.interleaving.as_ref().unwrap().teams;
            if teams[place] == 1 {
                fold.signal(&click(&format!("{}-{place}", list.exposure_id), list, place, 1));
            }
        }
    }
    let paused = InterleavingConfig { active: false, ..config.clone() };
    fold.exposure(&shown(&paused, rankings, ("e5", "carl", 0)));
    let others =
        InterleavingConfig { policies: vec![PolicyId::new("a").unwrap(), PolicyId::new("b").unwrap()], ..config };
    fold.exposure(&shown(&others, rankings, ("e6", "dora", 0)));
    let final_at = START + 2 * DAY + 60 * MINUTE;
    let at = |ms: i64| fold.finish(Timestamp::from_millis(ms));
    assert_eq!((at(final_at - 1).open, at(final_at - 1).lists), (2, 0));
    assert_eq!((at(final_at).open, at(final_at).preferences), (1, vec![vec![1.0]]));
    let all = at(final_at + 5);
    // Clicks on a list of equal rankings count for nobody.
    assert_eq!((all.open, &all.preferences, all.lists, all.equal), (0, &vec![vec![1.0, 0.0]], 3, 1));
    assert_eq!((all.ignored.after_days, all.ignored.control, all.ignored.other_policies), (1, 1, 1));
    assert_eq!(all.clicks, [[0, 4]]);
    assert_eq!(all, at(final_at + 100 * DAY));
}

/// Users of `units`, two lists each; `better` is how much sharper the new ranking sees. What they prefer is also told by the
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
        let two = super::product::config(&json!({}));
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

#[test]
fn nothing_and_little_have_a_report_with_warnings() {
    let config = config(&json!({}));
    let nothing = Fold::new(config.clone()).report(LATER).unwrap();
    assert_eq!((nothing.units, nothing.comparisons[0].verdict, nothing.comparisons[0].p), (0, Verdict::Undecided, 1.0));
    assert_eq!(nothing.comparisons[0].interval, [-1.0, 1.0]);
    assert!(!nothing.to_text().contains("NaN"), "{}", nothing.to_text());
    let mut fold = Fold::new(config.clone());
    for unit in 0..3 {
        let list = shown(&config, [&[1, 2], &[1, 2]], (&format!("e{unit}"), &format!("u{unit}"), 0));
        fold.exposure(&list);
        fold.signal(&click(&format!("s{unit}"), &list, 7, 1));
    }
    let told = fold.report(LATER).unwrap();
    let expected =
        [Warning::FewUnits { units: 0 }, Warning::EqualRankings { share: 1.0 }, Warning::ForeignClicks { clicks: 3 }];
    assert_eq!(told.warnings, expected);
    assert_eq!(told.comparisons[0].sensitivity.detectable_preference, None);
}

#[test]
fn every_fault_of_a_definition_is_named_at_once() {
    let bad = config(&json!({
        "method": "optimised", "policies": ["a", "a", "b"], "length": 11, "clicks": [], "window_minutes": 0, "days": 91,
        "alpha": 0.5, "seed": "",
    }));
    let definition =
        Definition::<String> { interleavings: vec![bad, config(&json!({"length": 101}))], ..Definition::default() };
    let found = definition.validate("x");
    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    let expected = [
        ("x.interleavings[0].policies", "must be 2 policies when `optimised`, got 3"),
        ("x.interleavings[0].policies[1]", "got `a`"),
        ("x.interleavings[0].length", "must be 1 to 10, got 11"),
        ("x.interleavings[0].clicks", "at least one"),
        ("x.interleavings[0].window_minutes", "must be 1 to 43200, got 0"),
        ("x.interleavings[0].days", "must be 1 to 90, got 91"),
        ("x.interleavings[0].alpha", "must be above 0 and below 0.5, got 0.5"),
        ("x.interleavings[0].seed", "must be 1 to 128 bytes, got 0 bytes"),
        ("x.interleavings[1].id", "duplicate experiment `ranker-2`"),
        ("x.interleavings[1].length", "must be 1 to 100, got 101"),
    ];
    assert_eq!(told.len(), expected.len(), "{told:#?}");
    for (told, (path, message)) in told.iter().zip(expected) {
        assert!(told.starts_with(&format!("{path}: ")) && told.contains(message), "{told}");
    }
    let unknown = json!({"id": "a", "method": "balanced", "policies": ["a", "b"]});
    let refused = serde_json::from_value::<InterleavingConfig>(unknown).unwrap_err().to_string();
    assert!(refused.contains("`team_draft` or `optimised`"), "{refused}");
}

#[test]
fn what_is_compared_stays_while_it_runs() {
    let now = Timestamp::from_millis(START);
    let of = |more: Value| Definition::<String> { interleavings: vec![config(&more)], ..Definition::default() };
    let before = of(json!({}));
    let running = [before.interleavings[0].id.clone()];
    let refused = |after: &Definition<String>| {
        let refusals = check_change(&before, after, &running, now);
        refusals.into_iter().map(|refusal| refusal.path).collect::<Vec<_>>()
    };
    assert!(refused(&of(json!({"active": false, "description": "x", "seed": "ranker-2"}))).is_empty());
    assert!(refused(&of(json!({"killed": true}))).is_empty());
    let other = of(json!({"policies": ["old", "newest"], "alpha": 0.1, "days": 2}));
    let expected = ["policies", "days", "alpha"].map(|key| format!("interleavings.ranker-2.{key}"));
    assert_eq!(refused(&other), expected);
    assert_eq!(refused(&Definition::default()), ["interleavings.ranker-2"]);
    assert!(check_change(&before, &other, &[], now).is_empty());
    assert_ne!(before.interleavings[0].mixture_id(), other.interleavings[0].mixture_id());
    // A definition without interleavings has the hash that it always had.
    let plain = serde_json::to_value(Definition::<String>::default()).unwrap();
    assert_eq!(plain.get("interleavings"), None);
}
