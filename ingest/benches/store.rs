//! Rows per second from the log into a store, and what the way there costs.
//!
//! `PLAUDIT_TEST_KAFKA=kafka://127.0.0.1:29092 PLAUDIT_TEST_CLICKHOUSE=clickhouse://127.0.0.1:28123/bench
//! cargo bench -p plaudit-ingest --bench store`
//!
//! `bare` is an rdkafka consumer that feeds inserts of the `clickhouse` crate, in blocks of the same size into a table
//! of the same definition, and does nothing else: it looks nothing up, remembers no position, and would store again
//! what it reads again. Once it makes each row from its message, as any writer must; once it takes for each message a
//! row that was made before, which no writer can.
#![expect(clippy::print_stdout, reason = "a benchmark reports to the terminal")]

#[path = "support/bare.rs"]
mod bare;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bare::{Broker, Stored};
use clickhouse::Client;
use plaudit_event::{
    Actor, Assignment, Context, Envelope, Event, ExperimentId, Exposure, ExposureId, Impression, LayerId, ManualClock,
    PolicyId, Seed, Signal, SignalId, SignalKind, Surface, Timestamp, UnitId, VariantId,
};
use plaudit_ingest::Config;
use plaudit_ingest::log::{EventLog, Record, SqliteLog, Topic};
use plaudit_ingest::service::StoreSink;
use plaudit_ingest::store::{ClickHouseStore, EventStore, Place, SqliteStore};

const NOW: i64 = 1_700_000_000_000;
const ROWS: usize = 100_000;
const ROUNDS: usize = 3;

fn exposure(number: usize) -> Exposure {
    let words: String = (0..40).map(|word| format!("{:x} ", (number * 31 + word * 7919) % 4093)).collect();
    let item = Impression { item_id: "answer".into(), position: 0, content: words, score: Some(0.5) };
    Exposure {
        // Rises with time, like the ids that the server makes.
        exposure_id: ExposureId::new(format!(
            "018bcfe5-{:04x}-7{:03x}-8000-f00dfeedf00d",
            number >> 12,
            number & 0xfff
        ))
        .expect("an id"),
        unit_id: UnitId::new(format!("unit-{}", number % 5_000)).expect("an id"),
        session_id: None,
        surface: Surface::Chat,
        context: Context::of_user(format!("what is the square root of {number}, and why?")),
        slate: vec![item],
        chosen: 0,
        propensity: None,
        token_logprobs: None,
        policy_id: PolicyId::new("gen-1").expect("an id"),
        stage: None,
        assignments: vec![Assignment {
            layer: LayerId::new("layer").expect("an id"),
            experiment: ExperimentId::new("x").expect("an id"),
            variant: VariantId::new(if number.is_multiple_of(2) { "a" } else { "b" }).expect("an id"),
            draw: None,
        }],
        rewrite_applied: None,
        interleaving: None,
        attributes: serde_json::Map::new(),
        ts: Timestamp::from_millis(NOW + number as i64),
        unknown: serde_json::Map::new(),
    }
}

/// A reaction to the exposure `number`.
fn signal(number: usize) -> Signal {
    Signal {
        signal_id: SignalId::new(format!("{number:012}")).expect("an id"),
        exposure_id: exposure(number).exposure_id,
        item_id: None,
        kind: SignalKind::Copy,
        value: None,
        text: None,
        spans: Vec::new(),
        stage: None,
        op: None,
        actor: Actor::User,
        ts: Timestamp::from_millis(NOW + number as i64),
        retracts: None,
        unknown: serde_json::Map::new(),
    }
}

async fn fill(log: &dyn EventLog, topic: Topic) {
    for start in (0..ROWS).step_by(10_000) {
        let record = |number| {
            let exposure = exposure(number);
            let key = exposure.exposure_id.to_string();
            let event = match topic {
                Topic::Signals => Event::Signal(signal(number)),
                _ => Event::Exposure(exposure),
            };
            Record { key, value: Envelope::new(event).encode() }
        };
        log.append(topic, (start..start + 10_000).map(record).collect()).await.expect("the log takes it");
    }
}

async fn sink(log: &Arc<dyn EventLog>, store: Arc<dyn EventStore>) -> Duration {
    // The schema is made at the first use.
    store.positions().await.expect("the store answers");
    let sink = StoreSink::new(Arc::clone(log), store, &Config::default());
    let started = Instant::now();
    let done = sink.catch_up().await.expect("the store takes it");
    assert_eq!(done.rows, ROWS as u64);
    started.elapsed()
}

/// A server with databases of its own.
struct Server {
    location: String,
    client: Client,
}

impl Server {
    fn of_environment() -> Option<Self> {
        let location = std::env::var_os("PLAUDIT_TEST_CLICKHOUSE")?.into_string().ok()?;
        let (server, database) = location.strip_prefix("clickhouse://")?.split_once('/')?;
        let client = Client::default().with_url(format!("http://{server}"));
        let database = format!("{database}_bench_{}", std::process::id());
        Some(Self { location: format!("clickhouse://{server}/{database}"), client: client.with_database(database) })
    }

    fn store(&self) -> Arc<dyn EventStore> {
        let config = Config::default().clickhouse;
        Arc::new(ClickHouseStore::new(&self.location, &config).expect("a location"))
    }

    async fn run(&self, sql: &str) {
        bare::run(&self.client, sql).await;
    }

    async fn rows(&self) -> Vec<Stored> {
        let rows = self.client.query("SELECT ?fields FROM exposures ORDER BY place").fetch_all().await;
        rows.expect("what was stored can be read")
    }
}

