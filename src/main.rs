//! Plaudit: online learning for LLM and search products from implicit user reactions.
//!
//! This package is the binary and only wires the crates together:
//! - `plaudit-event`: the vocabulary;
//! - `plaudit-ingest`: log, store, intake, attribution;
//! - `plaudit-nn` and `plaudit-reward-model`: models, and P\[love\];
//! - `plaudit-policy`: what decides, and how it learns;
//! - `plaudit-serving`: HTTP, experiments, rollout.
//!
//! Exit codes: 0 done, 1 failed, 2 bad usage or configuration.

mod app;
mod cli;
mod clock;
mod config;
mod demo;
mod learner;
mod memory;
mod notify;
mod scorer;
mod shipped;
mod telemetry;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};

fn main() -> ExitCode {
    confine_candle();
    let cli = Cli::parse();
    telemetry::init_logs(&cli.log);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&anyhow::Error::new(error).context("failed to start the runtime")),
    };
    match runtime.block_on(run(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// candle spreads large element-wise operations over one process-wide pool of spinning threads, whatever pool the caller
/// runs in. With a model thread, a trainer and a server in one process that takes everybody's cores; this turns it off.
#[expect(unsafe_code, reason = "the process has one thread here, and candle reads nothing but the environment")]
fn confine_candle() {
    // SAFETY: called first in `main`, before any other thread exists.
    unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(arguments) => cli::demo::run(arguments).await,
        Command::Up(arguments) => cli::up::run(&arguments).await,
        Command::Import(arguments) => cli::import::run(&arguments).await,
        Command::Export(arguments) => cli::export::run(&arguments).await,
        Command::Replay(arguments) => cli::replay::run(&arguments).await,
        Command::Dlq(verb) => cli::dlq::run(&verb).await,
        Command::Store(verb) => cli::store::run(&verb).await,
        Command::Erase(arguments) => cli::erase::run(&arguments).await,
        Command::Evaluate(arguments) => cli::evaluate::run(&arguments).await,
        Command::Train(verb) => cli::train::run(&verb).await,
        Command::Reward(verb) => cli::train::run_reward(&verb),
        Command::Bench(bench) => cli::bench::run(&bench).await,
        Command::Pretrain(arguments) => cli::pretrain::run(&arguments),
        Command::Experiment(verb) => cli::experiment::run(&verb).await,
        Command::Policy(verb) => cli::policy::run(&verb).await,
        Command::Config(verb) => cli::config::run(&verb),
    }
}

#[expect(clippy::print_stderr, reason = "the one place that tells the user why the command failed")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprint!("plaudit: {error}");
    for cause in error.chain().skip(1) {
        eprint!(": {cause}");
    }
    eprintln!();
    if error.downcast_ref::<config::Error>().is_some() { ExitCode::from(2) } else { ExitCode::FAILURE }
}
