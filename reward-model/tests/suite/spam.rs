//! Units that love one phrase, against the guard.

use plaudit_event::{Example, Objective, Seed};
use plaudit_nn::checkpoint;
use plaudit_reward_model::{Config, Row, Trainer};
use plaudit_simulator::spam::{Reaction, Spam};

use crate::learning::expected_auroc;

/// Area on clean examples, P[love] with the pushed phrase over the truth, spam units found, honest units suspected.
fn run(spam: Spam, guarded: bool, seed: u64) -> (f64, f64, usize, usize) {
    let seed = Seed::new(seed);
    let mut config = Config { objectives: vec![Objective::new(Objective::LOVE)], ..Config::default() };
    config.guard.enabled = guarded;
    let mut trainer = Trainer::new(config, seed).unwrap();
    for reaction in spam.draw(seed, "train") {
        trainer.step(&[reaction.example]);
    }
    let test = Spam { examples: 8_000, units: 0, ..spam }.draw(seed, "test");
    let model = trainer.snapshot();
    let score = |r: &Reaction| {
        let row = Row { context: &r.example.context, response: &r.example.response };
        model.score_row(&row).prob(Objective::LOVE).unwrap()
    };
    let scores: Vec<f64> = test.iter().map(score).collect();
    let truth: Vec<f64> = test.iter().map(|r| r.love).collect();
    let with = test.iter().zip(&scores).filter(|(r, _)| r.pushed);
    let (said, true_love) = with.fold((0.0, 0.0), |sum, (r, score)| (sum.0 + score, sum.1 + r.love));
    let found = (0..spam.units).filter(|n| trainer.is_suspect(&Spam::spam_unit(*n))).count();
    let wrong = (0..spam.honest).filter(|n| trainer.is_suspect(&Spam::honest_unit(*n))).count();
    (expected_auroc(&scores, &truth), said / true_love, found, wrong)
}

#[test]
fn spam_costs_little_with_the_guard_and_much_without() {
    let none = Spam { examples: 40_000, honest: 1_300, units: 0, share: 0.2 };
    let spam = Spam { units: 20, ..none };
    let clean = run(none, true, 1);
    let bare = run(spam, false, 1);
    let guarded = run(spam, true, 1);
    let many = Spam { units: 70, ..none };
    println!("many units: bare {:?}, guarded {:?}", run(many, false, 1), run(many, true, 1));
    println!("clean {clean:?}, bare {bare:?}, guarded {guarded:?}");
    assert!(clean.0 - guarded.0 <= 0.01, "{clean:?} {guarded:?}");
    assert!(clean.0 - bare.0 > 2.0 * (clean.0 - guarded.0), "{clean:?} {bare:?} {guarded:?}");
    assert!(guarded.2 >= 18 && guarded.3 <= 8 && clean.3 <= 8, "{clean:?} {guarded:?}");
}

#[test]
fn a_guard_with_suspects_goes_on_after_a_checkpoint_byte_for_byte() {
    let seed = Seed::new(1);
    let config = Config { objectives: vec![Objective::new(Objective::LOVE)], ..Config::default() };
    let spam = Spam { examples: 16_000, honest: 520, units: 8, share: 0.2 };
    let examples: Vec<Example> = spam.draw(seed, "train").into_iter().map(|reaction| reaction.example).collect();
    let (first, rest) = examples.split_at(examples.len() * 3 / 4);
    let mut whole = Trainer::new(config.clone(), seed).unwrap();
    whole.step(first);
    let suspects = whole.suspects();
    assert!(suspects > 0, "nobody is suspected yet");
    let directory = tempfile::tempdir().unwrap();
    let written = checkpoint::write(directory.path(), "reward-", &whole.checkpoint(1, None).unwrap()).unwrap();
    let loaded = checkpoint::load(&directory.path().join(&written.id)).unwrap();
    let mut resumed = Trainer::resume(&loaded, config, seed).unwrap();
    assert_eq!(resumed.suspects(), suspects);
    let reports = [&mut whole, &mut resumed].map(|trainer| trainer.step(rest));
    assert!(reports[0].suspect > 0 && reports[0] == reports[1], "{reports:?}");
    let draft = |trainer: &Trainer| trainer.checkpoint(2, None).unwrap();
    let (a, b) = (draft(&whole), draft(&resumed));
    for (name, bytes) in &a.files {
        assert_eq!(bytes, &b.files[name], "{name} differs");
    }
}
