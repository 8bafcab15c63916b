//! Rewards that leave the length of the response out.

use plaudit_event::{Example, Objective, Seed};
use plaudit_nn::checkpoint;
use plaudit_reward_model::quality::{auroc, pearson};
use plaudit_reward_model::{Config, HashModel, LengthConfig, Row, Trainer};

use crate::world;

/// Answers that were loved twice: in this world users love what is long as such, beside all else.
fn examples(n: usize) -> Vec<Example> {
    let mut examples: Vec<Example> = world::draw(n, 21, usize::MAX, 0.0).into_iter().map(|d| d.example).collect();
    for (i, example) in examples.iter_mut().enumerate() {
        if i % 5 == 0 && example.response.split_whitespace().count() > 25 {
            world::label(example, Objective::LOVE, 1.0);
        }
    }
    examples
}

fn config(debias: bool) -> Config {
    let length = LengthConfig { debias, ..LengthConfig::default() };
    Config { objectives: vec![Objective::new(Objective::LOVE)], length, ..Config::default() }
}

/// Correlations of logit and reward with the length, and the area of the reward.
fn measure(model: &HashModel, later: &[Example]) -> [f64; 3] {
    let row = |example: &Example| {
        let scores = model.score_row(&Row { context: &example.context, response: &example.response });
        (scores.logit("love").unwrap(), scores.reward("love").unwrap())
    };
    let (logits, rewards): (Vec<f64>, Vec<f64>) = later.iter().map(row).unzip();
    let words: Vec<f64> = later.iter().map(|example| example.response.split_whitespace().count() as f64).collect();
    let labels: Vec<f64> = later.iter().map(|example| f64::from(example.labels["love"].value)).collect();
    [pearson(&logits, &words).unwrap(), pearson(&rewards, &words).unwrap(), auroc(&rewards, &labels).unwrap()]
}

#[test]
fn rewards_do_not_follow_length_where_probabilities_do() {
    let examples = examples(16_000);
    let (learned, later) = examples.split_at(12_000);
    let train = |debias| {
        let mut trainer = Trainer::new(config(debias), Seed::new(1)).unwrap();
        trainer.step(learned);
        trainer
    };
    let (plain, debiased) = (train(false), train(true));
    let [logit, reward, area] = measure(&plain.snapshot(), later);
    assert!(
        logit > 0.5 && (reward - logit).abs() < 1e-12,
        "without the setting the reward is the logit: {logit} {reward}"
    );
    let [same, without, rest] = measure(&debiased.snapshot(), later);
    assert_eq!(same, logit, "probabilities do not depend on the setting");
    assert!(without.abs() < 0.1, "{logit} before, {without} without length");
    assert!(rest > 0.6 && rest < area, "what is not length still tells: {rest} of {area}");

    let (plain, debiased) = (plain.length("love").unwrap(), debiased.length("love").unwrap());
    assert!(plain.alarm && plain.reward == plain.logit && plain.debiased == debiased.debiased);
    assert!(!debiased.alarm && debiased.reward.unwrap().abs() < 0.1, "{debiased:?}");
    assert!((debiased.logit.unwrap() - logit).abs() < 0.1, "{debiased:?}, {logit} later");
}

#[test]
fn a_checkpoint_rewards_like_the_trainer_that_wrote_it() {
    let examples = examples(1_000);
    let mut trainer = Trainer::new(config(true), Seed::new(1)).unwrap();
    trainer.step(&examples);
    let root = tempfile::tempdir().unwrap();
    let written = checkpoint::write(root.path(), "reward-", &trainer.checkpoint(0, None).unwrap()).unwrap();
    let model = HashModel::from_checkpoint(&checkpoint::load(&root.path().join(&written.id)).unwrap()).unwrap();
    let live = trainer.snapshot();
    for example in &examples[..20] {
        let row = Row { context: &example.context, response: &example.response };
        let (read, own) = (model.score_row(&row), live.score_row(&row));
        assert_eq!(read.reward("love"), own.reward("love"));
        assert_ne!(own.reward("love"), own.logit("love"));
    }
}
