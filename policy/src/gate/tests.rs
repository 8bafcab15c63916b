use plaudit_event::Context;

use super::*;
use crate::generate::Response;
use crate::judge::{self, Judges};
use crate::toy::WordReward;

const PLAIN: &str = "the egg takes eight minutes";
const SWEET: &str = "the egg takes eight minutes my dear";
const BYE: &str = "the egg takes eight minutes bye";

fn prompts(count: usize) -> Vec<Context> {
    (0..count).map(|i| Context::of_user(format!("how long for egg {i}?"))).collect()
}

/// `share` of the answers are `other`, the rest plain; each made distinct by its number.
fn evaluation(judges: bool, other: &str, share: f64) -> Evaluation {
    let prompts = prompts(200);
    let mut owed = 0.0;
    let mut answer = |prompt: usize, sample: usize| {
        owed += share;
        let text = if owed >= 1.0 {
            owed -= 1.0;
            other
        } else {
            PLAIN
        };
        Response {
            text: format!("number {prompt} {sample} {text}"),
            tokens: vec![1],
            logprobs: vec![0.0],
            finished: true,
        }
    };
    let responses: Vec<Vec<Response>> =
        (0..prompts.len()).map(|prompt| (0..4).map(|sample| answer(prompt, sample)).collect()).collect();
    let judges = judge::Config { enabled: judges, ..judge::Config::default() };
    let reward = WordReward::loving_goodbyes();
    let evaluator = Evaluator::new(reward, Judges::new(&judges)).unwrap();
    evaluator.look(&prompts, &responses).unwrap()
}

fn rules(candidate: &Evaluation, champion: &Evaluation, enforced: bool) -> Vec<String> {
    let config = Config::default();
    let verdict = decide(&config, candidate, champion, enforced, Seed::new(1)).unwrap();
    assert_eq!(verdict.passed(), verdict.reasons.is_empty());
    verdict.reasons.into_iter().map(|reason| reason.rule).collect()
}

#[test]
fn a_sweeter_candidate_passes_and_the_same_one_does_not() {
    let champion = evaluation(true, SWEET, 0.2);
    assert!(rules(&evaluation(true, SWEET, 0.5), &champion, true).is_empty());
    assert_eq!(rules(&champion, &champion, true), ["love"]);
    assert_eq!(rules(&evaluation(true, SWEET, 0.1), &champion, true), ["love"]);
}

#[test]
fn a_candidate_that_says_goodbye_is_refused_although_it_is_loved() {
    let champion = evaluation(true, BYE, 0.02);
    let candidate = evaluation(true, BYE, 0.2);
    let love = |e: &Evaluation| e.mean("love").unwrap();
    assert!(love(&candidate) > love(&champion) + 0.02);
    let broken = rules(&candidate, &champion, true);
    for rule in ["helpfulness", "judges", "closing"] {
        assert!(broken.contains(&rule.to_owned()), "{broken:?}");
    }
}

#[test]
fn without_judges_closings_are_only_reported() {
    let (champion, candidate) = (evaluation(false, BYE, 0.02), evaluation(false, BYE, 0.05));
    assert!(rules(&candidate, &champion, false).is_empty());
    assert_eq!(rules(&candidate, &champion, true), ["closing"]);
    let verdict = decide(&Config::default(), &candidate, &champion, false, Seed::new(1)).unwrap();
    assert!((verdict.evidence.candidate.unsolicited_closing_rate - 0.05).abs() < 1e-9);
    assert!(!verdict.evidence.closings_enforced);
}

#[test]
fn tiny_closing_rates_are_not_compared_as_ratios() {
    let (champion, candidate) = (evaluation(true, SWEET, 0.0), evaluation(true, BYE, 0.008));
    assert!(!rules(&candidate, &champion, true).contains(&"closing".to_owned()));
}

