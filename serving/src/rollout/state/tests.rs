use proptest::prelude::*;
use serde_json::json;

use super::*;

fn id(name: &str) -> PolicyId {
    PolicyId::new(name).unwrap()
}

fn run(name: &str) -> ExperimentId {
    ExperimentId::new(name).unwrap()
}

fn registered(name: &str, parent: Option<&str>) -> LifecycleEvent {
    LifecycleEvent::Registered {
        policy_id: id(name),
        parent: parent.map(id),
        origin: Origin::Learned,
        lineage: serde_json::Map::new(),
    }
}

fn gated(name: &str) -> LifecycleEvent {
    LifecycleEvent::Gated { policy_id: id(name), evidence: json!({"lower": 0.01}) }
}

fn started(control: &str, treatment: &str, number: u32) -> LifecycleEvent {
    LifecycleEvent::ExperimentStarted {
        experiment: run(&format!("roll-{number}")),
        template: run("roll"),
        control: id(control),
        treatment: id(treatment),
    }
}

fn promoted(name: &str, experiment: Option<&str>) -> LifecycleEvent {
    LifecycleEvent::Promoted { policy_id: id(name), experiment: experiment.map(run), evidence: Value::Null }
}

fn rolled_back(name: &str, to: &str) -> LifecycleEvent {
    LifecycleEvent::RolledBack { policy_id: id(name), to: id(to), reason: "worse".to_owned() }
}

fn apply(rollout: &mut Rollout, event: LifecycleEvent) -> Result<(), Error> {
    rollout.apply(&Lifecycle::new(Timestamp::from_millis(1), event))
}

fn with_champion() -> Rollout {
    let mut rollout = Rollout::default();
    apply(&mut rollout, registered("base", None)).unwrap();
    apply(&mut rollout, promoted("base", None)).unwrap();
    rollout
}

fn with_treatment() -> Rollout {
    let mut rollout = with_champion();
    apply(&mut rollout, registered("one", Some("base"))).unwrap();
    apply(&mut rollout, gated("one")).unwrap();
    apply(&mut rollout, started("base", "one", 1)).unwrap();
    rollout
}

#[test]
fn a_candidate_is_promoted_and_rolled_back() {
    let mut rollout = with_treatment();
    assert_eq!(rollout.treatment().unwrap().policy_id, id("one"));
    assert_eq!(rollout.next_run(&run("roll")).unwrap(), run("roll-2"));
    apply(&mut rollout, promoted("one", Some("roll-1"))).unwrap();
    assert_eq!((rollout.champion(), rollout.previous()), (Some(&id("one")), Some(&id("base"))));
    assert_eq!(rollout.policies()[&id("base")].stage, Stage::Retired);
    let undo = rollout.rollback("closings rose".to_owned()).unwrap();
    assert_eq!(undo.policy_id(), &id("one"));
    apply(&mut rollout, undo).unwrap();
    assert_eq!((rollout.champion(), rollout.previous()), (Some(&id("base")), None));
    assert_eq!(rollout.policies()[&id("one")].reasons, ["closings rose"]);
    assert!(rollout.rollback("again".to_owned()).is_err());
}

#[test]
fn a_rollback_undoes_the_newest_step_first() {
    let mut rollout = with_treatment();
    let undo = rollout.rollback("worse".to_owned()).unwrap();
    assert_eq!(undo, rolled_back("one", "base"));
    apply(&mut rollout, undo).unwrap();
    assert_eq!((rollout.champion(), rollout.treatment()), (Some(&id("base")), None));
}

#[test]
fn rolling_the_champion_back_ends_the_run_that_compares_with_it() {
    let mut rollout = with_treatment();
    apply(&mut rollout, promoted("one", Some("roll-1"))).unwrap();
    apply(&mut rollout, registered("two", Some("one"))).unwrap();
    apply(&mut rollout, gated("two")).unwrap();
    apply(&mut rollout, started("one", "two", 2)).unwrap();
    apply(&mut rollout, rolled_back("one", "base")).unwrap();
    assert_eq!((rollout.champion(), rollout.treatment()), (Some(&id("base")), None));
    assert_eq!(rollout.policies()[&id("two")].stage, Stage::Gated);
}

#[test]
fn illegal_transitions_are_errors_and_change_nothing() {
    let cases: Vec<(LifecycleEvent, &str)> = vec![
        (registered("one", None), "registered already"),
        (registered("x", Some("nobody")), "parent `nobody` is not registered"),
        (gated("one"), "is treatment"),
        (gated("nobody"), "is not registered"),
        (LifecycleEvent::Refused { policy_id: id("base"), reasons: vec![], evidence: Value::Null }, "is champion"),
        (started("base", "one", 2), "is treatment"),
        (promoted("base", None), "is champion"),
        (promoted("one", Some("roll-9")), "not the one that is running"),
        (rolled_back("one", "nobody"), "would return to `base`"),
        (rolled_back("base", "one"), "would return to `nobody`"),
    ];
    for (event, reason) in cases {
        let mut rollout = with_treatment();
        let before = rollout.clone();
        let error = apply(&mut rollout, event.clone()).unwrap_err();
        assert!(error.to_string().contains(reason), "{event:?}: {error}");
        assert_eq!(rollout, before, "{event:?}");
    }
}

#[test]
fn records_have_the_documented_format() {
    let record = Lifecycle::new(Timestamp::from_millis(7), started("base", "one", 1));
    let written: Value = serde_json::from_slice(&record.encode()).unwrap();
    let expected = json!({
        "v": 1, "kind": "policy", "at": 7, "event": "experiment_started",
        "experiment": "roll-1", "template": "roll", "control": "base", "treatment": "one",
    });
    assert_eq!(written, expected);
    assert_eq!(Lifecycle::decode(0, &record.encode()).unwrap(), Some(record));
    assert_eq!(Lifecycle::decode(0, br#"{"v":1,"kind":"reward"}"#).unwrap(), None);
    let newer = Lifecycle::decode(3, br#"{"v":2,"kind":"policy"}"#).unwrap_err();
    assert!(newer.to_string().contains("record 3"), "{newer}");
}

proptest! {
    /// Whatever is tried, the champion is registered, serves, and is never the treatment.
    #[test]
    fn roles_never_overlap(steps in prop::collection::vec((0_u8..6, 0_u8..4, 0_u8..4), 0..60)) {
        let mut rollout = with_champion();
        for (kind, left, right) in steps {
            let (a, b) = (format!("p{left}"), format!("p{right}"));
            let champion = rollout.champion().unwrap().to_string();
            let event = match kind {
                0 => registered(&a, Some(&champion)),
                1 => gated(&a),
                2 => started(&champion, &a, 1),
                3 => promoted(&a, rollout.treatment().map(|t| t.experiment.as_str())),
                4 => rolled_back(&a, &b),
                _ => match rollout.rollback("r".to_owned()) {
                    Ok(event) => event,
                    Err(_) => continue,
                },
            };
            let _ = apply(&mut rollout, event);
            let champion = rollout.champion().unwrap();
            prop_assert_eq!(rollout.policies()[champion].stage, Stage::Champion);
            let serving = rollout.policies().values().filter(|p| p.stage == Stage::Champion).count();
            prop_assert_eq!(serving, 1);
            let treated = rollout.policies().values().filter(|p| p.stage == Stage::Treatment).count();
            prop_assert_eq!(treated, usize::from(rollout.treatment().is_some()));
            prop_assert!(rollout.previous() != Some(champion));
        }
    }
}
