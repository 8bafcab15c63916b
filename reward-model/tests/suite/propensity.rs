//! Labels that are missing not at random: those who react are not like those who do not.

use plaudit_event::{Example, Objective, Seed, UnitId};
use plaudit_nn::checkpoint;
use plaudit_reward_model::{Config, PropensityConfig, Row, Trainer};
use rand::Rng;

use crate::world;

const HELP: &str = Objective::HELPFULNESS;

/// Units that rate often and are easy to please, and twice as many that rate seldom and are not: with the helpfulness of
/// all exposures, rated or not.
fn rated(n: usize) -> (Vec<Example>, f64) {
    let mut stream = Seed::new(31).stream("raters");
    let (mut examples, mut helped) = (Vec::with_capacity(n), 0.0);
    for drawn in world::draw(n, 32, usize::MAX, 0.0) {
        let mut example = drawn.example;
        let unit = stream.random_range(0..300_u32);
        let (rates, likes) = if unit % 3 == 0 { (0.8, 0.8) } else { (0.1, 0.3) };
        example.unit_id = UnitId::new(format!("u{unit}")).unwrap();
        example.labels.clear();
        let helpful = stream.random::<f64>() < likes;
        helped += f64::from(u8::from(helpful));
        if stream.random::<f64>() < rates {
            world::label(&mut example, HELP, f32::from(u8::from(helpful)));
        }
        examples.push(example);
    }
    (examples, helped / n as f64)
}

fn config(enabled: bool) -> Config {
    let propensity = PropensityConfig { enabled, ..PropensityConfig::default() };
    Config { objectives: vec![Objective::new(HELP)], propensity, ..Config::default() }
}

fn trained(enabled: bool, examples: &[Example]) -> Trainer {
    let mut trainer = Trainer::new(config(enabled), Seed::new(1)).unwrap();
    trainer.step(examples);
    trainer
}

/// Mean predicted probability over all exposures.
fn mean(trainer: &Trainer, examples: &[Example]) -> f64 {
    let model = trainer.snapshot();
    let p = |e: &Example| model.score_row(&Row { context: &e.context, response: &e.response }).prob(HELP).unwrap();
    examples.iter().map(p).sum::<f64>() / examples.len() as f64
}

#[test]
fn what_raters_like_is_corrected_to_what_all_like() {
    let (examples, truth) = rated(20_000);
    let [plain, corrected] = [false, true].map(|enabled| mean(&trained(enabled, &examples), &examples));
    println!("helpful: truth {truth:.3}, of raters {plain:.3}, corrected {corrected:.3}");
    assert!(plain - truth > 0.15, "raters are easier to please: {plain} against {truth}");
    assert!((corrected - truth).abs() < (plain - truth) / 3.0, "{corrected} against {truth}, {plain} before");
}

#[test]
fn a_resumed_model_of_raters_goes_on_bit_for_bit() {
    let (examples, _) = rated(1_000);
    let straight = trained(true, &examples);
    let first = trained(true, &examples[..500]);
    let root = tempfile::tempdir().unwrap();
    let written = checkpoint::write(root.path(), "reward-", &first.checkpoint(500, None).unwrap()).unwrap();
    let loaded = checkpoint::load(&root.path().join(&written.id)).unwrap();
    let mut second = Trainer::resume(&loaded, config(true), Seed::new(1)).unwrap();
    second.step(&examples[500..]);
    let files = |trainer: &Trainer| trainer.checkpoint(1_000, None).unwrap().files;
    assert_eq!(files(&straight), files(&second));
    let other = trained(true, &examples[..999]);
    assert_ne!(files(&straight)["propensity.safetensors"], files(&other)["propensity.safetensors"]);
}
