use proptest::prelude::*;

use super::*;
use crate::{
    Actor, Assignment, Context, ExperimentId, ExposureId, Impression, LayerId, Message, PolicyId, Propensity, Role,
    SignalId, SignalKind, Stage, Surface, Timestamp, TokenLogprob, UnitId, VariantId,
};

type Map = serde_json::Map<String, Value>;

fn signal() -> Signal {
    Signal {
        signal_id: SignalId::new("s1").expect("valid"),
        exposure_id: ExposureId::new("e1").expect("valid"),
        item_id: None,
        kind: SignalKind::Love,
        value: None,
        text: None,
        spans: Vec::new(),
        stage: None,
        op: None,
        actor: crate::Actor::User,
        ts: Timestamp::from_millis(5),
        retracts: None,
        unknown: serde_json::Map::new(),
    }
}

#[test]
fn envelopes_survive_a_round_trip_with_unknown_fields() {
    let text =
        br#"{"v":1,"event":"signal","data":{"signal_id":"s1","exposure_id":"e1","kind":"copy","spans":[{"start":2,"end":9}],"ts":5,"app":"ios"}}"#;
    let decoded = Envelope::decode(text).expect("valid");
    let Event::Signal(read) = &decoded.event else { panic!("a signal") };
    assert_eq!(read.unknown["app"], "ios");
    assert_eq!(read.spans, [crate::Span { start: 2, end: 9 }]);
    assert_eq!(Envelope::decode(&decoded.encode()), Ok(decoded.clone()));
    let plain = Envelope::new(Event::Signal(signal()));
    assert_eq!(Envelope::decode(&plain.encode()), Ok(plain));
}

#[test]
fn the_schema_has_the_limits_of_ids_and_numbers() {
    let schema = json_schema();
    for id in ["ExposureId", "SignalId", "UnitId", "LayerId", "ExperimentId", "VariantId"] {
        let id = &schema["$defs"][id];
        let limits = (&id["type"], &id["minLength"], &id["maxLength"], &id["pattern"]);
        assert_eq!(limits, (&"string".into(), &1.into(), &128.into(), &"^[!-~]+$".into()), "{id}");
    }
    let policy = &schema["$defs"]["PolicyId"];
    let limits = (&policy["type"], &policy["minLength"], &policy["maxLength"], &policy["pattern"]);
    assert_eq!(limits, (&"string".into(), &1.into(), &128.into(), &"^[A-Za-z0-9_-][A-Za-z0-9._-]*$".into()));
    let propensity = &schema["$defs"]["Propensity"];
    let range = (&propensity["type"], &propensity["exclusiveMinimum"], &propensity["maximum"]);
    assert_eq!(range, (&"number".into(), &0.0.into(), &1.0.into()));
}

#[test]
fn each_fault_has_its_own_error() {
    assert!(matches!(Envelope::decode(b"{"), Err(InvalidEvent::Json(_))));
    assert!(matches!(Envelope::decode(b"{\"v\":2}"), Err(InvalidEvent::Version(v)) if v == "2"));
    assert!(matches!(Envelope::decode(b"{\"v\":1,\"event\":\"x\"}"), Err(InvalidEvent::Shape(_))));
}

#[test]
fn a_key_that_is_given_twice_counts_as_the_last_one() {
    let text = br#"{"v":1,"v":1,"event":"x","event":"signal","data":{},"data":{"signal_id":"s1","exposure_id":"e0",
        "exposure_id":"e1","kind":"copy","kind":"love","ts":5}}"#;
    assert_eq!(Envelope::decode(text), Ok(Envelope::new(Event::Signal(signal()))));
}

