//! Pairs of responses of which people preferred one: hh-rlhf, LLMBar, PandaLM, Auto-J.
//!
//! Ties carry no order and are left out. Where several people voted, the weight says how much they agreed.

use std::path::{Path, PathBuf};

use plaudit_event::{Context, Message, Role};
use serde::Deserialize;

use crate::files::read_rows;
use crate::{Error, Split};

/// Two responses to one context, of which one was preferred.
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// What pairs belong together by: a prompt, or a test of headlines.
    pub group: String,
    /// Part of the set, where it has parts; else empty.
    pub subset: String,
    /// What both responses were made for.
    pub context: Context,
    /// The response that was preferred.
    pub chosen: String,
    /// The other one.
    pub rejected: String,
    /// How sure the preference is, above 0 and at most 1: the majority's share of the votes less the minority's.
    pub weight: f32,
}

/// A set of pairs in files of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairSet {
    /// hh-rlhf, helpful: which answer helps more.
    Helpful,
    /// hh-rlhf, harmless: which answer does less harm. Contains offensive text.
    Harmless,
    /// LLMBar: which answer follows the instruction, in adversarial subsets against one that merely looks better.
    /// There is no train split.
    LlmBar,
    /// PandaLM: answers of small models, up to three votes each.
    PandaLm,
    /// Auto-J: answers in 58 scenarios.
    AutoJ,
}

impl PairSet {
    /// Where the pairs of `split` lie under `data`, the directory of all data sets.
    #[must_use]
    pub fn path(self, data: &Path, split: Split) -> PathBuf {
        let (folder, name) = match self {
            Self::Helpful => ("hh_rlhf", "helpful"),
            Self::Harmless => ("hh_rlhf", "harmless"),
            Self::LlmBar => ("human_pairs", "llmbar"),
            Self::PandaLm => ("human_pairs", "pandalm"),
            Self::AutoJ => ("human_pairs", "autoj"),
        };
        data.join(folder).join(format!("{name}.{}.jsonl.gz", split.as_str()))
    }

    /// Reads a split, in the order of the file.
    ///
    /// # Errors
    /// Fails when the file is absent or malformed, naming it and the line.
    pub fn read(self, data: &Path, split: Split) -> Result<Vec<Pair>, Error> {
        let path = self.path(data, split);
        let rows: Vec<(usize, RawPair)> = read_rows(&path)?;
        let mut pairs = Vec::with_capacity(rows.len());
        for (line, raw) in rows {
            if !(0.0..=1.0).contains(&raw.p_a) {
                let value = raw.p_a.to_string();
                return Err(Error::Value { path, line, field: "p_a", problem: "must be 0 to 1", value });
            }
            pairs.extend(self.pair(raw));
        }
        Ok(pairs)
    }

    /// Nothing for a tie.
    fn pair(self, raw: RawPair) -> Option<Pair> {
        let lead = 2.0 * raw.p_a - 1.0;
        if lead == 0.0 {
            return None;
        }
        let (chosen, rejected) = if lead > 0.0 { (raw.a, raw.b) } else { (raw.b, raw.a) };
        let context = match self {
            Self::Helpful | Self::Harmless => dialogue(&raw.prompt),
            Self::LlmBar | Self::PandaLm | Self::AutoJ => Context::of_user(raw.prompt.as_str()),
        };
        let subset = raw.subset.or(raw.scenario).unwrap_or_default();
        Some(Pair { group: raw.prompt, subset, context, chosen, rejected, weight: lead.abs() })
    }
}

/// A line of the files; what else is there is not needed.
#[derive(Debug, Deserialize)]
struct RawPair {
    prompt: String,
    a: String,
    b: String,
    /// Share of the votes for `a`.
    p_a: f32,
    subset: Option<String>,
    scenario: Option<String>,
}

/// A conversation written as `Human: …` and `Assistant: …` in paragraphs; a turn without text is left out.
#[must_use]
pub fn dialogue(text: &str) -> Context {
    let mut messages: Vec<Message> = Vec::new();
    for paragraph in text.split("\n\n") {
        let turn = [("Human:", Role::User), ("Assistant:", Role::Assistant)];
        let turn = turn.into_iter().find_map(|(mark, role)| Some((role, paragraph.strip_prefix(mark)?.trim())));
        match (turn, messages.last_mut()) {
            (Some((_, "")), _) => {}
            (Some((role, said)), _) => messages.push(Message { role, content: said.to_owned() }),
            (None, _) if paragraph == "Human" || paragraph == "Assistant" => {}
            (None, Some(last)) => {
                last.content.push_str("\n\n");
                last.content.push_str(paragraph);
            }
            (None, None) => messages.push(Message { role: Role::User, content: paragraph.to_owned() }),
        }
    }
    Context { messages, ..Context::default() }
}
