use std::sync::Arc;

use plaudit_event::{Context, Example, ExposureId, Labels, Objective, PolicyId, Surface, Timestamp, UnitId};

use super::*;
use crate::encode::hash_text;
use crate::{Row, Scores};

fn config() -> GoldenConfig {
    GoldenConfig { rows: 20, least: 4, slices: 4, newest: 8, ..GoldenConfig::default() }
}

fn example(number: u32) -> Example {
    Example {
        exposure_id: ExposureId::new(format!("e{number}")).unwrap(),
        revision: 0,
        unit_id: UnitId::new(format!("u{number}")).unwrap(),
        surface: Surface::Chat,
        context: Context::of_user("hello"),
        response: number.to_string(),
        item_id: "0".to_owned(),
        position: 0,
        policy_id: PolicyId::new("p").unwrap(),
        propensity: None,
        assignments: Vec::new(),
        attributes: serde_json::Map::new(),
        labels: Labels::new(),
        replaced: Labels::new(),
        remarks: Default::default(),
        exposure_ts: Timestamp::from_millis(0),
        ts: Timestamp::from_millis(0),
    }
}

fn place(number: u32, segment: Segment) -> Place {
    Place { exposure: hash_text(&format!("e{number}")), unit: hash_text(&format!("u{number}")), segment }
}

/// Takes examples `range` of `segment`, of which every fourth is loved.
fn take(golden: &mut Golden, range: std::ops::Range<u32>, segment: Segment) {
    for number in range {
        let label = f32::from(u8::from(number.is_multiple_of(4)));
        golden.take(&example(number), place(number, segment), label, &config());
    }
}

/// Says that the responses with these numbers are loved, and is unsure of the others.
struct Knows(std::ops::Range<u32>, Vec<Objective>);

impl RewardModel for Knows {
    fn objectives(&self) -> &[Objective] {
        &self.1
    }

    fn score(&self, rows: &[Row<'_>]) -> Result<Vec<Scores>, Error> {
        let logit = |row: &Row<'_>| {
            let number: u32 = row.response.parse().expect("a number");
            if self.0.contains(&number) { f64::from(u8::from(number.is_multiple_of(4))) } else { 0.0 }
        };
        Ok(rows.iter().map(|row| Scores::new(self.1.clone().into(), vec![Some(logit(row))])).collect())
    }
}

fn love() -> Objective {
    Objective::new(Objective::LOVE)
}

fn knows(range: std::ops::Range<u32>) -> Knows {
    Knows(range, vec![love()])
}

fn names() -> Vec<String> {
    ["other", "a", "b"].map(str::to_owned).into()
}

#[test]
fn the_share_of_units_that_is_held_out_is_the_configured_one_and_always_the_same() {
    let config = GoldenConfig { share: 0.1, ..GoldenConfig::default() };
    let held = |n: u32| Golden::holds(hash_text(&format!("unit {n}")), &config);
    let count = (0..10_000).filter(|n| held(*n)).count();
    // Binomial(10,000, 0.1): standard deviation 30.
    assert!((880..=1_120).contains(&count), "{count}");
    let off = GoldenConfig { share: 0.0, ..config.clone() };
    assert!((0..10_000).all(|n| !Golden::holds(hash_text(&format!("unit {n}")), &off)));
    let more = GoldenConfig { share: 0.2, ..config.clone() };
    let holds_more = |n: u32| Golden::holds(hash_text(&format!("unit {n}")), &more);
    assert!((0..10_000).all(|n| !held(n) || holds_more(n)), "a larger share holds the same units and others");
}

#[test]
fn slices_are_bounded_balanced_and_say_what_they_stand_for() {
    let mut golden = Golden::default();
    take(&mut golden, 0..400, 1);
    take(&mut golden, 400..406, 2);
    assert!(golden.freeze(1_000, &names(), &config()));
    assert_eq!(golden.slices().len(), 1, "the other segment has too few of a class");
    let slice = &golden.slices()[0];
    assert_eq!((slice.segment.as_str(), slice.frozen_at, slice.rows.len()), ("a", 1_000, 20));
    let positives: Vec<_> = slice.rows.iter().filter(|row| row.is_positive()).collect();
    assert_eq!(positives.len(), 10);
    assert!((positives.iter().map(|row| row.weight).sum::<f64>() - 100.0).abs() < 1e-9, "a quarter of 400");
    assert!((slice.rows.iter().map(|row| row.weight).sum::<f64>() - 400.0).abs() < 1e-9);
    assert_eq!(golden.newest().len(), 8);
    let early = slice.rows.iter().filter(|row| row.response.parse::<u32>().unwrap() < 200).count();
    assert!((3..=17).contains(&early), "a uniform sample, not the first or the last: {early} of 20");
}

