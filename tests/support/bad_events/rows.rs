//! The rows.

use super::*;

use Fate::{Accepted, Duplicate, Refused, Sampled};

/// What is no event.
pub(super) fn malformed() -> Vec<BadEvent> {
    let envelope = |text: &str| Sent::Envelope(text.as_bytes().to_vec());
    let bad_body = |name, id, last: &[u8]| {
        BadEvent::new(name, raw_signal(id, last), Refused(Reason::Json, "")).http(OverHttp::Status(400))
    };
    let deep = format!("\"note\":{}{}", "[".repeat(1_000), "]".repeat(1_000));
    let mut cut = raw_signal("cut", b"\"text\":\"x\"");
    if let Sent::Data(_, bytes) = &mut cut {
        bytes.truncate(40);
    }
    vec![
        BadEvent::new("JSON that ends early", cut, Refused(Reason::Json, "")).http(OverHttp::Status(400)),
        bad_body("bytes that are not UTF-8", "utf8", b"\"text\":\"\xff\xfe\""),
        bad_body("half a surrogate pair", "surrogate", br#""text":"\ud800""#),
        bad_body("a number beyond any float", "huge", b"\"value\":1e999"),
        bad_body("more than 127 levels of nesting", "deep", deep.as_bytes()),
        BadEvent::new(
            "a key that is given twice: the last one counts",
            raw_signal("twice", br#""text":"a","text":"b""#),
            Accepted,
        ),
        BadEvent::new("no `v`", envelope(r#"{"event":"signal","data":{}}"#), Refused(Reason::Version, "v")),
        BadEvent::new(
            "a `v` that is a text",
            envelope(r#"{"v":"1","event":"signal","data":{}}"#),
            Refused(Reason::Version, "v"),
        ),
        BadEvent::new("a `v` of an older format than any", envelope(r#"{"v":0}"#), Refused(Reason::Version, "v")),
        BadEvent::new(
            "a `v` of a newer build",
            envelope(r#"{"v":2,"event":"signal"}"#),
            Refused(Reason::NewerVersion, "v"),
        ),
        BadEvent::new(
            "an example",
            envelope(r#"{"v":1,"event":"example","data":{}}"#),
            Refused(Reason::Event, "event"),
        ),
        BadEvent::new("a missing field", s(json!({"signal_id": "missing"})), Refused(Reason::Shape, "")),
        BadEvent::new("an id with a space", s(signal("a b", "e-space", "love")), Refused(Reason::Shape, "signal_id")),
        BadEvent::new("no object", Sent::Data("signal", b"\"nonsense\"".to_vec()), Refused(Reason::Shape, "")),
        BadEvent::new(
            "a time beyond 64 bits",
            s(with(signal("wide", "e-wide", "love"), "ts", 1e30)),
            Refused(Reason::Shape, "ts"),
        ),
    ]
}

/// What is too large to keep.
pub(super) fn too_large() -> Vec<BadEvent> {
    let refused = Refused(Reason::TooLarge, "");
    let noted = |id, bytes| s(with(signal(id, "e-large", "love"), "note", "x".repeat(bytes)));
    vec![
        BadEvent::new("more than 1 MiB", noted("large", MAX_EVENT_BYTES), refused),
        BadEvent::new("10 MB", noted("ten", TEN_MB), refused).http(OverHttp::Status(413)),
    ]
}

/// Signals beyond a limit.
pub(super) fn of_signals() -> Vec<BadEvent> {
    let love = |id: &str| signal(id, &format!("e-{id}"), "love");
    let of = |name, id: &str, field: &str, value: Value, reason, named| {
        BadEvent::new(name, s(with(love(id), field, value)), Refused(reason, named))
    };
    let long = Value::from("x".repeat(MAX_TEXT_BYTES + 1));
    let dwell = with(signal("dwell", "e-dwell", "dwell"), "value", -0.1);
    vec![
        of("a kind that nobody declared", "kind", "kind", json!("adore"), Reason::UnknownKind, "kind"),
        of("a kind that is switched off", "off", "kind", json!("abandon"), Reason::DisabledKind, "kind"),
        of("a rating without its value", "rating", "kind", json!("rating"), Reason::Value, "value"),
        BadEvent::new("a dwell below 0 s", s(dwell), Refused(Reason::Value, "value")),
        of("a text above 16 KiB", "long", "text", long, Reason::Text, "text"),
        of(
            "a part of a response that ends before it begins",
            "backwards",
            "spans",
            json!([{"start": 0, "end": 4}, {"start": 9, "end": 3}]),
            Reason::Spans,
            "spans[1]",
        ),
        of("a time in the future", "future", "ts", FUTURE.into(), Reason::Time, "ts"),
        of("a time before 1970", "past", "ts", json!(-1), Reason::Time, "ts"),
        of("a signal that retracts itself", "self", "retracts", json!("self"), Reason::SelfRetraction, "retracts"),
    ]
}

/// Exposures beyond a limit, or not wanted.
pub(super) fn of_exposures() -> Vec<BadEvent> {
    let shown = |id: &str| exposure(id, "ada");
    let of = |name, id: &str, field: &str, value: Value, reason, named| {
        BadEvent::new(name, e(with(shown(id), field, value)), Refused(reason, named))
    };
    let nameless = json!([{"item_id": "", "position": 0}]);
    let many = vec![json!({"item_id": "a", "position": 0}); MAX_SLATE + 1];
    let tokens = vec![json!([1, -0.5]); MAX_TOKEN_LOGPROBS + 1];
    let positive = json!([[1, -1.0], [2, 0.5]]);
    let bot = json!({"is_bot": true});
    vec![
        of("an empty slate", "x-empty", "slate", json!([]), Reason::Slate, "slate"),
        of("more than 1,000 items", "x-many", "slate", many.into(), Reason::Slate, "slate"),
        of("an item without a name", "x-nameless", "slate", nameless, Reason::Slate, "slate[0].item_id"),
        of("`chosen` outside the slate", "x-chosen", "chosen", json!(2), Reason::Chosen, "chosen"),
        of(
            "more than 8,192 tokens",
            "x-tokens",
            "token_logprobs",
            tokens.into(),
            Reason::TokenLogprobs,
            "token_logprobs",
        ),
        of(
            "a log-probability above 0",
            "x-positive",
            "token_logprobs",
            positive,
            Reason::TokenLogprobs,
            "token_logprobs[1]",
        ),
        of("what a program sent", "x-bot", "attributes", bot, Reason::Bot, "attributes.is_bot"),
        BadEvent::new(
            "an exposure outside the share that is kept",
            e(with(shown("x-search"), "surface", "search")),
            Sampled,
        ),
    ]
}

/// What is bad because of what was before, or never comes.
pub(super) fn of_history() -> Vec<BadEvent> {
    let shown = |id: &str, unit: &str| e(exposure(id, unit));
    let said = |id: &str, exposure: &str, kind: &str| s(signal(id, exposure, kind));
    let mut busy = vec![shown("b1", "busy")];
    busy.extend(["b-1", "b-2", "b-3"].map(|id| said(id, "b1", "copy")));
    let hasty = vec![
        shown("h1", "hasty"),
        shown("h2", "hasty"),
        shown("h3", "hasty"),
        said("h-1", "h1", "share"),
        said("h-2", "h2", "share"),
    ];
    let other = e(with(exposure("c1", "carl"), "chosen", 1));
    vec![
        BadEvent::new("the same event again", said("d-1", "d1", "love"), Duplicate)
            .after(vec![said("d-1", "d1", "love")]),
        BadEvent::new("the id of another signal", said("k-1", "k1", "copy"), Refused(Reason::Conflict, "signal_id"))
            .after(vec![said("k-1", "k1", "love")])
            .past(PastIntake::First),
        BadEvent::new("the id of another exposure", other, Refused(Reason::Conflict, "exposure_id"))
            .after(vec![shown("c1", "carl")])
            .past(PastIntake::First),
        BadEvent::new(
            "more signals of a unit than it may send",
            said("b-4", "b1", "copy"),
            Refused(Reason::UnitRate, "exposure_id"),
        )
        .after(busy)
        .past(PastIntake::Counts),
        BadEvent::new(
            "a reaction of a suspect unit",
            said("h-3", "h3", "share"),
            Refused(Reason::UnitSuspect, "exposure_id"),
        )
        .after(hasty)
        .past(PastIntake::Counts),
        BadEvent::new(
            "a signal whose exposure never comes: no label, counted as `orphan`",
            said("o-1", "never", "love"),
            Accepted,
        ),
    ]
}
