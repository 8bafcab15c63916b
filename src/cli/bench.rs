//! `plaudit bench`: throughput on public data, and what is left after faults, with the counts proven.

mod continual;
mod disk;
mod evaluator;
mod faults;
mod freshness;
mod meter;
mod preferences;
mod spam;
mod upworthy;

use clap::Subcommand;

/// What can be streamed.
#[derive(Debug, Subcommand)]
pub(crate) enum Bench {
    /// Stream Upworthy's headline tests through intake, attribution and the store, and compare what is in the store
    /// with the data, arm by arm. Fails when a single event is missing or counted twice.
    ///
    /// Without `--config` and `--data` everything is kept in a temporary directory, which is removed at the end.
    Upworthy(upworthy::Arguments),
    /// Break things under load (processes, broker, store, disk, the order of events) and prove that nothing acknowledged
    /// is lost and nothing is there twice. Fails when a row does not pass.
    Faults(faults::Arguments),
    /// Let coordinated units love one phrase, and measure what the reward model's guard makes of it.
    Spam(spam::Arguments),
    /// Train the reward model on five simulated domains that contradict each other, one after the other, and measure how much of
    /// each is forgotten under every replay strategy.
    Continual(continual::Arguments),
    /// Send events at an even pace and measure how old a reaction is, from the close of its window, when weights of the
    /// reward model that used it begin to serve, and where the time goes.
    Freshness(freshness::Arguments),
    /// Prove the offline evaluator on simulated users: learn love from the reactions to one policy, score other policies
    /// offline on fixed prompts, try each in an experiment, and correlate the two differences.
    Evaluator(evaluator::Arguments),
    /// Learn from pairs in one pass and tell held-out ones: preferences of people (hh-rlhf), answers that only look
    /// better (LLMBar), headlines that readers clicked more often (Upworthy); always beside "the longer one wins".
    Preferences(preferences::Arguments),
}

/// Runs it and prints the figures.
pub(crate) async fn run(bench: &Bench) -> anyhow::Result<()> {
    match bench {
        Bench::Upworthy(arguments) => upworthy::run(arguments).await,
        Bench::Faults(arguments) => faults::run(arguments).await,
        Bench::Spam(arguments) => spam::run(arguments),
        Bench::Continual(arguments) => continual::run(arguments),
        Bench::Freshness(arguments) => Box::pin(freshness::run(arguments)).await,
        Bench::Evaluator(arguments) => evaluator::run(arguments).await,
        Bench::Preferences(arguments) => preferences::run(arguments),
    }
}
