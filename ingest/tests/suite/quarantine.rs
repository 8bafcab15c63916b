//! Programs, units that send too much, and exposures that are left out: each with an outcome of its own.

use std::sync::Arc;
use std::time::Duration;

use plaudit_event::{Event, ManualClock, SignalKind, Surface, Timestamp, UnitId};
use plaudit_ingest::log::{EventLog, MemoryLog, Topic};
use plaudit_ingest::{BotFilter, BotRule, Config, DeadLetter, Intake, Outcome, RateCap, Reason, Sampling};
use serde_json::{Value, json};

use crate::intake::{NOW, love, names, with};
use crate::support::{clock, exposure, signal, values};

struct Door {
    intake: Intake,
    log: Arc<MemoryLog>,
    clock: Arc<ManualClock>,
}

impl Door {
    async fn new(config: &Config, is_bot: Option<BotFilter>) -> Self {
        let clock = clock(NOW);
        let log = Arc::new(MemoryLog::new(clock.clone()));
        Self::open(log, clock, config, is_bot).await
    }

    async fn open(log: Arc<MemoryLog>, clock: Arc<ManualClock>, config: &Config, is_bot: Option<BotFilter>) -> Self {
        let intake = Intake::open_filtered(log.clone(), clock.clone(), config, is_bot).await.unwrap();
        Self { intake, log, clock }
    }

    /// The same log after a restart.
    async fn again(self, config: &Config) -> Self {
        Self::open(self.log, self.clock, config, None).await
    }

    async fn letters(&self) -> Vec<DeadLetter> {
        let letters = values(&*self.log, Topic::DeadLetters).await;
        letters.iter().map(|letter| serde_json::from_str(letter).unwrap()).collect()
    }
}

fn shown(id: &str, unit: &str) -> Event {
    let mut shown = exposure(id, NOW);
    shown.unit_id = UnitId::new(unit).unwrap();
    Event::Exposure(shown)
}

fn said(id: &str, exposure: &str) -> Event {
    Event::Signal(signal(id, exposure, SignalKind::Love, NOW))
}

fn reasons(outcomes: &[Outcome]) -> Vec<&'static str> {
    let reason = |outcome: &Outcome| outcome.refusal().map_or(outcome.as_str(), |refusal| refusal.reason.as_str());
    outcomes.iter().map(reason).collect()
}

fn rule(field: &str, matches: Option<&str>, equals: Option<Value>) -> BotRule {
    BotRule { field: field.to_owned(), matches: matches.map(str::to_owned), equals }
}

#[tokio::test]
async fn what_programs_send_is_quarantined_and_taken_once_the_rule_is_gone() {
    let mut config = Config::default();
    config.quality.bots.rules = vec![
        rule("attributes.user_agent", Some("(?i)bot"), None),
        rule("client.is_bot", None, Some(json!(true))),
        rule("unit_id", Some("^crawler-"), None),
        rule("score", None, Some(json!(1))),
    ];
    let door = Door::new(&config, None).await;
    let person = serde_json::to_value(exposure("e1", NOW)).unwrap();
    let by = |field: &str, value: Value| with(with(person.clone(), "exposure_id", "e2"), field, value);
    let outcomes = door.intake.exposures(vec![
        person.clone(),
        by("attributes", json!({"user_agent": "GoogleBot/2.1"})),
        by("client", json!({"is_bot": true})),
        by("unit_id", json!("crawler-7")),
        by("score", json!(1.0)),
    ]);
    let outcomes = outcomes.await.unwrap();
    assert_eq!(reasons(&outcomes), ["accepted", "bot", "bot", "bot", "bot"]);
    assert!(matches!(outcomes[1], Outcome::Quarantined(_)));
    let person_like = vec![
        with(love("s1"), "client", json!({"is_bot": "true"})),
        with(love("s2"), "client", json!({"is_bot": false})),
        with(love("s3"), "client", json!({"is_bot": true})),
    ];
    let outcomes = door.intake.signals(person_like).await.unwrap();
    assert_eq!(reasons(&outcomes), ["accepted", "accepted", "bot"]);
    let letters = door.letters().await;
    assert_eq!((letters.len(), letters[0].outcome.as_str(), letters[0].reason), (5, "quarantined", Reason::Bot));
    assert_eq!(letters[1].field, "client.is_bot");

    let door = door.again(&Config::default()).await;
    let raw = letters[4].raw.clone().into_bytes();
    assert_eq!(door.intake.envelopes(vec![raw]).await.unwrap(), [Outcome::Accepted]);
}

#[tokio::test]
async fn a_predicate_of_ones_own_tells_programs_too() {
    let is_bot = BotFilter::new(|event| matches!(event, Event::Signal(signal) if signal.value == Some(7.0)));
    let door = Door::new(&Config::default(), Some(is_bot)).await;
    let outcomes = door.intake.signals(vec![love("s1"), with(love("s2"), "value", 7)]).await.unwrap();
    assert_eq!(reasons(&outcomes), ["accepted", "bot"]);
    assert_eq!(outcomes[1].refusal().unwrap().field, "");
}

