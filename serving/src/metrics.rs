//! Metrics of this crate: `plaudit_serving_<name>_<unit>[_total]`, base units, bounded label values.
//!
//! No unit ids, no text, no experiment names: labels are route names, status codes, policy roles.

use std::time::{Duration, Instant};

use plaudit_experiment::delivery::Verdict;

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};

/// Requests by `route` and `status`.
pub const REQUESTS: &str = "plaudit_serving_requests_total";
/// Time from the arrival of a request to its answer (for streams: to the first byte), by `route`.
pub const REQUEST_SECONDS: &str = "plaudit_serving_request_seconds";
/// Time that requests waited for a slot.
pub const QUEUE_SECONDS: &str = "plaudit_serving_queue_seconds";
/// Time of one decoding step.
pub const STEP_SECONDS: &str = "plaudit_serving_step_seconds";
/// Tokens generated.
pub const TOKENS: &str = "plaudit_serving_tokens_total";
/// Requests whose caller left before the answer.
pub const ABANDONED: &str = "plaudit_serving_requests_abandoned_total";
/// Policy transitions by `event`.
pub const TRANSITIONS: &str = "plaudit_serving_policy_transitions_total";
/// Examples folded into readouts and selection.
pub const EXAMPLES: &str = "plaudit_serving_examples_folded_total";
/// Examples that readouts and selection have not folded yet.
pub const LAG: &str = "plaudit_serving_examples_lag";

/// Evaluations of a delivery, and what people decided about it, by `verdict`.
pub const EVALUATIONS: &str = "plaudit_serving_delivery_evaluations_total";
/// Answers of a candidate in the shadow, by `outcome`: scored, left out, failed.
pub const SHADOWED: &str = "plaudit_serving_answers_shadowed_total";
/// Responses scored for callers.
pub const SCORED: &str = "plaudit_serving_rows_scored_total";

/// Tells the recorder what each metric means.
pub fn describe() {
    describe_counter!(REQUESTS, Unit::Count, "requests by route and status");
    describe_histogram!(REQUEST_SECONDS, Unit::Seconds, "time to the answer by route");
    describe_histogram!(QUEUE_SECONDS, Unit::Seconds, "time that requests waited for a slot");
    describe_histogram!(STEP_SECONDS, Unit::Seconds, "time of one decoding step");
    describe_counter!(TOKENS, Unit::Count, "tokens generated");
    describe_counter!(ABANDONED, Unit::Count, "requests whose caller left before the answer");
    describe_counter!(TRANSITIONS, Unit::Count, "policy transitions by event");
    describe_counter!(EXAMPLES, Unit::Count, "examples folded into readouts and selection");
    describe_counter!(SCORED, Unit::Count, "responses scored for callers");
    describe_counter!(EVALUATIONS, Unit::Count, "evaluations of a delivery by verdict");
    describe_counter!(SHADOWED, Unit::Count, "answers of a candidate in the shadow by outcome");
    describe_gauge!(LAG, Unit::Count, "examples not folded yet");
}

/// Measures durations for metrics and deadlines; never a source of event time.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

pub(crate) fn answered(route: &'static str, status: u16, stopwatch: Stopwatch) {
    counter!(REQUESTS, "route" => route, "status" => status.to_string()).increment(1);
    histogram!(REQUEST_SECONDS, "route" => route).record(stopwatch.elapsed());
}

pub(crate) fn queue_seconds(queued: Stopwatch) {
    histogram!(QUEUE_SECONDS).record(queued.elapsed());
}

pub(crate) fn generated(num_tokens: usize, stopwatch: Stopwatch) {
    counter!(TOKENS).increment(num_tokens as u64);
    histogram!(STEP_SECONDS).record(stopwatch.elapsed());
}

pub(crate) fn requests_abandoned(number: usize) {
    if number > 0 {
        counter!(ABANDONED).increment(number as u64);
    }
}

pub(crate) fn scored(number: usize) {
    counter!(SCORED).increment(number as u64);
}

pub(crate) fn transition(event: &'static str) {
    counter!(TRANSITIONS, "event" => event).increment(1);
}

pub(crate) fn evaluated(verdict: Verdict) {
    let verdict = match verdict {
        Verdict::Pass => "pass",
        Verdict::Inconclusive => "inconclusive",
        Verdict::Error => "error",
        Verdict::Fail => "fail",
    };
    counter!(EVALUATIONS, "verdict" => verdict).increment(1);
}

pub(crate) fn shadowed(outcome: &'static str) {
    counter!(SHADOWED, "outcome" => outcome).increment(1);
}

pub(crate) fn folded(number: usize, lag: u64) {
    counter!(EXAMPLES).increment(number as u64);
    gauge!(LAG).set(lag as f64);
}
