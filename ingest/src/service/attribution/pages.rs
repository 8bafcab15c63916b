//! Records that are read again, in any order: by the page, since a log on servers takes as long for one record as for
//! many.

use std::collections::VecDeque;

use crate::Error;
use crate::log::{EventLog, Stored, Topic};

/// Offsets in a page.
const PAGE: u64 = 256;
/// Bytes of content that are kept, beside the newest page.
const MAX_BYTES: usize = 8 << 20;

/// The pages of a topic that were used last.
pub(super) struct Pages {
    topic: Topic,
    /// The one that was used last comes first.
    pages: VecDeque<Page>,
}

struct Page {
    number: u64,
    /// The offset after what was read.
    end: u64,
    records: Vec<Stored>,
    bytes: usize,
}

impl Pages {
    pub(super) const fn new(topic: Topic) -> Self {
        Self { topic, pages: VecDeque::new() }
    }

    /// The record at `offset`, if the log has one there.
    ///
    /// # Errors
    /// Fails when the log cannot be read.
    pub(super) async fn get(&mut self, log: &dyn EventLog, offset: u64) -> Result<Option<Stored>, Error> {
        let number = offset / PAGE;
        let known = self.pages.iter().position(|page| page.number == number);
        let known = known.and_then(|index| self.pages.remove(index));
        let start = number * PAGE;
        let mut page = known.unwrap_or(Page { number, end: start, records: Vec::new(), bytes: 0 });
        let before = page.end;
        while page.end <= offset {
            // A full page, or what a log gives of it at once, or what there is so far.
            let read = log.read(self.topic, page.end, (start + PAGE - page.end) as usize).await?;
            let Some(last) = read.last() else { break };
            page.end = last.offset + 1;
            page.records.extend(read.into_iter().filter(|stored| stored.offset < start + PAGE));
        }
        let is_longer = page.end > before;
        if is_longer {
            page.bytes = page.records.iter().map(|stored| stored.value.len()).sum();
        }
        let found = page.records.binary_search_by_key(&offset, |stored| stored.offset).ok();
        let found = found.map(|index| page.records[index].clone());
        self.pages.push_front(page);
        if is_longer {
            self.shrink();
        }
        Ok(found)
    }

    pub(super) fn clear(&mut self) {
        self.pages.clear();
    }

    fn shrink(&mut self) {
        let mut bytes: usize = self.pages.iter().skip(1).map(|page| page.bytes).sum();
        while bytes > MAX_BYTES
            && let Some(oldest) = self.pages.pop_back()
        {
            bytes -= oldest.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use plaudit_event::ManualClock;

    use super::*;
    use crate::log::{MemoryLog, Record};

    async fn append(log: &MemoryLog, contents: impl Iterator<Item = String>) {
        let record = |value: String| Record { key: "e".into(), value: value.into_bytes() };
        log.append(Topic::Exposures, contents.map(record).collect()).await.unwrap();
    }

    #[tokio::test]
    async fn every_record_is_found_in_any_order_also_what_comes_later() {
        let log = MemoryLog::new(Arc::new(ManualClock::default()));
        append(&log, (0..700).map(|number| number.to_string())).await;
        let mut pages = Pages::new(Topic::Exposures);
        for offset in (0..700).map(|number| number * 389 % 700) {
            let found = pages.get(&log, offset).await.unwrap().unwrap();
            assert_eq!((found.offset, found.value), (offset, offset.to_string().into_bytes()));
        }
        assert_eq!(pages.pages.len(), 3, "each page was read once and is kept");
        assert!(pages.get(&log, 700).await.unwrap().is_none());
        append(&log, std::iter::once("700".to_owned())).await;
        assert_eq!(pages.get(&log, 700).await.unwrap().unwrap().value, b"700");
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded_by_its_bytes() {
        let log = MemoryLog::new(Arc::new(ManualClock::default()));
        for _ in 0..8 {
            append(&log, (0..PAGE).map(|_| "x".repeat(20_000))).await;
        }
        let mut pages = Pages::new(Topic::Exposures);
        for number in 0..8 {
            pages.get(&log, number * PAGE).await.unwrap().unwrap();
        }
        let kept: Vec<u64> = pages.pages.iter().map(|page| page.number).collect();
        assert_eq!(kept, [7, 6], "the newest, and what fits beside it");
    }
}
