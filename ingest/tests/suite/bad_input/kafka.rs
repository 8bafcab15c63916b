//! What a product writes straight into the topics of a real broker, named by `PLAUDIT_TEST_KAFKA`.

use std::sync::Arc;
use std::time::Duration;

use plaudit_event::{Clock, Timestamp};
use plaudit_ingest::log::{self, EventLog, KafkaConfig, Topic};
use plaudit_ingest::service::StoreSink;
use plaudit_ingest::store::{EventStore, SqliteStore};
use plaudit_ingest::{Config, DeadLetter, Reason};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::bad_events::{self, BadEvent, Fate, PastIntake, Sent, bad_events};
use super::{assert_letter, config};

/// More than the largest record of the table.
const LARGEST: &str = "11000000";
const ANSWER: Duration = Duration::from_secs(30);

/// The time of the brokers is what counts; this one only measures spans.
struct RealTime(tokio::time::Instant);

impl Clock for RealTime {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(i64::try_from(self.0.elapsed().as_millis()).unwrap())
    }
}

/// The brokers, or word that the test is skipped.
#[expect(clippy::disallowed_methods, reason = "the one thing that tests take from outside: where the broker is")]
fn brokers() -> Option<String> {
    let found = std::env::var("PLAUDIT_TEST_KAFKA").ok();
    if found.is_none() {
        let said = std::io::Write::write_all(&mut std::io::stderr(), b"SKIPPED: PLAUDIT_TEST_KAFKA is not set\n");
        said.unwrap();
    }
    found
}

/// A log on topics that nobody else uses, a product that writes into them, and a plain consumer.
struct World {
    log: Arc<dyn EventLog>,
    config: Config,
    product: FutureProducer,
    consumer: BaseConsumer,
}

impl World {
    async fn open(uri: &str, test: &str) -> Self {
        let mut config = config();
        let nanos = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        config.kafka = KafkaConfig { prefix: format!("test.{test}.{nanos}."), shards: 1, ..config.kafka };
        let clock = Arc::new(RealTime(tokio::time::Instant::now()));
        let log = log::open(uri, &config.kafka, clock).await.unwrap();
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", uri.strip_prefix("kafka://").unwrap());
        client.set("message.max.bytes", LARGEST).set("group.id", &config.kafka.prefix);
        let (product, consumer) = (client.create().unwrap(), client.create().unwrap());
        Self { log, config, product, consumer }
    }

    fn name(&self, topic: Topic) -> String {
        format!("{}{topic}", self.config.kafka.prefix)
    }

    /// Writes a record as a product would; returns its offset.
    async fn write(&self, topic: Topic, value: &[u8]) -> u64 {
        let topic = self.name(topic);
        let record = FutureRecord::to(&topic).key("any").payload(value);
        let delivery = self.product.send(record, ANSWER).await.map_err(|(error, _)| error).unwrap();
        u64::try_from(delivery.offset).unwrap()
    }

    /// The dead letters with their headers, as any consumer sees them.
    fn letters(&self, count: usize) -> Vec<(DeadLetter, Vec<(String, String)>)> {
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(&self.name(Topic::DeadLetters), 0, Offset::Beginning).unwrap();
        self.consumer.assign(&from).unwrap();
        let mut letters = Vec::new();
        while letters.len() < count {
            let message = self.consumer.poll(ANSWER).expect("a dead letter").unwrap();
            let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
            let headers = message.headers().unwrap().iter();
            let headers = headers.map(|header| (header.key.to_owned(), text(header.value))).collect();
            letters.push((serde_json::from_slice(message.payload().unwrap()).unwrap(), headers));
        }
        letters
    }
}

fn topic_of(sent: &Sent) -> Topic {
    match sent {
        Sent::Data("exposure", _) => Topic::Exposures,
        _ => Topic::Signals,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_on_kafka_meets_its_fate_and_blocks_nothing() {
    let Some(uri) = brokers() else { return };
    let world = World::open(&uri, "bad").await;
    let rows = bad_events();
    let mut refused: Vec<(&BadEvent, Topic, u64)> = Vec::new();
    let (mut exposures, mut signals) = (0, 0);
    for (number, row) in rows.iter().enumerate() {
        let topic = topic_of(&row.sent);
        for sent in &row.before {
            world.write(topic_of(sent), &sent.envelope()).await;
            *(if topic_of(sent) == Topic::Exposures { &mut exposures } else { &mut signals }) += 1;
        }
        let offset = world.write(topic, &row.sent.envelope()).await;
        match (row.past_intake, row.fate) {
            (PastIntake::Same, Fate::Refused(..)) => refused.push((row, topic, offset)),
            (PastIntake::Same, Fate::Accepted) | (PastIntake::Counts, _) => signals += 1,
            (PastIntake::Same, Fate::Duplicate | Fate::Sampled) | (PastIntake::First, _) => {}
        }
        // What comes after the poison.
        let sound =
            Sent::Data("signal", bad_events::signal(&format!("after-{number}"), "a", "love").to_string().into());
        world.write(Topic::Signals, &sound.envelope()).await;
        let sound = Sent::Data("exposure", bad_events::exposure(&format!("after-{number}"), "ada").to_string().into());
        world.write(Topic::Exposures, &sound.envelope()).await;
        (exposures, signals) = (exposures + 1, signals + 1);
    }
    // An event of the other topic.
    let astray = Sent::Data("exposure", bad_events::exposure("astray", "ada").to_string().into());
    let astray_at = world.write(Topic::Signals, &astray.envelope()).await;

    let store = Arc::new(SqliteStore::in_memory().unwrap());
    let sink = StoreSink::new(world.log.clone(), store.clone(), &world.config);
    sink.catch_up().await.unwrap();
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.exposures, counts.signals), (exposures, signals), "nothing sound is missing");
    assert_eq!(counts.dead_letters.values().sum::<u64>(), refused.len() as u64 + 1);
    let conflicts = store.conflicts(99).await.unwrap();
    let conflicts: Vec<(&str, usize)> =
        conflicts.iter().map(|conflict| (conflict.id.as_str(), conflict.places.len())).collect();
    assert_eq!(conflicts, [("c1", 2), ("k-1", 2)], "both contents stay visible, and the same event again is none");
    assert_eq!(sink.catch_up().await.unwrap().records, 0, "nothing is left, and nothing is refused again");

    let letters = world.letters(refused.len() + 1);
    for (row, topic, offset) in refused {
        let source = |letter: &DeadLetter| {
            letter.source.is_some_and(|source| (source.topic, source.shard, source.offset) == (topic, 0, offset))
        };
        let (letter, headers) = letters.iter().find(|(letter, _)| source(letter)).expect(row.name);
        assert_letter(row, letter);
        assert_eq!(*headers, expected_headers(letter.reason, topic, offset), "{}", row.name);
    }
    let (letter, headers) = letters.iter().find(|(letter, _)| letter.raw.contains("astray")).expect("astray");
    assert_eq!((letter.reason, letter.field.as_str()), (Reason::Event, "event"));
    assert_eq!(*headers, expected_headers(Reason::Event, Topic::Signals, astray_at));
}

fn expected_headers(reason: Reason, topic: Topic, offset: u64) -> Vec<(String, String)> {
    let offset = offset.to_string();
    let headers = [
        ("plaudit", "checked"),
        ("reason", reason.as_str()),
        ("source-topic", topic.as_str()),
        ("source-partition", "0"),
        ("source-offset", &offset),
    ];
    headers.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec()
}
