//! How close the model comes to the best possible, on a world whose probabilities are known.

use crate::world::{self, Drawn};
use plaudit_event::{Context, Example, Objective, Seed};
use plaudit_reward_model::{Bootstrap, Config, HashModel, Quality, RewardModel, Row, Trainer, evaluate, quality};

fn trained(examples: &[Example], seed: u64) -> Trainer {
    let mut trainer = Trainer::new(Config::default(), Seed::new(seed)).unwrap();
    trainer.step(examples);
    trainer
}

fn split(drawn: Vec<Drawn>) -> (Vec<Example>, Vec<f64>) {
    drawn.into_iter().map(|d| (d.example, d.love)).unzip()
}

fn love(model: &HashModel, examples: &[Example]) -> Vec<f64> {
    let rows: Vec<Row<'_>> = examples.iter().map(|e| Row { context: &e.context, response: &e.response }).collect();
    let scores = model.score(&rows).unwrap();
    scores.iter().map(|s| s.prob(Objective::LOVE).unwrap()).collect()
}

/// [`quality::expected_auroc`] of scores that are all numbers.
pub(crate) fn expected_auroc(scores: &[f64], truth: &[f64]) -> f64 {
    quality::expected_auroc(scores, truth).unwrap()
}

#[test]
fn twelve_thousand_examples_bring_the_area_within_two_hundredths_of_the_oracle() {
    let seeds = 1..=4;
    let mut gaps = Vec::new();
    for seed in seeds {
        let (examples, truth) = split(world::draw(20_000, seed, usize::MAX, 0.0));
        let trainer = trained(&examples[..12_000], seed);
        let scores = love(&trainer.snapshot(), &examples[12_000..]);
        let truth = &truth[12_000..];
        let (oracle, model) = (expected_auroc(truth, truth), expected_auroc(&scores, truth));
        println!("seed {seed}: oracle {oracle:.4}, model {model:.4}");
        gaps.push(oracle - model);
    }
    let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
    assert!(mean <= 0.02, "mean gap {mean:.4} of {gaps:.4?}");
    assert!(gaps.iter().all(|gap| *gap <= 0.025), "{gaps:.4?}");
}

#[test]
fn predictions_are_calibrated_before_training_also_when_the_base_rate_moves() {
    for (seed, shift) in [(1, 0.0), (2, 0.0), (1, 0.55), (2, 0.55), (3, 0.55)] {
        let (examples, _) = split(world::draw(12_000, seed, 7_000, shift));
        let quality = trained(&examples, seed).quality(Objective::LOVE).unwrap();
        println!("seed {seed}, shift {shift}: {quality:?}");
        assert!(quality.ece <= 0.01, "seed {seed}, shift {shift}: {quality:?}");
        assert!(quality.log_loss < quality.prior_log_loss, "{quality:?}");
    }
}

#[test]
fn quality_after_a_move_is_calibrated_on_the_newest_examples_alone() {
    let (examples, _) = split(world::draw(13_000, 4, 7_000, 0.55));
    let trainer = trained(&examples, 4);
    let newest: Vec<_> = trainer.predictions(Objective::LOVE).into_iter().rev().take(3_000).collect();
    let p: Vec<f64> = newest.iter().map(|prediction| prediction.p).collect();
    let y: Vec<f64> = newest.iter().map(|prediction| f64::from(prediction.label)).collect();
    let gap = (p.iter().sum::<f64>() - y.iter().sum::<f64>()) / p.len() as f64;
    // 3,000 labels at 8 %: the standard error of their mean is 0.005.
    assert!(gap.abs() < 0.012, "mean prediction minus mean label {gap}");
}

#[test]
fn missing_labels_teach_nothing_and_unknown_heads_say_so() {
    let (examples, _) = split(world::draw(2_000, 5, usize::MAX, 0.0));
    let without: Vec<Example> = examples
        .iter()
        .cloned()
        .map(|mut example| {
            example.labels.remove(Objective::HELPFULNESS);
            example
        })
        .collect();
    let model = trained(&without, 1).snapshot();
    let context = Context::of_user("please explain the river number3");
    let scores = model.score_row(&Row { context: &context, response: "there are different views on this." });
    assert!(scores.prob(Objective::LOVE).is_some());
    assert_eq!(scores.prob(Objective::HELPFULNESS), None);
    assert_eq!(scores.prob("unheard of"), None);
    let both = trained(&examples, 1).snapshot();
    let scores = both.score_row(&Row { context: &context, response: "there are different views on this." });
    assert!(scores.prob(Objective::HELPFULNESS).unwrap() < 0.7);
}

#[test]
fn one_unit_cannot_teach_more_than_its_share() {
    let (mut examples, _) = split(world::draw(4_000, 6, usize::MAX, 0.0));
    // An adversary loves one phrase, two thousand times in a day.
    for i in 0..2_000 {
        let mut spam = world::example(10_000 + i, "please explain the river number3", "buy more at the river shop");
        spam.unit_id = plaudit_event::UnitId::new("adversary").unwrap();
        world::label(&mut spam, Objective::LOVE, 1.0);
        examples.push(spam);
    }
    let loved = |limit: u32| {
        let mut config = Config { max_examples_per_unit_day: limit, ..Config::default() };
        config.guard.enabled = false;
        let mut trainer = Trainer::new(config, Seed::new(1)).unwrap();
        let report = trainer.step(&examples);
        let context = Context::of_user("quick question what is the city number6");
        let row = Row { context: &context, response: "buy more at the river shop" };
        (report.capped, trainer.snapshot().score_row(&row).prob(Objective::LOVE).unwrap())
    };
    let (capped, bounded) = loved(20);
    assert_eq!(capped, 1_980);
    let (free, unbounded) = loved(1_000_000);
    assert_eq!(free, 0);
    assert!(bounded < 0.5 * unbounded, "{bounded} bounded, {unbounded} unbounded");
}

#[test]
fn the_offline_report_has_intervals_around_its_figures() {
    let (examples, _) = split(world::draw(6_000, 7, usize::MAX, 0.0));
    let model = trained(&examples[..4_000], 1).snapshot();
    let bootstrap = Bootstrap { resamples: 200, seed: Seed::new(1) };
    let reports = evaluate(&*model, &examples[4_000..], bootstrap).unwrap();
    let report = &reports[Objective::LOVE];
    assert_eq!((report.n, report.units), (2_000, 500));
    let auroc = report.auroc.unwrap();
    for figure in [auroc, report.log_loss, report.prior_log_loss] {
        assert!(figure.low < figure.value && figure.value < figure.high, "{figure:?}");
    }
    assert!(auroc.low > 0.5, "{auroc:?}");
    let again = evaluate(&*model, &examples[4_000..], bootstrap).unwrap();
    assert_eq!(reports, again);
    let p = love(&model, &examples[4_000..]);
    let y: Vec<f64> = examples[4_000..].iter().map(|e| f64::from(e.label(Objective::LOVE).unwrap().value)).collect();
    let plain = Quality::measure(&p, &y, &y).unwrap();
    assert!((plain.ece - report.ece.value).abs() < 1e-12);
    assert!((quality::auroc(&p, &y).unwrap() - auroc.value).abs() < 1e-12);
    assert!((plain.prior_log_loss - report.prior_log_loss.value).abs() < 1e-12);
}
