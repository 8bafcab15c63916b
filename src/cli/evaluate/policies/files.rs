//! What `evaluate` reads: prompts, policies, a reward model.

use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use plaudit_event::{Context, Message, Seed};
use plaudit_nn::checkpoint;
use plaudit_policy::generate::GeneratePolicy;
use plaudit_reward_model::Trainer;
use serde::Deserialize;

use super::Model;
use crate::app::policies_dir;
use crate::config::Config;

/// Segment of prompts that name none.
const NO_SEGMENT: &str = "other";
/// How the ids of reward checkpoints begin.
const REWARD_PREFIX: &str = "reward-";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    prompt: Option<String>,
    #[serde(default)]
    messages: Option<Vec<Message>>,
    #[serde(default)]
    segment: Option<String>,
}

/// The prompts of a file with their segments, one JSON object a line.
pub(super) fn prompts(path: &Path, most: usize) -> anyhow::Result<Vec<(String, Context)>> {
    let name = path.display();
    let file = std::fs::File::open(path).with_context(|| format!("failed to open `{name}`"))?;
    let mut prompts = Vec::new();
    for (number, line) in (1..).zip(std::io::BufReader::new(file).lines()) {
        let line = line.with_context(|| format!("failed to read line {number} of `{name}`"))?;
        if line.trim().is_empty() {
            continue;
        }
        let line: Line = serde_json::from_str(&line).with_context(|| format!("line {number} of `{name}`"))?;
        let context = match (line.prompt, line.messages) {
            (Some(prompt), None) => Context::of_user(prompt),
            (None, Some(messages)) if !messages.is_empty() => Context { messages, ..Context::default() },
            _ => anyhow::bail!("line {number} of `{name}` must have either `prompt` or at least one of `messages`"),
        };
        prompts.push((line.segment.unwrap_or_else(|| NO_SEGMENT.to_owned()), context));
        anyhow::ensure!(prompts.len() <= most, "`{name}` must have at most {most} prompts");
    }
    anyhow::ensure!(!prompts.is_empty(), "`{name}` must have at least 1 prompt, got 0");
    Ok(prompts)
}

/// The policy in directory `name`, or of that id in the data directory.
pub(super) fn policy(config: &Config, name: &str) -> anyhow::Result<GeneratePolicy> {
    let own = policies_dir(config).join(name);
    let dir = if own.is_dir() { own } else { Path::new(name).to_owned() };
    let root = policies_dir(config);
    anyhow::ensure!(dir.is_dir(), "`--policy {name}` is neither a directory nor a policy in `{}`", root.display());
    GeneratePolicy::load(&dir).with_context(|| format!("failed to load policy `{name}`"))
}

/// The reward model of checkpoint `name`, a directory or an id in the data directory; the newest there when absent.
pub(super) fn reward(config: &Config, name: Option<&str>) -> anyhow::Result<(Model, String)> {
    let root = config.data_dir.join("rewards");
    let dir = match name {
        Some(name) if root.join(name).is_dir() => root.join(name),
        Some(name) => Path::new(name).to_owned(),
        None => newest(&root)?,
    };
    let failed = || format!("failed to load reward checkpoint `{}`", dir.display());
    let manifest = checkpoint::read_manifest(&dir).with_context(failed)?;
    let loaded = checkpoint::load(&dir).with_context(failed)?;
    let seed = Seed::new(manifest.seed);
    let trainer = Trainer::resume(&loaded, config.reward_model.clone(), seed).with_context(failed)?;
    Ok((trainer.snapshot(), manifest.id))
}

fn newest(root: &Path) -> anyhow::Result<PathBuf> {
    let missing = || format!("`{}` holds no reward checkpoint; name one with `--reward`", root.display());
    let entries = std::fs::read_dir(root).with_context(missing)?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let dirs = names.filter(|name| name.starts_with(REWARD_PREFIX)).map(|name| root.join(name));
    let read = dirs.filter_map(|dir| Some((checkpoint::read_manifest(&dir).ok()?.log_position, dir)));
    read.max().map(|(_, dir)| dir).with_context(missing)
}
