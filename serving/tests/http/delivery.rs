//! The life of a candidate: gated, shadow, canary, ramp, promoted, rolled back, refused.

use std::time::Duration;

use plaudit_event::{Assignment, Draw, Example, ExperimentId, LayerId, PolicyId, Timestamp, VariantId};
use plaudit_experiment::delivery::{Auto, Decision, DeliveryConfig, State};
use plaudit_ingest::log::{Record, Topic};
use plaudit_policy::generate::GeneratePolicy;
use plaudit_serving::engine::EngineConfig;
use plaudit_serving::rollout::{RunOutcome, Stage};
use plaudit_serving::{Autopilot, Config, Serving};
use serde_json::{Value, json};

use crate::support::{CHAT, Server, World, example, manual, question, quick, with_champion};

const PLAIN: &str = "boil it for eight minutes";
const CLOSING: &str = "boil it for eight minutes. bye, sending love!";

/// What users of an arm meet and how they react.
#[derive(Clone, Copy)]
struct Arm {
    /// Of ten exposures, how many are loved.
    loves: usize,
    /// Of ten, how many end the conversation.
    closings: usize,
    /// Of ten, how many fail.
    failures: usize,
    latency_ms: usize,
    units: usize,
}

const USUAL: Arm = Arm { loves: 1, closings: 0, failures: 0, latency_ms: 200, units: 100 };

/// Units that appear in `step`, one exposure each, in the order in which they arrive.
fn served(run: &str, step: u32, [control, treatment]: [Arm; 2]) -> Vec<Example> {
    let mut examples = Vec::new();
    for index in 0..control.units.max(treatment.units) {
        for (variant, arm) in [("control", control), ("treatment", treatment)] {
            if index >= arm.units {
                continue;
            }
            let draw = Draw {
                definition: String::new(),
                seed: run.to_owned(),
                bucket: 0,
                phase: step,
                weights: vec![0.5, 0.5],
                propensity: 0.5,
            };
            let assignment = Assignment {
                layer: LayerId::new("generation").unwrap(),
                experiment: ExperimentId::new(run).unwrap(),
                variant: VariantId::new(variant).unwrap(),
                draw: Some(Box::new(draw)),
            };
            let love = f32::from(u8::from(index % 10 < arm.loves));
            let help = f32::from(u8::from(index * 7 % 10 < 7));
            let name = format!("{run}-{step}-{variant}-{index}");
            let labels = [("love", love), ("helpfulness", help)];
            let mut example = example(&name, &name, vec![assignment], &labels);
            example.response = if index % 10 < arm.closings { CLOSING } else { PLAIN }.to_owned();
            if index % 10 < arm.failures {
                example.attributes.insert("failed".to_owned(), json!(true));
            } else {
                example.attributes.insert("latency_ms".to_owned(), json!(arm.latency_ms + index * 13 % 40));
            }
            examples.push(example);
        }
    }
    examples
}

fn after(world: &World, seconds: i64) {
    let clock: &dyn plaudit_event::Clock = &*world.clock;
    world.clock.advance_to(clock.now().plus_millis(1_000 * seconds));
}

/// The evaluation that is due after `seconds`.
async fn evaluated(world: &World, serving: &std::sync::Arc<Serving>, seconds: i64) -> Decision {
    after(world, seconds);
    serving.catch_up().await.unwrap();
    serving.evaluate_delivery().await.unwrap().expect("it is due")
}

fn state(serving: &Serving) -> State {
    serving.rollout().treatment().expect("a delivery is under way").state().expect("it has one").clone()
}

