//! Edits of the experiments while the server runs.

use std::collections::BTreeMap;

use plaudit_serving::Config;
use reqwest::Response;
use serde_json::{Value, json};

use crate::support::{CHAT, Server, manual, question, with_champion};

const DEFINITION: &str = "/admin/v1/definition";

/// A definition with one experiment of two variants, the champion and `policy`, that enrols `share`.
fn definition(policy: &str, share: f64) -> Value {
    json!({
        "layers": [{"id": "generation", "unit": "user"}],
        "experiments": [{
            "id": "tone", "layer": "generation", "targeting": {"plan": {"$ne": "free"}},
            "ramp": [{"from": 0, "share": share}],
            "variants": [
                {"id": "plain", "weight": 0.5, "policy": "champion"},
                {"id": "warm", "weight": 0.5, "policy": policy, "forced": ["tester"]},
            ],
        }],
    })
}

async fn put(server: &Server, etag: &str, body: &Value) -> Response {
    server.put(DEFINITION).header("if-match", etag).json(body).send().await.unwrap()
}

async fn etag(server: &Server) -> String {
    let response = server.get(DEFINITION).send().await.unwrap();
    response.headers()["etag"].to_str().unwrap().to_owned()
}

async fn variant(server: &Server, user: &str, plan: &str) -> (Value, Value) {
    let mut ask = question("hello");
    ask["user"] = json!(user);
    ask["metadata"] = json!({"plan": plan});
    let plaudit = server.ask(CHAT, &ask).await["plaudit"].clone();
    (plaudit["variant"].clone(), plaudit["policy_id"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_in_force_at_once_on_record_and_after_a_restart() {
    let (world, server, champion) = with_champion(manual()).await;
    let other = world.policy(2);
    let first = etag(&server).await;
    let body = json!({"definition": definition(other.id().as_str(), 1.0), "reason": "warmer", "who": "ada"});
    let dry = server.put(&format!("{DEFINITION}?dry_run=true")).header("if-match", &first).json(&body).send().await;
    let dry: Value = dry.unwrap().json().await.unwrap();
    assert!(dry["text"].to_string().contains("+ experiments.tone"), "{dry}");
    assert_eq!(etag(&server).await, first, "only told");
    let response = put(&server, &first, &body).await;
    assert_eq!(response.status(), 200);
    let second = response.headers()["etag"].to_str().unwrap().to_owned();
    assert_ne!(second, first);

    let mut seen = BTreeMap::new();
    for index in 0..40 {
        let user = format!("user-{index}");
        let (variant, policy) = variant(&server, &user, "paid").await;
        let expected = if variant == "warm" { other.id() } else { champion.id() };
        assert_eq!(policy, expected.as_str());
        *seen.entry(variant.to_string()).or_insert(0) += 1;
    }
    assert!(seen.len() == 2 && seen.values().all(|count| *count > 8), "{seen:?}");
    assert_eq!(variant(&server, "user-1", "free").await.0, Value::Null, "not meant");
    let (forced, policy) = variant(&server, "tester", "free").await;
    assert_eq!((forced, policy), (Value::Null, json!(other.id())), "by force, and no evidence");

    let stale = put(&server, &first, &body).await;
    assert_eq!(stale.status(), 412);
    let blind = server.put(DEFINITION).json(&body).send().await.unwrap();
    assert_eq!(blind.status(), 428);
    server.stop().await.unwrap();
    let again = world.start(manual()).await;
    assert_eq!(etag(&again).await, second, "the configuration is the same, so that the edit stays");
    let audit: Value = again.get("/admin/v1/definition/audit").send().await.unwrap().json().await.unwrap();
    let entries = audit["audit"].as_array().unwrap();
    assert_eq!((entries.len(), &entries[0]["who"]), (2, &json!("configuration")));
    assert_eq!((&entries[1]["who"], &entries[1]["reason"]), (&json!("ada"), &json!("warmer")));
    assert!(entries[1]["edits"].to_string().contains("experiments.tone"));
    again.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_move_units_is_refused_and_verbs_do_the_rest() {
    let (world, server, _champion) = with_champion(manual()).await;
    let other = world.policy(2);
    let policy = other.id().as_str();
    let body = |definition: Value| json!({"definition": definition, "reason": "to try"});
    let response = put(&server, &etag(&server).await, &body(definition(policy, 0.1))).await;
    assert_eq!(response.status(), 200);

    let mut moved = definition(policy, 0.1);
    moved["experiments"][0]["variants"][0]["weight"] = json!(0.4);
    moved["experiments"][0]["variants"][1]["weight"] = json!(0.6);
    let refused = put(&server, "*", &body(moved)).await;
    assert_eq!(refused.status(), 409);
    let message = refused.text().await.unwrap();
    assert!(message.contains("`tone`") && message.contains("variants.warm.weight"), "{message}");
    let mut wrong = definition(policy, 0.1);
    wrong["experiments"][0]["variants"][0]["weight"] = json!(0.4);
    wrong["experiments"][0]["layer"] = json!("none");
    let refused = put(&server, "*", &body(wrong)).await;
    let (status, message) = (refused.status(), refused.text().await.unwrap());
    assert_eq!(status, 400);
    assert!(message.contains("must add up to 1") && message.contains("got `none`"), "all at once: {message}");
    let absent = put(&server, "*", &body(definition("nobody", 0.1))).await;
    assert_eq!(absent.status(), 409, "another policy under the same name is refused before it is looked for");

    let verb = async |verb: &str, body: Value| {
        let path = format!("/admin/v1/experiments/tone/{verb}");
        server.post(&path).json(&body).send().await.unwrap()
    };
    let enrolled = async || {
        let mut count = 0;
        for index in 0..40 {
            count += usize::from(variant(&server, &format!("user-{index}"), "paid").await.0 != Value::Null);
        }
        count
    };
    let before = enrolled().await;
    assert_eq!(verb("start", json!({"reason": "grow", "share": 1.0})).await.status(), 200);
    assert!(before < 20 && enrolled().await == 40, "{before} before");
    assert_eq!(verb("start", json!({"reason": "shrink", "share": 0.2})).await.status(), 409);
    assert_eq!(verb("pause", json!({"reason": "look"})).await.status(), 200);
    assert_eq!(enrolled().await, 0);
    assert_eq!(verb("start", json!({"reason": "shrink behind its back", "share": 0.2})).await.status(), 409);
    assert_eq!(verb("start", json!({"reason": "go on"})).await.status(), 200);
    assert_eq!(enrolled().await, 40);
    assert_eq!(verb("stop", json!({"reason": "enough"})).await.status(), 200);
    assert_eq!(enrolled().await, 0);
    assert_eq!(verb("start", json!({"reason": "again"})).await.status(), 409);
    assert_eq!(verb("turn", json!({"reason": "?"})).await.status(), 404);
    assert_eq!(verb("pause", json!({"reason": " "})).await.status(), 400);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_taken_up_when_it_changes_and_a_wrong_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("experiments.toml");
    let text = |holdout: &str| {
        format!(
            "{holdout}\n[[layers]]\nid = \"generation\"\nunit = \"user\"\n[[experiments]]\nid = \"tone\"\n\
             layer = \"generation\"\nvariants = [{{id = \"a\", weight = 0.5, policy = \"champion\"}}, \
             {{id = \"b\", weight = 0.5, policy = \"previous\"}}]\nactive = false\n"
        )
    };
    std::fs::write(&path, text("")).unwrap();
    let config = Config { experiments: path.clone(), ..manual() };
    let (_world, server, _champion) = with_champion(config).await;
    let first = etag(&server).await;
    assert!(server.serving.experiments().definition.experiments[0].id.as_str() == "tone");
    std::fs::write(&path, "killed = maybe").unwrap();
    server.serving.look_at_experiments().await;
    assert_eq!(etag(&server).await, first, "what is in force stays");
    std::fs::write(&path, text("killed = true")).unwrap();
    server.serving.look_at_experiments().await;
    assert!(server.serving.experiments().definition.killed);
    assert_eq!(server.serving.audit().last().unwrap().who, "file");
    server.stop().await.unwrap();
}

/// A refused file is as it was, and what it named is there now.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_file_is_tried_again_when_its_policy_is_registered() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("experiments.toml");
    let text = |policy: &str| {
        format!(
            "[[layers]]\nid = \"generation\"\nunit = \"user\"\n[[experiments]]\nid = \"tone\"\nlayer = \"generation\"\n\
             variants = [{{id = \"a\", weight = 0.5, policy = \"champion\"}}, \
             {{id = \"b\", weight = 0.5, policy = \"{policy}\"}}]\nactive = {}\n",
            policy != "previous"
        )
    };
    std::fs::write(&path, text("previous")).unwrap();
    let (world, server, _champion) = with_champion(Config { experiments: path.clone(), ..manual() }).await;
    let first = etag(&server).await;
    let policy = world.policy(7);
    std::fs::rename(world.policies_dir().join(policy.id().as_str()), dir.path().join("elsewhere")).unwrap();
    std::fs::write(&path, text(policy.id().as_str())).unwrap();
    for _ in 0..3 {
        server.serving.look_at_experiments().await;
        assert_eq!(etag(&server).await, first, "nobody can load the policy");
    }
    std::fs::rename(dir.path().join("elsewhere"), world.policies_dir().join(policy.id().as_str())).unwrap();
    server.serving.look_at_experiments().await;
    assert_eq!(etag(&server).await, first, "nothing that the server knows of has changed");
    server.register(&policy).await;
    server.serving.look_at_experiments().await;
    assert_ne!(etag(&server).await, first);
    assert_eq!(server.serving.audit().last().unwrap().who, "file");
    server.stop().await.unwrap();
}
