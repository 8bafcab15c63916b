//! Requests to the server: bounded in time, with errors of this crate.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clickhouse::error::Error as Fault;
use clickhouse::query::Query;
use clickhouse::{Compression, RowOwned, RowRead, RowWrite};

use super::address::Address;
use super::{ClickHouseConfig, fault};
use crate::Error;

/// Time for what reads all rows of an experiment, or rewrites a table.
const LONG: Duration = Duration::from_secs(3_600);

/// Settings of every request. What they are by default differs between servers and versions.
const SETTINGS: [(&str, &str); 11] = [
    // An insert is there, or has failed, when it is answered.
    ("async_insert", "0"),
    ("wait_end_of_query", "1"),
    ("mutations_sync", "2"),
    ("insert_deduplicate", "1"),
    // What a view writes is written again with an insert that failed between the two.
    ("deduplicate_blocks_in_dependent_materialized_views", "1"),
    // Labels are kept as text beside their rows.
    ("precise_float_parsing", "1"),
    // The same id may come with two times, in two months.
    ("do_not_merge_across_partitions_select_final", "0"),
    // Events may be of any month since 1970.
    ("max_partitions_per_insert_block", "0"),
    // The ids of a batch stand in the text of a query.
    ("max_query_size", "268435456"),
    // Else an answer in binary may be read as another type.
    ("output_format_binary_encode_types_in_binary_format", "0"),
    ("join_use_nulls", "0"),
];
/// Settings of every request on a cluster: what was answered survives the loss of a server and is seen at once.
const CLUSTER_SETTINGS: [(&str, &str); 5] = [
    ("insert_quorum", "auto"),
    ("insert_quorum_parallel", "0"),
    ("select_sequential_consistency", "1"),
    ("distributed_foreground_insert", "1"),
    ("distributed_product_mode", "global"),
];

/// A database on a server.
pub(super) struct Client {
    /// Without a database, which may have to be made first.
    server: clickhouse::Client,
    database: clickhouse::Client,
    address: String,
    timeout: Duration,
    /// Whether the schema was seen to be there.
    is_ready: AtomicBool,
}

impl Client {
    pub(super) fn new(address: &Address, config: &ClickHouseConfig) -> Self {
        let mut server = clickhouse::Client::default().with_url(address.url()).with_compression(Compression::None);
        if let Some(user) = &address.user {
            server = server.with_user(user);
        }
        if let Some(password) = &address.password {
            server = server.with_password(password);
        }
        for (name, value) in SETTINGS {
            server = server.with_setting(name, value);
        }
        if !config.cluster.is_empty() {
            for (name, value) in CLUSTER_SETTINGS {
                server = server.with_setting(name, value);
            }
        }
        Self {
            database: server.clone().with_database(&address.database),
            server,
            address: address.to_string(),
            timeout: config.timeout,
            is_ready: AtomicBool::new(false),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Acquire)
    }

    pub(super) fn set_ready(&self) {
        self.is_ready.store(true, Ordering::Release);
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// A query in the database; `?` is a value to bind.
    pub(super) fn query(&self, sql: &str) -> Query {
        self.database.query(sql)
    }

    /// A query that needs no database.
    pub(super) fn server_query(&self, sql: &str) -> Query {
        self.server.query(sql)
    }

    /// The rows that `query` answers.
    pub(super) async fn fetch<T: RowOwned + RowRead>(
        &self,
        action: &'static str,
        query: Query,
    ) -> Result<Vec<T>, Error> {
        self.within(action, query.fetch_all::<T>()).await
    }

    /// Runs `query` for what it does.
    pub(super) async fn execute(&self, action: &'static str, query: Query) -> Result<(), Error> {
        self.within(action, query.execute()).await
    }

    /// As [`fetch`](Self::fetch), for what reads or writes everything and takes as long as that takes.
    pub(super) async fn fetch_long<T: RowOwned + RowRead>(
        &self,
        action: &'static str,
        query: Query,
    ) -> Result<Vec<T>, Error> {
        self.within_time(action, LONG.max(self.timeout), query.fetch_all::<T>()).await
    }

    /// As [`execute`](Self::execute), in the same way.
    pub(super) async fn execute_long(&self, action: &'static str, query: Query) -> Result<(), Error> {
        self.within_time(action, LONG.max(self.timeout), query.execute()).await
    }

    /// Inserts `rows` into `table` as one block, once for each `token` if there is one.
    pub(super) async fn insert<T>(&self, table: &str, rows: &[T], token: Option<&str>) -> Result<(), Error>
    where
        T: RowOwned + RowWrite + Sync,
    {
        let work = async {
            let mut insert = self.database.insert::<T>(table).await?;
            if let Some(token) = token {
                insert = insert.with_setting("insert_deduplication_token", token);
            }
            for row in rows {
                insert.write(row).await?;
            }
            insert.end().await
        };
        self.within("write", work).await
    }

    async fn within<T>(&self, action: &'static str, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Error> {
        self.within_time(action, self.timeout, work).await
    }

    async fn within_time<T>(
        &self,
        action: &'static str,
        time: Duration,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(time, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(fault)) => {
                let code = if let Fault::BadResponse(text) = &fault { fault::code(text) } else { None };
                if code.is_some_and(|code| fault::MISSING.contains(&code)) {
                    // Somebody took the store away: it is made again, and copied again from the log.
                    self.is_ready.store(false, Ordering::Release);
                }
                Err(fault::error(action, &self.address, &fault))
            }
            Err(_) => Err(fault::timeout(action, &self.address)),
        }
    }
}
