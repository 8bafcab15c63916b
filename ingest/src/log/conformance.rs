//! What every [`EventLog`] must do: one suite, run by every implementation.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use plaudit_event::{Clock, ManualClock, Timestamp};

use super::{APPEND_RECORDS, EventLog, Origin, READ_BYTES, RECORD_BYTES, Record, Stored, Topic};
use crate::ErrorKind;

const fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

fn record(text: &str) -> Record {
    Record { key: format!("key of {text}"), value: text.as_bytes().to_vec() }
}

/// A clock that can be set back.
#[derive(Debug)]
pub struct SetClock(AtomicI64);

impl SetClock {
    /// A clock that stands at `start`.
    #[must_use]
    pub const fn new(start: Timestamp) -> Self {
        Self(AtomicI64::new(start.as_millis()))
    }

    /// Sets the clock to `now`, which may be earlier.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.as_millis(), Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        at(self.0.load(Ordering::SeqCst))
    }
}

/// Who stamps the records of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamps {
    /// The clock that the log was made with.
    Ours,
    /// Somebody else, in real time.
    Others,
}

/// Time as a check sees it.
struct Time {
    clock: Arc<ManualClock>,
    stamps: Stamps,
}

impl Time {
    /// Lets `millis` pass.
    async fn pass(&self, millis: i64) {
        self.clock.advance_to(self.clock.now().plus_millis(millis));
        if self.stamps == Stamps::Others {
            tokio::time::sleep(Duration::from_millis(millis.unsigned_abs())).await;
        }
    }
}

/// Runs every check, each on a fresh, empty log from `make`, which must have one shard.
///
/// # Panics
/// Panics at the first check that fails.
pub async fn all<F>(stamps: Stamps, mut make: F)
where
    F: AsyncFnMut(Arc<dyn Clock>) -> Arc<dyn EventLog>,
{
    if stamps == Stamps::Ours {
        let clock = Arc::new(SetClock::new(at(100_000)));
        time_goes_on_when_the_clock_is_set_back(&*make(clock.clone()).await, &clock).await;
    }
    let mut fresh = async || {
        let clock = Arc::new(ManualClock::new(at(1_000)));
        let log = make(clock.clone()).await;
        (log, Arc::new(Time { clock, stamps }))
    };
    empty_topics_are_empty(&*fresh().await.0).await;
    offsets_rise_and_topics_are_apart(&*fresh().await.0).await;
    reads_start_at_from_and_stop_at_max(&*fresh().await.0).await;
    large_records_are_read_in_pieces(&*fresh().await.0).await;
    let (log, time) = fresh().await;
    times_never_go_back(&*log, &time).await;
    let (log, time) = fresh().await;
    seek_finds_the_first_at_or_after(&*log, &time).await;
    commits_are_monotone(&*fresh().await.0).await;
    too_much_is_refused_and_harms_nothing(&*fresh().await.0).await;
    the_newest_is_the_last_that_was_appended(&*fresh().await.0).await;
    what_is_erased_has_no_content(&*fresh().await.0).await;
    let (log, time) = fresh().await;
    writers_do_not_mix(log, time).await;
    let (log, time) = fresh().await;
    horizon_splits_past_from_future(log, time).await;
}

async fn empty_topics_are_empty(log: &dyn EventLog) {
    for topic in Topic::ALL {
        assert_eq!(log.tail(topic).await.expect("tail"), 0);
        assert_eq!(log.read(topic, 0, 10).await.expect("read"), []);
        assert_eq!(log.seek(topic, at(0)).await.expect("seek"), 0);
        assert_eq!(log.committed("nobody", topic).await.expect("committed"), 0);
    }
    let none = log.append(Topic::Signals, Vec::new()).await;
    assert!(none.expect("append of nothing").is_empty());
    assert_eq!(log.tail(Topic::Signals).await.expect("tail"), 0);
}

