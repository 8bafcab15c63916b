//! What a correction does: the old label is forgotten, the new one counts, and nothing counts twice.

use plaudit_event::{Example, ExposureId, Objective, Seed, Timestamp, UnitId};
use plaudit_reward_model::{Config, Row, StepReport, Trainer};

use crate::world;

const LOVE: &str = Objective::LOVE;

fn config() -> Config {
    let mut config = Config::default();
    config.replay.capacity = 100;
    config
}

fn examples(n: usize) -> Vec<Example> {
    world::draw(n, 13, usize::MAX, 0.0).into_iter().map(|d| d.example).collect()
}

/// An example without love, before three hundred others of which some are loved.
fn trained(config: Config) -> (Trainer, Example) {
    let mut example = world::example(9_000, "please explain", "it varies from case to case.");
    world::label(&mut example, LOVE, 0.0);
    let mut stream = examples(300);
    stream.insert(0, example.clone());
    let mut trainer = Trainer::new(config, Seed::new(5)).unwrap();
    trainer.step(&stream);
    (trainer, example)
}

/// Examples seen without and with love.
fn seen(trainer: &Trainer) -> [u64; 2] {
    let state = &trainer.checkpoint(0, None).unwrap().files["state.json"];
    let state: serde_json::Value = serde_json::from_slice(state).unwrap();
    ["negatives_seen", "positives_seen"].map(|class| state["heads"][LOVE][class].as_u64().unwrap())
}

/// A file of the checkpoint that would be written now.
fn file(trainer: &Trainer, name: &str) -> Vec<u8> {
    trainer.checkpoint(0, None).unwrap().files[name].clone()
}

/// All the labels that are remembered for love.
fn remembered(trainer: &Trainer) -> usize {
    let bytes = file(trainer, "replay.safetensors");
    let params = plaudit_nn::Params::from_bytes(&bytes, &candle_core::Device::Cpu).unwrap();
    let classes = ["love.positives.exposure", "love.negatives.exposure"];
    classes.iter().map(|name| params.get(name).map_or(0, |column| column.elem_count())).sum()
}

#[test]
fn a_corrected_label_moves_and_is_not_added() {
    for capacity in [10, 1_000] {
        let mut config = config();
        config.replay.capacity = capacity;
        let (mut trainer, example) = trained(config);
        let (before, predictions) = (seen(&trainer), trainer.predictions(LOVE).len());
        let report = trainer.step(&[world::correction(&example, LOVE, Some(1.0))]);
        assert_eq!((report.corrections, report.trained), (1, 1));
        assert_eq!(seen(&trainer), [before[0] - 1, before[1] + 1], "also where the memory had given way");
        assert_eq!(trainer.predictions(LOVE).len(), predictions, "no second prediction");
    }
}

#[test]
fn a_correction_of_another_objective_leaves_this_one_alone() {
    let (mut trainer, example) = trained(config());
    let (model, before) = (file(&trainer, "optimizer.safetensors"), seen(&trainer));
    let report = trainer.step(&[world::correction(&example, "clicks", Some(1.0))]);
    assert_eq!(report, StepReport { examples: 1, corrections: 1, unlabelled: 1, ..StepReport::default() });
    assert_eq!((file(&trainer, "optimizer.safetensors"), seen(&trainer)), (model, before));
    trainer.step(&[world::correction(&example, Objective::HELPFULNESS, Some(1.0))]);
    assert_eq!(seen(&trainer), before, "love was not trained on again");
}

#[test]
fn a_label_taken_back_is_forgotten_even_when_no_label_is_left() {
    let config = Config { objectives: vec![Objective::new(LOVE)], ..Config::default() };
    let (mut trainer, example) = trained(config);
    let (model, before) = (file(&trainer, "optimizer.safetensors"), remembered(&trainer));
    let report = trainer.step(&[world::correction(&example, LOVE, None)]);
    assert_eq!(report, StepReport { examples: 1, corrections: 1, unlabelled: 1, ..StepReport::default() });
    assert_eq!(remembered(&trainer), before - 1);
    assert_eq!(file(&trainer, "optimizer.safetensors"), model, "nothing to learn from");
}

