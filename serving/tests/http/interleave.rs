//! `/v1/interleave`, and which ranking the clicks prefer.

use std::sync::Arc;

use plaudit_event::{Clock as _, Mixture, Seed, UnitId};
use plaudit_experiment::interleave::{InterleavingConfig, Report, Verdict};
use plaudit_ingest::service::StoreSink;
use plaudit_ingest::store::{EventStore, SqliteStore};
use plaudit_serving::Config;
use rand::Rng;
use serde_json::{Value, json};

use crate::support::{START, Server, World, error_of};

const INTERLEAVE: &str = "/v1/interleave";
const SIGNALS: &str = "/v1/signals";
const DAY_MS: i64 = 86_400_000;

fn interleaving(id: &str, more: &Value) -> InterleavingConfig {
    let mut value = json!({"id": id, "method": "team_draft", "policies": ["bm25-1", "learned-7"], "length": 4});
    more.as_object().unwrap().iter().for_each(|(key, more)| value[key] = more.clone());
    serde_json::from_value(value).unwrap()
}

fn config(interleavings: Vec<InterleavingConfig>) -> Config {
    let mut config = Config::default();
    config.assignment.interleavings = interleavings;
    config
}

fn request(experiment: &str, unit: &str, rankings: [&[&str]; 2]) -> Value {
    json!({
        "experiment": experiment,
        "unit_id": unit,
        "context": {"query": "eggs"},
        "rankings": [
            {"policy_id": "bm25-1", "items": rankings[0]},
            {"policy_id": "learned-7", "items": rankings[1]},
        ],
    })
}

/// The store that the log makes, from nothing.
async fn stored(world: &World) -> Arc<dyn EventStore> {
    let store: Arc<dyn EventStore> = Arc::new(SqliteStore::in_memory().unwrap());
    StoreSink::new(world.log.clone(), Arc::clone(&store), &world.ingest).catch_up().await.unwrap();
    store
}