#[test]
fn what_no_parser_should_swallow_is_not_json() {
    let with = |last: &str| {
        format!(
            r#"{{"v":1,"event":"signal","data":{{"signal_id":"s","exposure_id":"e","kind":"love","ts":5,{last}}}}}"#
        )
    };
    let nested = |levels: usize| with(&format!("\"note\":{}{}", "[".repeat(levels), "]".repeat(levels)));
    let long = format!("\"value\":{}", "9".repeat(400));
    for last in ["\"value\":1e999", &long, r#""text":"\ud800""#, r#""text":"\udc00\ud800""#, r#""text":"\ud800x""#] {
        assert!(matches!(Envelope::decode(with(last).as_bytes()), Err(InvalidEvent::Json(_))), "{last}");
    }
    assert!(matches!(Envelope::decode(nested(1_000_000).as_bytes()), Err(InvalidEvent::Json(_))));
    assert!(Envelope::decode(nested(125).as_bytes()).is_ok(), "with two levels around them");
    assert!(matches!(Envelope::decode(nested(126).as_bytes()), Err(InvalidEvent::Json(_))));
    assert!(Envelope::decode(with(r#""text":"\ud83d\ude00\u0000""#).as_bytes()).is_ok(), "a whole pair, and a null");
    let mut bytes = with(r#""text":"x""#).into_bytes();
    let place = bytes.iter().position(|byte| *byte == b'x').expect("an x");
    bytes[place] = 0xff;
    assert!(matches!(Envelope::decode(&bytes), Err(InvalidEvent::Json(_))), "not UTF-8");
}

#[test]
fn numbers_that_do_not_fit_are_of_the_wrong_shape() {
    for ts in ["9223372036854775808", "1e3", "1.5", "-1e30", "\"5\"", "null"] {
        let text = format!(
            r#"{{"v":1,"event":"signal","data":{{"signal_id":"s","exposure_id":"e","kind":"love","ts":{ts}}}}}"#
        );
        assert!(matches!(Envelope::decode(text.as_bytes()), Err(InvalidEvent::Shape(_))), "{ts}");
    }
}

/// Any JSON value that has a text.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any_number().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..4).prop_map(|entries| entries.into_iter().collect()),
        ]
    })
}

fn any_number() -> impl Strategy<Value = f64> {
    use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO
}

/// Fields that no version knows.
fn any_unknown() -> impl Strategy<Value = Map> {
    let fields = prop::collection::vec(("x\\PC{0,10}", any_json()), 0..3);
    fields.prop_map(|fields| fields.into_iter().collect())
}

fn any_id() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[!-~]{1,20}", 1 => "[!-~]{128}"]
}

fn any_stage() -> impl Strategy<Value = Option<Stage>> {
    let stages = vec![Stage::Decompose, Stage::Retrieve, Stage::Rank, Stage::Generate];
    prop::option::of(prop::sample::select(stages))
}

prop_compose! {
    fn any_signal()(
        ids in (any_id(), any_id(), prop::option::of(any_id())),
        kind in prop_oneof![Just("love".to_owned()), any::<String>()],
        texts in (any::<Option<String>>(), any::<Option<String>>(), any::<Option<String>>()),
        value in prop::option::of(any_number()),
        stage in any_stage(),
        is_shadow in any::<bool>(),
        ts in any::<i64>(),
        unknown in any_unknown(),
    ) -> Signal {
        Signal {
            signal_id: SignalId::new(ids.0).expect("printable"),
            exposure_id: ExposureId::new(ids.1).expect("printable"),
            retracts: ids.2.map(|id| SignalId::new(id).expect("printable")),
            kind: SignalKind::from(kind),
            item_id: texts.0,
            text: texts.1,
            spans: Vec::new(),
            op: texts.2,
            value,
            stage,
            actor: if is_shadow { Actor::Shadow } else { Actor::User },
            ts: Timestamp::from_millis(ts),
            unknown,
        }
    }
}

prop_compose! {
    fn any_context()(
        said in prop::collection::vec((0..3_usize, any::<String>()), 0..4),
        query in any::<Option<String>>(),
        filters in any_unknown(),
    ) -> Context {
        let role = |number: usize| [Role::System, Role::User, Role::Assistant][number];
        let messages = said.into_iter().map(|(number, content)| Message { role: role(number), content });
        Context { messages: messages.collect(), query, filters }
    }
}

prop_compose! {
    fn any_impression()(
        item_id in any::<String>(),
        position in any::<u32>(),
        content in any::<String>(),
        score in prop::option::of(any_number()),
    ) -> Impression {
        Impression { item_id, position, content, score }
    }
}

