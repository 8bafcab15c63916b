//! Golden slices: what is held out is not learned, and what is forgotten is seen.

use plaudit_event::{Example, Objective, Seed, UnitId};
use plaudit_nn::checkpoint;
use plaudit_reward_model::card::card;
use plaudit_reward_model::{Config, ReplayStrategy, StepReport, Trainer};
use plaudit_simulator::domains::Domains;

use crate::world;

fn model(trainer: &Trainer) -> Vec<u8> {
    trainer.checkpoint(0, None).unwrap().files["model.safetensors"].clone()
}

#[test]
fn held_out_units_are_predicted_and_teach_nothing() {
    let examples: Vec<Example> = world::draw(3_000, 3, usize::MAX, 0.0).into_iter().map(|d| d.example).collect();
    let mut trainer = Trainer::new(Config::default(), Seed::new(1)).unwrap();
    let mut report = StepReport::default();
    let mut others = Vec::new();
    for example in &examples {
        let step = trainer.step(std::slice::from_ref(example));
        if step.held_out == 0 {
            others.push(example.clone());
        }
        report += step;
    }
    assert!((60..=300).contains(&report.held_out), "about a twentieth of 500 units: {report:?}");
    assert_eq!(report.trained + report.held_out + report.suspect + report.capped, 3_000 - report.unlabelled);
    assert_eq!(trainer.golden().unwrap().held_out, report.held_out);

    // The same without those held out: not a weight differs.
    let mut alone = Trainer::new(Config::default(), Seed::new(1)).unwrap();
    assert_eq!(others.len() as u64, 3_000 - report.held_out);
    alone.step(&others);
    let (a, b) = (model(&trainer), model(&alone));
    assert_eq!(a, b);
    let predicted = |trainer: &Trainer| trainer.predictions(Objective::LOVE).len() as u64;
    let more = predicted(&trainer) - predicted(&alone);
    // Nothing is predicted before both classes were seen.
    assert!(more <= report.held_out && more + 5 >= report.held_out, "but predicted: {more} of {report:?}");
}

/// A stream of `domains`, one after the other, under `strategy`; forgetting at its end.
fn forgetting(strategy: ReplayStrategy) -> (Trainer, f64) {
    let mut config = Config { objectives: vec![Objective::new(Objective::LOVE)], ..Config::default() };
    config.segments.by = "domain".to_owned();
    config.replay.strategy = strategy;
    let mut trainer = Trainer::new(config, Seed::new(2)).unwrap();
    let domains = Domains::new(3, Seed::new(4));
    for number in 0..3 {
        for (i, (mut example, _)) in domains.draw(number, "train", 10_000).into_iter().enumerate() {
            example.unit_id = UnitId::new(format!("u{}", i % 1_000)).unwrap();
            trainer.step(std::slice::from_ref(&example));
        }
    }
    let forgetting = trainer.golden().unwrap().forgetting.unwrap();
    (trainer, forgetting)
}

#[test]
fn without_replay_earlier_domains_are_seen_to_be_forgotten_and_the_card_says_so() {
    let (kept, little) = forgetting(ReplayStrategy::Reservoir);
    let (lost, much) = forgetting(ReplayStrategy::None);
    println!("forgetting with a reservoir {little:.3}, without replay {much:.3}");
    assert!(little < 0.05 && much > 0.1, "{little} and {much}");
    let pairs = kept.confusable();
    assert!(!pairs.is_empty() && pairs.iter().all(|pair| pair.a != pair.b), "phrases mean something else: {pairs:?}");
    assert!(!kept.golden().unwrap().alarm && lost.golden().unwrap().alarm);

    let root = tempfile::tempdir().unwrap();
    let written = checkpoint::write(root.path(), "reward-", &lost.checkpoint(30_000, None).unwrap()).unwrap();
    let told = card(&root.path().join(&written.id)).unwrap();
    assert_eq!(told.golden, lost.golden().unwrap());
    assert!(told.golden.slices.len() >= 3, "{:?}", told.golden);
    let text = told.to_markdown();
    for part in ["## Forgetting", "**Alarm:** more than 0.05 was forgotten", "| slice | segment |", "| 30000 |"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}
