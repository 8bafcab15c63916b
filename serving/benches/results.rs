//! How long results take, and how that grows: `cargo bench -p plaudit-serving --bench results -- sqlite 0.5 1 5`, in
//! millions of exposures, or `… -- clickhouse 1 10 100` with the server that `PLAUDIT_TEST_CLICKHOUSE` names. `… -- keep
//! DATABASE 100` leaves the database there, for `… -- filled DATABASE 100` to measure again.
//!
//! Five exposures a unit, two variants, three phases of a ramp; 5 % are loved, a third was helpful, and one in ten is
//! copied or has a thumb. On ClickHouse the rows that results are read from are made by the server, 5 million an insert;
//! the second line is after the parts were merged, as those of past weeks are. On SQLite they go in as any other, with tiny contents.

use std::io::Write as _;
use std::time::Instant;

use plaudit_event::{
    Assignment, Context, Draw, Example, ExperimentId, Exposure, ExposureId, Impression, Label, LayerId, Objective,
    PolicyId, Signal, SignalId, SignalKind, Surface, Timestamp, UnitId, VariantId,
};
use plaudit_ingest::store::{Batch, ClickHouseStore, EventStore, Rows, SqliteStore};
use plaudit_serving::results::{Ask, ResultsConfig, Subject, report};

const START: i64 = 1_700_000_000_000;
const EACH: u64 = 5;
/// Rows of one insert.
const STEP: u64 = 5_000_000;
/// Rows of one batch of SQLite.
const BATCH: u64 = 20_000;

fn subject() -> Subject {
    Subject {
        layer: LayerId::new("l").expect("an id"),
        experiment: ExperimentId::new("x").expect("an id"),
        variants: vec!["control".to_owned(), "new".to_owned()],
        control: 0,
    }
}

fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The most memory that this process has had, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1_024
}

/// How far making the rows has come.
fn progress(made: u64, total: u64) {
    let _ = write!(
        std::io::stderr(),
        "\r{:.0} % of {:.1} M exposures made ",
        100.0 * made as f64 / total as f64,
        total as f64 / 1e6
    );
    if made == total {
        let _ = write!(std::io::stderr(), "\r\x1b[2K");
    }
}

/// Asks three times and tells the median.
async fn measure(name: &str, store: &dyn EventStore, exposures: u64) {
    let mut times = Vec::new();
    let mut units = Vec::new();
    for _ in 0..3 {
        let started = Instant::now();
        let now = Timestamp::from_millis(START + 40 * 86_400_000);
        let told = report(store, &ResultsConfig::default(), &subject(), (&Ask::default(), now)).await;
        let told = told.expect("a report");
        times.push(started.elapsed());
        units = told.units;
    }
    times.sort_unstable();
    assert_eq!(units.iter().sum::<u64>(), exposures / EACH, "every unit counts once");
    let seconds = times[1].as_secs_f64();
    let rate = exposures as f64 / seconds / 1e6;
    say(&format!(
        "{name:<12}{:>8.1} M{:>10.1} M{seconds:>10.2} s{rate:>10.2} M/s{:>8} MiB",
        exposures as f64 / 1e6,
        units.iter().sum::<u64>() as f64 / 1e6,
        peak_mib()
    ));
}

/// A server that takes SQL.
struct Server {
    url: String,
    database: String,
    client: reqwest::Client,
}

impl Server {
    async fn run(&self, sql: &str) {
        let url = format!("{}/?database={}&max_partitions_per_insert_block=0", self.url, self.database);
        let answer = self.client.post(url).body(sql.to_owned()).send().await.expect("an answer");
        let (status, text) = (answer.status(), answer.text().await.expect("a text"));
        assert!(status.is_success(), "{sql}: {text}");
    }