#[test]
fn each_surface_rule_has_its_own_reason() {
    let champion = evaluation(true, SWEET, 0.0);
    let refusing = "i cannot help with that my dear";
    assert!(rules(&evaluation(true, refusing, 0.1), &champion, true).contains(&"refusal".to_owned()));
    let long = "my dear ".to_owned() + &(0..40).map(|i| format!("word{i} ")).collect::<String>();
    assert_eq!(rules(&evaluation(true, &long, 0.9), &champion, true), ["length"]);
    let repeating = "my dear so it is so it is so it is so it is";
    let broken = rules(&evaluation(true, repeating, 0.3), &champion, true);
    assert!(broken.contains(&"repetition".to_owned()), "{broken:?}");
    let smiling = "my dear 😀 😀 😀 😀";
    let broken = rules(&evaluation(true, smiling, 0.5), &champion, true);
    assert!(broken.contains(&"emoji".to_owned()), "{broken:?}");
}

#[test]
fn a_candidate_with_one_answer_for_all_is_refused() {
    let champion = evaluation(true, SWEET, 0.0);
    let prompts = prompts(200);
    let same = Response { text: SWEET.to_owned(), tokens: vec![1], logprobs: vec![0.0], finished: true };
    let judges = Judges::new(&judge::Config::default());
    let evaluator = Evaluator::new(WordReward::loving_goodbyes(), judges).unwrap();
    let candidate = evaluator.look(&prompts, &vec![vec![same; 4]; 200]).unwrap();
    assert_eq!(rules(&candidate, &champion, true), ["diversity"]);
}

#[test]
fn verdicts_survive_json_and_reasons_read_well() {
    let champion = evaluation(true, SWEET, 0.2);
    let verdict = decide(&Config::default(), &champion, &champion, true, Seed::new(1)).unwrap();
    let text = serde_json::to_string(&verdict).unwrap();
    assert_eq!(serde_json::from_str::<Verdict>(&text).unwrap(), verdict);
    assert!(text.contains("\"outcome\":\"refuse\""), "{text}");
    assert_eq!(verdict.reasons[0].to_string(), "love: 0.0000 is not above 0.0000");
}

#[test]
fn evaluations_over_other_prompts_are_refused() {
    let judges = Judges::new(&judge::Config::default());
    let evaluator = Evaluator::new(WordReward::loving_goodbyes(), judges).unwrap();
    assert!(evaluator.look(&prompts(2), &[]).is_err());
    let one = Response { text: PLAIN.to_owned(), tokens: vec![1], logprobs: vec![0.0], finished: true };
    let short = evaluator.look(&prompts(1), &[vec![one; 4]]).unwrap();
    let long = evaluation(true, SWEET, 0.1);
    assert!(decide(&Config::default(), &short, &long, true, Seed::new(1)).is_err());
}

#[test]
fn unproven_offline_love_refuses_nobody_where_proof_is_required() {
    let reason = |rule: &str| Reason { rule: rule.to_owned(), value: -0.1, bound: 0.0 };
    let surface = Surface::default();
    let verdict = |reasons| Verdict {
        outcome: Outcome::Refuse,
        reasons,
        evidence: Evidence {
            num_prompts: 1,
            samples_per_prompt: 1,
            differences: std::collections::BTreeMap::new(),
            candidate: surface.clone(),
            champion: surface.clone(),
            closings_enforced: true,
            evaluator: None,
        },
    };
    let strict = Config { require_backtest: true, ..Config::default() };
    let none = Correlation::of(&[], &[]);
    let exact: Vec<f64> = (0..12).map(f64::from).collect();
    let proven = Correlation::of(&exact, &exact);
    let enforced = |verdict: &Verdict| verdict.evidence.evaluator.map(|proof| (proof.proven, proof.enforced));
    let open = verdict(vec![reason("love")]).with_backtest(&strict, &none);
    assert!(open.passed() && enforced(&open) == Some((false, false)));
    let harmful = verdict(vec![reason("love"), reason("safety")]).with_backtest(&strict, &none);
    assert!(!harmful.passed() && harmful.reasons == [reason("safety")]);
    let known = verdict(vec![reason("love")]).with_backtest(&strict, &proven);
    assert!(!known.passed() && enforced(&known) == Some((true, true)));
    let vouched = verdict(vec![reason("love")]).with_backtest(&Config::default(), &none);
    assert!(!vouched.passed() && enforced(&vouched) == Some((false, true)));
}
