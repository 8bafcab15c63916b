//! `/admin/v1/…`, `/metrics`, restarts.

use plaudit_event::{Assignment, Example, ExperimentId, LayerId, VariantId};
use plaudit_ingest::log::{Record, Topic};
use plaudit_serving::Config;
use plaudit_serving::readout::ReadoutConfig;
use serde_json::{Value, json};

use crate::support::{World, error_of, example, manual, question, with_champion};

/// `units` units per variant with ten exposures each, of which `loves` are loved.
fn evidence(run: &str, units: usize, loves: [usize; 2]) -> Vec<Example> {
    let mut examples = Vec::new();
    for (variant, loves) in ["control", "treatment"].into_iter().zip(loves) {
        for unit in 0..units {
            for index in 0..10 {
                let assignment = Assignment {
                    layer: LayerId::new("generation").unwrap(),
                    experiment: ExperimentId::new(run).unwrap(),
                    variant: VariantId::new(variant).unwrap(),
                    draw: None,
                };
                let love = f32::from(u8::from((index + unit) % 10 < loves));
                let help = f32::from(u8::from((index * 7 + unit) % 10 < 7));
                let name = format!("{variant}-{unit}");
                let labels = [("love", love), ("helpfulness", help)];
                examples.push(example(&format!("{run}-{name}-{index}"), &name, vec![assignment], &labels));
            }
        }
    }
    // Interleaved, as units arrive.
    examples.sort_by_key(|example| example.unit_id.as_str().split('-').nth(1).unwrap().parse::<usize>().unwrap());
    examples
}

/// As [`evidence`], with some labels turned over, so that units differ and variances are real.
fn varied(run: &str, units: usize, loves: [usize; 2]) -> Vec<Example> {
    let mut examples = evidence(run, units, loves);
    for (index, example) in examples.iter_mut().enumerate() {
        for (objective, period) in [("love", 17), ("helpfulness", 13)] {
            if index % period == 0 {
                let label = example.labels.get_mut(objective).unwrap();
                label.value = 1.0 - label.value;
            }
        }
    }
    examples
}

#[tokio::test(flavor = "multi_thread")]
async fn experiments_show_what_was_folded() {
    let (world, server, _champion) = with_champion(manual()).await;
    let empty: Value = server.get("/admin/v1/experiments").send().await.unwrap().json().await.unwrap();
    assert_eq!(empty, json!({"experiments": [], "finished": []}));
    let run = server.treat(&world.policy(2)).await;
    world.attribute(varied(&run, 50, [1, 2])).await;
    server.serving.catch_up().await.unwrap();
    let path = format!("/admin/v1/experiments/{run}");
    let readout: Value = server.get(&path).send().await.unwrap().json().await.unwrap();
    assert_eq!((&readout["experiment"], &readout["control"]), (&json!(run), &json!("control")));
    assert_eq!((&readout["variants"][1]["exposures"], &readout["variants"][1]["units"]), (&json!(500), &json!(50)));
    assert!(readout["comparisons"][0]["lift"]["value"].as_f64().unwrap() > 0.3);
    assert_eq!(readout["sample_ratio"]["ok"], true);
    let error = error_of(server.get("/admin/v1/experiments/nothing").send().await.unwrap(), 404).await;
    assert!(error["message"].as_str().unwrap().contains(&run), "{error}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_changes_nothing() {
    let (world, server, champion) = with_champion(manual()).await;
    let candidate = world.policy(2);
    let run = server.treat(&candidate).await;
    world.attribute(varied(&run, 60, [1, 2])).await;
    server.serving.catch_up().await.unwrap();
    let (rollout, readouts) = (server.serving.rollout(), server.serving.readouts());
    server.stop().await.unwrap();
    let again = world.start(manual()).await;
    assert_eq!(again.serving.rollout(), rollout);
    assert_eq!(again.serving.readouts(), readouts);
    let mut ask = question("hi");
    ask["model"] = json!("treatment");
    assert_eq!(again.ask("/v1/chat/completions", &ask).await["plaudit"]["policy_id"], candidate.id().as_str());
    assert_eq!(rollout.champion(), Some(champion.id()));
    again.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_altered_checkpoint_never_serves() {
    let (world, server, champion) = with_champion(manual()).await;
    let candidate = world.policy(2);
    let weights = world.policies_dir().join(candidate.id().as_str()).join("model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&weights, bytes).unwrap();
    let register =
        |id| server.serving.register(id, None, plaudit_serving::rollout::Origin::Learned, serde_json::Map::new());
    let error = register(candidate.id()).await.unwrap_err();
    let chain = format!("{error}: {}", std::error::Error::source(&error).unwrap());
    let cause = std::error::Error::source(&error).and_then(std::error::Error::source).map(ToString::to_string);
    assert!(format!("{chain}{cause:?}").contains("model.safetensors"), "{chain} {cause:?}");
    assert!(!server.serving.rollout().policies().contains_key(candidate.id()));
    let nobody = plaudit_event::PolicyId::new("gen-nobody").unwrap();
    let error = register(&nobody).await.unwrap_err().to_string();
    assert!(error.contains("gen-nobody") && error.contains(champion.id().as_str()), "{error}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_count_requests_by_route_and_status() {
    let world = World::new();
    let readout = ReadoutConfig::default();
    let server = world.start(Config { readout, ..Config::default() }).await;
    server.refused("/v1/signals", &json!({"signals": []}), 400).await;
    let text = server.get("/metrics").send().await.unwrap().text().await.unwrap();
    let line = "plaudit_serving_requests_total{route=\"signals\",status=\"400\"}";
    assert!(text.lines().any(|metric| metric.starts_with(line)), "{text}");
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_was_trained_on_what_was_erased_since_is_marked() {
    let (world, server, champion) = with_champion(manual()).await;
    server.stop().await.unwrap();
    let record = json!({"v": 1, "kind": "erasure", "at": 5, "by": "x", "reason": "y", "unit": {"salt": "", "sha256": ""},
        "held": {"exposures": 0, "signals": 0, "examples": 0, "dead_letters": 0}, "exposures": [],
        "checkpoints": [champion.id().as_str()]});
    let record = Record { key: "erasure".into(), value: serde_json::to_vec(&record).unwrap() };
    world.log.append(Topic::Checkpoints, vec![record]).await.unwrap();
    let server = world.start(manual()).await;
    let answer: Value = server.get("/admin/v1/policies").send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["policies"][0]["erasures"], 1, "{answer}");
    server.stop().await.unwrap();
}
