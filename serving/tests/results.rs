//! What a store adds up is what folding every unit gives, whatever mess the events are.

use std::collections::BTreeMap;
use std::ops::Range;

use plaudit_event::{
    Actor, Assignment, Context, Draw, Example, ExperimentId, Exposure, ExposureId, Impression, Label, LayerId,
    Objective, PolicyId, Seed, Signal, SignalId, SignalKind, Stream, Surface, Timestamp, UnitId, VariantId,
};
use plaudit_experiment::metrics::{
    Aggregates, ExampleView, ExposureView, FoldPlan, Folded, Ignored, MetricSet, RowWarning, SignalView, UnitFold,
};
use plaudit_ingest::Config;
use plaudit_ingest::store::{Batch, ClickHouseStore, EventStore, Rows, SqliteStore};
use plaudit_serving::results::{Ask, ResultsConfig, Subject, aggregates, report};
use rand::Rng;
use serde_json::{Map, Value, json};

const DAY: i64 = 86_400_000;
const START: i64 = 1_700_000_000_000;
const NOW: Timestamp = Timestamp::from_millis(START + 40 * DAY);
const WHOLE: Range<Timestamp> = Timestamp::from_millis(0)..Timestamp::from_millis(START + 41 * DAY);
const UNITS: u64 = 60;

/// Every kind of metric, and everything that a metric can have.
const SET: &str = r#"
metrics = [
  { name = "loved", kind = "proportion", source = { label = "love" }, direction = "up", cuped = { days = 20 } },
  { name = "helpful", kind = "mean", per_unit = "average", source = { label = "helpfulness" }, direction = "up", cuped = { days = 20 } },
  { name = "copies", kind = "mean", source = { signal = { kind = "copy" } }, direction = "up", winsorise = { bound = 2.0 }, cuped = { days = 9 } },
  { name = "copied answers", kind = "mean", source = { signal = { kind = "copy", take = "presence" } }, direction = "up", window_days = 7 },
  { name = "dwell", kind = "ratio", source = { signal = { kind = "dwell", take = "sum" } }, denominator = "exposures", direction = "up", cuped = { days = 30 } },
  { name = "words", kind = "ratio", source = "response_words", denominator = "exposures", surface = "chat", direction = "up" },
  { name = "latency", kind = "mean", per_unit = "average", source = { attribute = "latency_ms" }, direction = "down", cuped = { attribute = "age" } },
  { name = "back", kind = "retention", source = "exposures", days = [3, 9], direction = "up" },
  { name = "of the pro", kind = "proportion", source = { signal = { kind = "copy" } }, attributes = { plan = "pro", trial = false }, direction = "up", window_days = 3 },
  { name = "slow", kind = "quantile", quantile = 0.9, source = { attribute = "latency_ms" }, direction = "down", window_days = 20 },
  { name = "capped", kind = "mean", source = "exposures", winsorise = { percentile = 0.9 }, direction = "up" },
  { name = "bet", kind = "mean", source = "exposures", bounds = [0.0, 50.0], window_days = 5, direction = "up" },
]
segments = [{ attribute = "country", values = ["DE", "FR"] }, { attribute = "seats", values = ["3"] }]
"#;

/// What is asked when no window and no time before is.
const PLAIN: &str = r#"
metrics = [
  { name = "loved", kind = "proportion", source = { label = "love" }, direction = "up" },
  { name = "copied", kind = "proportion", source = { signal = { kind = "copy" } }, direction = "up" },
  { name = "answers", kind = "mean", source = "exposures", direction = "up" },
]
"#;

#[derive(Default)]
struct Events {
    exposures: Vec<Exposure>,
    signals: Vec<Signal>,
    examples: Vec<Example>,
}

fn assignment(experiment: &str, variant: &str, draw: Option<(u32, Vec<f64>)>) -> Assignment {
    let draw = draw.map(|(phase, weights)| {
        Box::new(Draw { definition: "d".into(), seed: "s".into(), bucket: 7, phase, weights, propensity: 0.5 })
    });
    Assignment {
        layer: LayerId::new("l").expect("of the test"),
        experiment: ExperimentId::new(experiment).expect("of the test"),
        variant: VariantId::new(variant).expect("of the test"),
        draw,
    }
}

