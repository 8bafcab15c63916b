//! The record of an erasure: the audit trail, and what later readers go by.

use std::sync::Arc;

use plaudit_event::{Timestamp, UnitId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::scan::{LogScan, Wanted};
use super::{Held, Request};
use crate::Error;
use crate::letters::LetterId;
use crate::log::{self, EventLog, Record, Topic};

/// The version written; also the newest one read.
const VERSION: u32 = 1;
const KIND: &str = "erasure";
/// Exposures in one record, at most; more make further records.
const EXPOSURES: usize = 20_000;
/// Records read at a time.
const READ: usize = 500;

/// Tells a unit without naming it: whoever knows the name can check it, nobody can look it up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitMark {
    /// In front of the name when it is hashed, in hexadecimal.
    pub salt: String,
    /// SHA-256 of salt and name, in hexadecimal.
    pub sha256: String,
}

impl UnitMark {
    fn new(unit: &UnitId, salt: String) -> Self {
        let sha256 = hash(&salt, unit);
        Self { salt, sha256 }
    }

    /// Whether it is the mark of `unit`.
    #[must_use]
    pub fn is_of(&self, unit: &UnitId) -> bool {
        self.sha256 == hash(&self.salt, unit)
    }
}

fn hash(salt: &str, unit: &UnitId) -> String {
    hex(&Sha256::digest([salt.as_bytes(), &[0], unit.as_str().as_bytes()].concat()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A record of topic `checkpoints`: what was erased, without naming it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasureRecord {
    /// Format version, 1.
    pub v: u32,
    /// Always `erasure`.
    pub kind: String,
    /// When.
    pub at: Timestamp,
    /// Who asked.
    pub by: String,
    /// Why.
    pub reason: String,
    /// The unit.
    pub unit: UnitMark,
    /// What was found in the log.
    pub held: Held,
    /// Fingerprints of the exposures.
    pub exposures: Vec<String>,
    /// The numbers under which reward models remember these exposures.
    #[serde(default)]
    pub rows: Vec<u64>,
    /// The dead letters.
    #[serde(default)]
    pub letters: Vec<LetterId>,
    /// Checkpoints that were trained on examples of the unit.
    #[serde(default)]
    pub checkpoints: Vec<String>,
}

impl ErasureRecord {
    /// Reads a record of topic `checkpoints`; nothing when it is of another kind or a newer version.
    #[must_use]
    pub fn decode(value: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(value).ok()?;
        (record.kind == KIND && record.v == VERSION).then_some(record)
    }
}

/// All erasures on record, oldest first.
pub(super) async fn read_all(log: &Arc<dyn EventLog>) -> Result<Vec<ErasureRecord>, Error> {
    let first = log::shard(log, 0);
    let (mut records, mut next) = (Vec::new(), 0);
    loop {
        let page = first.read(Topic::Checkpoints, next, READ).await?;
        let Some(last) = page.last() else { return Ok(records) };
        next = last.offset + 1;
        records.extend(page.iter().filter_map(|stored| ErasureRecord::decode(&stored.value)));
    }
}

/// Makes the erasure durable before it is done.
pub(super) async fn write(
    log: &Arc<dyn EventLog>,
    request: &Request,
    wanted: &Wanted,
    found: &LogScan,
) -> Result<(), Error> {
    let (mut held, mut letters) = (found.held, found.letters().collect::<Vec<LetterId>>());
    let held_it = |trained: u64| found.first_example.is_some_and(|first| trained > first);
    let checkpoints = request.checkpoints.iter().filter(|(_, trained)| held_it(*trained));
    let checkpoints: Vec<String> = checkpoints.map(|(id, _)| id.clone()).collect();
    let exposures: Vec<_> = wanted.exact().collect();
    // Unique, which is all that a salt has to be.
    let tail = log::shard(log, 0).tail(Topic::Checkpoints).await?;
    let seed = format!("{}/{tail}", request.at.as_millis());
    let salt = hex(&Sha256::digest(seed.as_bytes())[..16]);
    let mut chunks: Vec<&[_]> = exposures.chunks(EXPOSURES).collect();
    if chunks.is_empty() {
        chunks.push(&[]);
    }
    for chunk in chunks {
        let record = ErasureRecord {
            v: VERSION,
            kind: KIND.to_owned(),
            at: request.at,
            by: request.by.clone(),
            reason: request.reason.clone(),
            unit: UnitMark::new(&request.unit, salt.clone()),
            held: std::mem::take(&mut held),
            exposures: chunk.iter().map(|(print, _)| hex(&print.bytes())).collect(),
            rows: chunk.iter().map(|(_, id)| (request.row_of)(id)).collect(),
            letters: std::mem::take(&mut letters),
            checkpoints: checkpoints.clone(),
        };
        let value = serde_json::to_vec(&record).expect("only string keys");
        log.append(Topic::Checkpoints, vec![Record { key: KIND.to_owned(), value }]).await?;
    }
    Ok(())
}
