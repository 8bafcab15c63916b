//! Weights that follow what was seen, over cohorts that keep their variants.

use std::collections::BTreeMap;
use std::time::Duration;

use plaudit_event::{
    Actor, Clock as _, Context, Exposure, ExposureId, Impression, PolicyId, Signal, SignalId, SignalKind, Surface,
    Timestamp, UnitId,
};
use plaudit_experiment::assign::{Compile, Request};
use plaudit_ingest::store::{Batch, Rows};
use plaudit_serving::experiment::{Plan, assignment};
use plaudit_serving::{Config, Serving};
use serde_json::{Map, Value, json};

use crate::support::{CHAT, Server, World, manual, question, with_champion};

const DEFINITION: &str = "/admin/v1/definition";
const REPORT: &str = "/admin/v1/experiments/tone/allocation";
const PERIOD_MS: i64 = 60_000;

fn definition(policy: &PolicyId, metric: &str) -> Value {
    json!({
        "layers": [{"id": "generation", "unit": "user"}],
        "experiments": [{
            "id": "tone", "layer": "generation", "control": "plain",
            "allocation": {
                "metric": metric, "rule": "thompson", "cohorts": 4, "period_seconds": PERIOD_MS / 1_000,
                "floor": 0.1, "min_units": 20, "delta": 1e-6,
            },
            "variants": [
                {"id": "warm", "weight": 0.5, "policy": policy},
                {"id": "plain", "weight": 0.5, "policy": "champion"},
            ],
        }],
    })
}

/// Nothing happens but what the test does.
fn quiet() -> Config {
    Config { poll: Duration::from_secs(3_600), ..manual() }
}

