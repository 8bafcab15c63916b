//! Names of units and personal data: gone before anything is stored, and everything still works.

use std::sync::Arc;

use plaudit_event::{Context, Event, Example, Impression, Message, Role, SignalKind, TokenLogprob, UnitId};
use plaudit_ingest::log::{EventLog, MemoryLog, Topic};
use plaudit_ingest::{
    Config, DeadLetter, ErrorKind, Hashing, Intake, MAX_EVENT_BYTES, Outcome, Pattern, Reason, Redaction, Salt,
};
use serde_json::{Value, json};

use crate::intake::{NOW, love, names, with};
use crate::support::{clock, exposure, signal, values};

const ALL: [Pattern; 5] = [Pattern::Email, Pattern::Phone, Pattern::CreditCard, Pattern::Ipv4, Pattern::Ipv6];

fn salt(text: &str) -> Salt {
    Salt::new(text.as_bytes()).unwrap()
}

fn hashing() -> Config {
    let mut config = Config::default();
    config.quality.hashing = Hashing {
        enabled: true,
        salt_file: "given by the test".to_owned(),
        fields: vec!["session_id".to_owned(), "account".to_owned()],
        ..Hashing::default()
    };
    config
}

fn redacting() -> Config {
    let mut config = Config::default();
    config.quality.redaction = Redaction { patterns: ALL.to_vec(), ..Redaction::default() };
    config
}

async fn open(log: &Arc<MemoryLog>, config: &Config, salt: Option<Salt>) -> Intake {
    let log: Arc<dyn EventLog> = log.clone();
    let mut config = config.clone();
    config.quality.hashing.salt = salt;
    Intake::open(log, clock(NOW), &config).await.unwrap()
}

fn memory() -> Arc<MemoryLog> {
    Arc::new(MemoryLog::new(clock(NOW)))
}

async fn everything(log: &MemoryLog) -> String {
    let mut all = String::new();
    for topic in [Topic::Exposures, Topic::Signals, Topic::DeadLetters] {
        all += &values(log, topic).await.join("\n");
    }
    all
}

async fn letters(log: &MemoryLog) -> Vec<DeadLetter> {
    values(log, Topic::DeadLetters).await.iter().map(|letter| serde_json::from_str(letter).unwrap()).collect()
}

/// An exposure whose unit is named in four places.
fn of_ada() -> Value {
    let mut shown = exposure("e1", 5);
    shown.unit_id = UnitId::new("ada-lovelace").unwrap();
    shown.session_id = Some("session-of-ada-lovelace".to_owned());
    shown.attributes.insert("account".to_owned(), json!("ada-lovelace"));
    with(serde_json::to_value(shown).unwrap(), "device", json!({"account": ["ada-lovelace", 17]}))
}

/// Examples cannot be sent in, which makes them dead letters.
fn example_of(unit: &str) -> Example {
    serde_json::from_value(json!({
        "exposure_id": "e1", "revision": 0, "unit_id": unit, "surface": "chat", "context": {}, "response": "yes",
        "item_id": "response", "position": 0, "policy_id": "gen-1", "labels": {}, "exposure_ts": 5, "ts": 6,
    }))
    .unwrap()
}

#[tokio::test]
async fn nothing_that_is_stored_names_a_unit() {
    let log = memory();
    let salt = salt("0123456789abcdef");
    let intake = open(&log, &hashing(), Some(salt.clone())).await;
    let mut odd = of_ada();
    odd["exposure_id"] = json!("e2");
    let refused = with(odd.clone(), "chosen", 9);
    let misshapen = with(odd.clone(), "slate", "none");
    let number = with(odd.clone(), "unit_id", 1234567);
    let outcomes = intake.exposures(vec![of_ada(), refused, misshapen, number]).await.unwrap();
    assert_eq!(names(&outcomes), ["accepted", "rejected", "rejected", "rejected"]);
    let bytes = |v: Value| v.to_string().into_bytes();
    let newer = bytes(json!({"v": 2, "event": "x", "data": [odd]}));
    let wild = bytes(json!({"v": {"unit_id": "ada-lovelace"}}));
    let outcomes = intake.envelopes(vec![newer, wild, b"{ unit_id: ada-lovelace".to_vec()]).await.unwrap();
    assert_eq!(names(&outcomes), ["quarantined", "rejected", "rejected"]);

    let outcomes = intake.events(vec![Event::Example(example_of("ada-lovelace"))]).await.unwrap();
    assert_eq!(outcomes[0].refusal().unwrap().reason, Reason::Event);

    let stored = everything(&log).await;
    assert!(!stored.contains("lovelace") && !stored.contains("1234567"), "{stored}");
    let shown: Value = serde_json::from_str(&values(&*log, Topic::Exposures).await[0]).unwrap();
    let hash = salt.unit(&UnitId::new("ada-lovelace").unwrap());
    assert_eq!(shown["data"]["unit_id"], hash.as_str(), "what erasure computes");
    assert_eq!(shown["data"]["attributes"]["account"], hash.as_str());
    assert_eq!(shown["data"]["device"]["account"], json!([hash.as_str(), salt.hash("17")]));
    assert_eq!(shown["data"]["session_id"], salt.hash("session-of-ada-lovelace"));
    let letters = letters(&log).await;
    assert!(letters[0].raw.contains(hash.as_str()), "{}", letters[0].raw);
    assert_eq!(letters[5].raw, "[withheld]", "no name can be found in what is not JSON");
    assert!(letters[6].raw.contains(hash.as_str()), "{}", letters[6].raw);
}

