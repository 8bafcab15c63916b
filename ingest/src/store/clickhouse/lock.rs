//! One migrator at a time, on a server that has no transactions.
//!
//! A process writes a claim and then reads all claims. It may go on when it sees no other that lasts; otherwise it
//! withdraws, waits and claims again. Of two that claim at once the one that reads last sees both claims, so that
//! never both go on: at worst both withdraw.
//!
//! A claim ends on its own after [`LASTS`], by the clock of the server, so that a process that dies locks nobody out.
//! One that stalls for longer than that between two statements may then run beside another: every statement of the
//! schema can be run twice, at any time, so that this does no harm.

use std::time::Duration;

use clickhouse::Row;
use serde::Deserialize;

use super::client::Client;
use crate::Error;
use crate::fingerprint::Fingerprint;

/// How long a claim lasts unless it is renewed, in seconds.
const LASTS: u32 = 60;
/// How often a process claims before it gives up for the moment.
const ATTEMPTS: u64 = 40;
/// The shortest pause between two claims.
const PAUSE: Duration = Duration::from_millis(20);

const ACTION: &str = "lock the schema";

/// The claim of one process.
pub(super) struct Claim<'a> {
    client: &'a Client,
    database: &'a str,
    owner: String,
    step: u64,
}

#[derive(Debug, Row, Deserialize)]
struct Owner {
    owner: String,
}

#[derive(Debug, Row, Deserialize)]
struct Others {
    number: u64,
}

impl<'a> Claim<'a> {
    /// The claim of a new owner; nothing is written yet.
    pub(super) async fn new(client: &'a Client, database: &'a str) -> Result<Self, Error> {
        let query = client.server_query("SELECT toString(generateUUIDv4()) AS owner");
        let owner = client.fetch::<Owner>(ACTION, query).await?.pop().map(|row| row.owner).unwrap_or_default();
        Ok(Self { client, database, owner, step: 0 })
    }

    /// Waits until no other process has a claim.
    ///
    /// # Errors
    /// Fails when that takes too long.
    pub(super) async fn take(&mut self) -> Result<(), Error> {
        for attempt in 0..ATTEMPTS {
            self.renew().await?;
            if self.others().await? == 0 {
                return Ok(());
            }
            self.end().await?;
            // Owners pause for different times, else they would meet again and again.
            let jitter = Fingerprint::of_parts(&[self.owner.as_bytes(), &attempt.to_le_bytes()]).head() % 16;
            let factor = u32::try_from(1 + jitter + attempt).expect("small");
            tokio::time::sleep(PAUSE * factor).await;
        }
        Err(Error::Busy { what: "processes that migrate the schema", most: 1 })
    }

    /// Makes the claim last from now.
    pub(super) async fn renew(&mut self) -> Result<(), Error> {
        self.write(LASTS).await
    }

    /// Withdraws the claim.
    pub(super) async fn end(&mut self) -> Result<(), Error> {
        self.write(0).await
    }

    async fn write(&mut self, seconds: u32) -> Result<(), Error> {
        self.step += 1;
        let sql = format!(
            "INSERT INTO {}.migration_claims SELECT ? AS owner, toUInt64(?) AS step,
             now64(3, 'UTC') + toIntervalSecond(?) AS until",
            self.database
        );
        let query = self.client.server_query(&sql).bind(&self.owner).bind(self.step).bind(seconds);
        self.client.execute(ACTION, query).await
    }

    /// Other owners with a claim that lasts.
    async fn others(&self) -> Result<u64, Error> {
        let sql = format!(
            "SELECT count() AS number FROM
                 (SELECT owner, argMax(until, step) AS last FROM {}.migration_claims WHERE owner != ? GROUP BY owner)
             WHERE last > now64(3, 'UTC')",
            self.database
        );
        let query = self.client.server_query(&sql).bind(&self.owner);
        Ok(self.client.fetch::<Others>(ACTION, query).await?.first().map_or(0, |row| row.number))
    }
}