/// What the assignments of an exposure on `day` are: mostly those of a ramp in three phases, with every fault.
fn assignments(rng: &mut Stream, variant: &str, day: i64) -> Vec<Assignment> {
    let phase = u32::try_from((day - 10).clamp(0, 20) / 7).expect("of the test");
    let weights = [vec![0.9, 0.1], vec![0.7, 0.3], vec![0.5, 0.5]][phase as usize].clone();
    let other = if variant == "new" { "control" } else { "new" };
    match rng.random_range(0..100) {
        _ if day < 10 && rng.random_bool(0.7) => match rng.random_bool(0.3) {
            true => vec![assignment("y", "t", Some((0, vec![1.0])))],
            false => Vec::new(),
        },
        0..4 => vec![assignment("x", variant, None)],
        4 => vec![assignment("x", other, None)],
        5 => vec![assignment("x", other, Some((phase, weights)))],
        6 => vec![assignment("x", "newest", Some((phase, weights)))],
        7 => vec![assignment("x", variant, Some((phase, vec![0.5, 0.6])))],
        8..14 => Vec::new(),
        _ => vec![assignment("z", "c", None), assignment("x", variant, Some((phase, weights)))],
    }
}

fn attributes(rng: &mut Stream) -> Map<String, Value> {
    let mut attributes = Map::new();
    let all = [
        ("country", json!(["DE", "FR", "IT", "it's \"\\ odd"][rng.random_range(0..4)])),
        ("seats", json!(rng.random_range(2..5))),
        ("latency_ms", json!(f64::from(rng.random_range(0..900_u32)) / 8.0)),
        ("age", json!(rng.random_range(1..9))),
        ("plan", json!(["pro", "free"][rng.random_range(0..2)])),
        ("trial", json!(rng.random_bool(0.2))),
    ];
    attributes.extend(all.into_iter().filter(|_| rng.random_bool(0.8)).map(|(name, value)| (name.to_owned(), value)));
    attributes
}

fn exposure(rng: &mut Stream, unit: u64, number: u64, variant: &str) -> Exposure {
    let day = rng.random_range(0..32_i64);
    let text = ["two words", "three\u{a0}odd\u{3000}words", "", " one\u{85}\n "][rng.random_range(0..4)];
    Exposure {
        exposure_id: ExposureId::new(format!("e{unit}-{number}")).expect("of the test"),
        unit_id: UnitId::new(format!("u{unit}")).expect("of the test"),
        session_id: None,
        surface: if rng.random_bool(0.8) { Surface::Chat } else { Surface::Search },
        context: Context::of_user("hello"),
        slate: vec![Impression { item_id: "i".into(), position: 0, content: text.into(), score: None }],
        chosen: 0,
        propensity: None,
        token_logprobs: None,
        policy_id: PolicyId::new("p").expect("of the test"),
        stage: None,
        assignments: assignments(rng, variant, day),
        rewrite_applied: None,
        interleaving: None,
        attributes: attributes(rng),
        // No two at one moment: which of them is first would be anybody's guess.
        ts: Timestamp::from_millis(
            START + day * DAY + i64::try_from(unit * 1_000_000 + number * 1_000).expect("of the test"),
        ),
        unknown: Map::new(),
    }
}

