use proptest::prelude::*;
use serde_json::json;

use plaudit_event::VariantId;
use plaudit_experiment::delivery::{Delivery, DeliveryConfig, Event, Gate, Verdict};

use super::*;

pub(super) fn id(name: &str) -> PolicyId {
    PolicyId::new(name).unwrap()
}

pub(super) fn run(name: &str) -> ExperimentId {
    ExperimentId::new(name).unwrap()
}

pub(super) fn registered(name: &str, parent: Option<&str>) -> LifecycleEvent {
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

pub(super) fn started(control: &str, treatment: &str, number: u32) -> LifecycleEvent {
    LifecycleEvent::ExperimentStarted {
        experiment: run(&format!("roll-{number}")),
        template: run("roll"),
        control: id(control),
        treatment: id(treatment),
        variant: Some(VariantId::new("treatment").unwrap()),
        delivery: None,
    }
}

pub(super) fn promoted(name: &str, experiment: Option<&str>) -> LifecycleEvent {
    LifecycleEvent::Promoted {
        policy_id: id(name),
        experiment: experiment.map(run),
        evidence: Value::Null,
        decision: None,
    }
}

fn rolled_back(name: &str, to: &str) -> LifecycleEvent {
    LifecycleEvent::RolledBack {
        policy_id: id(name),
        to: id(to),
        reason: "worse".to_owned(),
        evidence: Value::Null,
        decision: None,
    }
}

pub(super) fn apply(rollout: &mut Rollout, event: LifecycleEvent) -> Result<(), Error> {
    rollout.apply(&Lifecycle::new(Timestamp::from_millis(1), event))
}

pub(super) fn with_champion() -> Rollout {
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
    let undo = rollout.rollback("closings rose".to_owned(), None).unwrap();
    assert_eq!(undo.policy_id(), &id("one"));
    apply(&mut rollout, undo).unwrap();
    assert_eq!((rollout.champion(), rollout.previous()), (Some(&id("base")), None));
    assert_eq!(rollout.policies()[&id("one")].reasons, ["closings rose"]);
    assert!(rollout.rollback("again".to_owned(), None).is_err());
}

#[test]
fn a_rollback_undoes_the_newest_step_first() {
    let mut rollout = with_treatment();
    let undo = rollout.rollback("worse".to_owned(), None).unwrap();
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
    assert_eq!(rollout.ended()[1].outcome, RunOutcome::ControlLeft);
    // What descends from the one that left never serves; it can only be refused.
    let error = apply(&mut rollout, started("base", "two", 3)).unwrap_err();
    assert!(error.to_string().contains("`two` descends from `one`, not from the champion `base`"), "{error}");
    assert_eq!(error.status(), 409);
    let refused = LifecycleEvent::Refused {
        policy_id: id("two"),
        reasons: vec!["its parent left".to_owned()],
        evidence: Value::Null,
        decision: None,
    };
    apply(&mut rollout, refused).unwrap();
    assert_eq!(rollout.policies()[&id("two")].stage, Stage::Refused);
}

#[test]
fn a_policy_without_a_parent_is_no_candidate_but_an_old_record_counts() {
    let mut rollout = with_champion();
    apply(&mut rollout, registered("stray", None)).unwrap();
    apply(&mut rollout, gated("stray")).unwrap();
    let error = apply(&mut rollout, started("base", "stray", 1)).unwrap_err();
    assert!(error.to_string().contains("descends from `nobody`"), "{error}");
    let mut old = started("base", "stray", 1);
    if let LifecycleEvent::ExperimentStarted { variant, .. } = &mut old {
        *variant = None;
    }
    apply(&mut rollout, old).unwrap();
    assert_eq!(rollout.treatment().unwrap().policy_id, id("stray"));
}

#[test]
fn a_rollback_takes_out_the_policy_that_is_named_or_nobody() {
    let mut rollout = with_treatment();
    apply(&mut rollout, promoted("one", Some("roll-1"))).unwrap();
    apply(&mut rollout, registered("two", Some("one"))).unwrap();
    apply(&mut rollout, gated("two")).unwrap();
    apply(&mut rollout, started("one", "two", 2)).unwrap();
    let named = |name: &str| rollout.rollback("worse".to_owned(), Some(&id(name)));
    assert_eq!(named("two").unwrap(), rolled_back("two", "one"));
    assert_eq!(named("one").unwrap(), rolled_back("one", "base"));
    let error = named("base").unwrap_err();
    let said = "`base` is not running: the champion is `one`, the treatment `two`";
    assert!(error.to_string().contains(said) && error.status() == 409, "{error}");
}

#[test]
fn runs_that_ended_are_remembered_with_their_evidence() {
    let mut rollout = with_treatment();
    let mut event = rollout.rollback("worse".to_owned(), None).unwrap();
    if let LifecycleEvent::RolledBack { evidence, .. } = &mut event {
        *evidence = json!({"experiment": "roll-1"});
    }
    apply(&mut rollout, event).unwrap();
    let [run] = rollout.ended() else { panic!("one run") };
    assert_eq!(
        (&run.experiment, &run.policy_id, run.outcome),
        (&super::tests::run("roll-1"), &id("one"), RunOutcome::RolledBack)
    );
    assert_eq!((run.reason.as_deref(), &run.evidence), (Some("worse"), &json!({"experiment": "roll-1"})));
    assert_eq!(rollout.policies()[&id("one")].evidence, run.evidence);
}

#[test]
fn illegal_transitions_are_errors_and_change_nothing() {
    let cases: Vec<(LifecycleEvent, &str)> = vec![
        (registered("one", None), "registered already"),
        (registered("x", Some("nobody")), "parent `nobody` is not registered"),
        (gated("one"), "is ramp"),
        (gated("nobody"), "is not registered"),
        (
            LifecycleEvent::Refused { policy_id: id("base"), reasons: vec![], evidence: Value::Null, decision: None },
            "is champion",
        ),
        (started("base", "one", 2), "is ramp"),
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
        "experiment": "roll-1", "template": "roll", "control": "base", "treatment": "one", "variant": "treatment",
    });
    assert_eq!(written, expected);
    assert_eq!(Lifecycle::decode(0, &record.encode()).unwrap(), Some(record));
    let old = br#"{"v":1,"kind":"policy","at":7,"event":"rolled_back","policy_id":"one","to":"base","reason":"worse"}"#;
    let old = Lifecycle::decode(0, old).unwrap().unwrap();
    assert_eq!(old.event, rolled_back("one", "base"));
    assert!(!String::from_utf8(old.encode()).unwrap().contains("evidence"));
    assert_eq!(Lifecycle::decode(0, br#"{"v":1,"kind":"reward"}"#).unwrap(), None);
    let newer = Lifecycle::decode(3, br#"{"v":2,"kind":"policy"}"#).unwrap_err();
    assert!(newer.to_string().contains("record 3"), "{newer}");
}

fn under_way() -> (Rollout, Delivery) {
    let mut rollout = with_champion();
    apply(&mut rollout, registered("one", Some("base"))).unwrap();
    apply(&mut rollout, gated("one")).unwrap();
    let at = Timestamp::from_millis(1);
    let mut delivery = Delivery::new(id("one"), DeliveryConfig::default(), at).unwrap();
    let gate = Gate { verdict: Verdict::Pass, reason: "passed".to_owned(), evidence: Vec::new() };
    delivery.apply(&Event::Gate(gate), at).unwrap();
    let mut event = started("base", "one", 1);
    if let LifecycleEvent::ExperimentStarted { delivery: place, .. } = &mut event {
        *place = Some(Box::new(delivery.clone()));
    }
    apply(&mut rollout, event).unwrap();
    (rollout, delivery)
}

fn moved_on(delivery: &mut Delivery, millis: i64) -> LifecycleEvent {
    let decision = delivery.apply(&Event::Advance { by: "ann".to_owned() }, Timestamp::from_millis(millis)).unwrap();
    LifecycleEvent::Delivery {
        policy_id: delivery.policy_id().clone(),
        decision: Box::new(decision),
        progress: Box::new(delivery.progress().clone()),
        shadow: None,
    }
}

#[test]
fn a_delivery_is_the_fold_of_its_records_in_every_state() {
    let (mut rollout, mut delivery) = under_way();
    let stages = [Stage::Shadow, Stage::Canary, Stage::Ramp, Stage::Ramp, Stage::Ramp, Stage::Ramp];
    for (number, stage) in (2..).zip(stages) {
        assert_eq!(rollout.treatment().unwrap().is_live(), number > 3, "{stage:?}");
        let record = Lifecycle::new(Timestamp::from_millis(number), moved_on(&mut delivery, number));
        // As it is read back from a log.
        let read = Lifecycle::decode(0, &record.encode()).unwrap().unwrap();
        assert_eq!(read, record);
        rollout.apply(&read).unwrap();
        assert_eq!(rollout.policies()[&id("one")].stage, stage);
        assert_eq!(rollout.treatment().unwrap().delivery.as_deref(), Some(&delivery));
    }
    let steps: Vec<(i64, f64)> =
        rollout.treatment().unwrap().steps.iter().map(|step| (step.from.as_millis(), step.share)).collect();
    assert_eq!(steps, [(3, 0.02), (4, 0.09), (5, 0.2), (6, 0.5), (7, 1.0)]);
    assert_eq!(rollout.rollback("worse".to_owned(), None).unwrap(), rolled_back("one", "base"));
}

#[test]
fn a_record_that_does_not_follow_is_illegal() {
    let (mut rollout, mut delivery) = under_way();
    let first = moved_on(&mut delivery, 2);
    let second = moved_on(&mut delivery, 3);
    let error = apply(&mut rollout, second).unwrap_err().to_string();
    assert!(error.contains("`one` is gated, and was decided to go from shadow to canary"), "{error}");
    apply(&mut rollout, first.clone()).unwrap();
    assert!(apply(&mut rollout, first.clone()).is_err(), "twice");
    // What never served is refused, not rolled back; then nothing is under way.
    let refusal = rollout.rollback("no".to_owned(), Some(&id("one"))).unwrap();
    assert_eq!(refusal.name(), "refused");
    apply(&mut rollout, refusal).unwrap();
    assert_eq!((rollout.ended()[0].outcome, rollout.treatment()), (RunOutcome::Refused, None));
    let error = apply(&mut rollout, first).unwrap_err().to_string();
    assert!(error.contains("no delivery of policy `one` is under way"), "{error}");
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
                _ => match rollout.rollback("r".to_owned(), None) {
                    Ok(event) => event,
                    Err(_) => continue,
                },
            };
            let _ = apply(&mut rollout, event);
            let champion = rollout.champion().unwrap();
            prop_assert_eq!(rollout.policies()[champion].stage, Stage::Champion);
            let serving = rollout.policies().values().filter(|p| p.stage == Stage::Champion).count();
            prop_assert_eq!(serving, 1);
            let treated = rollout.policies().values().filter(|p| p.stage == Stage::Ramp).count();
            prop_assert_eq!(treated, usize::from(rollout.treatment().is_some()));
            prop_assert!(rollout.previous() != Some(champion));
        }
    }
}