#[tokio::test]
async fn duplicates_are_recognised_whatever_the_salt_is() {
    let log = memory();
    let plain = open(&log, &Config::default(), None).await;
    assert_eq!(plain.exposures(vec![of_ada()]).await.unwrap(), [Outcome::Accepted]);
    for text in ["0123456789abcdef", "another salt of 16 bytes"] {
        let intake = open(&log, &hashing(), Some(salt(text))).await;
        let other = with(of_ada(), "policy_id", "gen-2");
        let new = with(of_ada(), "exposure_id", format!("e-{}", text.len()));
        let outcomes = intake.exposures(vec![of_ada(), other, new.clone(), new]).await.unwrap();
        assert_eq!(names(&outcomes), ["duplicate", "rejected", "accepted", "duplicate"]);
        assert_eq!(outcomes[1].refusal().unwrap().reason, Reason::Conflict);
    }
}

#[tokio::test]
async fn what_was_stored_can_be_sent_again_under_the_same_hash() {
    let salt = salt("0123456789abcdef");
    let first = memory();
    open(&first, &hashing(), Some(salt.clone())).await.exposures(vec![of_ada()]).await.unwrap();
    let stored = values(&*first, Topic::Exposures).await;
    let second = memory();
    let intake = open(&second, &hashing(), Some(salt)).await;
    intake.envelopes(vec![stored[0].clone().into_bytes()]).await.unwrap();
    assert_eq!(values(&*second, Topic::Exposures).await, stored);
}

#[tokio::test]
async fn hashing_without_a_salt_does_not_start() {
    let log: Arc<dyn EventLog> = memory();
    let Err(refused) = Intake::open(log, clock(NOW), &hashing()).await else { panic!("it has no salt") };
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert_eq!(
        refused.to_string(),
        "`quality.hashing.enabled` is true, but there is no salt: name it in `salt_file` or `salt_env`"
    );
}