fn signal(rng: &mut Stream, of: &Exposure, number: usize, earlier: &[Signal]) -> Signal {
    let kinds = [SignalKind::Copy, SignalKind::Dwell, SignalKind::ThumbsUp];
    let mine: Vec<&Signal> = earlier.iter().filter(|signal| signal.exposure_id == of.exposure_id).collect();
    let retracts = (!mine.is_empty() && rng.random_bool(0.2)).then(|| mine[rng.random_range(0..mine.len())]);
    // Sometimes long after, sometimes by a clock that goes backwards.
    let after = rng.random_range(-20..400_i64) * DAY / 20;
    Signal {
        signal_id: SignalId::new(format!("s{}-{number}", of.exposure_id)).expect("of the test"),
        exposure_id: of.exposure_id.clone(),
        item_id: None,
        kind: kinds[rng.random_range(0..3)].clone(),
        value: rng.random_bool(0.7).then(|| f64::from(rng.random_range(0..100_u32)) / 8.0),
        text: None,
        spans: Vec::new(),
        stage: None,
        op: None,
        actor: if rng.random_bool(0.1) { Actor::Shadow } else { Actor::User },
        ts: of.ts.plus_millis(after),
        retracts: retracts.map(|earlier| earlier.signal_id.clone()),
        unknown: Map::new(),
    }
}

fn example(rng: &mut Stream, of: &Exposure, revision: u32) -> Example {
    let label = |value| Label { value, weight: 1.0 };
    let all = [
        ("love", label(f32::from(rng.random_bool(0.3)))),
        ("helpfulness", label(rng.random_range(0..11) as f32 / 10.0)),
    ];
    let told = all.into_iter().filter(|_| rng.random_bool(0.8)).map(|(name, label)| (Objective::new(name), label));
    Example {
        exposure_id: of.exposure_id.clone(),
        revision,
        unit_id: of.unit_id.clone(),
        surface: of.surface,
        context: of.context.clone(),
        response: of.response().to_owned(),
        item_id: "i".into(),
        position: 0,
        policy_id: of.policy_id.clone(),
        propensity: None,
        assignments: of.assignments.clone(),
        attributes: of.attributes.clone(),
        labels: told.collect(),
        replaced: BTreeMap::new(),
        remarks: Default::default(),
        exposure_ts: of.ts,
        ts: of.ts.plus_millis(rng.random_range(0..15) * DAY),
    }
}

/// Events of units that come late, twice, in two variants, taken back, and without what they belong to.
fn mess(seed: u64) -> Events {
    let mut rng = Seed::new(seed).stream("mess");
    let mut events = Events::default();
    for unit in 0..UNITS {
        let variant = if unit % 2 == 0 { "control" } else { "new" };
        for number in 0..rng.random_range(1..9) {
            let exposure = exposure(&mut rng, unit, number, variant);
            for number in 0..rng.random_range(0..4) {
                let signal = signal(&mut rng, &exposure, number, &events.signals);
                events.signals.push(signal);
            }
            for revision in 0..rng.random_range(0..3) {
                events.examples.push(example(&mut rng, &exposure, revision));
            }
            // What was shown may be kept no longer than what it was worth.
            if !rng.random_bool(0.1) {
                events.exposures.push(exposure);
            }
        }
    }
    shuffle(&mut events.exposures, &mut rng);
    shuffle(&mut events.signals, &mut rng);
    shuffle(&mut events.examples, &mut rng);
    events
}

/// In any order, with some of them twice.
fn shuffle<T: Clone>(items: &mut Vec<T>, rng: &mut Stream) {
    let again: Vec<T> = items.iter().filter(|_| rng.random_bool(0.1)).cloned().collect();
    items.extend(again);
    for last in (1..items.len()).rev() {
        items.swap(last, rng.random_range(0..=last));
    }
}

async fn fill(store: &dyn EventStore, events: &Events) {
    fn offsets<T: Clone>(items: &[T], from: usize) -> Vec<(u64, T)> {
        items.iter().enumerate().map(|(index, item)| ((from + index) as u64, item.clone())).collect()
    }
    let (mut at, step) = ([0; 3], 97);
    while at != [events.exposures.len(), events.signals.len(), events.examples.len()] {
        // Reactions come before what they react to, too.
        for topic in [1, 2, 0] {
            let from = at[topic];
            let all = [events.exposures.len(), events.signals.len(), events.examples.len()][topic];
            let to = (from + step).min(all);
            let rows = match topic {
                0 => Rows::Exposures(offsets(&events.exposures[from..to], from)),
                1 => Rows::Signals(offsets(&events.signals[from..to], from)),
                _ => Rows::Examples(offsets(&events.examples[from..to], from)),
            };
            if to > from {
                let batch = Batch { shard: 0, from: from as u64, next: to as u64, mark: None, rows };
                store.apply(batch).await.expect("of the test");
            }
            at[topic] = to;
        }
    }
}

