mod migrations;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clickhouse::test::{Mock, handlers, status};
use plaudit_event::{Exposure, Timestamp};

use super::*;
use crate::ErrorKind;
use crate::store::Rows;
use crate::store::conformance::{self, exposures};

/// Databases on the server that `PLAUDIT_TEST_CLICKHOUSE` names, each made by a test for itself.
struct Server {
    base: String,
    next: AtomicU64,
}

impl Server {
    /// Nothing, said loudly, when there is no server to test with. `purpose` tells the databases of tests apart.
    fn of_tests(purpose: &str) -> Option<Self> {
        let Some(location) = std::env::var_os("PLAUDIT_TEST_CLICKHOUSE") else {
            eprintln!("SKIPPED: PLAUDIT_TEST_CLICKHOUSE is not set (deploy/dev/servers runs a server)");
            return None;
        };
        let location = location.into_string().expect("a location");
        Some(Self { base: format!("{location}_{}_{purpose}", std::process::id()), next: AtomicU64::new(0) })
    }

    fn location(&self, number: u64) -> String {
        format!("{}_{number}", self.base)
    }

    fn open(&self, number: u64, config: &ClickHouseConfig) -> Arc<ClickHouseStore> {
        Arc::new(ClickHouseStore::new(&self.location(number), config).expect("a location"))
    }

    /// A store on a new database.
    fn fresh(&self) -> Arc<ClickHouseStore> {
        self.open(self.next.fetch_add(1, Ordering::Relaxed), &ClickHouseConfig::default())
    }

    async fn clean(&self) {
        for number in 0..self.next.load(Ordering::Relaxed) {
            let store = self.open(number, &ClickHouseConfig::default());
            let drop = format!("DROP DATABASE IF EXISTS {}", store.schema.database);
            store.client.execute("drop", store.client.server_query(&drop)).await.expect("drop");
        }
    }
}

async fn run(store: &ClickHouseStore, sql: &str) {
    store.client.execute("test", store.client.query(sql)).await.expect(sql);
}

async fn ids(store: &ClickHouseStore) -> Vec<String> {
    let rows = store.scan_exposures(None, 100).await.expect("scan");
    rows.into_iter().map(|(_, row)| row.exposure_id.to_string()).collect()
}

#[tokio::test]
async fn the_conformance_suite_passes() {
    let Some(server) = Server::of_tests("suite") else { return };
    conformance::all(|| server.fresh()).await;
    server.clean().await;
}

#[tokio::test]
async fn a_reaction_that_was_written_before_and_after_its_exposure_counts_once() {
    let Some(server) = Server::of_tests("placed") else { return };
    let store = server.fresh();
    let signals = |from: u64, names: &[&str]| {
        let rows: Vec<_> = (from..).zip(names.iter().map(|name| conformance::signal(name))).collect();
        Batch { shard: 0, from, next: from + rows.len() as u64, mark: None, rows: Rows::Signals(rows) }
    };
    let target = store.target().await.expect("a server");
    target.write(signals(0, &["s", "t"]), 0).await.expect("write");
    store.apply(exposures(0, &["a", "b"])).await.expect("apply");
    let of = |units: Vec<crate::store::UnitEvents>| (units.len(), units[0].shown.len(), units[0].reactions.len());
    assert_eq!(of(conformance::units(&*store).await), (1, 2, 2), "looked up by who asks");
    // The next writer cuts the log into other batches.
    store.apply(signals(0, &["s"])).await.expect("apply");
    store.apply(signals(1, &["t", "u"])).await.expect("apply");
    assert_eq!(of(conformance::units(&*store).await), (1, 2, 3));
    for (condition, expected) in [("unit = 0", 2), ("unit != 0", 3)] {
        let sql = format!("SELECT count() FROM unit_signals FINAL WHERE {condition}");
        let number = store.client.query(&sql).fetch_one::<u64>().await.expect("a number");
        assert_eq!(number, expected, "{condition}");
    }
    server.clean().await;
}