prop_compose! {
    fn any_exposure()(
        ids in (any_id(), any_id(), "[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}"),
        assigned in prop::collection::vec((any_id(), any_id(), any_id()), 0..3),
        surface in prop::sample::select(vec![Surface::Chat, Surface::Search, Surface::Decide]),
        context in any_context(),
        slate in prop::collection::vec(any_impression(), 0..4),
        shown in (any::<u32>(), prop::option::of(1e-300..=1.0_f64), any_stage(), any::<i64>()),
        tokens in prop::option::of(prop::collection::vec((any::<u32>(), -1e30_f32..=0.0), 0..4)),
        texts in (any::<Option<String>>(), any::<Option<String>>()),
        maps in (any_unknown(), any_unknown()),
        mixed in prop::option::of((1e-300..=1.0_f64, any::<String>(), prop::collection::vec(-1.0..=1.0_f64, 0..3))),
    ) -> Exposure {
        let assignment = |(layer, experiment, variant): (String, String, String)| Assignment {
            layer: LayerId::new(layer).expect("printable"),
            experiment: ExperimentId::new(experiment).expect("printable"),
            variant: VariantId::new(variant).expect("printable"),
            draw: Some(Box::new(crate::Draw {
                definition: "d".to_owned(),
                seed: "s".to_owned(),
                bucket: 7,
                phase: 1,
                weights: vec![0.25, 0.75],
                propensity: 0.75,
            })),
        };
        Exposure {
            exposure_id: ExposureId::new(ids.0).expect("printable"),
            unit_id: UnitId::new(ids.1).expect("printable"),
            policy_id: PolicyId::new(ids.2).expect("a name of a directory"),
            session_id: texts.0,
            rewrite_applied: texts.1,
            interleaving: mixed.map(|(propensity, seed, credits)| {
                Box::new(crate::Interleaving {
                    experiment: ExperimentId::new("ranker").expect("printable"),
                    method: if credits.is_empty() { crate::Mixture::TeamDraft } else { crate::Mixture::Optimised },
                    policies: vec![PolicyId::new("a").expect("a name"), PolicyId::new("b").expect("a name")],
                    rankings: vec![vec![seed.clone()], Vec::new()],
                    seed,
                    propensity,
                    teams: if credits.is_empty() { vec![1, 0] } else { Vec::new() },
                    credits,
                })
            }),
            surface,
            context,
            slate,
            chosen: shown.0,
            propensity: shown.1.map(|value| Propensity::new(value).expect("in range")),
            stage: shown.2,
            ts: Timestamp::from_millis(shown.3),
            token_logprobs: tokens.map(|tokens| tokens.into_iter().map(|(id, log)| TokenLogprob(id, log)).collect()),
            assignments: assigned.into_iter().map(assignment).collect(),
            attributes: maps.0,
            unknown: maps.1,
        }
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![any_signal().prop_map(Event::Signal), any_exposure().prop_map(Event::Exposure)]
}

proptest! {
    #[test]
    fn whatever_was_said_survives_a_round_trip(event in any_event()) {
        let envelope = Envelope::new(event);
        let encoded = envelope.encode();
        prop_assert!(!encoded.contains(&b'\n'), "one line");
        prop_assert_eq!(Envelope::decode(&encoded), Ok(envelope));
    }

    #[test]
    fn any_bytes_are_an_event_or_one_of_three_errors(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let is_json = serde_json::from_slice::<Value>(&bytes).is_ok();
        match Envelope::decode(&bytes) {
            Ok(_) => prop_assert!(false, "{bytes:?}"),
            Err(error) => prop_assert_eq!(is_json, !matches!(error, InvalidEvent::Json(_))),
        }
    }

    #[test]
    fn damage_is_told_or_makes_another_event(
        event in any_event(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        length in any::<prop::sample::Index>(),
        is_cut in any::<bool>(),
    ) {
        let mut bytes = Envelope::new(event).encode();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if is_cut {
            bytes.truncate(length.index(bytes.len()));
        }
        // What can be read can be written, and reads the same; a 32-bit float may have been damaged beyond its range.
        if let Ok(envelope) = Envelope::decode(&bytes)
            && !bytes.windows(14).any(|window| window == b"token_logprobs")
        {
            prop_assert_eq!(Envelope::decode(&envelope.encode()), Ok(envelope));
        }
    }
}
