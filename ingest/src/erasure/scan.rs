//! Finding what is about a unit, by reading everything.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use plaudit_event::{ExposureId, UnitId};
use serde::Deserialize;
use serde_json::Value;

use super::record::read_all;
use super::{ErasureRecord, Held, Request};
use crate::Error;
use crate::fingerprint::Fingerprint;
use crate::letters::LetterId;
use crate::log::{self, EventLog, Part, Stored, Topic, data};
use crate::outcome::DeadLetter;
use crate::store::EventStore;

/// Records read at a time.
const READ: usize = 1_000;

/// What is looked for.
pub(super) struct Wanted {
    names: Vec<UnitId>,
    /// The exposures found, in the order of their fingerprints.
    exposures: BTreeMap<Fingerprint, ExposureId>,
    /// Those of erasures before, whose names are not known.
    erased: HashSet<Fingerprint>,
    /// Dead letters of erasures before.
    letters: HashSet<LetterId>,
    /// Whether the log keeps the content of what was erased until its retention ends, so that only its readers pass
    /// over it.
    is_hiding: bool,
}

impl Wanted {
    /// What `request` is about, with what the erasures on record say of it.
    pub(super) async fn read(log: &Arc<dyn EventLog>, request: &Request) -> Result<Self, Error> {
        let mut wanted = Self {
            names: request.names().cloned().collect(),
            exposures: BTreeMap::new(),
            erased: HashSet::new(),
            letters: HashSet::new(),
            is_hiding: log.is_shared(),
        };
        wanted.learn(log).await?;
        Ok(wanted)
    }

    /// Reads the erasures on record again.
    pub(super) async fn learn(&mut self, log: &Arc<dyn EventLog>) -> Result<(), Error> {
        for record in read_all(log).await?.iter().filter(|record| self.names.iter().any(|name| record.unit.is_of(name)))
        {
            self.erased.extend(record.exposures.iter().filter_map(|print| Fingerprint::from_hex(print)));
            self.letters.extend(&record.letters);
        }
        Ok(())
    }

    pub(super) fn is_about(&self, record: &ErasureRecord) -> bool {
        self.names.iter().any(|name| record.unit.is_of(name))
    }

    /// The exposures found, with their fingerprints.
    pub(super) fn exact(&self) -> impl Iterator<Item = (Fingerprint, &ExposureId)> {
        self.exposures.iter().map(|(print, id)| (*print, id))
    }

    pub(super) fn prints(&self) -> Vec<Fingerprint> {
        self.exposures.keys().copied().collect()
    }

    fn is_unit(&self, unit: &str) -> bool {
        self.names.iter().any(|name| name.as_str() == unit)
    }

    fn is_exposure(&self, id: &str) -> bool {
        if self.exposures.is_empty() && self.erased.is_empty() {
            return false;
        }
        let print = Fingerprint::of_id("exposure", id);
        self.exposures.contains_key(&print) || self.erased.contains(&print)
    }

    fn add(&mut self, id: &str) {
        if let Ok(id) = ExposureId::new(id) {
            self.exposures.insert(Fingerprint::of_id("exposure", id.as_str()), id);
        }
    }

    /// Whether readers of the log pass over a record that is about the unit: what is no event, nobody reads.
    fn is_hidden(&self, part: Part, stored: &Stored) -> bool {
        if !self.is_hiding {
            return false;
        }
        if part.topic == Topic::DeadLetters {
            return self.letters.contains(&LetterId { shard: part.shard, offset: stored.offset });
        }
        data::<Head>(stored)
            .map_or(true, |head| self.erased.contains(&Fingerprint::of_id("exposure", &head.exposure_id)))
    }

    /// Whether a text that is no event names the unit or one of its exposures.
    fn is_named_in(&self, text: &str) -> bool {
        if let Ok(value) = serde_json::from_str::<Value>(text) {
            return self.is_named_in_json(&value);
        }
        if self.names.iter().any(|name| has_word(text, name.as_str())) {
            return true;
        }
        let mut words = text.split(|c: char| !is_of_id(c)).filter(|word| !word.is_empty());
        words.any(|word| self.is_exposure(word))
    }

    fn is_named_in_json(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.is_unit(text) || self.is_exposure(text),
            Value::Array(items) => items.iter().any(|item| self.is_named_in_json(item)),
            Value::Object(fields) => fields.values().any(|field| self.is_named_in_json(field)),
            _ => false,
        }
    }
}

/// What ids are mostly made of: where one ends.
fn is_of_id(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.@:".contains(c)
}

/// Whether `word` stands in `text` with something around it that ends an id.
fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let ends = |c: Option<char>| c.is_none_or(|c| !is_of_id(c));
        ends(text[..at].chars().next_back()) && ends(text[at + word.len()..].chars().next())
    })
}

/// What the log holds about a unit.
pub(super) struct LogScan {
    pub(super) held: Held,
    /// What readers pass over, and the log keeps until its retention ends.
    pub(super) hidden: Held,
    pub(super) offsets: BTreeMap<Part, Vec<u64>>,
    /// Offset of the first example.
    pub(super) first_example: Option<u64>,
}

