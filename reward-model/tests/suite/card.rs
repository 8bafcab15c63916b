//! The card of a checkpoint tells what the trainer that wrote it knows.

use plaudit_event::{Objective, Seed};
use plaudit_nn::checkpoint;
use plaudit_reward_model::card::{Card, LENGTH_ALARM, card};
use plaudit_reward_model::{Config, Trainer};

use crate::world;

#[test]
fn a_card_tells_lineage_data_and_quality_of_its_checkpoint() {
    let root = tempfile::tempdir().unwrap();
    let examples: Vec<_> = world::draw(3_000, 11, usize::MAX, 0.0).into_iter().map(|drawn| drawn.example).collect();
    let mut trainer = Trainer::new(Config::default(), Seed::new(5)).unwrap();
    let mut parent = None;
    for (number, part) in examples.chunks(1_000).enumerate() {
        trainer.step(part);
        let draft = trainer.checkpoint(1_000 * (number as u64 + 1), parent).unwrap();
        parent = Some(checkpoint::write(root.path(), "reward-", &draft).unwrap().id);
    }
    let newest = parent.unwrap();
    let told = card(&root.path().join(&newest)).unwrap();
    assert_eq!(
        (told.id.as_str(), told.seed, told.config_hash.as_str()),
        (newest.as_str(), Seed::new(5), Config::default().hash().as_str())
    );
    assert_eq!((told.data.examples, told.data.log_position), (3_000, 3_000));
    assert_eq!(told.data.closed_through, trainer.closed_through());
    let positions: Vec<_> = told.lineage.iter().map(|ancestor| ancestor.log_position).collect();
    assert_eq!(positions, [Some(2_000), Some(1_000)]);

    let love = &told.objectives[&Objective::new(Objective::LOVE)];
    assert_eq!((love.quality, &love.drift), (trainer.quality(Objective::LOVE), &trainer.drift(Objective::LOVE)));
    let correlation = love.quality.unwrap().length_correlation.unwrap();
    assert_eq!(love.length_alarm, correlation.abs() > LENGTH_ALARM);

    let text = told.to_markdown();
    for part in
        [&newest, "## Quality", "## Drift", "## Training", "## Intended use", "## Limits", "1970-01-01T00:49:59Z"]
    {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    assert_eq!(text.contains("**Alarm:**"), told.length_alarms().count() > 0);
    assert!(serde_json::to_string(&told).unwrap().contains("\"brier\""));
    let loaded = checkpoint::load(&root.path().join(&newest)).unwrap();
    let alone = Card::of(&loaded, None).unwrap();
    assert_eq!((alone.lineage.len(), alone.lineage[0].log_position), (1, None));
}

#[test]
fn a_model_that_has_seen_nothing_has_a_card_and_another_kind_has_none() {
    let root = tempfile::tempdir().unwrap();
    let mut draft = Trainer::new(Config::default(), Seed::new(5)).unwrap().checkpoint(0, None).unwrap();
    let empty = checkpoint::write(root.path(), "reward-", &draft).unwrap().id;
    let text = card(&root.path().join(empty)).unwrap().to_markdown();
    assert!(text.contains("| love | 0 | – |") && text.contains("none yet") && text.contains("nothing: the first"));
    draft.kind = "generate".to_owned();
    let other = checkpoint::write(root.path(), "reward-", &draft).unwrap().id;
    let error = card(&root.path().join(other)).unwrap_err().to_string();
    assert!(error.contains("kind must be `reward`, got `generate`"), "{error}");
    assert!(card(&root.path().join("missing")).is_err());
}