async fn offsets_rise_and_topics_are_apart(log: &dyn EventLog) {
    let two = vec![record("a"), record("b")];
    let offsets = log.append(Topic::Signals, two).await.expect("append");
    assert_eq!(offsets, [0, 1]);
    let other = log.append(Topic::Exposures, vec![record("x")]).await;
    assert_eq!(other.expect("append"), [0]);
    let third = log.append(Topic::Signals, vec![record("c")]).await;
    assert_eq!(third.expect("append"), [2]);
    assert_eq!(log.tail(Topic::Signals).await.expect("tail"), 3);
    let stored = log.read(Topic::Signals, 0, 10).await.expect("read");
    let values: Vec<&[u8]> = stored.iter().map(|s| s.value.as_slice()).collect();
    assert_eq!(values, [b"a", b"b", b"c"]);
    assert_eq!(stored[1].key, "key of b");
    assert_eq!(stored[2].offset, 2);
}

async fn reads_start_at_from_and_stop_at_max(log: &dyn EventLog) {
    assert_eq!(log.newest(Topic::Examples).await.expect("newest"), None);
    let five = (0..5).map(|i| record(&i.to_string())).collect();
    log.append(Topic::Examples, five).await.expect("append");
    let middle = log.read(Topic::Examples, 2, 2).await.expect("read");
    let offsets: Vec<u64> = middle.iter().map(|s| s.offset).collect();
    assert_eq!(offsets, [2, 3]);
    assert_eq!(log.read(Topic::Examples, 0, 0).await.expect("read"), []);
    assert_eq!(log.read(Topic::Examples, 5, 9).await.expect("read"), []);
    let beyond = log.read(Topic::Examples, u64::MAX, 9).await;
    assert_eq!(beyond.expect("read beyond every offset"), []);
}

async fn large_records_are_read_in_pieces(log: &dyn EventLog) {
    let large = || Record { key: "large".into(), value: vec![7; RECORD_BYTES] };
    let count = READ_BYTES / RECORD_BYTES + 2;
    for _ in 0..count {
        let appended = log.append(Topic::Signals, vec![large()]).await;
        appended.expect("a record at the limit");
    }
    let first = log.read(Topic::Signals, 0, 1_000).await.expect("read");
    assert!(!first.is_empty() && first.len() < count);
    let next = first.len() as u64;
    let rest = log.read(Topic::Signals, next, 1_000).await.expect("read");
    assert_eq!(first.len() + rest.len(), count);
}

async fn times_never_go_back(log: &dyn EventLog, time: &Time) {
    log.append(Topic::Signals, vec![record("a")]).await.expect("append");
    time.pass(1_000).await;
    log.append(Topic::Exposures, vec![record("b")]).await.expect("append");
    log.append(Topic::Signals, vec![record("c")]).await.expect("append");
    let signals = log.read(Topic::Signals, 0, 9).await.expect("read");
    let exposures = log.read(Topic::Exposures, 0, 9).await.expect("read");
    let times = [signals[0].appended, exposures[0].appended, signals[1].appended];
    let passed = times[1].millis_since(times[0]);
    match time.stamps {
        Stamps::Ours => assert_eq!(times, [1_000, 2_000, 2_000].map(at)),
        // Clocks of brokers and sleepers are not the same.
        Stamps::Others => assert!(passed >= 900 && times[2] >= times[1], "{times:?}"),
    }
}

/// The horizon passes what was appended, at the pace of the clock, and keeps its promise.
async fn time_goes_on_when_the_clock_is_set_back(log: &dyn EventLog, clock: &SetClock) {
    log.append(Topic::Exposures, vec![record("before")]).await.expect("append");
    clock.set(at(40_000));
    log.append(Topic::Signals, vec![record("after")]).await.expect("append");
    let after = log.read(Topic::Signals, 0, 1).await.expect("read")[0].appended;
    assert!(after >= at(100_000), "no time goes back");
    for step in 1..=20 {
        clock.set(at(40_000 + 100 * step));
        let horizon = log.horizon().await.expect("horizon");
        assert!(horizon > after && horizon >= at(100_000 + 100 * step), "step {step}: {horizon:?}");
        let offset = log.append(Topic::Exposures, vec![record("more")]).await.expect("append")[0];
        let more = log.read(Topic::Exposures, offset, 1).await.expect("read")[0].appended;
        assert!(more >= horizon, "later appends get at least the horizon");
        assert_eq!(log.seek(Topic::Signals, horizon).await.expect("seek"), 1);
        assert_eq!(log.seek(Topic::Exposures, horizon).await.expect("seek"), offset);
    }
    clock.set(at(500_000));
    assert_eq!(log.horizon().await.expect("horizon"), at(500_000), "it follows the clock that has caught up");
}

