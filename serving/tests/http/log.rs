//! A log that writes transitions and then does not say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use plaudit_event::Timestamp;
use plaudit_ingest::Error;
use plaudit_ingest::log::{BoxFuture, EventLog, Record, Stored, Topic};
use tokio::sync::{Notify, Semaphore};

/// Passes everything on; appends to topic `checkpoints` can be held up or fail after they were written.
pub(crate) struct StubbornLog {
    inner: Arc<dyn EventLog>,
    /// Appends wait for a permit each.
    answers: Semaphore,
    written: Notify,
    fails: AtomicBool,
}

impl StubbornLog {
    pub(crate) fn new(inner: Arc<dyn EventLog>) -> Self {
        let answers = Semaphore::new(1_000);
        Self { inner, answers, written: Notify::new(), fails: AtomicBool::new(false) }
    }

    /// Appends wait from now on.
    pub(crate) fn hold(&self) {
        self.answers.forget_permits(1_000);
    }

    /// Until an append has been written.
    pub(crate) async fn written(&self) {
        self.written.notified().await;
    }

    /// Appends wait no longer.
    pub(crate) fn release(&self) {
        self.answers.add_permits(1_000);
    }

    /// The next append is written and reported as failed.
    pub(crate) fn fail_once(&self) {
        self.fails.store(true, Ordering::SeqCst);
    }
}

impl EventLog for StubbornLog {
    fn append(&self, topic: Topic, records: Vec<Record>) -> BoxFuture<'_, Result<Vec<u64>, Error>> {
        Box::pin(async move {
            let offsets = self.inner.append(topic, records).await?;
            if topic == Topic::Checkpoints {
                self.written.notify_one();
                self.answers.acquire().await.unwrap().forget();
                if self.fails.swap(false, Ordering::SeqCst) {
                    return Err(Error::Task { what: "log", detail: "no answer".to_owned() });
                }
            }
            Ok(offsets)
        })
    }

    fn newest(&self, topic: Topic) -> BoxFuture<'_, Result<Option<Stored>, Error>> {
        self.inner.newest(topic)
    }

    fn erase(&self, topic: Topic, offsets: Vec<u64>) -> BoxFuture<'_, Result<(), Error>> {
        self.inner.erase(topic, offsets)
    }

    fn read(&self, topic: Topic, from: u64, max: usize) -> BoxFuture<'_, Result<Vec<Stored>, Error>> {
        self.inner.read(topic, from, max)
    }

    fn tail(&self, topic: Topic) -> BoxFuture<'_, Result<u64, Error>> {
        self.inner.tail(topic)
    }

    fn seek(&self, topic: Topic, from: Timestamp) -> BoxFuture<'_, Result<u64, Error>> {
        self.inner.seek(topic, from)
    }

    fn horizon(&self) -> BoxFuture<'_, Result<Timestamp, Error>> {
        self.inner.horizon()
    }

    fn commit<'a>(&'a self, group: &'a str, topic: Topic, next: u64) -> BoxFuture<'a, Result<(), Error>> {
        self.inner.commit(group, topic, next)
    }

    fn committed<'a>(&'a self, group: &'a str, topic: Topic) -> BoxFuture<'a, Result<u64, Error>> {
        self.inner.committed(group, topic)
    }
}
