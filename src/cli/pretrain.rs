//! `plaudit pretrain`.

use std::ops::ControlFlow;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use plaudit_event::Seed;
use plaudit_policy::pretrain::{self, Progress};
use plaudit_simulator::corpus;

use super::{Pretrain, print};

/// Makes the text, trains on it, and writes the policy directory.
pub(crate) fn run(arguments: &Pretrain) -> anyhow::Result<()> {
    let out = &arguments.out;
    anyhow::ensure!(!out.exists(), "`{}` exists already; name a new directory", out.display());
    let seed = Seed::new(arguments.seed);
    let pairs: Vec<(String, String)> =
        corpus(seed.derive("corpus", 0), arguments.pairs).into_iter().map(|pair| (pair.user, pair.response)).collect();
    let config = pretrain::Config { num_tokens: arguments.tokens, ..pretrain::Config::default() };
    let bar = ProgressBar::new(config.num_tokens);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} tokens  {msg}  {eta} left")?;
    bar.set_style(style);
    let mut held_out = None;
    let show = |progress: &Progress| {
        held_out = progress.held_out_loss.or(held_out);
        let held_out = held_out.map_or("–".to_owned(), |loss| format!("{loss:.4}"));
        bar.set_position(progress.tokens);
        let (rate, loss) = (progress.tokens_per_second, progress.loss);
        bar.set_message(format!("{rate:.0} tokens/s  loss {loss:.4}  held out {held_out}"));
        tracing::info!(step = progress.step, loss, held_out, rate, "pretraining");
        ControlFlow::Continue(())
    };
    let policy = pretrain::run(&pairs, &config, seed, show)?;
    bar.finish();
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| ".".as_ref());
    std::fs::create_dir_all(parent).with_context(|| format!("failed to create `{}`", parent.display()))?;
    let staging = tempfile::tempdir_in(parent).context("failed to create a temporary directory")?;
    let saved = policy.save(staging.path(), pretrain::DTYPE)?;
    std::fs::rename(&saved, out).with_context(|| format!("failed to create `{}`", out.display()))?;
    print(&format!("{}: {}\n", policy.id(), out.display()))
}