#[tokio::test]
async fn rows_of_a_writer_that_was_killed_before_it_moved_the_position_count_once() {
    let Some(server) = Server::of_tests("killed") else { return };
    let store = server.fresh();
    store.apply(exposures(0, &["a", "b"])).await.expect("apply");
    let target = store.target().await.expect("a server");
    target.write(exposures(2, &["c", "d", "e"]), 2).await.expect("write");
    // The next writer cuts the log into other batches, and merges happen at any time.
    assert_eq!(store.apply(exposures(2, &["c", "d"])).await.expect("apply"), 2, "no one was told of them before");
    assert_eq!(store.apply(exposures(4, &["e", "f", "g", "a"])).await.expect("apply"), 3);
    let expected = ["a", "b", "c", "d", "e", "f", "g"];
    assert_eq!(
        (store.counts().await.expect("counts").exposures, ids(&store).await),
        (7, expected.map(String::from).to_vec())
    );
    run(&store, "OPTIMIZE TABLE exposures FINAL").await;
    assert_eq!(
        (store.counts().await.expect("counts").exposures, ids(&store).await),
        (7, expected.map(String::from).to_vec())
    );
    server.clean().await;
}

#[tokio::test]
async fn a_late_writer_of_a_shard_that_has_a_new_owner_changes_nothing() {
    let Some(server) = Server::of_tests("zombie") else { return };
    let old = server.fresh();
    old.apply(exposures(0, &["a", "b"])).await.expect("apply");
    // The old owner has looked at the position and stalls; the new one goes on; the old one wakes up.
    let target = old.target().await.expect("a server");
    let new = server.open(0, &ClickHouseConfig::default());
    new.apply(exposures(2, &["c", "d", "e", "f"])).await.expect("apply");
    target.write(exposures(2, &["c", "d"]), 2).await.expect("write");
    target.move_to(exposures(2, &[]).part(), 4, None).await.expect("write");
    for store in [&old, &new] {
        assert_eq!(store.positions().await.expect("positions")[&exposures(0, &[]).part()], 6);
        assert_eq!(store.counts().await.expect("counts").exposures, 6);
        assert_eq!(ids(store).await, ["a", "b", "c", "d", "e", "f"]);
    }
    assert_eq!(old.apply(exposures(4, &["e", "f"])).await.expect("apply"), 0, "done by the new owner");
    assert_eq!(old.apply(exposures(6, &["g"])).await.expect("apply"), 1, "what follows may come from anybody");
    server.clean().await;
}

#[tokio::test]
async fn the_same_id_in_other_shards_counts_once_and_the_lowest_place_stays() {
    let Some(server) = Server::of_tests("shards") else { return };
    let store = server.fresh();
    let of_shard = |shard, ids: &[&str]| Batch { shard, ..exposures(0, ids) };
    assert_eq!(store.apply(of_shard(5, &["a", "b"])).await.expect("apply"), 2);
    assert_eq!(store.apply(of_shard(2, &["b", "c"])).await.expect("apply"), 1);
    for _ in 0..2 {
        let rows = store.scan_exposures(None, 2).await.expect("scan");
        let more = store.scan_exposures(Some(rows[1].0), 2).await.expect("scan");
        let places: Vec<(u32, u64)> = rows.iter().chain(&more).map(|row| (row.0.shard, row.0.offset)).collect();
        assert_eq!(places, [(2, 0), (2, 1), (5, 0)]);
        run(&store, "OPTIMIZE TABLE exposures FINAL").await;
    }
    assert_eq!(store.counts().await.expect("counts").conflicts, 0);
    server.clean().await;
}

#[tokio::test]
async fn an_erasure_beside_a_writer_leaves_nothing() {
    let Some(server) = Server::of_tests("erase") else { return };
    let store = server.fresh();
    store.apply(exposures(0, &["a", "b"])).await.expect("apply");
    // The other writer has not seen the erasure when it sends its rows.
    let unit = plaudit_event::UnitId::new("unit").expect("an id");
    store.erase(&unit).await.expect("erase");
    let Rows::Exposures(rows) = exposures(2, &["a", "z"]).rows else { panic!("exposures") };
    let rows: Vec<ExposureRow> =
        rows.into_iter().map(|(offset, row)| ExposureRow::new(Place { shard: 0, offset }, row)).collect();
    store.client.insert("exposures", &rows, None).await.expect("insert");
    let target = store.target().await.expect("a server");
    target.write(exposures(2, &["a", "z"]), 2).await.expect("write");
    target.forget_erased::<ExposureRow>(&rows).await.expect("erase");
    assert_eq!(ids(&store).await, ["z"]);
    server.clean().await;
}

