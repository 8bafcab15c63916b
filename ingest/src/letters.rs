//! Dead letters after the fact: looking at them, mending them, and noting that they were sent again.
//!
//! A dead letter is never changed. Mending one appends another record to topic `dead_letters` that names it
//! ([`DeadLetter::mends`]); that it was taken after all is a record of topic `checkpoints`:
//!
//! ```json
//! {"v": 1, "kind": "dead_letters", "at": 1790000000000, "resolved": [{"letter": "0/12", "outcome": "accepted"}]}
//! ```
//!
//! Both are in the log, so they survive the loss of the store, and whoever reads the log sees the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use plaudit_event::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::erasure::ErasureRecord;
use crate::intake::{CUT_BYTES, MAX_EVENT_BYTES};
use crate::log::{self, EventLog, Record, Stored, Topic};
use crate::outcome::DeadLetter;
use crate::{Error, metrics};

/// Records read at a time.
const READ: usize = 500;
/// Letters that one record of topic `checkpoints` resolves, at most.
const RESOLVED: usize = 10_000;
/// The version of the record that resolves letters.
const VERSION: u32 = 1;
/// Its kind.
const KIND: &str = "dead_letters";

/// Names a dead letter: `SHARD/OFFSET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId {
    /// The shard of topic `dead_letters`.
    pub shard: u32,
    /// The offset in it.
    pub offset: u64,
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.shard, self.offset)
    }
}

impl FromStr for LetterId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let parsed = text.split_once('/').and_then(|(shard, offset)| {
            let (shard, offset) = (shard.parse().ok()?, offset.parse().ok()?);
            Some(Self { shard, offset })
        });
        parsed.ok_or_else(|| Error::Limit {
            what: "the id of a dead letter",
            allowed: "SHARD/OFFSET, such as 0/12".to_owned(),
            value: format!("`{text}`"),
        })
    }
}

impl Serialize for LetterId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LetterId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// That a letter needs no more care.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The letter.
    pub letter: LetterId,
    /// What intake said of what was sent for it: `accepted` or `duplicate`; `superseded` when it was refused again,
    /// which made another letter.
    pub outcome: String,
}

#[derive(Serialize, Deserialize)]
struct ResolvedRecord {
    v: u32,
    kind: String,
    at: Timestamp,
    resolved: Vec<Resolved>,
}

/// A dead letter with what has happened to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Letter {
    /// Names it.
    pub id: LetterId,
    /// The letter as it was written.
    #[serde(flatten)]
    pub letter: DeadLetter,
    /// The envelope that was made of it since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mended: Option<String>,
    /// What intake said when it was sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved: Option<String>,
}

impl Letter {
    /// What is to be sent for it: mended, or else as it came.
    #[must_use]
    pub fn envelope(&self) -> &str {
        self.mended.as_deref().unwrap_or(&self.letter.raw)
    }

    /// Whether it still holds all that was received.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let (kept, came) = (self.letter.raw.len(), self.letter.raw_bytes);
        // What was redacted is shorter, too; what was cut has the length at which it is cut, or else nothing of it is kept.
        let is_cut =
            kept < came && (kept == 0 || came > MAX_EVENT_BYTES || (CUT_BYTES - 3..=CUT_BYTES).contains(&kept));
        self.mended.is_some() || !is_cut
    }
}

/// The dead letters of a log, with what has happened to them so far.
pub struct Letters {
    log: Arc<dyn EventLog>,
    resolved: BTreeMap<LetterId, String>,
    /// The newest mended envelope of each letter that has one, by its place.
    mended: BTreeMap<LetterId, LetterId>,
    /// Those whose content was erased, or is passed over until the log lets go of it.
    erased: BTreeSet<LetterId>,
}

