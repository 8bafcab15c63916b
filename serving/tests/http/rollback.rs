//! Taking a policy out when something is wrong.

use plaudit_serving::Config;
use plaudit_serving::experiment::Definition;
use serde_json::{Value, json};

use crate::support::{CHAT, World, manual, question, with_champion};

const ROLLBACK: &str = "/admin/v1/policies/rollback";

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_whose_caller_leaves_is_finished() {
    let (world, log) = World::with_stubborn_log();
    let server = world.start(manual()).await;
    server.crown(&world.policy(1)).await;
    server.treat(&world.policy(2)).await;
    log.written().await;
    log.hold();
    {
        let mut rollback = Box::pin(server.serving.rollback(("users complain".to_owned(), "tester".to_owned()), None));
        tokio::select! {
            _ = &mut rollback => panic!("the log has not answered"),
            () = log.written() => {}
        }
    }
    log.release();
    // The next step waits for the one whose caller left, and sees what it did.
    let error = server.serving.rollback(("again".to_owned(), "tester".to_owned()), None).await.unwrap_err();
    assert!(error.to_string().contains("no previous champion"), "{error}");
    assert!(server.serving.rollout().treatment().is_none());
    server.stop().await.unwrap();
    let again = world.open(manual()).await.unwrap();
    assert_eq!(again.rollout().ended().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_written_in_spite_of_an_error_counts() {
    let (world, log) = World::with_stubborn_log();
    let server = world.start(manual()).await;
    let champion = world.policy(1);
    server.crown(&champion).await;
    server.treat(&world.policy(2)).await;
    log.fail_once();
    server.serving.rollback(("users complain".to_owned(), "tester".to_owned()), None).await.unwrap_err();
    let error = server.serving.rollback(("again".to_owned(), "tester".to_owned()), None).await.unwrap_err();
    assert!(error.to_string().contains("no previous champion"), "{error}");
    for index in 0..20 {
        let mut ask = question("hi");
        ask["user"] = json!(format!("user-{index}"));
        assert_eq!(server.ask(CHAT, &ask).await["plaudit"]["policy_id"], champion.id().as_str());
    }
    server.stop().await.unwrap();
    world.open(manual()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_of_a_policy_that_is_not_running_is_refused() {
    let (world, server, champion) = with_champion(manual()).await;
    let candidate = world.policy(2);
    server.treat(&candidate).await;
    let gone = json!({"reason": "worse", "policy_id": "gen-of-yesterday"});
    let error = server.refused(ROLLBACK, &gone, 409).await;
    let message = error["message"].as_str().unwrap();
    assert!(message.contains(champion.id().as_str()) && message.contains(candidate.id().as_str()), "{message}");
    let wrong = json!({"reason": "worse", "policy_id": "two words"});
    assert_eq!(server.refused(ROLLBACK, &wrong, 400).await["field"], "policy_id");
    server.serving.promote(json!({})).await.unwrap();
    // Whoever meant the treatment means the champion that it has become.
    let undone = server.ask(ROLLBACK, &json!({"reason": "worse", "policy_id": candidate.id()})).await;
    assert_eq!((&undone["rolled_back"], &undone["champion"]), (&json!(candidate.id()), &json!(champion.id())));
    server.refused(ROLLBACK, &json!({"reason": "worse", "policy_id": candidate.id()}), 409).await;
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_former_champion_stands_in_nobodys_way() {
    let (world, server, first) = with_champion(manual()).await;
    let (second, third) = (world.policy(2), world.policy(3));
    for policy in [&second, &third] {
        server.treat(policy).await;
        server.serving.promote(json!({})).await.unwrap();
    }
    std::fs::remove_dir_all(world.policies_dir().join(first.id().as_str())).unwrap();
    // The first champion becomes the previous one, and cannot be loaded.
    let undone = server.ask(ROLLBACK, &json!({"reason": "worse"})).await;
    assert_eq!((&undone["champion"], &undone["previous"]), (&json!(second.id()), &json!(first.id())));
    assert_eq!(server.ask(CHAT, &question("hi")).await["plaudit"]["policy_id"], second.id().as_str());
    server.stop().await.unwrap();
    let again = world.start(manual()).await;
    assert_eq!(again.ask(CHAT, &question("hi")).await["plaudit"]["policy_id"], second.id().as_str());
    let mut ask = question("hi");
    ask["model"] = json!("previous");
    again.refused(CHAT, &ask, 404).await;
    again.refused(ROLLBACK, &json!({"reason": "worse"}), 404).await;
    assert_eq!(again.serving.rollout().champion(), Some(second.id()));
    again.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_ended_are_shown_after_a_restart() {
    let (world, server, _champion) = with_champion(manual()).await;
    let run = server.treat(&world.policy(2)).await;
    server.ask(ROLLBACK, &json!({"reason": "users complain"})).await;
    let path = format!("/admin/v1/experiments/{run}");
    let before: Value = server.get(&path).send().await.unwrap().json().await.unwrap();
    server.stop().await.unwrap();
    let again = world.start(manual()).await;
    let response = again.get(&path).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let after: Value = response.json().await.unwrap();
    assert_eq!(after, before);
    assert_eq!((&after["experiment"], &after["running"]), (&json!(run), &json!(false)));
    assert_eq!(
        (&after["ended"]["outcome"], &after["ended"]["reason"]),
        (&json!("rolled_back"), &json!("users complain"))
    );
    assert_eq!(after["variants"].as_array().unwrap().len(), 2, "the readout is the evidence");
    let all: Value = again.get("/admin/v1/experiments").send().await.unwrap().json().await.unwrap();
    assert_eq!(all["finished"], json!([after]));
    again.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_changes_the_running_experiment_does_not_open() {
    let (world, server, _champion) = with_champion(manual()).await;
    server.treat(&world.policy(2)).await;
    server.stop().await.unwrap();
    let mut changed = manual();
    changed.assignment.experiments[0].seed = Some("another".to_owned());
    changed.assignment.layers[0].salt = Some("other".to_owned());
    let Err(error) = world.open(changed.clone()).await else { panic!("opened") };
    let message = error.to_string();
    let parts =
        ["`candidate`", "layers.generation.salt: would move every unit", "experiments.candidate.seed: would move"];
    for part in parts {
        assert!(message.contains(part), "{message}");
    }
    let none = Definition::default();
    let Err(error) = world.open(Config { assignment: none, ..manual() }).await else { panic!("opened") };
    assert!(error.to_string().contains("experiments.candidate: is running; kill it"), "{error}");
    let server = world.start(manual()).await;
    server.ask(ROLLBACK, &json!({"reason": "to change the seed"})).await;
    server.stop().await.unwrap();
    world.open(changed).await.unwrap();
}