    /// Rows `from..to` of `total` exposures.
    async fn fill(&self, (from, to): (u64, u64), total: u64) {
        let (units, rows) = (total / EACH, format!("numbers({from}, {})", to - from));
        let at = format!("fromUnixTimestamp64Milli(toInt64({START} + number * 20))");
        let unit = format!("number % {units}");
        let assigned = format!(
            "concat('l\\tx\\t', if(sipHash64('arm', {unit}) % 2 = 0, 'control', 'new'), '\\t',
                 toString(intDiv(({unit}) * 3, {units})), '\\t[0.5,0.5]')"
        );
        let labels = "concat('helpfulness=', if(sipHash64('h', number) % 3 = 0, '1', '0'), '\\tlove=',
                 if(sipHash64('l', number) % 20 = 0, '1', '0'))";
        self.run(&format!(
            "INSERT INTO unit_exposures SELECT sipHash64('u', {unit}), sipHash64('e', number), number, 1, 0, {at}, {at},
                 'chat', {assigned}, 5 + number % 60, '', {labels} FROM {rows}"
        ))
        .await;
        self.run(&format!(
            "INSERT INTO unit_signals SELECT sipHash64('u', {unit}), sipHash64('e', number), sipHash64('s', number),
                 number, transform(number % 20, [0, 1], ['copy', 'thumbs_up'], ''), NULL, 0, {at}, {at}, 'chat',
                 {assigned}, '' FROM {rows} WHERE number % 20 < 2"
        ))
        .await;
    }
}

/// The server and the database of `PLAUDIT_TEST_CLICKHOUSE`.
fn location() -> Option<(String, String)> {
    let Some(location) = std::env::var_os("PLAUDIT_TEST_CLICKHOUSE").and_then(|name| name.into_string().ok()) else {
        say("SKIPPED ClickHouse: PLAUDIT_TEST_CLICKHOUSE is not set (deploy/dev/servers runs a server)");
        return None;
    };
    let (server, database) = location.trim_start_matches("clickhouse://").split_once('/').expect("a database");
    Some((server.to_owned(), database.to_owned()))
}

fn opened(server: &str, database: &str) -> ClickHouseStore {
    let config = plaudit_ingest::Config::default().clickhouse;
    ClickHouseStore::new(&format!("clickhouse://{server}/{database}"), &config).expect("a location")
}

async fn clickhouse(sizes: &[u64], kept: Option<&str>) {
    let Some((server, database)) = location() else { return };
    for size in sizes {
        let of_run = format!("{database}_bench_{}", std::process::id());
        let database = kept.map_or(of_run, str::to_owned);
        let store = opened(&server, &database);
        store.positions().await.expect("the store answers");
        let of_server = Server { url: format!("http://{server}"), database, client: reqwest::Client::new() };
        let mut from = 0;
        while from < *size {
            let to = (from + STEP).min(*size);
            of_server.fill((from, to), *size).await;
            progress(to, *size);
            from = to;
        }
        measure("ClickHouse", &store, *size).await;
        for table in ["unit_exposures", "unit_signals"] {
            of_server.run(&format!("OPTIMIZE TABLE {table} FINAL")).await;
        }
        measure("merged", &store, *size).await;
        if kept.is_none() {
            of_server.run(&format!("DROP DATABASE {} SYNC", of_server.database)).await;
        }
    }
}

/// Measures a database that was kept.
async fn filled(database: &str, size: u64) {
    let Some((server, _)) = location() else { return };
    measure("ClickHouse", &opened(&server, database), size).await;
}

fn exposure(number: u64, total: u64) -> Exposure {
    let units = total / EACH;
    let unit = number % units;
    let draw = Draw {
        definition: String::new(),
        seed: String::new(),
        bucket: 1,
        phase: u32::try_from(unit * 3 / units).expect("one of three"),
        weights: vec![0.5, 0.5],
        propensity: 0.5,
    };
    let assignment = Assignment {
        layer: LayerId::new("l").expect("an id"),
        experiment: ExperimentId::new("x").expect("an id"),
        variant: VariantId::new(["control", "new"][usize::from(unit.is_multiple_of(2))]).expect("an id"),
        draw: Some(Box::new(draw)),
    };
    Exposure {
        exposure_id: ExposureId::new(format!("e{number:010}")).expect("an id"),
        unit_id: UnitId::new(format!("u{}", unit * 7_919 % units)).expect("an id"),
        session_id: None,
        surface: Surface::Chat,
        context: Context::of_user(""),
        slate: vec![Impression { item_id: "i".into(), position: 0, content: "two words".into(), score: None }],
        chosen: 0,
        propensity: None,
        token_logprobs: None,
        policy_id: PolicyId::new("p").expect("an id"),
        stage: None,
        assignments: vec![assignment],
        rewrite_applied: None,
        interleaving: None,
        attributes: serde_json::Map::new(),
        ts: Timestamp::from_millis(START + i64::try_from(number * 20).expect("small")),
        unknown: serde_json::Map::new(),
    }
}