async fn seek_finds_the_first_at_or_after(log: &dyn EventLog, time: &Time) {
    for texts in ["ab", "c", "def"] {
        let records = texts.chars().map(|c| record(&c.to_string())).collect();
        log.append(Topic::Signals, records).await.expect("append");
        time.pass(20).await;
    }
    let stored = log.read(Topic::Signals, 0, 9).await.expect("read");
    assert_eq!(stored.len(), 6);
    let around = stored.iter().flat_map(|record| [-1, 0, 1].map(|step| record.appended.plus_millis(step)));
    for time in around.chain([at(0)]) {
        let first = stored.iter().find(|record| record.appended >= time).map_or(6, |record| record.offset);
        let found = log.seek(Topic::Signals, time).await.expect("seek");
        assert_eq!(found, first, "seek to {time:?}");
    }
}

async fn commits_are_monotone(log: &dyn EventLog) {
    for next in [5, 5, 3] {
        log.commit("reader", Topic::Signals, next).await.expect("commit");
        let committed = log.committed("reader", Topic::Signals).await;
        assert_eq!(committed.expect("committed"), 5);
    }
    let other_group = log.committed("other", Topic::Signals).await;
    assert_eq!(other_group.expect("committed"), 0);
    let other_topic = log.committed("reader", Topic::Exposures).await;
    assert_eq!(other_topic.expect("committed"), 0);
}

async fn too_much_is_refused_and_harms_nothing(log: &dyn EventLog) {
    let too_large = Record { key: "k".into(), value: vec![0; RECORD_BYTES + 1] };
    let refused = log.append(Topic::Signals, vec![record("a"), too_large]).await;
    assert_eq!(refused.expect_err("too large").kind(), ErrorKind::Invalid);
    let empty = Record { key: "k".into(), value: Vec::new() };
    let refused = log.append(Topic::Signals, vec![record("a"), empty]).await;
    assert_eq!(refused.expect_err("empty").kind(), ErrorKind::Invalid);
    let too_many = vec![record("a"); APPEND_RECORDS + 1];
    let refused = log.append(Topic::Signals, too_many).await;
    assert_eq!(refused.expect_err("too many").kind(), ErrorKind::Invalid);
    assert_eq!(log.tail(Topic::Signals).await.expect("tail"), 0);
    let next = log.append(Topic::Signals, vec![record("b")]).await;
    assert_eq!(next.expect("append"), [0]);
}

async fn the_newest_is_the_last_that_was_appended(log: &dyn EventLog) {
    for topic in [Topic::Examples, Topic::Checkpoints] {
        assert_eq!(log.newest(topic).await.expect("newest"), None);
        for texts in [vec!["a", "b"], vec!["c"]] {
            let records = texts.iter().map(|text| record(text)).collect();
            let offsets = log.append(topic, records).await.expect("append");
            let newest = log.newest(topic).await.expect("newest").expect("there is one");
            let last = texts.last().expect("not empty").as_bytes();
            assert_eq!((Some(newest.offset), newest.value.as_slice()), (offsets.last().copied(), last));
        }
        let all = log.read(topic, 0, 9).await.expect("read");
        let values: Vec<&[u8]> = all.iter().map(|stored| stored.value.as_slice()).collect();
        assert_eq!(values, [b"a", b"b", b"c"]);
        let end = all[2].offset + 1;
        assert_eq!(log.read(topic, end, 9).await.expect("read"), [], "caught up");
        assert_eq!(log.read(topic, end, 9).await.expect("read"), [], "and again");
        let more = log.append(topic, vec![record("d")]).await.expect("append");
        let read = log.read(topic, end, 9).await.expect("read");
        assert_eq!((read.len(), read[0].offset), (1, more[0]), "it goes on after the end");
    }
}