/// What folding the events themselves gives.
fn folded(events: &Events, set: &MetricSet, kinds: &[SignalKind], shown: &Range<Timestamp>) -> Aggregates {
    let plan = FoldPlan { variants: subject().ordered(), set: set.clone(), now: NOW };
    let mut aggregates = Aggregates::new(&plan.variants, set);
    for unit in (0..UNITS).map(|unit| format!("u{unit}")) {
        let mut fold = UnitFold::new(&plan);
        let mut known = Vec::new();
        for exposure in events.exposures.iter().filter(|row| row.unit_id.as_str() == unit && shown.contains(&row.ts)) {
            known.push(&exposure.exposure_id);
            fold.exposure(&ExposureView::of(exposure, ("l", "x"), None));
        }
        let examples = events.examples.iter();
        for example in examples.filter(|row| row.unit_id.as_str() == unit && shown.contains(&row.exposure_ts)) {
            known.push(&example.exposure_id);
            fold.example(&ExampleView::of(example, ("l", "x"), None));
        }
        let counts = |signal: &&Signal| kinds.contains(&signal.kind) || signal.retracts.is_some();
        for signal in events.signals.iter().filter(|row| known.contains(&&row.exposure_id)).filter(counts) {
            fold.signal(&SignalView::of(signal));
        }
        let (folded, ignored) = fold.finish(&unit);
        let of_outside = Ignored { unknown_variants: ignored.unknown_variants, ..Ignored::default() };
        let ignored = if folded == Folded::Outside { of_outside } else { ignored };
        aggregates.add((folded, ignored)).expect("of the test");
    }
    aggregates
}

fn subject() -> Subject {
    Subject {
        layer: LayerId::new("l").expect("of the test"),
        experiment: ExperimentId::new("x").expect("of the test"),
        variants: vec!["control".into(), "new".into()],
        control: 0,
    }
}

/// Every number of `left` is that of `right`, but for rounding.
fn same(path: &str, left: &Value, right: &Value) {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().expect("of the test"), b.as_f64().expect("of the test"));
            assert!((a - b).abs() <= 1e-9 * a.abs().max(1.0), "{path}: {a} and {b}");
        }
        (Value::Array(a), Value::Array(b)) => {
            assert_eq!(a.len(), b.len(), "{path}");
            a.iter().zip(b).enumerate().for_each(|(index, (a, b))| same(&format!("{path}[{index}]"), a, b));
        }
        (Value::Object(a), Value::Object(b)) => {
            assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>(), "{path}");
            a.iter().for_each(|(key, value)| same(&format!("{path}.{key}"), value, &b[key]));
        }
        _ => assert_eq!(left, right, "{path}"),
    }
}

/// Only what was shown with a draw of the experiment that can be used.
fn keep_drawn(events: &mut Events) {
    let is_drawn = |assignments: &[Assignment]| {
        assignments.iter().any(|one| {
            let is_right = one.draw.as_ref().is_some_and(|draw| draw.weights.iter().sum::<f64>() < 1.01);
            one.experiment.as_str() == "x" && one.variant.as_str() != "newest" && is_right
        })
    };
    events.exposures.retain(|row| is_drawn(&row.assignments));
    events.examples.retain(|row| is_drawn(&row.assignments));
}