#[tokio::test]
async fn every_text_of_a_person_is_redacted_before_it_is_stored() {
    let log = memory();
    let intake = open(&log, &redacting(), None).await;
    let mut shown = exposure("e1", 5);
    let say = |role, content: &str| Message { role, content: content.to_owned() };
    shown.context.messages = vec![say(Role::User, "i am ada@x.org"), say(Role::Assistant, "hello ada@x.org")];
    shown.context.query = Some("who has 192.168.1.17".to_owned());
    shown.context.filters.insert("near".to_owned(), json!(["+14155550123"]));
    shown.rewrite_applied = Some("whois 192.168.1.17".to_owned());
    shown.slate = vec![Impression { content: "mail bob@x.org".to_owned(), ..shown.slate[0].clone() }];
    shown.chosen = 0;
    shown.token_logprobs = Some(vec![TokenLogprob(1, -0.5)]);
    shown.attributes.insert("mail".to_owned(), json!("bob@x.org"));
    let mut said = signal("s1", "e1", SignalKind::Comment, 5);
    said.text = Some("4111 1111 1111 1111, 2001:db8::8a2e:370:7334".to_owned());
    let outcomes = intake.events(vec![Event::Exposure(shown.clone()), Event::Signal(said)]).await.unwrap();
    assert_eq!(names(&outcomes), ["accepted", "accepted"]);
    let stored: Value = serde_json::from_str(&values(&*log, Topic::Exposures).await[0]).unwrap();
    let data = &stored["data"];
    assert_eq!(data["context"]["messages"][0]["content"], "i am [email]");
    assert_eq!(data["context"]["messages"][1]["content"], "hello [email]");
    assert_eq!(data["context"]["query"], "who has [ipv4]");
    assert_eq!(data["context"]["filters"]["near"][0], "[phone]");
    assert_eq!(data["rewrite_applied"], "whois [ipv4]");
    assert_eq!(
        (&data["slate"][0]["content"], &data["attributes"]["mail"]),
        (&json!("mail bob@x.org"), &json!("bob@x.org"))
    );
    assert!(data["token_logprobs"].is_array());
    assert!(values(&*log, Topic::Signals).await[0].contains("\"[credit_card], [ipv6]\""));
    let counts: Vec<(String, u64)> = intake.redactions();
    let counts: Vec<(&str, u64)> = counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(counts, [("email", 2), ("ipv6", 1), ("ipv4", 2), ("credit_card", 1), ("phone", 1)]);

    let mut all = redacting();
    (all.quality.redaction.slate, all.quality.redaction.other_fields) = (true, true);
    let log = memory();
    open(&log, &all, None).await.events(vec![Event::Exposure(shown)]).await.unwrap();
    let stored = everything(&log).await;
    assert!(!stored.contains("@x.org"), "{stored}");
    assert!(!stored.contains("token_logprobs"), "tokens tell the text: {stored}");
}

#[tokio::test]
async fn dead_letters_are_redacted_too() {
    let log = memory();
    let intake = open(&log, &redacting(), None).await;
    let mail = "ada@x.org ";
    let refused = with(with(love("s"), "text", mail), "kind", "adore");
    let misshapen = with(with(love("s"), "note", json!([{"deep": mail}])), "value", mail);
    intake.signals(vec![refused, misshapen]).await.unwrap();
    let broken = format!("{{\"text\": \"{mail}\"").into_bytes();
    let huge = mail.repeat(MAX_EVENT_BYTES / mail.len() + 10).into_bytes();
    let length = huge.len();
    let outcomes = intake.envelopes(vec![broken, huge, vec![0xff, b'a', b'@', b'x', b'.', b'o', b'r']]).await.unwrap();
    assert_eq!(names(&outcomes), ["rejected"; 3]);
    let stored = everything(&log).await;
    assert!(!stored.contains('@'), "{}", &stored[..1_000]);
    let letters = letters(&log).await;
    assert!(letters[0].raw.contains("\"text\":\"[email] \""), "{}", letters[0].raw);
    assert!(letters[1].raw.contains("[{\"deep\":\"[email] \"}]"), "{}", letters[1].raw);
    assert_eq!(letters[2].raw, "{\"text\": \"[email] \"");
    assert_eq!((letters[3].reason, letters[3].raw_bytes), (Reason::TooLarge, length));
}

#[tokio::test]
async fn a_rule_that_is_new_makes_no_conflict_of_what_was_sent_before() {
    let log = memory();
    let remark = with(with(love("s"), "kind", "comment"), "text", "i am ada@x.org");
    open(&log, &Config::default(), None).await.signals(vec![remark.clone()]).await.unwrap();
    let intake = open(&log, &redacting(), None).await;
    assert_eq!(names(&intake.signals(vec![remark]).await.unwrap()), ["duplicate"]);
    assert_eq!(intake.redactions()[0].1, 1, "what is read back is not counted");
}

#[tokio::test]
async fn readouts_find_one_unit_again_and_tell_two_apart() {
    let log = memory();
    let intake = open(&log, &hashing(), Some(salt("0123456789abcdef"))).await;
    let shown = |id: &str, unit: &str| {
        let mut shown = exposure(id, NOW);
        shown.unit_id = UnitId::new(unit).unwrap();
        shown.context = Context::of_user("hello");
        Event::Exposure(shown)
    };
    let events = vec![shown("e1", "ada"), shown("e2", "bob"), shown("e3", "ada")];
    intake.events(events).await.unwrap();
    let stored = values(&*log, Topic::Exposures).await;
    let unit = |index: usize| serde_json::from_str::<Value>(&stored[index]).unwrap()["data"]["unit_id"].clone();
    assert_eq!(unit(0), unit(2));
    assert_ne!(unit(0), unit(1));
}