impl LogScan {
    /// Reads the whole log; adds the exposures of the unit to `wanted`.
    pub(super) async fn read(log: &Arc<dyn EventLog>, wanted: &mut Wanted) -> Result<Self, Error> {
        let mut scan =
            Self { held: Held::default(), hidden: Held::default(), offsets: BTreeMap::new(), first_example: None };
        // What tells the exposures comes first.
        for topic in [Topic::Exposures, Topic::Examples, Topic::Signals, Topic::DeadLetters] {
            for shard in 0..log.shards() {
                if shard == 0 || topic.is_sharded() {
                    scan.part(&*log::shard(log, shard), Part { topic, shard }, wanted).await?;
                }
            }
        }
        Ok(scan)
    }

    async fn part(&mut self, log: &dyn EventLog, part: Part, wanted: &mut Wanted) -> Result<(), Error> {
        let mut next = 0;
        loop {
            let page = log.read(part.topic, next, READ).await?;
            let Some(last) = page.last() else { return Ok(()) };
            next = last.offset + 1;
            for stored in page.iter().filter(|stored| stored.origin.has_content()) {
                if is_about(part.topic, stored, wanted) {
                    self.take(part, stored, wanted);
                }
            }
            tokio::task::yield_now().await;
        }
    }

    fn take(&mut self, part: Part, stored: &Stored, wanted: &Wanted) {
        let is_hidden = wanted.is_hidden(part, stored);
        let held = if is_hidden { &mut self.hidden } else { &mut self.held };
        let count = match part.topic {
            Topic::Exposures => &mut held.exposures,
            Topic::Signals => &mut held.signals,
            Topic::DeadLetters => &mut held.dead_letters,
            _ => &mut held.examples,
        };
        *count += 1;
        if is_hidden {
            return;
        }
        if part.topic == Topic::Examples {
            self.first_example = self.first_example.or(Some(stored.offset));
        }
        self.offsets.entry(part).or_default().push(stored.offset);
    }

    /// The dead letters found.
    pub(super) fn letters(&self) -> impl Iterator<Item = LetterId> {
        let of_letters = self.offsets.iter().filter(|(part, _)| part.topic == Topic::DeadLetters);
        of_letters
            .flat_map(|(part, offsets)| offsets.iter().map(|offset| LetterId { shard: part.shard, offset: *offset }))
    }
}

#[derive(Deserialize)]
struct Head {
    exposure_id: String,
    #[serde(default)]
    unit_id: Option<String>,
}

fn is_about(topic: Topic, stored: &Stored, wanted: &mut Wanted) -> bool {
    if topic == Topic::DeadLetters {
        return match serde_json::from_slice::<DeadLetter>(&stored.value) {
            Ok(letter) => {
                wanted.is_named_in(&letter.raw)
                    || wanted.names.iter().any(|name| has_word(&letter.detail, name.as_str()))
            }
            Err(_) => wanted.is_named_in(&String::from_utf8_lossy(&stored.value)),
        };
    }
    let Ok(head) = data::<Head>(stored) else {
        // Written past intake, and no event.
        return wanted.is_named_in(&String::from_utf8_lossy(&stored.value));
    };
    let is_unit = topic != Topic::Signals && head.unit_id.is_some_and(|unit| wanted.is_unit(&unit));
    if is_unit {
        wanted.add(&head.exposure_id);
    }
    is_unit || wanted.is_exposure(&head.exposure_id)
}

/// What the store holds about the unit.
pub(super) async fn store(store: &dyn EventStore, wanted: &Wanted) -> Result<Held, Error> {
    let mut held = Held::default();
    let mut own = HashSet::new();
    let mut after = None;
    loop {
        let page = store.scan_exposures(after, READ).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        for (_, row) in page {
            let is_unit = wanted.is_unit(row.unit_id.as_str());
            if is_unit || wanted.is_exposure(row.exposure_id.as_str()) {
                held.exposures += 1;
                own.insert(row.exposure_id);
            }
        }
    }
    after = None;
    loop {
        let page = store.scan_examples(after, READ).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        for (_, row) in page {
            let is_unit = wanted.is_unit(row.unit_id.as_str());
            if is_unit || wanted.is_exposure(row.exposure_id.as_str()) {
                held.examples += 1;
                own.insert(row.exposure_id);
            }
        }
    }
    after = None;
    loop {
        let page = store.scan_signals(after, READ).await?;
        let Some((last, _)) = page.last() else { return Ok(held) };
        after = Some(*last);
        let about = page
            .iter()
            .filter(|(_, row)| own.contains(&row.exposure_id) || wanted.is_exposure(row.exposure_id.as_str()));
        held.signals += about.count() as u64;
    }
}

/// Adds the exposures that only the store still knows to be of the unit, since the log keeps them no longer.
pub(super) async fn note_rows(store: &dyn EventStore, wanted: &mut Wanted) -> Result<(), Error> {
    let mut after = None;
    loop {
        let page = store.scan_exposures(after, READ).await?;
        let Some((last, _)) = page.last() else { return Ok(()) };
        after = Some(*last);
        for (_, row) in page {
            if wanted.is_unit(row.unit_id.as_str()) {
                wanted.add(row.exposure_id.as_str());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_broken_text_is_found_where_it_stands_alone() {
        assert!(has_word(r#"{"unit_id":"ada","#, "ada"));
        assert!(has_word("ada", "ada"));
        assert!(!has_word(r#"{"unit_id":"ada.smith","#, "ada"));
        assert!(!has_word("nevada", "ada"));
        assert!(has_word("nevada ada", "ada"));
    }
}
