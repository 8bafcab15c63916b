//! The schema, made and extended.

use super::*;
use crate::store::clickhouse::schema::MIGRATIONS;

#[tokio::test]
async fn migrating_twice_and_from_many_processes_at_once_is_harmless() {
    let Some(server) = Server::of_tests("migrate") else { return };
    let first = server.fresh();
    let others: Vec<_> = (0..4).map(|_| server.open(0, &ClickHouseConfig::default())).collect();
    let results = futures_of(&first, &others).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    first.apply(exposures(0, &["a"])).await.expect("apply");
    let again = server.open(0, &ClickHouseConfig::default());
    assert_eq!(again.counts().await.expect("counts").exposures, 1);
    assert_eq!(again.positions().await.expect("positions").len(), 1);
    server.clean().await;
}

async fn futures_of(first: &Arc<ClickHouseStore>, others: &[Arc<ClickHouseStore>]) -> Vec<Result<(), Error>> {
    let mut tasks = Vec::new();
    for store in others.iter().chain([first]) {
        let store = store.clone();
        tasks.push(tokio::spawn(async move { store.ready().await.map(drop) }));
    }
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("a task"));
    }
    results
}

#[tokio::test]
async fn a_schema_of_a_newer_build_is_refused() {
    let Some(server) = Server::of_tests("newer") else { return };
    let store = server.fresh();
    store.ready().await.expect("a server");
    run(&store, "INSERT INTO schema_versions SELECT 999, 'later', now64(3)").await;
    let again = server.open(0, &ClickHouseConfig::default());
    let error = again.counts().await.expect_err("a newer schema");
    assert!(matches!(error, Error::Format { found: 999, .. }), "{error}");
    assert_eq!(error.kind(), ErrorKind::Data);
    server.clean().await;
}

#[tokio::test]
async fn the_statements_for_a_cluster_are_what_the_server_can_read() {
    let Some(server) = Server::of_tests("cluster") else { return };
    let store = server.fresh();
    let schema = Schema { database: "d".into(), cluster: "blue".into() };
    let mut statements = schema.bootstrap();
    for migration in &MIGRATIONS {
        statements.extend(schema.migration(migration));
    }
    for statement in statements {
        let explain = format!("EXPLAIN AST {statement}");
        store.client.execute("test", store.client.server_query(&explain)).await.expect(&statement);
    }
}

#[tokio::test]
async fn a_schema_of_version_3_is_extended_with_what_is_there() {
    let Some(server) = Server::of_tests("extended") else { return };
    let now = server.fresh();
    now.apply(exposures(0, &["a", "b"])).await.expect("apply");
    now.apply(conformance::examples(0, vec![conformance::example("a", 2, 1_000)])).await.expect("apply");
    let signals = Rows::Signals(vec![(0, conformance::signal("s"))]);
    now.apply(Batch { shard: 0, from: 0, next: 1, mark: None, rows: signals }).await.expect("apply");
    let units = conformance::units(&*now).await;
    assert_eq!((units.len(), units[0].shown.len(), units[0].reactions.len()), (1, 2, 1));

    let old = server.fresh();
    let mut statements = old.schema.bootstrap();
    for migration in &MIGRATIONS[..3] {
        statements.extend(old.schema.migration(migration));
    }
    let (database, source) = (&old.schema.database, &now.schema.database);
    for (table, columns) in [
        ("exposures", "* EXCEPT (is_conflict, assigned, attributes, words)"),
        ("signals", "* EXCEPT (is_conflict, unit, shown, surface, assigned, attributes)"),
        ("examples", "*"),
        ("positions", "*"),
    ] {
        statements.push(format!("INSERT INTO {database}.{table} SELECT {columns} FROM {source}.{table}"));
    }
    statements.push(format!("INSERT INTO {database}.schema_versions SELECT 3, 'units', now64(3)"));
    for statement in statements {
        let query = old.client.server_query(&statement.replace('?', "??"));
        old.client.execute("test", query).await.expect(&statement);
    }
    assert_eq!(conformance::units(&*old).await, units);
    assert_eq!(old.apply(exposures(2, &["c"])).await.expect("apply"), 1);
    assert_eq!(conformance::units(&*old).await[0].shown.len(), 3);
    server.clean().await;
}
