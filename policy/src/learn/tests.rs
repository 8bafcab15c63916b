use super::*;
use crate::toy::{self, WordReward};

fn config(steps: usize) -> Config {
    let mut config = Config::default();
    config.learner.steps = steps;
    config.learner.prompts_per_step = 8;
    config.learner.lr = 2e-3;
    config.learner.kl_max_per_token = 2.0;
    config.learner.kl_stop_per_token = 1.0;
    config.gate.num_prompts = 40;
    // The toy world has two answers to each of four questions.
    config.gate.min_diversity_ratio = 0.0;
    config
}

fn training<'a>(config: &'a Config, prompts: &'a [Context]) -> Training<'a> {
    Training {
        parent: toy::policy(),
        reward: WordReward::loving_goodbyes(),
        prompts,
        config,
        log_position: 42,
        seed: Seed::new(3),
    }
}

#[test]
fn a_trained_candidate_is_saved_with_its_lineage_and_passes_the_gate() {
    let root = tempfile::tempdir().unwrap();
    let (config, prompts) = (config(40), toy::prompts());
    let training = training(&config, &prompts);
    let report = train_candidate(&training, root.path(), |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((report.stopped, report.steps.len()), (Stopped::Steps, 40));
    let loaded = GeneratePolicy::load(&report.dir).unwrap();
    assert_eq!(loaded.id(), &report.policy_id);
    assert_eq!(loaded.lineage().parent.as_ref(), Some(toy::policy().id()));
    assert_eq!(loaded.lineage().log_position, 42);
    let asked: Vec<Context> = (0..40).map(|i| prompts[i % prompts.len()].clone()).collect();
    let reward = WordReward::loving_goodbyes();
    let gate = |candidate, champion, seed| {
        let reward = Arc::clone(&reward);
        gate_candidate(candidate, champion, reward, &asked, &config, Seed::new(seed)).unwrap()
    };
    let verdict = gate(&loaded, toy::policy(), 1);
    assert!(verdict.passed(), "{verdict:?}");
    assert_eq!(verdict.evidence.num_prompts, 40);
    let back = gate(toy::policy(), &loaded, 1);
    assert!(back.reasons.iter().any(|reason| reason.rule == "love"), "{back:?}");
}

#[test]
fn the_caller_and_the_divergence_can_end_training() {
    let root = tempfile::tempdir().unwrap();
    let prompts = toy::prompts();
    let mut config = config(30);
    let asked = train_candidate(&training(&config, &prompts), root.path(), |report| {
        if report.step == 4 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let asked = asked.unwrap();
    assert_eq!((asked.stopped, asked.steps.len()), (Stopped::Asked, 4));
    config.learner.kl_stop_per_token = 0.01;
    let early = train_candidate(&training(&config, &prompts), root.path(), |_| ControlFlow::Continue(()));
    let early = early.unwrap();
    assert_eq!(early.stopped, Stopped::Kl);
    assert!(early.steps.len() < 30);
    assert_ne!(early.policy_id, asked.policy_id);
}

#[test]
fn no_prompts_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let config = config(1);
    let refused = train_candidate(&training(&config, &[]), root.path(), |_| ControlFlow::Continue(()));
    assert!(refused.unwrap_err().to_string().contains("prompts must be at least one"));
}

#[test]
fn prompts_come_once_each_before_any_comes_again() {
    let prompts = toy::prompts();
    let mut shuffled = Shuffled::new(&prompts, Seed::new(1)).unwrap();
    for _ in 0..3 {
        let mut asked: Vec<String> = shuffled.take(4).iter().map(|c| c.last_request().to_owned()).collect();
        asked.sort();
        let mut all: Vec<String> = prompts.iter().map(|c| c.last_request().to_owned()).collect();
        all.sort();
        assert_eq!(asked, all);
    }
}