#[tokio::test]
async fn a_unit_may_send_so_many_signals_and_duplicates_are_free() {
    let mut config = Config::default();
    config.quality.rates = RateCap { signals: 3, window: Duration::from_secs(30), ..RateCap::default() };
    config.quality.allow = vec!["kiosk".to_owned()];
    let door = Door::new(&config, None).await;
    let exposures = vec![shown("a1", "ada"), shown("a2", "ada"), shown("b1", "bob"), shown("k1", "kiosk")];
    door.intake.events(exposures).await.unwrap();
    let sent = vec![
        said("s1", "a1"),
        said("s2", "a2"),
        said("s1", "a1"),
        said("s3", "a1"),
        said("s4", "a2"),
        said("s5", "b1"),
    ];
    let outcomes = door.intake.events(sent).await.unwrap();
    assert_eq!(reasons(&outcomes), ["accepted", "accepted", "duplicate", "accepted", "unit_rate", "accepted"]);
    let unknown = (0..4).map(|number| said(&format!("u{number}"), "later")).collect();
    let outcomes = door.intake.events(unknown).await.unwrap();
    assert_eq!(reasons(&outcomes), ["accepted", "accepted", "accepted", "unit_rate"], "an unknown unit: per exposure");
    let kiosk = (0..9).map(|number| said(&format!("k{number}"), "k1")).collect();
    assert_eq!(names(&door.intake.events(kiosk).await.unwrap()), ["accepted"; 9]);

    let door = door.again(&config).await;
    assert_eq!(
        reasons(&door.intake.events(vec![said("s4", "a2")]).await.unwrap()),
        ["unit_rate"],
        "it is not forgotten"
    );
    door.clock.advance_to(Timestamp::from_millis(NOW + 10_000));
    let letters = door.letters().await;
    let raw = letters[0].raw.clone().into_bytes();
    assert_eq!(letters[0].outcome, "quarantined");
    let outcomes = door.intake.envelopes(vec![raw.clone(), raw]).await.unwrap();
    assert_eq!(names(&outcomes), ["accepted", "duplicate"], "it can be sent again later");
    let totals = door.intake.totals();
    assert_eq!((totals.received, totals.accepted, totals.duplicate, totals.quarantined), (3, 1, 1, 1));
}

#[tokio::test]
async fn a_share_of_exposures_is_kept_with_its_weight_and_their_signals_go_with_the_others() {
    let mut config = Config::default();
    config.quality.sampling = Sampling { chat: 0.25, search: 0.25, decide: 0.25 };
    let door = Door::new(&config, None).await;
    let count: u32 = 2_000;
    let ids: Vec<String> = (0..count).map(|number| format!("e{number}")).collect();
    let exposures = ids.iter().map(|id| shown(id, "ada")).collect();
    let fates = names(&door.intake.events(exposures).await.unwrap());
    let signals = ids.iter().map(|id| said(&format!("s-{id}"), id)).collect();
    assert_eq!(names(&door.intake.events(signals).await.unwrap()), fates, "signals meet the fate of their exposures");
    let stored = values(&*door.log, Topic::Exposures).await;
    let weight =
        |text: &String| serde_json::from_str::<Value>(text).unwrap()["data"]["attributes"]["sampling_weight"].as_f64();
    let estimate: f64 = stored.iter().map(|text| weight(text).unwrap()).sum();
    // Five standard deviations of a binomial count with p = 1/4, times 4.
    let deviation = 5.0 * 4.0 * (f64::from(count) * 0.25 * 0.75).sqrt();
    assert!((estimate - f64::from(count)).abs() < deviation, "{estimate}");
    let totals = door.intake.totals();
    assert_eq!(totals.received, totals.accepted + totals.sampled);
    assert_eq!((totals.accepted as usize, values(&*door.log, Topic::DeadLetters).await.len()), (2 * stored.len(), 0));

    // Sent again, also into a larger share: what was kept is kept, with the weight that it had.
    config.quality.sampling.chat = 0.5;
    let door = door.again(&config).await;
    let again: Vec<Vec<u8>> = stored.iter().map(|text| text.clone().into_bytes()).collect();
    assert_eq!(names(&door.intake.envelopes(again.clone()).await.unwrap()), vec!["duplicate"; stored.len()]);
    let copy = Door::new(&config, None).await;
    copy.intake.envelopes(again).await.unwrap();
    assert_eq!(values(&*copy.log, Topic::Exposures).await, stored);
}

#[tokio::test]
async fn a_signal_that_names_its_surface_is_left_out_with_it() {
    let mut config = Config::default();
    config.quality.sampling = Sampling { search: 1e-9, ..Sampling::default() };
    let door = Door::new(&config, None).await;
    let mut searched = exposure("e1", NOW);
    searched.surface = Surface::Search;
    let outcomes = door.intake.events(vec![Event::Exposure(searched)]).await.unwrap();
    assert_eq!(outcomes, [Outcome::Sampled]);
    let signals = vec![love("s1"), with(love("s2"), "surface", "search"), with(love("s3"), "surface", "chat")];
    assert_eq!(names(&door.intake.signals(signals).await.unwrap()), ["accepted", "sampled", "accepted"]);
    assert_eq!(door.log.tail(Topic::Exposures).await.unwrap(), 0);
}