/// The place stays on one machine; on a log that cannot rewrite, a record without content follows.
async fn what_is_erased_has_no_content(log: &dyn EventLog) {
    let records = ["a", "b", "c"].map(record).to_vec();
    let offsets = log.append(Topic::Exposures, records).await.expect("append");
    log.erase(Topic::Exposures, vec![offsets[1], 77]).await.expect("erase");
    let stored = log.read(Topic::Exposures, 0, 9).await.expect("read");
    let erased: Vec<&Stored> = stored.iter().filter(|stored| stored.origin == Origin::Erased).collect();
    assert_eq!((erased.len(), erased[0].value.len()), (1, 0));
    match log.is_shared() {
        false => assert_eq!((erased[0].offset, erased[0].key.as_str(), stored.len()), (offsets[1], "", 3)),
        true => assert_eq!((erased[0].key.as_str(), stored.len()), ("key of b", 4)),
    }
}

/// Writers at the same time: no record is lost, torn from its batch, or out of order.
async fn writers_do_not_mix(log: Arc<dyn EventLog>, time: Arc<Time>) {
    const WRITERS: usize = 8;
    const BATCHES: usize = 20;
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let (log, time) = (log.clone(), time.clone());
        tasks.push(tokio::spawn(async move {
            for batch in 0..BATCHES {
                time.clock.advance_to(at(1_000 + i64::try_from(batch).expect("small")));
                let texts = ["first", "second"];
                let records = texts.map(|t| record(&format!("{writer} {batch} {t}")));
                let offsets = log.append(Topic::Signals, records.to_vec()).await;
                let offsets = offsets.expect("append");
                for (offset, record) in offsets.iter().zip(&records) {
                    let back = log.read(Topic::Signals, *offset, 1).await.expect("read");
                    assert_eq!(back[0].value, record.value, "readable once acknowledged");
                }
                assert!(offsets[1] > offsets[0]);
                assert!(log.is_shared() || offsets[1] == offsets[0] + 1, "one transaction");
            }
        }));
    }
    for task in tasks {
        task.await.expect("writer");
    }
    let mut stored = Vec::new();
    loop {
        let page = log.read(Topic::Signals, stored.len() as u64, 10_000).await.expect("read");
        if page.is_empty() {
            break;
        }
        stored.extend(page);
    }
    assert_eq!(stored.len(), WRITERS * BATCHES * 2);
    assert!(stored.windows(2).all(|w| w[0].appended <= w[1].appended));
    assert!((0..).zip(&stored).all(|(offset, s)| s.offset == offset));
    let mut values: Vec<&[u8]> = stored.iter().map(|s| s.value.as_slice()).collect();
    values.sort_unstable();
    values.dedup();
    assert_eq!(values.len(), WRITERS * BATCHES * 2, "every record once");
}

/// What the horizon promised to be complete stays complete, while writers go on.
async fn horizon_splits_past_from_future(log: Arc<dyn EventLog>, time: Arc<Time>) {
    let clock = time.clock.clone();
    let writers: Vec<_> = [Topic::Exposures, Topic::Signals]
        .into_iter()
        .map(|topic| {
            let (log, clock) = (log.clone(), clock.clone());
            tokio::spawn(async move {
                for step in 0..100 {
                    clock.advance_to(at(2_000 + step));
                    let appended = log.append(topic, vec![record("r")]).await;
                    appended.expect("append");
                }
            })
        })
        .collect();
    let mut promises = Vec::new();
    while writers.iter().any(|writer| !writer.is_finished()) {
        let horizon = log.horizon().await.expect("horizon");
        for topic in [Topic::Exposures, Topic::Signals] {
            let below = log.seek(topic, horizon).await.expect("seek");
            promises.push((topic, horizon, below));
        }
        tokio::task::yield_now().await;
    }
    for writer in writers {
        writer.await.expect("writer");
    }
    for (topic, horizon, below) in promises {
        let now_below = log.seek(topic, horizon).await.expect("seek");
        assert_eq!(below, now_below, "{topic} below {horizon:?}");
    }
    let before = log.horizon().await.expect("horizon");
    time.pass(1_500).await;
    let horizon = log.horizon().await.expect("horizon");
    let passed = horizon.millis_since(before);
    assert!(passed >= 500, "the horizon follows the clock: {passed} ms");
    clock.advance_to(at(1));
    let late = log.append(Topic::Signals, vec![record("late")]).await;
    let offset = late.expect("append")[0];
    let stored = log.read(Topic::Signals, offset, 1).await.expect("read");
    assert!(stored[0].appended >= horizon);
    let below = log.seek(Topic::Signals, horizon).await.expect("seek");
    assert!(below <= offset);
}
