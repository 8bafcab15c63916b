//! The metrics of this crate: names, meaning, and the few places that count.

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

use plaudit_event::Timestamp;

use crate::log::{Part, Topic};

/// Transactions of the event log, each synced once.
pub const LOG_TRANSACTIONS: &str = "plaudit_log_transactions_total";
/// Records appended to the event log.
pub const LOG_RECORDS: &str = "plaudit_log_records_total";
/// Appends that shared one transaction.
pub const LOG_GROUP: &str = "plaudit_log_group_appends";
/// Seconds by which the clock of the event log is ahead of the wall clock, because that was set back.
pub const LOG_CLOCK_AHEAD: &str = "plaudit_log_clock_ahead_seconds";
/// Events handed to intake; equals the sum of [`INTAKE_OUTCOMES`].
pub const INTAKE_RECEIVED: &str = "plaudit_intake_received_total";
/// Outcomes of events; tags `outcome` and `reason`.
pub const INTAKE_OUTCOMES: &str = "plaudit_intake_outcomes_total";
/// What was taken out of texts, by tag `rule`.
pub const REDACTIONS: &str = "plaudit_intake_redactions_total";
/// Units that became suspect, by tag `score`: `share`, `fast` or `policy`.
pub const SUSPECTED: &str = "plaudit_intake_suspected_total";
/// Units that are suspect.
pub const SUSPECTS: &str = "plaudit_intake_suspect_units";
/// Records of the log that could not be read and were passed over; tags `topic` and `reader`.
pub const UNREADABLE: &str = "plaudit_log_unreadable_total";
/// Examples appended; tag `revision` is `first` or `correction`.
pub const ATTRIBUTION_EXAMPLES: &str = "plaudit_attribution_examples_total";
/// Exposures whose window is open; tag `shard`.
pub const ATTRIBUTION_OPEN: &str = "plaudit_attribution_open_exposures";
/// Log time, as Unix seconds, before which attribution has seen everything; tag `shard`. Windows that end before it
/// have closed.
pub const ATTRIBUTION_WATERMARK: &str = "plaudit_attribution_watermark_timestamp_seconds";
/// Offsets of the log that attribution has not seen yet; tags `topic` and `shard`.
pub const ATTRIBUTION_LAG: &str = "plaudit_attribution_lag_offsets";
/// Signals that made no label, by tag `reason`: `orphan` (the exposure never came), `late` (after the
/// correction horizon), `limit` (beyond the limit per exposure), `window` (outside the window of their
/// kind) or `item` (about an item that was not chosen).
pub const ATTRIBUTION_UNUSED: &str = "plaudit_attribution_unused_signals_total";
/// Records that products wrote into the log past intake; tag `outcome` is `accepted` or `refused`.
pub const DIRECT: &str = "plaudit_log_direct_records_total";
/// Offsets of the log that the store has not copied yet; tags `topic` and `shard`.
pub const STORE_LAG: &str = "plaudit_store_lag_offsets";
/// Records that wait in a Kafka client to be delivered; tag `role`.
pub const KAFKA_IN_FLIGHT: &str = "plaudit_kafka_in_flight_records";
/// Bytes of the records that wait in a Kafka client to be delivered; tag `role`.
pub const KAFKA_IN_FLIGHT_BYTES: &str = "plaudit_kafka_in_flight_bytes";
/// Average seconds that a broker took to answer; tags `role` and `broker`.
pub const KAFKA_RTT: &str = "plaudit_kafka_rtt_seconds";
/// Bytes of events that are kept on this machine until the log can be reached again.
pub const SPOOL_BYTES: &str = "plaudit_spool_bytes";
/// Rows written to the store; tag `topic`.
pub const STORE_ROWS: &str = "plaudit_store_rows_total";

/// Describes every metric of this crate to the installed recorder.
pub fn describe() {
    let counters = [
        (LOG_TRANSACTIONS, "transactions of the event log, each synced once"),
        (LOG_RECORDS, "records appended to the event log"),
        (INTAKE_RECEIVED, "events handed to intake; the sum of all outcomes"),
        (INTAKE_OUTCOMES, "outcomes of received events, by outcome and reason"),
        (REDACTIONS, "matches taken out of texts, by rule of redaction"),
        (SUSPECTED, "units that became suspect, by score (share, fast or policy)"),
        (UNREADABLE, "records of the log passed over as unreadable, by topic and reader"),
        (ATTRIBUTION_EXAMPLES, "examples appended, by revision (first or correction)"),
        (ATTRIBUTION_UNUSED, "signals that made no label, by reason (orphan, late, limit, window or item)"),
        (DIRECT, "records that products wrote into the log past intake, by outcome (accepted or refused)"),
        (STORE_ROWS, "rows written to the store, by topic"),
    ];
    for (name, meaning) in counters {
        describe_counter!(name, Unit::Count, meaning);
    }
    describe_histogram!(LOG_GROUP, Unit::Count, "appends that shared one transaction");
    describe_gauge!(LOG_CLOCK_AHEAD, Unit::Seconds, "how far the clock of the event log is ahead of the wall clock");
    describe_gauge!(KAFKA_IN_FLIGHT, Unit::Count, "records that wait in a Kafka client, by what the client is for");
    describe_gauge!(KAFKA_IN_FLIGHT_BYTES, Unit::Bytes, "bytes of the records that wait in a Kafka client");
    describe_gauge!(KAFKA_RTT, Unit::Seconds, "average time that a broker took to answer");
    describe_gauge!(
        SPOOL_BYTES,
        Unit::Bytes,
        "events that are kept on this machine until the log can be reached again"
    );
    describe_gauge!(STORE_LAG, Unit::Count, "offsets of the log that the store has not copied yet, by topic and shard");
    describe_gauge!(SUSPECTS, Unit::Count, "units whose signals are quarantined on suspicion");
    describe_gauge!(ATTRIBUTION_OPEN, Unit::Count, "exposures whose window is open, by shard");
    describe_gauge!(
        ATTRIBUTION_WATERMARK,
        Unit::Seconds,
        "log time before which attribution has seen everything, by shard"
    );
    describe_gauge!(
        ATTRIBUTION_LAG,
        Unit::Count,
        "offsets of the log that attribution has not seen yet, by topic and shard"
    );
}