async fn put(server: &Server, definition: &Value) -> (u16, Value) {
    let body = json!({"definition": definition, "reason": "tone", "who": "ada"});
    let response = server.put(DEFINITION).header("if-match", "*").json(&body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn report(server: &Server) -> Value {
    server.get(REPORT).send().await.unwrap().json().await.unwrap()
}

/// The variant of each enrolled user, with the exposure that the server would log.
fn enrolled(serving: &Serving, now: Timestamp) -> BTreeMap<String, Exposure> {
    let in_force = serving.experiments();
    let cohorts = in_force.allocations.begun();
    let plan = Plan::compile(&in_force.definition, &Compile { cohorts: &cohorts, ..Compile::default() }).unwrap();
    let mut found = BTreeMap::new();
    for user in (0..1_000).map(|number| format!("u{number}")) {
        let units = [("user", user.as_str())];
        let request = Request { units: &units, attributes: &Value::Null, now };
        let decision = plan.assign(request).next().unwrap();
        let Some(assignment) = assignment(&plan, &decision) else { continue };
        let exposure = Exposure {
            exposure_id: ExposureId::new(format!("e-{user}-{}", now.as_millis())).unwrap(),
            unit_id: UnitId::new(user.clone()).unwrap(),
            session_id: None,
            surface: Surface::Chat,
            context: Context::of_user("hello"),
            slate: vec![Impression { item_id: "i".into(), position: 0, content: "hi".into(), score: None }],
            chosen: 0,
            propensity: None,
            token_logprobs: None,
            policy_id: PolicyId::new("p").unwrap(),
            stage: None,
            assignments: vec![assignment],
            rewrite_applied: None,
            interleaving: None,
            attributes: Map::new(),
            ts: now,
            unknown: Map::new(),
        };
        found.insert(user, exposure);
    }
    found
}

fn thumb(of: &Exposure) -> Signal {
    Signal {
        signal_id: SignalId::new(format!("s-{}", of.exposure_id)).unwrap(),
        exposure_id: of.exposure_id.clone(),
        item_id: None,
        kind: SignalKind::ThumbsUp,
        value: None,
        text: None,
        spans: Vec::new(),
        stage: None,
        op: None,
        actor: Actor::User,
        ts: of.ts.plus_millis(1),
        retracts: None,
        unknown: Map::new(),
    }
}

/// Everybody who is enrolled gets an answer; of ten, so many like the warm ones and one the plain ones. Units and thumbs
/// of the newest cohort, by variant.
async fn live(world: &World, serving: &Serving, liked: usize, offsets: &mut [u64; 2]) -> Value {
    let now = world.clock.now();
    let (mut exposures, mut signals) = (Vec::new(), Vec::new());
    let mut tally = [[0_u64; 2]; 2];
    let newest = serving.allocation("tone").unwrap().cohorts.len() - 1;
    for (number, exposure) in enrolled(serving, now).into_values().enumerate() {
        let assignment = &exposure.assignments[0];
        let is_warm = assignment.variant.as_str() == "warm";
        let is_liked = number % 10 < if is_warm { liked } else { 1 };
        if assignment.draw.as_ref().unwrap().phase as usize == newest {
            let counts = &mut tally[usize::from(!is_warm)];
            counts[0] += 1;
            counts[1] += u64::from(is_liked);
        }
        signals.extend(is_liked.then(|| thumb(&exposure)));
        exposures.push(exposure);
    }
    let [mut of_exposures, mut of_signals] = *offsets;
    let next = |offset: &mut u64| {
        *offset += 1;
        *offset - 1
    };
    let exposures: Vec<_> = exposures.into_iter().map(|row| (next(&mut of_exposures), row)).collect();
    let signals: Vec<_> = signals.into_iter().map(|row| (next(&mut of_signals), row)).collect();
    for (rows, from, next) in
        [(Rows::Exposures(exposures), offsets[0], of_exposures), (Rows::Signals(signals), offsets[1], of_signals)]
    {
        world.store.apply(Batch { shard: 0, from, next, mark: None, rows }).await.unwrap();
    }
    *offsets = [of_exposures, of_signals];
    world.clock.advance_to(now.plus_millis(PERIOD_MS));
    json!([{"units": tally[0][0], "successes": tally[0][1]}, {"units": tally[1][0], "successes": tally[1][1]}])
}

async fn variant(server: &Server, user: &str) -> Value {
    let mut ask = question("hello");
    ask["user"] = json!(user);
    server.ask(CHAT, &ask).await["plaudit"]["variant"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_cohort_is_split_by_what_the_ones_before_showed_and_nobody_moves() {
    let (world, server, _champion) = with_champion(quiet()).await;
    let other = world.policy(2);
    let (status, answer) = put(&server, &definition(other.id(), "thums")).await;
    assert_eq!(status, 400, "{answer}");
    assert!(answer.to_string().contains("one of `loved`, `thumbs up`"), "{answer}");
    let (status, answer) = put(&server, &definition(other.id(), "thumbs up")).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(variant(&server, "u1").await, Value::Null, "no cohort has begun");

    assert_eq!(server.serving.allocate().await.unwrap(), 1);
    assert_eq!(server.serving.allocate().await.unwrap(), 0, "not due");
    let first = report(&server).await;
    assert_eq!((&first["cohorts"][0]["weights"], &first["cohorts"][0]["share"]), (&json!([0.5, 0.5]), &json!(0.25)));
    let mut offsets = [0, 0];
    let before = enrolled(&server.serving, world.clock.now());
    let seen = live(&world, &server.serving, 3, &mut offsets).await;
    // Another process finds the same to be due, and comes second.
    let second = world.open(quiet()).await.unwrap();
    assert_eq!(server.serving.allocate().await.unwrap(), 1);
    assert_eq!(second.allocate().await.unwrap(), 0);
    let told = report(&server).await;
    assert_eq!(told["cohorts"][0]["seen"], seen);
    assert!(told["cohorts"][1]["weights"][0].as_f64().unwrap() > 0.85, "{told}");
    assert_eq!(json!(second.allocation("tone").unwrap()), told);

    let after = enrolled(&server.serving, world.clock.now());
    assert!(before.iter().all(|(user, was)| after[user].assignments == was.assignments), "nobody moves");
    let joined: Vec<_> = after.iter().filter(|(user, _)| !before.contains_key(*user)).collect();
    let draws = joined.iter().map(|(_, exposure)| exposure.assignments[0].draw.as_ref().unwrap());
    assert!(
        draws.clone().all(|draw| draw.phase == 1 && draw.weights[0] > 0.85 && draw.weights.iter().sum::<f64>() == 1.0)
    );
    for (user, exposure) in after.iter().take(10).chain(joined.into_iter().take(10)) {
        assert_eq!(variant(&server, user).await, json!(exposure.assignments[0].variant));
    }

    second.shutdown().await.unwrap();
    server.stop().await.unwrap();
    let again = world.start(quiet()).await;
    assert_eq!(report(&again).await, told, "a restart forgets nothing");
    let (status, answer) = put(&again, &definition(other.id(), "loved")).await;
    assert_eq!(status, 409, "{answer}");
    assert!(answer.to_string().contains("what the weights of its cohorts follow"), "{answer}");
    again.ask("/admin/v1/experiments/tone/pause", &json!({"reason": "wait", "who": "ada"})).await;
    live(&world, &again.serving, 8, &mut offsets).await;
    assert_eq!(again.serving.allocate().await.unwrap(), 0);
    assert_eq!(report(&again).await["waits"], "the experiment is paused");
    again.ask("/admin/v1/experiments/tone/start", &json!({"reason": "go on", "who": "ada"})).await;
    while !report(&again).await["is_ended"].as_bool().unwrap() {
        again.serving.allocate().await.unwrap();
        if again.serving.allocation("tone").unwrap().due.is_some() {
            live(&world, &again.serving, 8, &mut offsets).await;
        }
    }
    let ended = report(&again).await;
    assert_eq!(ended["winner"], "warm", "{ended}");
    assert!(ended["ln_evidence"][0].as_f64().unwrap() >= ended["ln_threshold"].as_f64().unwrap());
    assert_eq!(again.serving.allocate().await.unwrap(), 0);
    let unknown = again.get("/admin/v1/experiments/candidate/allocation").send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    again.stop().await.unwrap();
}