impl Letters {
    /// Reads what has happened to the letters of `log`.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub async fn open(log: Arc<dyn EventLog>) -> Result<Self, Error> {
        let mut letters = Self { log, resolved: BTreeMap::new(), mended: BTreeMap::new(), erased: BTreeSet::new() };
        let first = log::shard(&letters.log, 0);
        let mut next = 0;
        loop {
            let records = first.read(Topic::Checkpoints, next, READ).await?;
            let Some(last) = records.last() else { break };
            next = last.offset + 1;
            let erasures = records.iter().filter_map(|stored| ErasureRecord::decode(&stored.value));
            letters.erased.extend(erasures.flat_map(|record| record.letters));
            // Records of other kinds have other fields.
            let found =
                records.iter().filter_map(|stored| serde_json::from_slice::<ResolvedRecord>(&stored.value).ok());
            for record in found.filter(|record| record.kind == KIND && record.v == VERSION) {
                letters
                    .resolved
                    .extend(record.resolved.into_iter().map(|resolved| (resolved.letter, resolved.outcome)));
            }
        }
        let mut mended = BTreeMap::new();
        letters
            .scan(|place, letter| {
                if let Some(mends) = letter.mends {
                    mended.insert(mends, place);
                }
            })
            .await?;
        letters.mended = mended;
        Ok(letters)
    }

    /// The letter `id`; nothing when there is none, or its content was taken out.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub async fn get(&self, id: LetterId) -> Result<Option<Letter>, Error> {
        let Some(letter) = self.at(id).await?.filter(|letter| letter.mends.is_none()) else { return Ok(None) };
        let mended = match self.mended.get(&id) {
            Some(place) => self.at(*place).await?.map(|mended| mended.raw),
            None => None,
        };
        Ok(Some(Letter { id, letter, mended, resolved: self.resolved.get(&id).cloned() }))
    }

    /// The ids of the letters that `wanted` says yes to, given the letter and whether it is resolved, in order of
    /// shard and offset.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub async fn find(&self, mut wanted: impl FnMut(&DeadLetter, bool) -> bool) -> Result<Vec<LetterId>, Error> {
        let mut found = Vec::new();
        self.scan(|id, letter| {
            if letter.mends.is_none() && wanted(&letter, self.resolved.contains_key(&id)) {
                found.push(id);
            }
        })
        .await?;
        Ok(found)
    }

    /// Keeps `envelope` as what is to be sent for the letter `id` from now on.
    ///
    /// # Errors
    /// Fails when the log cannot be written.
    pub async fn mend(&mut self, letter: &Letter, envelope: String, now: Timestamp) -> Result<(), Error> {
        let mended = DeadLetter {
            raw_bytes: envelope.len(),
            raw: envelope,
            received_ts: now,
            source: None,
            mends: Some(letter.id),
            ..letter.letter.clone()
        };
        // The key of its letter, so that it is in the same shard, after it.
        let key = mended.reason.as_str().to_owned();
        let value = serde_json::to_vec(&mended).expect("a dead letter has only string keys");
        let offsets = self.log.append(Topic::DeadLetters, vec![Record { key, value }]).await?;
        let places = offsets.into_iter().map(|offset| LetterId { shard: letter.id.shard, offset });
        self.mended.extend(places.map(|place| (letter.id, place)));
        Ok(())
    }

    /// Notes what became of letters that were sent again.
    ///
    /// # Errors
    /// Fails when the log cannot be written.
    pub async fn resolve(&mut self, resolved: Vec<Resolved>, at: Timestamp) -> Result<(), Error> {
        for some in resolved.chunks(RESOLVED) {
            let record = ResolvedRecord { v: VERSION, kind: KIND.to_owned(), at, resolved: some.to_vec() };
            let value = serde_json::to_vec(&record).expect("only string keys");
            self.log.append(Topic::Checkpoints, vec![Record { key: KIND.to_owned(), value }]).await?;
        }
        self.resolved.extend(resolved.into_iter().map(|resolved| (resolved.letter, resolved.outcome)));
        Ok(())
    }

    async fn at(&self, id: LetterId) -> Result<Option<DeadLetter>, Error> {
        if id.shard >= self.log.shards() || self.erased.contains(&id) {
            return Ok(None);
        }
        let found = log::shard(&self.log, id.shard).read(Topic::DeadLetters, id.offset, 1).await?.pop();
        Ok(found.filter(|stored| stored.offset == id.offset).and_then(|stored| decode(&stored)))
    }

    async fn scan(&self, mut visit: impl FnMut(LetterId, DeadLetter)) -> Result<(), Error> {
        for shard in 0..self.log.shards() {
            let view = log::shard(&self.log, shard);
            let mut next = 0;
            loop {
                let records = view.read(Topic::DeadLetters, next, READ).await?;
                let Some(last) = records.last() else { break };
                next = last.offset + 1;
                for stored in &records {
                    let id = LetterId { shard, offset: stored.offset };
                    if let Some(letter) = decode(stored).filter(|_| !self.erased.contains(&id)) {
                        visit(id, letter);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The letter in a record; nothing where there is no content. One that cannot be read is passed over, and counted.
fn decode(stored: &Stored) -> Option<DeadLetter> {
    if !stored.origin.has_content() {
        return None;
    }
    let read = serde_json::from_slice(&stored.value);
    if read.is_err() {
        metrics::unreadable(Topic::DeadLetters, "letters");
        tracing::error!(topic = %Topic::DeadLetters, offset = stored.offset, "record cannot be read");
    }
    read.ok()
}
