//! Lists as exposures, and what is told of the clicks on them.

use plaudit_event::{
    Actor, Context, Exposure, ExposureId, Mixture, PolicyId, Signal, SignalId, SignalKind, Stream, Surface, Timestamp,
    UnitId,
};
use rand::seq::SliceRandom;
use serde_json::{Map, Value, json};

use super::super::*;
use super::Seed;
use rand::Rng;

mod definition;
mod simulated;

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
