//! Which shards this process works on: the partitions of topic `exposures` that the consumer group of all
//! processes gives to it, by cooperative rebalancing. The records themselves are read elsewhere.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use tokio::sync::watch;

use super::client::{Context, kafka_error};
use crate::Error;

/// How often the group is heard, at least.
const POLL: Duration = Duration::from_millis(100);
/// How long a member may be silent before its shards are given to others.
const SESSION_MS: &str = "10000";

/// The membership in the group. Dropping it leaves the group.
pub(super) struct Member {
    owned: watch::Receiver<BTreeSet<u32>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Member {
    /// Joins the group `id` that works on `topic`.
    pub(super) fn join(brokers: &ClientConfig, id: &str, topic: &str) -> Result<Self, Error> {
        let (sender, owned) = watch::channel(BTreeSet::new());
        let mut settings = brokers.clone();
        settings
            .set("group.id", id)
            .set("enable.auto.commit", "false")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", SESSION_MS)
            .set("heartbeat.interval.ms", "1000");
        let context = Context { role: "member", owned: Some(sender) };
        let client: BaseConsumer<Context> = settings.create_with_context(context).map_err(kafka_error("join"))?;
        client.subscribe(&[topic]).map_err(kafka_error("join"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopping = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("kafka-member".into()).spawn(move || {
            while !stopping.load(Ordering::Relaxed) {
                // Rebalancing happens inside; messages are paused.
                if let Some(Err(error)) = client.poll(POLL) {
                    tracing::debug!(error = %error, "membership");
                }
            }
        });
        let thread = thread.map_err(|error| Error::io("start a thread for", "kafka".as_ref(), error))?;
        Ok(Self { owned, stop, thread: Some(thread) })
    }

    pub(super) fn owned(&self) -> watch::Receiver<BTreeSet<u32>> {
        self.owned.clone()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the kafka membership panicked");
        }
    }
}