/// Only what every store waits for: reading and decoding the log.
async fn read_only(log: &Arc<dyn EventLog>) -> Duration {
    let started = Instant::now();
    let (mut next, mut bytes) = (0, 0);
    while next < ROWS as u64 {
        let records = log.read(Topic::Exposures, next, 10_000).await.expect("the log reads");
        for record in &records {
            let Event::Exposure(exposure) = Envelope::decode(&record.value).expect("an envelope").event else {
                panic!("an exposure")
            };
            bytes += exposure.response().len();
        }
        next = records.last().expect("a record").offset + 1;
    }
    assert!(bytes > ROWS);
    started.elapsed()
}

fn report(name: &str, times: &mut [Duration], bare: Option<Duration>) -> Duration {
    times.sort_unstable();
    let median = times[times.len() / 2];
    let rate = |time: Duration| ROWS as f64 / time.as_secs_f64();
    let ratio = bare.map_or_else(String::new, |bare| format!("{:6.2}", bare.as_secs_f64() / median.as_secs_f64()));
    let [fast, slow] = [times[0], times[times.len() - 1]].map(rate);
    println!("{name:34} {:10.0} {:>18} {ratio}", rate(median), format!("{slow:.0} … {fast:.0}"));
    median
}

/// The time of what is asked of a store of [`ROWS`] exposures.
async fn ask(name: &str, store: &dyn EventStore) {
    let after = Some(Place { shard: 0, offset: ROWS as u64 / 2 });
    let mut line = format!("questions to {name}, ms:");
    let started = Instant::now();
    let counts = store.counts().await.expect("counts");
    line += &format!(" counts {:.0}", started.elapsed().as_secs_f64() * 1e3);
    let started = Instant::now();
    let page = store.scan_exposures(after, 1_000).await.expect("a page");
    line += &format!(", a page of 1,000 from the middle {:.0}", started.elapsed().as_secs_f64() * 1e3);
    let started = Instant::now();
    let prompts = store.prompts(64, Seed::new(1)).await.expect("prompts");
    line += &format!(", 64 prompts {:.0}", started.elapsed().as_secs_f64() * 1e3);
    let started = Instant::now();
    let (start, experiment) = (Timestamp::from_millis(NOW), ExperimentId::new("x").expect("an id"));
    let range = start..start.plus_millis(ROWS as i64);
    let units = store.unit_metrics(&experiment, range.clone(), None, 10_000).await.expect("metrics");
    line += &format!(", metrics of 5,000 units {:.0}", started.elapsed().as_secs_f64() * 1e3);
    let started = Instant::now();
    let minutes = store.variant_minutes(&experiment, range, 10_000).await.expect("metrics");
    line += &format!(", counts by minute {:.0}", started.elapsed().as_secs_f64() * 1e3);
    let found = (counts.exposures, page.len(), prompts.len(), units.len(), minutes.is_empty());
    assert_eq!(found, (ROWS as u64, 1_000, 64, 5_000, false));
    println!("{line}");
}

async fn measure() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Arc::new(ManualClock::new(Timestamp::from_millis(NOW)));
    let sqlite: Arc<dyn EventLog> =
        Arc::new(SqliteLog::open(&dir.path().join("log.db"), clock.clone()).expect("a log"));
    fill(&*sqlite, Topic::Exposures).await;
    println!("{ROWS} exposures, median of {ROUNDS}      rows/s  slowest … fastest  to bare");
    let mut reads = Vec::new();
    let mut files = Vec::new();
    for round in 0..ROUNDS {
        reads.push(read_only(&sqlite).await);
        let path = dir.path().join(format!("store-{round}.db"));
        let store: Arc<dyn EventStore> = Arc::new(SqliteStore::open(&path).expect("a store"));
        files.push(sink(&sqlite, Arc::clone(&store)).await);
        if round == 0 {
            ask("SQLite", &*store).await;
        }
    }
    report("log SQLite, decoded, no store", &mut reads, None);
    report("log SQLite → store SQLite", &mut files, None);
    let (Some(server), Some(broker)) = (Server::of_environment(), Broker::of_environment()) else {
        println!("SKIPPED Kafka and ClickHouse: PLAUDIT_TEST_KAFKA and PLAUDIT_TEST_CLICKHOUSE are not both set");
        return;
    };
    let kafka = broker.log(clock).await;
    fill(&*kafka, Topic::Exposures).await;
    let block = server.store().batch_records();
    let (mut from_kafka, mut from_file, mut bare, mut made) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        from_kafka.push(sink(&kafka, server.store()).await);
        if from_kafka.len() == 1 {
            ask("ClickHouse", &*server.store()).await;
        }
        let rows = server.rows().await;
        bare.push(bare::copy(&server.client, &broker, &rows, block, false).await);
        made.push(bare::copy(&server.client, &broker, &rows, block, true).await);
        let database = server.client.database().expect("a database").to_owned();
        server.run(&format!("DROP DATABASE {database} SYNC")).await;
        from_file.push(sink(&sqlite, server.store()).await);
        server.run(&format!("DROP DATABASE {database} SYNC")).await;
    }
    let bare = report(&format!("bare, blocks of {block}"), &mut bare, None);
    report("bare, rows made before", &mut made, Some(bare));
    report("log Kafka → store ClickHouse", &mut from_kafka, Some(bare));
    report("log SQLite → store ClickHouse", &mut from_file, Some(bare));
    // To exposures that are there, each once.
    sink(&sqlite, server.store()).await;
    fill(&*sqlite, Topic::Signals).await;
    let mut signals = [sink(&sqlite, server.store()).await];
    server.run(&format!("DROP DATABASE {} SYNC", server.client.database().expect("a database"))).await;
    report("the same, a signal to each, once", &mut signals, None);
}

fn main() {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(measure());
}
