//! The command line: what can be asked, and which file answers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

mod allocation;
pub(crate) mod bench;
pub(crate) mod config;
mod data;
pub(crate) mod demo;
pub(crate) mod dlq;
pub(crate) mod erase;
pub(crate) mod evaluate;
mod event_file;
pub(crate) mod experiment;
pub(crate) mod export;
pub(crate) mod import;
mod interleaving;
mod moment;
pub(crate) mod policy;
pub(crate) mod pretrain;
pub(crate) mod remote;
pub(crate) mod replay;
mod results;
pub(crate) mod store;
pub(crate) mod train;
pub(crate) mod up;

/// Online learning for LLM and search products from implicit user reactions.
#[derive(Debug, Parser)]
#[command(name = "plaudit", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// What to log on standard error, such as `info` or `plaudit_ingest=debug`.
    #[arg(long, global = true, default_value = "warn")]
    pub(crate) log: String,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole loop on this machine with simulated users and report what was learned.
    Demo(Demo),
    /// Start the server on the embedded backends.
    Up(Up),
    /// Feed files of events (JSON envelopes, one per line) into a data directory.
    Import(import::Import),
    /// Write stored rows as JSON lines to standard output or a file.
    Export(export::Export),
    /// Attribute a stretch of the log again under the present configuration, and compare; the log stays as it is.
    Replay(replay::Replay),
    /// Look at refused events, mend them, and send them again.
    #[command(subcommand)]
    Dlq(dlq::Dlq),
    /// Compare the store with the log, or make it again.
    #[command(subcommand)]
    Store(store::Store),
    /// Take everything about a unit out of log and store, and prove it.
    Erase(erase::Erase),
    /// Compare policies on fixed prompts by predicted love; or evaluate a selection policy on logged decisions; or train the
    /// reward model on a public data set in one pass and score its test split.
    Evaluate(Evaluate),
    /// Train models away from the stream.
    #[command(subcommand)]
    Train(train::Train),
    /// Look at reward models.
    #[command(subcommand)]
    Reward(train::RewardVerb),
    /// Measure throughput on public data, break things under load, and prove that nothing was lost or counted twice.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Train the small built-in decoder and its tokenizer from scratch.
    Pretrain(Pretrain),
    /// Experiments of a running server: look, edit, start, pause, stop; and how many units they need.
    #[command(subcommand)]
    Experiment(experiment::Experiment),
    /// Look at the policies of a running server, ask why they are where they are, let one go on, or roll back.
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Print, check or document the configuration.
    #[command(subcommand)]
    Config(Config),
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Root of all randomness: users, prompts, sampling, training.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Keep everything in this directory instead of a temporary one; it must not hold data yet.
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
    /// Print the report as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
    /// Switch the judges and the closing guardrail off: shows what a learner does that may exploit users' reactions.
    #[arg(long)]
    pub(crate) no_judges: bool,
    /// `demo` (5 % love), `sparse` (1 % love, longer), or a scenario file.
    #[arg(long, default_value = "demo")]
    pub(crate) scenario: String,
    /// End after this long, such as `10m`, whatever has happened. Default: 290s, or 1h where love is rare.
    #[arg(long, value_parser = humantime::parse_duration)]
    pub(crate) max_time: Option<Duration>,
}

/// Arguments of `up`.
#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) files: Files,
    /// Address to listen on; port 0 takes a free one. Default: `serving.listen`.
    #[arg(long)]
    pub(crate) listen: Option<SocketAddr>,
}

/// Where configuration and data are.
#[derive(Debug, Args)]
pub(crate) struct Files {
    /// Configuration file; see `deploy/embedded.toml`.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// Data directory. Default: `data_dir` of the configuration.
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
}

/// Arguments of `evaluate`.
#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    /// Directory of the public data sets.
    #[arg(long, env = "PLAUDIT_DATA", required_unless_present_any = ["policies", "off_policy"])]
    pub(crate) datasets: Option<PathBuf>,
    /// A policy to compare on fixed prompts: a checkpoint directory, or an id in the data directory. The first one named
    /// is what the others are compared with.
    #[arg(long = "policy", requires = "prompts")]
    pub(crate) policies: Vec<String>,
    /// File of prompts, one JSON object a line: `prompt` or `messages`, and a `segment` if there are several.
    #[arg(long, requires = "policies")]
    pub(crate) prompts: Option<PathBuf>,
    /// Reward checkpoint to score with: a directory, or an id in the data directory. Default: the newest there.
    #[arg(long, requires = "policies")]
    pub(crate) reward: Option<String>,
    /// What a selection policy would have earned on the decisions that another one made, from logged propensities.
    #[arg(long, value_enum, requires = "decision", conflicts_with = "policies")]
    pub(crate) off_policy: Option<evaluate::OffPolicy>,
    /// The decision that is evaluated.
    #[arg(long, requires = "off_policy")]
    pub(crate) decision: Option<String>,
    /// Take the examples from this file, as `export examples` writes them, instead of the data directory.
    #[arg(long, requires = "off_policy")]
    pub(crate) examples: Option<PathBuf>,
    /// Answers of each policy to each prompt, 1 to 256.
    #[arg(long, default_value_t = 4)]
    pub(crate) samples: usize,
    #[command(flatten)]
    pub(crate) files: Files,
    /// Root of all randomness.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Print the report as one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `pretrain`.
#[derive(Debug, Args)]
pub(crate) struct Pretrain {
    /// Where to write the model; must not exist.
    #[arg(long)]
    pub(crate) out: PathBuf,
    /// Question and answer pairs to generate.
    #[arg(long, default_value_t = 120_000)]
    pub(crate) pairs: usize,
    /// Tokens to train on, counting each pass over the pairs anew.
    #[arg(long, default_value_t = 3_000_000)]
    pub(crate) tokens: u64,
    /// Root of all randomness.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

/// How to reach a running server.
#[derive(Debug, Args)]
pub(crate) struct Remote {
    /// Base address of the server.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    pub(crate) server: String,
    /// Bearer key, when the server asks for one.
    #[arg(long, env = "PLAUDIT_API_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Verbs of `config`.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Print the effective configuration.
    Print(Files),
    /// Check a configuration and report every problem.
    Check(Files),
    /// Print the JSON Schema of the event envelope.
    Schema,
}

impl Files {
    /// The effective configuration, with the salt of unit hashes if there is one.
    ///
    /// # Errors
    /// Fails with every problem of the configuration.
    fn configuration(&self) -> Result<crate::config::Config, crate::config::Error> {
        self.load(Vec::new())?.salted(std::env::vars_os())
    }

    /// The effective configuration: defaults, file, environment, then `flags`.
    ///
    /// # Errors
    /// Fails with every problem of the configuration.
    pub(crate) fn load(
        &self,
        mut flags: Vec<(String, toml::Value)>,
    ) -> Result<crate::config::Config, crate::config::Error> {
        if let Some(data) = &self.data {
            flags.push(("data_dir".to_owned(), toml::Value::String(data.display().to_string())));
        }
        crate::config::Config::load(self.config.as_deref(), std::env::vars_os(), &flags)
    }
}

/// Writes to standard output. A reader that has gone away, as with `| head`, is no failure.
fn print(text: &str) -> anyhow::Result<()> {
    match std::io::Write::write_all(&mut std::io::stdout().lock(), text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