/// Counts one transaction of the log.
pub(crate) fn log_transaction(num_commands: usize, num_records: usize) {
    counter!(LOG_TRANSACTIONS).increment(1);
    counter!(LOG_RECORDS).increment(num_records as u64);
    histogram!(LOG_GROUP).record(to_f64(num_commands as u64));
}

pub(crate) fn log_clock_ahead(millis: i64) {
    gauge!(LOG_CLOCK_AHEAD).set(to_f64(millis.unsigned_abs()) / 1_000.0);
}

pub(crate) fn intake_received(count: usize) {
    counter!(INTAKE_RECEIVED).increment(count as u64);
}

pub(crate) fn intake_outcome(outcome: &'static str, reason: &'static str, count: usize) {
    if count > 0 {
        counter!(INTAKE_OUTCOMES, "outcome" => outcome, "reason" => reason).increment(count as u64);
    }
}

/// The rules have names from the configuration.
pub(crate) fn redactions(rule: &str, count: u64) {
    counter!(REDACTIONS, "rule" => rule.to_owned()).increment(count);
}

pub(crate) fn suspected(score: &'static str) {
    counter!(SUSPECTED, "score" => score).increment(1);
}

pub(crate) fn suspects(count: usize) {
    gauge!(SUSPECTS).set(to_f64(count as u64));
}

pub(crate) fn unreadable(topic: Topic, reader: &'static str) {
    counter!(UNREADABLE, "topic" => topic.as_str(), "reader" => reader).increment(1);
}

pub(crate) fn examples(num_first: u64, num_corrections: u64) {
    counter!(ATTRIBUTION_EXAMPLES, "revision" => "first").increment(num_first);
    counter!(ATTRIBUTION_EXAMPLES, "revision" => "correction").increment(num_corrections);
}

pub(crate) fn open_exposures(shard: u32, count: u64) {
    gauge!(ATTRIBUTION_OPEN, "shard" => shard.to_string()).set(to_f64(count));
}

#[expect(clippy::cast_precision_loss, reason = "metrics are read by eye")]
pub(crate) fn watermark(shard: u32, at: Timestamp) {
    gauge!(ATTRIBUTION_WATERMARK, "shard" => shard.to_string()).set(at.as_millis() as f64 / 1_000.0);
}

pub(crate) fn attribution_lag(part: Part, offsets: u64) {
    gauge!(ATTRIBUTION_LAG, "topic" => part.topic.as_str(), "shard" => part.shard.to_string()).set(to_f64(offsets));
}

pub(crate) fn unused_signals(reason: &'static str, count: u64) {
    if count > 0 {
        counter!(ATTRIBUTION_UNUSED, "reason" => reason).increment(count);
    }
}

pub(crate) fn store_rows(topic: Topic, count: u64) {
    counter!(STORE_ROWS, "topic" => topic.as_str()).increment(count);
}

/// Counts a record that a product wrote; nothing for one that it did not.
pub(crate) fn direct_outcome(outcome: Option<&'static str>) {
    if let Some(outcome) = outcome {
        counter!(DIRECT, "outcome" => outcome).increment(1);
    }
}

pub(crate) fn kafka_queue(role: &'static str, records: u64, bytes: u64) {
    gauge!(KAFKA_IN_FLIGHT, "role" => role).set(to_f64(records));
    gauge!(KAFKA_IN_FLIGHT_BYTES, "role" => role).set(to_f64(bytes));
}

pub(crate) fn kafka_rtt(role: &'static str, broker: i32, micros: i64) {
    let seconds = to_f64(micros.unsigned_abs()) / 1e6;
    gauge!(KAFKA_RTT, "role" => role, "broker" => broker.to_string()).set(seconds);
}

pub(crate) fn spool_bytes(bytes: u64) {
    gauge!(SPOOL_BYTES).set(to_f64(bytes));
}

pub(crate) fn store_lag(part: Part, offsets: u64) {
    gauge!(STORE_LAG, "topic" => part.topic.as_str(), "shard" => part.shard.to_string()).set(to_f64(offsets));
}

#[expect(clippy::cast_precision_loss, reason = "metrics are read by eye")]
const fn to_f64(count: u64) -> f64 {
    count as f64
}