#[tokio::test]
async fn times_of_any_month_go_into_one_batch() {
    let Some(server) = Server::of_tests("months") else { return };
    let store = server.fresh();
    let Rows::Exposures(rows) = exposures(0, &["a"]).rows else { panic!("exposures") };
    let month = |offset: u64| {
        let id = plaudit_event::ExposureId::new(format!("e{offset}")).expect("an id");
        let ts = Timestamp::from_millis(i64::try_from(offset).expect("small") * 31 * 24 * 3_600_000);
        (offset, Exposure { exposure_id: id, ts, ..rows[0].1.clone() })
    };
    let batch = Batch { next: 300, rows: Rows::Exposures((0..300).map(month).collect()), ..exposures(0, &[]) };
    assert_eq!(store.apply(batch).await.expect("apply"), 300);
    assert_eq!(store.counts().await.expect("counts").exposures, 300);
    server.clean().await;
}

#[tokio::test]
async fn a_batch_is_cut_into_inserts_of_few_bytes() {
    let Some(server) = Server::of_tests("bytes") else { return };
    server.next.fetch_add(1, Ordering::Relaxed);
    let store = server.open(0, &ClickHouseConfig { batch_bytes: 1_024, ..ClickHouseConfig::default() });
    let ids: Vec<String> = (0..9).map(|i| format!("e{i}")).collect();
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert_eq!(store.apply(exposures(0, &names)).await.expect("apply"), 9);
    assert_eq!(self::ids(&store).await, ids);
    server.clean().await;
}

#[tokio::test]
async fn rows_are_kept_as_long_as_the_configuration_says() {
    let Some(server) = Server::of_tests("kept") else { return };
    let store = server.fresh();
    store.ready().await.expect("a server");
    let day = Some(Duration::from_secs(24 * 3600));
    let mut config = ClickHouseConfig::default();
    for kept in [day, None] {
        (config.retention.exposures, config.retention.examples, config.retention.signals) = (kept, kept, kept);
        let store = server.open(0, &config);
        store.apply(exposures(0, &["a"])).await.expect("apply");
        let left = migrate::changes(&store.client, &store.schema, &config.retention).await.expect("tables");
        assert_eq!(left, [""; 0], "{kept:?}");
        // The exposures of the suite are of 1970.
        run(&store, "OPTIMIZE TABLE exposures FINAL").await;
        assert_eq!(ids(&store).await, [""; 0]);
    }
    server.clean().await;
}

#[tokio::test]
async fn a_database_that_was_dropped_is_made_again() {
    let Some(server) = Server::of_tests("dropped") else { return };
    let store = server.fresh();
    store.apply(exposures(0, &["a"])).await.expect("apply");
    server.clean().await;
    let error = store.positions().await.expect_err("no database");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(store.positions().await.expect("positions"), BTreeMap::new(), "to be copied from the beginning");
    assert_eq!(store.apply(exposures(0, &["a"])).await.expect("apply"), 1);
    server.clean().await;
}

fn mocked(mock: &Mock) -> ClickHouseStore {
    let location = format!("{}/d", mock.url().replace("http:", "clickhouse:"));
    ClickHouseStore::new(&location, &ClickHouseConfig::default()).expect("a location")
}

#[tokio::test]
async fn a_server_that_is_away_or_in_trouble_is_waited_for() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let location = format!("clickhouse://u:secret@{}/d", nobody.local_addr().expect("an address"));
    let mut config = ClickHouseConfig { timeout: Duration::from_millis(50), ..ClickHouseConfig::default() };
    let silent = ClickHouseStore::new(&location, &config).expect("a location").counts().await.expect_err("silence");
    assert!(silent.kind() == ErrorKind::Unavailable && silent.to_string().ends_with("no answer in time"), "{silent}");
    drop(nobody);
    config.timeout = Duration::from_secs(30);
    let refused = ClickHouseStore::new(&location, &config).expect("a location").counts().await.expect_err("nobody");
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    assert!(!format!("{silent}{refused}{silent:?}{refused:?}").contains("secret"));
    let mock = Mock::new();
    mock.add(handlers::failure(status::INTERNAL_SERVER_ERROR));
    let failed = mocked(&mock).counts().await.expect_err("500");
    assert_eq!(failed.kind(), ErrorKind::Unavailable, "{failed}");
}

#[tokio::test]
async fn an_exception_is_told_by_its_code() {
    for (code, kind) in
        [(60, ErrorKind::Unavailable), (192, ErrorKind::Invalid), (62, ErrorKind::Internal), (40, ErrorKind::Data)]
    {
        let mock = Mock::new();
        mock.add(handlers::exception(code));
        let error = mocked(&mock).counts().await.expect_err("an exception");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains(&format!("exception {code}")), "{error}");
    }
}