#[test]
fn a_segment_is_frozen_again_when_the_examples_have_doubled_and_never_beyond_the_bound() {
    let mut golden = Golden::default();
    let mut next = 0;
    let mut frozen = Vec::new();
    for examples in (100..=4_000).step_by(100) {
        take(&mut golden, next..next + 40, 1);
        next += 40;
        if golden.freeze(examples, &names(), &config()) {
            frozen.push(examples);
        }
    }
    assert_eq!(frozen, [100, 200, 400, 800]);
    assert!(golden.pools.is_empty(), "nothing is collected that will not be frozen");
}

#[test]
fn what_an_earlier_model_knew_and_the_present_one_does_not_is_forgotten() {
    let mut golden = Golden::default();
    take(&mut golden, 0..100, 1);
    golden.freeze(100, &names(), &config());
    golden.measure(&knows(0..100), 100, &love()).unwrap();
    take(&mut golden, 100..200, 2);
    golden.freeze(200, &names(), &config());
    golden.measure(&knows(100..200), 200, &love()).unwrap();

    let report = golden.report(&knows(100..200), 250, &love()).unwrap();
    let told: Vec<_> = report.slices.iter().map(|s| (s.segment.as_str(), s.best, s.now, s.forgotten)).collect();
    assert_eq!(told, [("a", Some(1.0), Some(0.5), Some(0.5)), ("b", Some(1.0), Some(1.0), Some(0.0))], "{report:?}");
    assert_eq!((report.forgetting, report.alarm), (Some(0.25), true));
    let rows: Vec<_> = report.matrix.iter().map(|row| (row.examples, row.areas.clone())).collect();
    assert_eq!(rows, [(100, vec![Some(1.0)]), (200, vec![Some(0.5), Some(1.0)]), (250, vec![Some(0.5), Some(1.0)])]);
    // The model that was judged last is not its own predecessor.
    let last = golden.report(&knows(100..200), 200, &love()).unwrap();
    assert_eq!((last.slices[1].best, last.slices[1].forgotten, last.matrix.len()), (None, None, 2));
    assert_eq!(golden.measured(), last);
    let good = golden.report(&knows(0..200), 300, &love()).unwrap();
    assert_eq!((good.forgetting, good.alarm), (Some(0.0), false));
}

#[test]
fn the_matrix_is_bounded_and_never_loses_the_best() {
    let mut golden = Golden::default();
    take(&mut golden, 0..100, 1);
    golden.freeze(1, &names(), &config());
    golden.measure(&knows(0..0), 1, &love()).unwrap();
    golden.measure(&knows(0..100), 2, &love()).unwrap();
    for examples in 3..1_000 {
        golden.measure(&knows(0..0), examples, &love()).unwrap();
    }
    let report = golden.measured();
    assert!((32..=65).contains(&report.matrix.len()), "{}", report.matrix.len());
    assert_eq!((report.matrix[0].examples, report.matrix.last().unwrap().examples), (1, 999));
    assert_eq!(report.slices[0].best, Some(1.0), "also after its row has been dropped");
    assert_eq!(report.forgetting, Some(0.5));
}

#[test]
fn corrections_and_erasures_reach_every_copy() {
    let mut golden = Golden::default();
    take(&mut golden, 0..60, 1);
    golden.freeze(100, &names(), &config());
    take(&mut golden, 60..68, 1);
    let frozen = golden.slices()[0].rows[0].exposure;
    golden.correct(frozen, Some(1.0), &config());
    assert!(golden.slices()[0].rows.iter().any(|row| row.exposure == frozen && row.is_positive()));
    golden.correct(frozen, None, &config());
    assert_eq!(golden.slices()[0].rows.len(), 19);

    let newest = place(67, 1);
    golden.correct(newest.exposure, Some(1.0), &config());
    assert!(golden.newest().any(|row| row.exposure == newest.exposure && row.is_positive()));
    assert_eq!(golden.erase(&[newest.exposure, 1].into()), 1);
    assert_eq!(golden.erase(&[newest.exposure, 1].into()), 0);
    let text = serde_json::to_string(&golden).unwrap();
    assert!(!text.contains(&format!("\"exposure\":{}", newest.exposure)), "in no pool either");
    golden.forget_unit(place(66, 1).unit);
    assert!(golden.newest().all(|row| row.unit != place(66, 1).unit));
}

#[test]
fn texts_beyond_the_bound_are_not_kept() {
    let mut golden = Golden::default();
    let mut long = example(1);
    long.response = "a".repeat(MOST_ROW_BYTES + 1);
    golden.take(&long, place(1, 1), 1.0, &config());
    assert_eq!(golden.newest().len(), 0);
}

#[test]
fn a_state_that_was_written_and_read_is_the_same() {
    let mut golden = Golden::default();
    take(&mut golden, 0..100, 1);
    golden.freeze(100, &names(), &config());
    golden.measure(&knows(0..40), 100, &love()).unwrap();
    take(&mut golden, 100..130, 2);
    let bytes = serde_json::to_vec(&golden).unwrap();
    let read: Golden = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(serde_json::to_vec(&read).unwrap(), bytes);
    assert_eq!(read.measured(), golden.measured());
    assert!(read.newest().zip(golden.newest()).all(|(a, b)| Arc::as_ref(a) == Arc::as_ref(b)));
}