fn example(of: &Exposure, number: u64) -> Example {
    let label = |value| Label { value: f32::from(u8::from(value)), weight: 1.0 };
    let labels = [("love", label(number.is_multiple_of(20))), ("helpfulness", label(number.is_multiple_of(3)))];
    Example {
        exposure_id: of.exposure_id.clone(),
        revision: 0,
        unit_id: of.unit_id.clone(),
        surface: of.surface,
        context: of.context.clone(),
        response: of.response().to_owned(),
        item_id: "i".into(),
        position: 0,
        policy_id: of.policy_id.clone(),
        propensity: None,
        assignments: of.assignments.clone(),
        attributes: serde_json::Map::new(),
        labels: labels.into_iter().map(|(name, label)| (Objective::new(name), label)).collect(),
        replaced: Default::default(),
        remarks: Default::default(),
        exposure_ts: of.ts,
        ts: of.ts.plus_millis(1_800_000),
    }
}

fn signal(of: &Exposure, number: u64) -> Signal {
    Signal {
        signal_id: SignalId::new(format!("s{number}")).expect("an id"),
        exposure_id: of.exposure_id.clone(),
        item_id: None,
        kind: if number.is_multiple_of(20) { SignalKind::Copy } else { SignalKind::ThumbsUp },
        value: None,
        text: None,
        spans: Vec::new(),
        stage: None,
        op: None,
        actor: plaudit_event::Actor::User,
        ts: of.ts.plus_millis(1_000),
        retracts: None,
        unknown: serde_json::Map::new(),
    }
}

async fn sqlite(sizes: &[u64]) {
    for size in sizes {
        let dir = tempfile::tempdir().expect("a directory");
        let store = SqliteStore::open(&dir.path().join("store.db")).expect("a store");
        let mut next_signal = 0;
        for from in (0..*size).step_by(usize::try_from(BATCH).expect("small")) {
            let to = (from + BATCH).min(*size);
            let shown: Vec<(u64, Exposure)> = (from..to).map(|number| (number, exposure(number, *size))).collect();
            let signals = shown.iter().filter(|(number, _)| number % 20 < 2);
            let signals = (next_signal..).zip(signals.map(|(number, row)| signal(row, *number)));
            let signals: Vec<(u64, Signal)> = signals.collect();
            let examples = shown.iter().map(|(number, row)| (*number, example(row, *number))).collect();
            let end = next_signal + signals.len() as u64;
            let all = [
                (from, to, Rows::Examples(examples)),
                (next_signal, end, Rows::Signals(signals)),
                (from, to, Rows::Exposures(shown)),
            ];
            next_signal = end;
            for (from, next, rows) in all {
                let batch = Batch { shard: 0, from, next, mark: None, rows };
                store.apply(batch).await.expect("the store takes it");
            }
            progress(to, *size);
        }
        measure("SQLite", &store, *size).await;
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let sizes = |from: usize| -> Vec<u64> {
        let sizes = arguments.iter().skip(from).filter_map(|word| word.parse::<f64>().ok());
        sizes.map(|millions| (millions * 1e6) as u64).collect()
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    say("store       exposures       units    median      rate    peak of this process");
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["sqlite", ..] => runtime.block_on(sqlite(&sizes(1))),
        ["clickhouse", ..] => runtime.block_on(clickhouse(&sizes(1), None)),
        ["keep", database, _] => runtime.block_on(clickhouse(&sizes(2), Some(database))),
        ["filled", database, _] => runtime.block_on(filled(database, sizes(2).first().copied().unwrap_or(0))),
        _ => say("say `sqlite` or `clickhouse`, and sizes in millions of exposures"),
    }
}