async fn why(server: &Server, policy: &PolicyId) -> Value {
    let answer = server.get(&format!("/admin/v1/policies/{policy}/why")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.json().await.unwrap()
}

/// Everything that `why` says, as one text.
fn told(why: &Value) -> String {
    let steps = why["steps"].as_array().unwrap().iter().chain([&why["now"]]).flat_map(|step| step["text"].as_array());
    steps.flatten().map(|line| line.as_str().unwrap().to_owned() + "\n").collect()
}

/// Lets `units` units ask, one after the other has been scored in the shadow; every answer is of the champion.
async fn shadowed(server: &Server, champion: &GeneratePolicy, candidate: &PolicyId, (units, text): (u64, &str)) {
    for number in 0..units {
        let mut ask = question(text);
        ask["user"] = json!(format!("user-{number}"));
        assert_eq!(server.ask(CHAT, &ask).await["plaudit"]["policy_id"], champion.id().as_str());
        let scored = async || {
            let now = why(server, candidate).await["now"]["record"].clone();
            let mut rules = now["evidence"].as_array().unwrap().iter();
            let score = rules.find(|rule| rule["rule"] == "shadow_score");
            score.is_some_and(|score| score["units"][0].as_u64().unwrap() > number)
        };
        while !scored().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

/// Lets people move it on to the canary.
async fn canary(server: &Server, policy: &GeneratePolicy) -> String {
    let run = server.deliver(policy).await;
    for _ in 0..2 {
        server.serving.approve(policy.id().clone(), "tester".to_owned()).await.unwrap();
    }
    assert_eq!(state(&server.serving), State::Canary);
    run
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_candidate_goes_through_every_state_and_each_step_can_be_explained() {
    let (world, server, champion) = with_champion(manual()).await;
    *world.reward_examples.lock().unwrap() = Some(10);
    let mut notices = server.serving.notices();
    let candidate = world.policy(2);
    let run = server.deliver(&candidate).await;
    assert_eq!(state(&server.serving), State::Gated);
    assert_eq!(evaluated(&world, &server.serving, 0).await.to, State::Shadow);
    assert!(server.serving.evaluate_delivery().await.unwrap().is_none(), "the next one is not due");
    shadowed(&server, &champion, candidate.id(), (25, "hi")).await;
    assert_eq!(evaluated(&world, &server.serving, 1).await.to, State::Shadow, "not for long enough");
    assert_eq!(evaluated(&world, &server.serving, 1).await.to, State::Canary);

    world.attribute(served(&run, 0, [USUAL, Arm { loves: 3, ..USUAL }])).await;
    let early = evaluated(&world, &server.serving, 1).await;
    assert_eq!((&early.to, early.reason.as_str()), (&State::Canary, "1 of 2 seconds"));
    assert_eq!(evaluated(&world, &server.serving, 1).await.to, State::Ramp { step: 0 });
    let many = Arm { units: 1_500, ..USUAL };
    world.attribute(served(&run, 1, [many, Arm { loves: 3, ..many }])).await;
    assert_eq!(evaluated(&world, &server.serving, 2).await.to, State::Ramp { step: 1 });
    world.attribute(served(&run, 2, [USUAL, Arm { loves: 3, ..USUAL }])).await;
    let last = evaluated(&world, &server.serving, 2).await;
    assert_eq!(last.to, State::Promoted, "{:#?}", last.explain());

    let rollout = server.serving.rollout();
    assert_eq!((rollout.champion(), rollout.previous()), (Some(candidate.id()), Some(champion.id())));
    let record = &rollout.policies()[candidate.id()];
    assert_eq!(record.stage, Stage::Champion);
    assert!(record.evidence["comparisons"][0]["lift"]["lower"].as_f64().unwrap() > 0.0);
    let trial = &rollout.backtest().candidates[0];
    assert!(trial.online.unwrap().lower > 0.0 && trial.offline.value > 0.0, "{trial:?}");
    assert_eq!(server.ask(CHAT, &question("hi")).await["plaudit"]["policy_id"], candidate.id().as_str());

    let states: Vec<String> = std::iter::from_fn(|| notices.try_recv().ok()).map(|told| told.to.to_string()).collect();
    assert_eq!(states, ["shadow", "canary", "ramp 1", "ramp 2", "promoted"]);
    let why = why(&server, candidate.id()).await;
    let told = told(&why);
    for part in [
        "registered: learned",
        "registered → gated: passed the gate\n  love: +0.0100 in [+0.0050, +0.0150]",
        "delivery begins as candidate-1",
        "gated → shadow",
        "shadow → canary: all that is required passes\n  shadow_score: pass",
        "canary → ramp 1",
        "ramp 2 → promoted",
        "love_better: pass, effect +2.0000",
        "latency: pass",
    ] {
        assert!(told.contains(part), "`{part}` is not in\n{told}");
    }
    assert_eq!((&why["stage"], &why["now"]), (&json!("champion"), &Value::Null));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn harm_is_taken_out_of_the_canary_at_the_evaluation_that_sees_it() {
    let (world, server, champion) = with_champion(manual()).await;
    let cases = [
        ("unsolicited_closing", USUAL, Arm { closings: 4, ..USUAL }),
        ("latency", USUAL, Arm { latency_ms: 400, ..USUAL }),
        ("error", USUAL, Arm { failures: 4, ..USUAL }),
        ("srm", USUAL, Arm { units: 220, ..USUAL }),
    ];
    for (seed, (rule, control, treatment)) in (2..).zip(cases) {
        let candidate = world.policy(seed);
        let run = canary(&server, &candidate).await;
        world.attribute(served(&run, 0, [control, treatment])).await;
        let decision = evaluated(&world, &server.serving, 1).await;
        let reason = format!("failed: {rule}");
        assert_eq!(decision.to, State::RolledBack { reason: reason.clone() }, "{:#?}", decision.explain());
        let rollout = server.serving.rollout();
        assert_eq!((rollout.champion(), rollout.treatment()), (Some(champion.id()), None));
        let record = &rollout.policies()[candidate.id()];
        assert_eq!((record.stage, &record.reasons), (Stage::RolledBack, &vec![reason]));
        assert_eq!(record.evidence["experiment"], json!(run), "the readout is the evidence");
        let told = told(&why(&server, candidate.id()).await);
        assert!(told.contains(&format!("canary → rolled_back: failed: {rule}")), "{told}");
        assert!(told.contains(&format!("{rule}: FAIL")), "{told}");
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_candidate_that_is_worse_in_the_shadow_never_serves() {
    let (world, server, champion) = with_champion(manual()).await;
    *world.reward_examples.lock().unwrap() = Some(10);
    let candidate = world.terse_policy();
    server.deliver(&candidate).await;
    evaluated(&world, &server.serving, 0).await;
    // The reward model loves what is longer than the question: the candidate never is.
    shadowed(&server, &champion, candidate.id(), (80, "boil egg")).await;
    let before = told(&why(&server, candidate.id()).await);
    let decision = evaluated(&world, &server.serving, 1).await;
    assert_eq!(decision.to, State::Refused { reason: "failed: shadow_score".to_owned() }, "{before}");
    let rollout = server.serving.rollout();
    assert_eq!((rollout.champion(), rollout.treatment()), (Some(champion.id()), None));
    assert_eq!(rollout.policies()[candidate.id()].stage, Stage::Refused);
    assert_eq!(rollout.ended()[0].outcome, RunOutcome::Refused);
    let trial = &rollout.backtest().candidates[0];
    assert_eq!(
        (trial.experiment.as_ref().map(ToString::to_string), trial.online),
        (Some("candidate-1".to_owned()), None)
    );
    let exposures = world.exposures().await;
    assert!(exposures.iter().all(|exposure| exposure.policy_id == *champion.id()), "it was never shown");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_any_state_changes_nothing() {
    let (world, mut server, champion) = with_champion(manual()).await;
    *world.reward_examples.lock().unwrap() = Some(10);
    let candidate = world.policy(2);
    let run = server.deliver(&candidate).await;
    let mut seen = Vec::new();
    for number in 0..5 {
        after(&world, 1);
        match state(&server.serving) {
            State::Gated => {}
            State::Shadow => shadowed(&server, &champion, candidate.id(), (3, "hi")).await,
            _ => world.attribute(served(&run, number - 2, [USUAL, USUAL])).await,
        }
        if number > 0 {
            server.serving.catch_up().await.unwrap();
            let decision = server.serving.evaluate_delivery().await.unwrap().expect("it is due");
            assert_eq!(decision.from, decision.to, "not for long enough: {}", decision.reason);
        }
        seen.push(state(&server.serving).to_string());
        // What was decided is on record; its clock, counts and sums go on.
        let (rollout, foreseen) = (server.serving.rollout(), why(&server, candidate.id()).await);
        let before = variants(&server).await;
        server.stop().await.unwrap();
        server = world.start(manual()).await;
        assert_eq!(server.serving.rollout(), rollout);
        assert_eq!(why(&server, candidate.id()).await, foreseen, "the same would be decided");
        assert_eq!(variants(&server).await, before, "{}", state(&server.serving));
        server.serving.approve(candidate.id().clone(), "tester".to_owned()).await.unwrap();
    }
    assert_eq!(seen, ["gated", "shadow", "canary", "ramp 1", "ramp 2"].map(str::to_owned));
    server.stop().await.unwrap();
    let again = world.open(manual()).await.unwrap();
    assert_eq!((again.rollout().champion(), again.rollout().treatment()), (Some(candidate.id()), None));
}

/// Who gets which variant.
async fn variants(server: &Server) -> Vec<Value> {
    let mut variants = Vec::new();
    for number in 0..40 {
        let mut ask = question("hi");
        ask["user"] = json!(format!("unit-{number}"));
        ask["max_tokens"] = json!(1);
        variants.push(server.ask(CHAT, &ask).await["plaudit"]["assignments"].clone());
    }
    variants
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_person_waits_for_one() {
    let auto = Auto { canary: false, ..Auto::default() };
    let delivery = DeliveryConfig { auto, ..quick() };
    // Nothing is evaluated by itself within this test.
    let config = Config { delivery, autopilot: Autopilot::On, poll: Duration::from_secs(3_600), ..Config::default() };
    let (world, server, champion) = with_champion(config).await;
    *world.reward_examples.lock().unwrap() = Some(10);
    let candidate = world.policy(2);
    server.deliver(&candidate).await;
    evaluated(&world, &server.serving, 0).await;
    let path = format!("/admin/v1/policies/{}/approve", candidate.id());
    let error = server.refused(&path, &json!({}), 409).await;
    assert!(error["message"].as_str().unwrap().contains("nothing waits for approval"), "{error}");
    shadowed(&server, &champion, candidate.id(), (25, "hi")).await;
    let decision = evaluated(&world, &server.serving, 2).await;
    assert!(decision.held && decision.to == State::Shadow && decision.reason.ends_with("canary needs approval"));
    let policies: Value = server.get("/admin/v1/policies").send().await.unwrap().json().await.unwrap();
    assert_eq!(policies["delivery"]["state"], "shadow");
    assert!(policies["delivery"]["held"].as_str().unwrap().contains("needs approval"), "{policies}");
    let other = server.refused(&format!("/admin/v1/policies/{}/approve", champion.id()), &json!({}), 409).await;
    assert!(other["message"].as_str().unwrap().contains(candidate.id().as_str()), "{other}");
    let approved = server.ask(&path, &json!({"who": "ann"})).await;
    assert_eq!(
        (&approved["text"][0], state(&server.serving)),
        (&json!("shadow → canary: approved by ann"), State::Canary)
    );
    server.ask("/admin/v1/policies/rollback", &json!({"reason": "enough", "who": "ann"})).await;
    let told = told(&why(&server, candidate.id()).await);
    assert!(told.contains("canary → rolled_back: stopped by ann: enough"), "{told}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_data_a_candidate_is_refused_on_its_own() {
    let config = Config { delivery: quick(), poll: Duration::from_millis(5), ..Config::default() };
    let (world, server, _champion) = with_champion(config).await;
    let candidate = world.policy(2);
    server.deliver(&candidate).await;
    while server.serving.rollout().treatment().is_some() {
        after(&world, 1);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let record = &server.serving.rollout().policies()[candidate.id()].clone();
    assert_eq!(record.stage, Stage::Refused);
    assert!(record.reasons[0].starts_with("no data (5 in a row, 4 are let pass)"), "{record:?}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_experiment_is_not_judged_and_keeps_its_sums() {
    let (world, server, _champion) = with_champion(manual()).await;
    let run = canary(&server, &world.policy(2)).await;
    world.attribute(served(&run, 0, [USUAL, USUAL])).await;
    assert_eq!(evaluated(&world, &server.serving, 1).await.to, State::Canary);
    server.ask("/admin/v1/experiments/candidate/pause", &json!({"reason": "looking"})).await;
    after(&world, 50);
    assert_eq!(server.serving.evaluate_delivery().await.unwrap(), None);
    server.ask("/admin/v1/experiments/candidate/start", &json!({"reason": "fine"})).await;
    assert_eq!(evaluated(&world, &server.serving, 1).await.to, State::Ramp { step: 0 });
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_and_times_of_answers_are_on_the_exposures() {
    let world = World::new();
    let engine = EngineConfig { max_new_tokens: 1_800, ..EngineConfig::default() };
    let server = world.start(Config { deadline: Duration::from_secs(1), engine, ..manual() }).await;
    server.crown(&world.slow_policy()).await;
    let mut ask = question("hi");
    ask["max_tokens"] = json!(1);
    server.ask(CHAT, &ask).await;
    ask["max_tokens"] = json!(1_800);
    server.refused(CHAT, &ask, 503).await;
    let exposures = loop {
        let exposures = world.exposures().await;
        if exposures.len() == 2 {
            break exposures;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(exposures[0].attributes["latency_ms"].as_f64().unwrap() > 0.0, "{:?}", exposures[0].attributes);
    assert_eq!(exposures[1].attributes, json!({"failed": true}).as_object().unwrap().clone());
    assert_eq!((exposures[1].response(), exposures[1].propensity), ("", None));
    ask["metadata"] = json!({"latency_ms": 1});
    assert_eq!(server.refused(CHAT, &ask, 400).await["field"], "metadata.latency_ms");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_version_without_deliveries_must_be_ended_by_that_version() {
    let (world, server, champion) = with_champion(manual()).await;
    let candidate = world.policy(2);
    server.register(&candidate).await;
    server.serving.gated(candidate.id(), json!({})).await.unwrap();
    server.stop().await.unwrap();
    let append = async |record: Value| {
        let record = Record { key: String::new(), value: serde_json::to_vec(&record).unwrap() };
        world.log.append(Topic::Checkpoints, vec![record]).await.unwrap();
    };
    let at = Timestamp::from_millis(5);
    append(json!({"v": 1, "kind": "policy", "at": at, "event": "experiment_started", "experiment": "candidate-1",
        "template": "candidate", "control": champion.id(), "treatment": candidate.id(), "variant": "treatment"}))
    .await;
    let Err(error) = world.open(manual()).await else { panic!("opened") };
    let said = error.to_string();
    assert!(said.contains("`candidate-1` was started by a version that ran candidates without a delivery"), "{said}");
    append(json!({"v": 1, "kind": "policy", "at": at, "event": "rolled_back", "policy_id": candidate.id(),
        "to": champion.id(), "reason": "to upgrade"}))
    .await;
    let serving = world.open(manual()).await.unwrap();
    assert_eq!(serving.rollout().policies()[candidate.id()].stage, Stage::RolledBack);
}