async fn report(server: &Server, id: &str) -> Report {
    let response = server.get(&format!("/admin/v1/experiments/{id}/interleaving")).send().await.unwrap();
    let status = response.status();
    let answer: Value = response.json().await.unwrap();
    assert_eq!(status, 200, "{answer}");
    serde_json::from_value(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_logged_with_all_that_drawing_it_again_takes_and_repeats() {
    for (method, id) in [("team_draft", "drafts"), ("optimised", "mixtures")] {
        let world = World::new();
        let definition = config(vec![interleaving(id, &json!({"method": method}))]);
        let server = world.start(definition.clone()).await;
        let mut body = request(id, "ada", [&["a", "b", "c", "d", "e"], &["d", "x", "a", "b"]]);
        body["exposure_id"] = json!(format!("list-{id}"));
        // In any order.
        body["rankings"].as_array_mut().unwrap().reverse();
        body["attributes"] = json!({"country": "DE"});
        let answer = server.ask(INTERLEAVE, &body).await;
        assert_eq!((&answer["exposure_id"], &answer["method"]), (&body["exposure_id"], &json!(method)));
        let logged = world.exposures().await;
        let exposure = logged.last().unwrap();
        let shown: Vec<&str> = exposure.slate.iter().map(|impression| impression.item_id.as_str()).collect();
        assert_eq!((json!(shown), shown.len()), (answer["items"].clone(), 4));
        assert_eq!(exposure.policy_id.as_str(), answer["policy_id"].as_str().unwrap());
        assert_eq!(exposure.attributes["country"], "DE");
        let how = exposure.interleaving.as_deref().unwrap();
        assert_eq!(how.rankings[0], ["a", "b", "c", "d"], "in the order of the definition, and cut");
        assert_eq!((json!(how.propensity), json!(how.seed)), (answer["propensity"].clone(), answer["seed"].clone()));
        let again = definition.assignment.interleavings[0].draw(how.rankings.clone(), &exposure.exposure_id, true);
        assert_eq!(again.unwrap().interleaving, *how);

        world.clock.advance_to(world.clock.now().plus_millis(5_000));
        assert_eq!(server.ask(INTERLEAVE, &body).await, answer, "asked again");
        assert_eq!(world.exposures().await.len(), logged.len(), "shown once");
        server.stop().await.unwrap();
        let server = world.start(definition).await;
        assert_eq!(server.ask(INTERLEAVE, &body).await, answer, "after a restart");
        let mut other = body.clone();
        other["rankings"][0]["items"] = json!(["z"]);
        let error = server.refused(INTERLEAVE, &other, 409).await;
        assert!(error["message"].as_str().unwrap().contains("was shown before"), "{error}");
        let mut new = body.clone();
        new.as_object_mut().unwrap().remove("exposure_id");
        let [one, two] = [server.ask(INTERLEAVE, &new).await, server.ask(INTERLEAVE, &new).await];
        assert_ne!(one["exposure_id"], two["exposure_id"]);
        server.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_name_the_field() {
    let world = World::new();
    let server = world.start(config(vec![interleaving("ranker", &json!({}))])).await;
    let edit = |pointer: &str, value: Value| {
        let mut body = request("ranker", "ada", [&["a", "b"], &["b", "c"]]);
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        match body.pointer_mut(parent).unwrap() {
            Value::Array(items) => items[key.parse::<usize>().unwrap()] = value,
            parent => parent[key] = value,
        }
        body
    };
    let ranking = |policy: &str, items: Value| json!({"policy_id": policy, "items": items});
    let long: Vec<String> = (0..1_001).map(|item| item.to_string()).collect();
    let cases = [
        (edit("/rankings", json!([])), "rankings", "2 entries, one for each of `bm25-1`, `learned-7`, got 0"),
        (edit("/rankings", json!([ranking("bm25-1", json!(["a"]))])), "rankings", "got 1"),
        (edit("/rankings/1/policy_id", json!("other")), "rankings[1].policy_id", "got `other`"),
        (edit("/rankings/1/policy_id", json!("bm25-1")), "rankings[1].policy_id", "named once"),
        (edit("/rankings/1/items", json!([])), "rankings[1].items", "1 to 1000 entries, got 0"),
        (edit("/rankings/0/items", json!(long)), "rankings[0].items", "1 to 1000 entries, got 1001"),
        (edit("/rankings/0/items/1", json!("a")), "rankings[0].items[1]", "another item"),
        (edit("/rankings/0/items/1", json!("")), "rankings[0].items[1]", "1 to 256 bytes, got 0"),
        (edit("/rankings/0/items/1", json!(5)), "rankings[0].items[1]", "wrong shape"),
        (edit("/unit_id", json!("two words")), "unit_id", "printable"),
        (edit("/exposure_id", json!("")), "exposure_id", "1 to 128"),
        (edit("/experiment", json!("candidate")), "experiment", "must be an interleaving, of which there is `ranker`"),
        (edit("/method", json!("balanced")), "method", "unknown field"),
    ];
    for (body, field, message) in cases {
        let error = server.refused(INTERLEAVE, &body, 400).await;
        assert_eq!(error["field"], field, "{body} {error}");
        assert!(error["message"].as_str().unwrap().contains(message), "{error}");
    }
    let error = server.refused(INTERLEAVE, &edit("/experiment", json!("nobody")), 404).await;
    assert!(error["message"].as_str().unwrap().contains("there is `ranker`"), "{error}");
    let large = edit("/context", json!({"query": "x".repeat(1 << 20)}));
    assert_eq!(server.refused(INTERLEAVE, &large, 413).await["field"], "context");
    for (path, status) in [
        ("ranker/results", 400),
        ("candidate/interleaving", 400),
        ("nobody/interleaving", 404),
        ("ranker/interleaving?since=5&until=5", 400),
        ("ranker/interleaving?alpha=0.1", 400),
    ] {
        error_of(server.get(&format!("/admin/v1/experiments/{path}")).send().await.unwrap(), status).await;
    }
    assert!(world.exposures().await.is_empty());
    // Rankings with nothing in common, and equal ones, are lists like others.
    server.ask(INTERLEAVE, &request("ranker", "ada", [&["a"], &["b"]])).await;
    let equal = server.ask(INTERLEAVE, &request("ranker", "ada", [&["a", "b"], &["a", "b"]])).await;
    assert_eq!(equal["items"], json!(["a", "b"]));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_paused_or_stopped_shows_the_control_alone() {
    let world = World::new();
    let server = world.start(config(vec![interleaving("ranker", &json!({}))])).await;
    let body = request("ranker", "ada", [&["a", "b"], &["x", "y"]]);
    let verb = async |verb: &str, status: u16| {
        let body = json!({"reason": "trial"});
        let response = server.send(&format!("/admin/v1/experiments/ranker/{verb}"), &body).await;
        assert_eq!(response.status(), status, "{verb}");
    };
    assert_eq!(server.ask(INTERLEAVE, &body).await["method"], "team_draft");
    let share = json!({"reason": "trial", "share": 0.5});
    assert_eq!(server.refused("/admin/v1/experiments/ranker/start", &share, 400).await["field"], "share");
    for stop in ["pause", "stop"] {
        verb(stop, 200).await;
        let alone = server.ask(INTERLEAVE, &body).await;
        assert_eq!((&alone["method"], &alone["policy_id"]), (&json!("control"), &json!("bm25-1")));
        assert_eq!((&alone["items"], &alone["propensity"]), (&json!(["a", "b"]), &json!(1.0)));
        let exposure = world.exposures().await.pop().unwrap();
        assert_eq!(exposure.interleaving.unwrap().method, Mixture::Control);
        if stop == "pause" {
            verb("start", 200).await;
            assert_eq!(server.ask(INTERLEAVE, &body).await["method"], "team_draft");
        }
    }
    verb("start", 409).await;
    let error = server.refused("/admin/v1/experiments/nobody/pause", &json!({"reason": "trial"}), 404).await;
    assert!(error["message"].as_str().unwrap().contains("`ranker`"), "{error}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_edited_only_where_evidence_stays() {
    let world = World::new();
    let server = world.start(config(vec![interleaving("ranker", &json!({}))])).await;
    let put = async |more: Value| {
        let definition = config(vec![interleaving("ranker", &more)]).assignment;
        let body = json!({"definition": definition, "reason": "trial"});
        let response = server.put("/admin/v1/definition").header("if-match", "*").json(&body).send().await.unwrap();
        (response.status().as_u16(), response.json::<Value>().await.unwrap()["error"]["message"].to_string())
    };
    assert_eq!(put(json!({"description": "the second"})).await.0, 200);
    let (status, message) = put(json!({"policies": ["bm25-1", "learned-8"]})).await;
    assert!(status == 409 && message.contains("interleavings.ranker.policies"), "{message}");
    let (status, message) = put(json!({"length": 0, "days": 0})).await;
    assert!(status == 400 && message.contains("interleavings[0].length: must be 1 to 100, got 0"), "{message}");
    assert!(message.contains("interleavings[0].days"), "{message}");
    // Paused, its evidence is the same, and so it stays.
    assert_eq!(put(json!({"active": false})).await.0, 200);
    assert_eq!(put(json!({"policies": ["bm25-1", "learned-8"], "active": false})).await.0, 409);
    server.stop().await.unwrap();
}

/// Users who like some items more, on lists of two rankings: the second is better, or just as good.
async fn simulate(server: &Server, experiment: &str, is_better: bool) -> Vec<Value> {
    let mut rng = Seed::new(11).stream(experiment);
    let mut clicks = Vec::new();
    for unit in 0..300 {
        let (good, bad) = (["g1", "g2", "g3", "g4"], ["b1", "b2", "b3", "b4"]);
        let better = if is_better { good } else { ["g1", "g2", "b3", "b4"] };
        let worse = if is_better { bad } else { ["b1", "b2", "g3", "g4"] };
        // Where neither is better, each is as often first.
        let turned = !is_better && rng.random_bool(0.5);
        let rankings = if turned { [&better[..], &worse[..]] } else { [&worse[..], &better[..]] };
        let answer = server.ask(INTERLEAVE, &request(experiment, &format!("u{unit}"), rankings)).await;
        for item in answer["items"].as_array().unwrap() {
            let name = item.as_str().unwrap();
            if rng.random_bool(if name.starts_with('g') { 0.3 } else { 0.15 }) {
                let exposure = answer["exposure_id"].as_str().unwrap();
                let id = format!("{exposure}-{name}");
                clicks.push(json!({"signal_id": id, "exposure_id": exposure, "item_id": name, "kind": "click"}));
            }
        }
    }
    for batch in clicks.chunks(50) {
        let answer = server.ask(SIGNALS, &json!({"signals": batch})).await;
        assert!(!answer.to_string().contains("rejected"), "{answer}");
    }
    clicks
}

#[tokio::test(flavor = "multi_thread")]
async fn the_better_ranking_is_found_whoever_reads_the_log() {
    let mut world = World::new();
    let all = [
        interleaving("drafts", &json!({})),
        interleaving("mixtures", &json!({"method": "optimised"})),
        interleaving("same", &json!({})),
    ];
    let definition = config(all.to_vec());
    let server = world.start(definition.clone()).await;
    let clicks = simulate(&server, "drafts", true).await;
    simulate(&server, "mixtures", true).await;
    simulate(&server, "same", false).await;
    let answer = server.ask(SIGNALS, &json!({"signals": &clicks[..50]})).await;
    assert!(answer.to_string().matches("duplicate").count() == 50, "{answer}");
    // On what was not shown, and long after.
    let exposure = &clicks[0]["exposure_id"];
    let foreign = json!({"exposure_id": exposure, "item_id": "nowhere", "kind": "click"});
    server.ask(SIGNALS, &json!({"signals": [foreign]})).await;
    world.clock.advance_to(START.plus_millis(2 * DAY_MS));
    let late = json!({"exposure_id": exposure, "item_id": clicks[0]["item_id"], "kind": "click"});
    server.ask(SIGNALS, &json!({"signals": [late]})).await;
    server.stop().await.unwrap();

    world.store = stored(&world).await;
    let server = world.start(definition.clone()).await;
    let told = report(&server, "drafts").await;
    assert_eq!((told.units, told.open_units, told.lists), (300, 0, 300));
    assert_eq!((told.ignored.not_shown, told.ignored.outside_window), (1, 1));
    let found = &told.comparisons[0];
    assert_eq!((found.policy.as_str(), found.verdict), ("learned-7", Verdict::Better), "{told:?}");
    assert!(found.p < 0.01 && found.interval[0] > 0.0 && found.clicks[1] > found.clicks[0], "{told:?}");
    assert_eq!(found.clicks[0] + found.clicks[1], clicks.len() as u64, "each click once");
    assert_eq!(report(&server, "mixtures").await.comparisons[0].verdict, Verdict::Better);
    let same = report(&server, "same").await;
    assert_eq!(same.comparisons[0].verdict, Verdict::Undecided, "{same:?}");
    server.stop().await.unwrap();

    // Another process, and a store made again from the log.
    world.store = stored(&world).await;
    let server = world.start(definition).await;
    assert_eq!(report(&server, "drafts").await, told);
    let gone = world.store.erase(&UnitId::new("u7").unwrap()).await.unwrap();
    assert_eq!(gone.exposures.len(), 3);
    assert_eq!(report(&server, "drafts").await.units, 299);
    server.stop().await.unwrap();
}
