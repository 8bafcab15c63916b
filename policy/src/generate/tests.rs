use candle_core::Tensor;

use plaudit_event::{Message, Role};

use super::*;
use crate::toy;

fn saved() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let dir = toy::policy().save(root.path(), DType::F16).unwrap();
    (root, dir)
}

#[test]
fn a_saved_policy_comes_back_under_the_same_id() {
    let (root, dir) = saved();
    let loaded = GeneratePolicy::load(&dir).unwrap();
    assert!(loaded.id().as_str().starts_with(PREFIX));
    assert_eq!(dir.file_name().unwrap().to_str(), Some(loaded.id().as_str()));
    assert_eq!(loaded.id(), toy::policy().id());
    assert_eq!(loaded.sampling(), toy::policy().sampling());
    // Half precision moves the numbers once; saving what was read moves nothing.
    let again = loaded.save(root.path(), DType::F16).unwrap();
    assert_eq!(again, dir);
}

#[test]
fn every_damage_is_refused_and_named() {
    for name in [decoder::WEIGHTS_FILE, decoder::CONFIG_FILE, TOKENIZER_FILE, SAMPLING_FILE] {
        let (_root, dir) = saved();
        let path = dir.join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let error = GeneratePolicy::load(&dir).unwrap_err();
        let text = format!("{error}: {:?}", std::error::Error::source(&error));
        assert!(text.contains(name), "{text}");
        assert_eq!(error.kind(), plaudit_ingest::ErrorKind::Data);
    }
}

#[test]
fn a_checkpoint_of_another_kind_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let draft = Draft { kind: "reward".to_owned(), ..Draft::default() };
    let id = checkpoint::write(root.path(), "rm-", &draft).unwrap().id;
    let error = GeneratePolicy::load(&root.path().join(id)).unwrap_err();
    assert!(error.to_string().contains("kind must be `generate`"), "{error}");
}

#[test]
fn answers_repeat_and_do_not_depend_on_their_neighbours() {
    let policy = toy::policy();
    let prompts = toy::prompts();
    let all = policy.samples(&prompts, 3, Seed::new(4)).unwrap();
    assert_eq!(all, policy.samples(&prompts, 3, Seed::new(4)).unwrap());
    let first = policy.samples(&prompts[..1], 3, Seed::new(4)).unwrap();
    let texts = |answers: &[Response]| answers.iter().map(|a| a.text.clone()).collect::<Vec<_>>();
    assert_eq!(texts(&first[0]), texts(&all[0]));
    assert_ne!(all, policy.samples(&prompts, 3, Seed::new(5)).unwrap());
}

#[test]
fn a_decision_logs_the_probabilities_of_the_decoder() {
    let policy = toy::policy();
    let context = &toy::prompts()[1];
    let decision = policy.act(context, &[], &mut Seed::new(2).stream("act")).unwrap();
    assert_eq!(decision.slate.len(), 1);
    assert_eq!(decision.slate[0].item_id, RESPONSE_ITEM);
    let logged = decision.token_logprobs.unwrap();
    let mut tokens = policy.prompt(context);
    let prompt_len = tokens.len();
    tokens.extend(logged.iter().map(|t| t.0));
    let len = tokens.len();
    let tokens = Tensor::from_vec(tokens, (1, len), &Device::Cpu).unwrap();
    let temperature = f64::from(policy.sampling().temperature);
    let exact = policy.decoder().token_logprobs_detached(&tokens, temperature).unwrap();
    let exact = exact.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (logged, exact) in logged.iter().zip(&exact[prompt_len - 1..]) {
        assert!((logged.1 - exact).abs() < 1e-3, "{} {exact}", logged.1);
    }
    let total: f32 = exact[prompt_len - 1..].iter().sum();
    let propensity = decision.propensity.unwrap().value();
    assert!((propensity.ln() - f64::from(total)).abs() < 1e-2);
}

#[test]
fn candidates_are_refused() {
    let candidate = Candidate { item_id: "a".to_owned(), content: String::new(), features: Default::default() };
    let refused = toy::policy().act(&Context::default(), &[candidate], &mut Seed::new(1).stream("x"));
    assert!(refused.is_err());
}

#[test]
fn long_conversations_lose_their_oldest_messages_first() {
    let policy = toy::policy();
    let most = policy.decoder().config().max_positions - policy.sampling().max_new_tokens;
    let say = |role, content: &str| Message { role, content: content.to_owned() };
    let mut context = Context::default();
    for _ in 0..20 {
        context.messages.push(say(Role::User, "is it red?"));
        context.messages.push(say(Role::Assistant, "yes it is red"));
    }
    context.messages.push(say(Role::User, "is it blue?"));
    let tokens = policy.prompt(&context);
    assert!(tokens.len() <= most && tokens.len() > most / 2);
    let alone = policy.prompt(&Context::of_user("is it blue?"));
    assert!(tokens.ends_with(&alone));
    let endless = policy.prompt(&Context::of_user("word ".repeat(5_000)));
    assert_eq!(endless.len(), most);
    assert_eq!((endless[0], endless[most - 1]), (alone[0], alone[alone.len() - 1]));
}

#[test]
fn a_query_is_asked_like_a_message() {
    let policy = toy::policy();
    let query = Context { query: Some("is it red?".to_owned()), ..Context::default() };
    assert_eq!(policy.prompt(&query), policy.prompt(&Context::of_user("is it red?")));
    assert!(!policy.prompt(&Context::default()).is_empty());
}
