//! Real thumbs: human–bot dialogs of the ConvAI competition, one pass in the order of time.
//!
//! Runs when `PLAUDIT_DATA` names the directory that holds `convai/dialogs.{train,test}.jsonl.gz`.

use std::io::Read;
use std::path::Path;

use plaudit_event::{Example, Message, Objective, Role, Seed, UnitId};
use plaudit_reward_model::{Bootstrap, Config, Trainer, evaluate};

use crate::world;
use serde::Deserialize;

#[derive(Deserialize)]
struct Dialog {
    user: String,
    start: String,
    turns: Vec<Turn>,
}

#[derive(Deserialize)]
struct Turn {
    role: String,
    text: String,
    thumb: Option<f32>,
}

/// The rated answers of one file, in the order of time.
fn rated(path: &Path) -> Vec<Example> {
    let file = std::fs::File::open(path).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut dialogs: Vec<Dialog> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    dialogs.sort_by(|a, b| a.start.cmp(&b.start));
    let mut examples = Vec::new();
    for dialog in dialogs {
        let mut messages = Vec::new();
        for turn in dialog.turns {
            let role = if turn.role == "user" { Role::User } else { Role::Assistant };
            if let Some(thumb) = turn.thumb {
                let mut example = world::example(examples.len(), "", &turn.text);
                example.context.messages.clone_from(&messages);
                example.unit_id = UnitId::new(dialog.user.replace(' ', "-")).unwrap();
                world::label(&mut example, Objective::HELPFULNESS, thumb);
                examples.push(example);
            }
            messages.push(Message { role, content: turn.text });
        }
    }
    examples
}

#[test]
#[expect(clippy::disallowed_methods, reason = "where the data lies is said in the environment of the test run")]
fn one_pass_over_real_thumbs_beats_the_prior_and_a_batch_trained_bag_of_words() {
    let Ok(root) = std::env::var("PLAUDIT_DATA") else {
        println!("skipped: PLAUDIT_DATA is not set");
        return;
    };
    let folder = Path::new(&root).join("convai");
    let (train, test) = (rated(&folder.join("dialogs.train.jsonl.gz")), rated(&folder.join("dialogs.test.jsonl.gz")));
    assert_eq!((train.len(), test.len()), (1_171, 269));
    let mut trainer = Trainer::new(Config::default(), Seed::new(1)).unwrap();
    trainer.step(&train);
    let prequential = trainer.quality(Objective::HELPFULNESS).unwrap();
    let bootstrap = Bootstrap { resamples: 500, seed: Seed::new(1) };
    let report = evaluate(&*trainer.snapshot(), &test, bootstrap).unwrap().remove(Objective::HELPFULNESS).unwrap();
    println!("before training, on train: {prequential:?}");
    println!("test: {report:?}");
    assert!(report.auroc.unwrap().value >= 0.734, "{report:?}");
    let rate = train.iter().map(|e| f64::from(e.label(Objective::HELPFULNESS).unwrap().value)).sum::<f64>() / 1_171.0;
    let prior = -(report.base_rate * rate.ln() + (1.0 - report.base_rate) * (1.0 - rate).ln());
    assert!(report.log_loss.value < prior, "prior of the training set {prior}: {report:?}");
    assert!(prequential.log_loss < prequential.prior_log_loss, "{prequential:?}");
}