/// How many units saw two variants.
async fn agrees(store: &dyn EventStore, seed: u64) -> u64 {
    let mut events = mess(seed);
    if seed % 2 == 1 {
        keep_drawn(&mut events);
    }
    fill(store, &events).await;
    let part = Timestamp::from_millis(START + 4 * DAY)..Timestamp::from_millis(START + 22 * DAY);
    let mut multiple = 0;
    let kinds = [SignalKind::Copy, SignalKind::Dwell];
    for (text, kinds, shown) in [(SET, &kinds[..], WHOLE), (SET, &kinds[..], part), (PLAIN, &kinds[..1], WHOLE)] {
        let set: MetricSet = toml::from_str(text).expect("of the test");
        let mut expected = folded(&events, &set, kinds, &shown);
        assert!(expected.units().iter().all(|units| *units > 5), "{:?}", expected.units());
        multiple += expected.multiple;
        // Stores leave out what comes twice, and reactions to nothing.
        (expected.ignored.duplicates, expected.ignored.orphans) = (0, 0);
        let mut found = aggregates(store, &set, &subject(), (shown, NOW)).await.expect("of the test");
        (found.ignored.duplicates, found.ignored.orphans) = (0, 0);
        same("", &json!(found), &json!(expected));
    }
    multiple
}

#[tokio::test]
async fn sqlite_says_what_folding_says() {
    let dir = tempfile::tempdir().expect("of the test");
    let mut multiple = 0;
    for seed in 0..8 {
        let store = SqliteStore::open(&dir.path().join(format!("{seed}.db"))).expect("of the test");
        multiple += agrees(&store, seed).await;
    }
    assert!(multiple > 20, "{multiple}");
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "tests learn from the environment where the server is")]
async fn clickhouse_says_what_folding_says() {
    let Ok(location) = std::env::var("PLAUDIT_TEST_CLICKHOUSE") else {
        eprintln!("SKIPPED: PLAUDIT_TEST_CLICKHOUSE is not set (deploy/dev/servers runs a server)");
        return;
    };
    let location = format!("{location}_results_{}", std::process::id());
    let store = ClickHouseStore::new(&location, &Config::default().clickhouse).expect("of the test");
    for seed in 0..4 {
        agrees(&store, seed).await;
        store.clear().await.expect("of the test");
    }
}

#[tokio::test]
async fn an_experiment_without_exposures_and_a_metric_without_data_have_a_report() {
    let store = SqliteStore::in_memory().expect("of the test");
    let config = ResultsConfig::default();
    let told = report(&store, &config, &subject(), (&Ask::default(), NOW)).await.expect("of the test");
    assert_eq!(told.units, [0, 0]);
    assert!(told.rows.iter().all(|row| row.warnings.contains(&RowWarning::NoData) && row.p.is_none()));
    let text = told.to_text();
    assert!(text.contains("no unit") && !text.contains("NaN"), "{text}");
    let wrong = Ask { alpha: Some(0.7), ..Ask::default() };
    let refused = report(&store, &config, &subject(), (&wrong, NOW)).await.unwrap_err();
    assert!(refused.to_string().contains("`alpha` must be above 0 and below 0.5, got 0.7"), "{refused}");
}

#[tokio::test]
async fn the_control_is_compared_with_wherever_it_stands() {
    let store = SqliteStore::in_memory().expect("of the test");
    let events = mess(3);
    fill(&store, &events).await;
    let set: MetricSet = toml::from_str(PLAIN).expect("of the test");
    let turned = Subject { control: 1, ..subject() };
    assert_eq!(turned.ordered(), ["new", "control"]);
    let straight = aggregates(&store, &set, &subject(), (WHOLE, NOW)).await.expect("of the test");
    let turned = aggregates(&store, &set, &turned, (WHOLE, NOW)).await.expect("of the test");
    let of = |sums: &Aggregates, place: usize| {
        let mut units: Vec<(u32, Vec<f64>, u64)> = sums
            .strata
            .iter()
            .map(|stratum| (stratum.phase, stratum.weights.clone(), stratum.arms[place].cells[0].units))
            .collect();
        units.sort_by_key(|unit| unit.0);
        units
    };
    let back = |units: Vec<(u32, Vec<f64>, u64)>| -> Vec<_> {
        units.into_iter().map(|(phase, weights, units)| (phase, vec![weights[1], weights[0]], units)).collect()
    };
    assert_eq!(back(of(&turned, 1)), of(&straight, 0));
}