#[test]
fn corrections_count_against_the_bound_of_their_unit() {
    let (mut trainer, mut example) = trained(Config { max_examples_per_unit_day: 3, ..Config::default() });
    example.unit_id = UnitId::new("adversary").unwrap();
    let mut revisions = vec![example];
    for i in 0..6 {
        let mut next = world::correction(&revisions[i], LOVE, Some(f32::from(u8::from(i % 2 == 0))));
        next.exposure_id = revisions[0].exposure_id.clone();
        revisions.push(next);
    }
    let before = seen(&trainer);
    let report = trainer.step(&revisions[1..4]);
    assert_eq!((report.trained, report.capped), (3, 0));
    assert_eq!(seen(&trainer), [before[0] - 1, before[1] + 1]);
    let model = file(&trainer, "optimizer.safetensors");
    let held = remembered(&trainer);
    let report = trainer.step(&revisions[4..]);
    assert_eq!((report.trained, report.capped), (0, 3));
    assert_eq!(file(&trainer, "optimizer.safetensors"), model, "beyond the bound nothing is trained on");
    assert_eq!(remembered(&trainer), held - 1, "and the wrong label is rehearsed no more");
    assert_eq!(seen(&trainer), [before[0] - 1, before[1]]);
}

#[test]
fn predictions_are_measured_against_the_newest_labels() {
    let (mut trainer, _) = trained(config());
    let example = examples(300).pop().unwrap();
    let label = |trainer: &Trainer| {
        let found = trainer.predictions(LOVE).into_iter().find(|p| p.exposure_id == example.exposure_id);
        found.map(|prediction| prediction.label)
    };
    let first = example.labels[LOVE].value;
    assert_eq!(label(&trainer), Some(first));
    let n = trainer.quality(LOVE).unwrap().n;
    let turned = world::correction(&example, LOVE, Some(1.0 - first));
    trainer.step(std::slice::from_ref(&turned));
    assert_eq!(label(&trainer), Some(1.0 - first));
    trainer.step(&[world::correction(&turned, LOVE, None)]);
    assert_eq!((label(&trainer), trainer.quality(LOVE).unwrap().n), (None, n - 1));
}

/// Every window closes without love; where there was some, it is told a hundred examples later.
#[test]
fn predictions_follow_the_corrected_rate_and_not_the_one_at_the_close() {
    let drawn = world::draw(8_000, 17, usize::MAX, 1.5);
    let mut trainer = Trainer::new(Config::default(), Seed::new(5)).unwrap();
    let mut loved = Vec::new();
    for (i, drawn) in drawn.iter().enumerate() {
        let mut closed = drawn.example.clone();
        world::label(&mut closed, LOVE, 0.0);
        trainer.step(std::slice::from_ref(&closed));
        loved.push((drawn.example.labels[LOVE].value == 1.0).then_some(closed));
        if let Some(closed) = i.checked_sub(100).and_then(|earlier| loved[earlier].take()) {
            trainer.step(&[world::correction(&closed, LOVE, Some(1.0))]);
        }
    }
    let quality = trainer.quality(LOVE).unwrap();
    let newest: Vec<_> = trainer.predictions(LOVE).into_iter().rev().skip(100).take(3_000).collect();
    let mean = |read: fn(&plaudit_reward_model::Prediction) -> f64| newest.iter().map(read).sum::<f64>() / 3_000.0;
    let (predicted, rate) = (mean(|p| p.p), mean(|p| f64::from(p.label)));
    println!("predicted {predicted:.4}, true {rate:.4}, {quality:?}");
    assert!(rate > 0.03, "{rate}");
    assert!((predicted - rate).abs() < 0.15 * rate, "{predicted} predicted, {rate} true");
    assert!(quality.auroc.unwrap() > 0.65, "{quality:?}");
    let row = Row { context: &drawn[0].example.context, response: &drawn[0].example.response };
    assert!(trainer.snapshot().score_row(&row).prob(LOVE).is_some());
}

#[test]
fn the_newest_close_is_told_and_corrections_do_not_move_it() {
    let (mut trainer, example) = trained(config());
    assert_eq!(trainer.closed_through(), Some(example.ts));
    let later = |millis| Timestamp::from_millis(example.ts.as_millis() + millis);
    let mut late = example.clone();
    late.ts = later(5_000);
    late.exposure_id = ExposureId::new("late").unwrap();
    trainer.step(std::slice::from_ref(&late));
    assert_eq!(trainer.closed_through(), Some(late.ts));
    let mut correction = world::correction(&late, LOVE, Some(1.0));
    correction.ts = later(9_000);
    assert_eq!(trainer.step(&[correction]).trained, 1);
    assert_eq!(trainer.closed_through(), Some(late.ts));
}
