//! ConvAI: chats of volunteers with bots assigned at random, and voluntary thumbs on single
//! messages of the bots.
//!
//! Every message of a bot becomes an exposure of the `chat` surface: its context are the turns so
//! far, its unit is the user, its policy is the bot. A thumb becomes a `thumbs_up` or `thumbs_down`
//! signal. The data have a start and an end for each dialog but no time for its messages, so these
//! are spread evenly over the dialog, at least [`MIN_GAP_MS`] apart. Events come in the order of
//! their times, so dialogs of different users interleave as they did when they were held.
//!
//! Ids are made from the dialog and the turn, so that reading twice gives the same events.
//! The rating of a whole dialog came after its last message and is no part of the events.

use std::path::{Path, PathBuf};

use plaudit_event::{
    Actor, Context, Envelope, Event, Exposure, ExposureId, Impression, Message, PolicyId, Role, Signal, SignalId,
    SignalKind, Surface, Timestamp, UnitId,
};
use serde::Deserialize;
use serde_json::Map;

use crate::files::read_rows;
use crate::{Error, Split, time};

/// Shortest time between two turns of a dialog.
pub const MIN_GAP_MS: i64 = 2_000;
/// Time between a bot's message and the thumb on it.
pub const THUMB_DELAY_MS: i64 = 1_000;
/// Turns of context an exposure carries at most: the newest. A few dialogs run on for up to a
/// thousand turns, whose events would grow with the square of that.
pub const MAX_CONTEXT_TURNS: usize = 40;

/// Where the dialogs of `split` lie under `data`, the directory of all data sets. No user is in both splits.
#[must_use]
pub fn path(data: &Path, split: Split) -> PathBuf {
    data.join("convai").join(format!("dialogs.{}.jsonl.gz", split.as_str()))
}

#[derive(Debug, Deserialize)]
struct RawDialog {
    id: String,
    policy: String,
    user: String,
    start: String,
    end: String,
    turns: Vec<Turn>,
}

#[derive(Debug, Deserialize)]
struct Turn {
    role: Role,
    text: String,
    thumb: Option<u8>,
}

#[derive(Debug)]
struct Dialog {
    id: String,
    policy_id: PolicyId,
    unit_id: UnitId,
    start: Timestamp,
    gap_ms: i64,
    turns: Vec<Turn>,
}

/// The dialogs of one split, read into memory.
#[derive(Debug)]
pub struct ConvAi {
    dialogs: Vec<Dialog>,
}

/// What a split holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Dialogs, including those in which the bot said nothing.
    pub dialogs: usize,
    /// Messages of bots: exposures.
    pub exposures: usize,
    /// Thumbs up.
    pub thumbs_up: usize,
    /// Thumbs down.
    pub thumbs_down: usize,
}

impl ConvAi {
    /// Reads a split from `data`, the directory of all data sets.
    ///
    /// # Errors
    /// Fails when the file is absent or malformed, naming it and the line.
    pub fn open(data: &Path, split: Split) -> Result<Self, Error> {
        let path = path(data, split);
        let rows: Vec<(usize, RawDialog)> = read_rows(&path)?;
        let mut dialogs = Vec::with_capacity(rows.len());
        for (line, raw) in rows {
            let dialog = Dialog::read(raw).map_err(|(field, problem, value)| Error::Value {
                path: path.clone(),
                line,
                field,
                problem,
                value,
            })?;
            dialogs.push(dialog);
        }
        dialogs.sort_by(|a, b| (a.start, &a.id).cmp(&(b.start, &b.id)));
        Ok(Self { dialogs })
    }

    /// What the split holds.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { dialogs: self.dialogs.len(), ..Counts::default() };
        let turns = self.dialogs.iter().flat_map(|dialog| &dialog.turns);
        for turn in turns.filter(|turn| turn.role == Role::Assistant) {
            counts.exposures += 1;
            counts.thumbs_up += usize::from(turn.thumb == Some(1));
            counts.thumbs_down += usize::from(turn.thumb == Some(0));
        }
        counts
    }

    /// The events in the order of their times: each exposure, and later the signal on it if there
    /// is one.
    pub fn events(&self) -> impl Iterator<Item = Envelope> {
        let mut order: Vec<(Timestamp, usize, usize, Part)> = Vec::new();
        for (number, dialog) in self.dialogs.iter().enumerate() {
            for (at, turn) in dialog.turns.iter().enumerate() {
                if turn.role == Role::Assistant {
                    order.push((dialog.ts(at), number, at, Part::Exposure));
                }
                if turn.role == Role::Assistant && turn.thumb.is_some() {
                    order.push((dialog.thumb_ts(at), number, at, Part::Thumb));
                }
            }
        }
        order.sort();
        order.into_iter().map(|(_, number, at, part)| {
            let dialog = &self.dialogs[number];
            Envelope::new(match part {
                Part::Exposure => Event::Exposure(dialog.exposure(at)),
                Part::Thumb => Event::Signal(dialog.thumb(at)),
            })
        })
    }
}

/// What a turn gives rise to, in the order in which it happens.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Exposure,
    Thumb,
}

type Problem = (&'static str, &'static str, String);

impl Dialog {
    fn read(raw: RawDialog) -> Result<Self, Problem> {
        let instant = |field, text: &str| {
            let problem = "must be a time such as 2018-10-29 03:32:08.296";
            time::parse(text).ok_or_else(|| (field, problem, text.to_owned()))
        };
        let start = instant("start", &raw.start)?;
        let end = instant("end", &raw.end)?;
        let is_thumb = |turn: &Turn| turn.thumb.is_none_or(|thumb| thumb <= 1);
        if let Some(turn) = raw.turns.iter().find(|turn| !is_thumb(turn)) {
            let value = format!("{:?}", turn.thumb);
            return Err(("thumb", "must be 0, 1 or null", value));
        }
        let name = "must be up to 100 characters of ASCII";
        let slug = |field, text: &str| {
            let id = text.to_lowercase().replace(' ', "-");
            let fits = !id.is_empty() && id.len() <= 100 && id.chars().all(|c| c.is_ascii_graphic());
            fits.then_some(id).ok_or_else(|| (field, name, text.to_owned()))
        };
        let plain = "must be letters, digits, dots, dashes and spaces";
        let valid = "printable ASCII of at most 100 characters";
        let gaps = i64::try_from(raw.turns.len()).unwrap_or(i64::MAX).max(1);
        Ok(Self {
            id: slug("id", &raw.id)?,
            policy_id: PolicyId::new(slug("policy", &raw.policy)?)
                .map_err(|_| ("policy", plain, raw.policy.clone()))?,
            unit_id: UnitId::new(slug("user", &raw.user)?).expect(valid),
            start,
            gap_ms: (end.millis_since(start) / gaps).max(MIN_GAP_MS),
            turns: raw.turns,
        })
    }

    fn exposure_id(&self, at: usize) -> ExposureId {
        ExposureId::new(format!("convai-{}-{at}", self.id)).expect("checked when read")
    }

    fn ts(&self, at: usize) -> Timestamp {
        let turn = i64::try_from(at).unwrap_or(i64::MAX);
        self.start.plus_millis(self.gap_ms.saturating_mul(turn))
    }

    fn thumb_ts(&self, at: usize) -> Timestamp {
        self.ts(at).plus_millis(THUMB_DELAY_MS)
    }

    fn exposure(&self, at: usize) -> Exposure {
        let before = &self.turns[at.saturating_sub(MAX_CONTEXT_TURNS)..at];
        let messages = before.iter().map(|turn| Message { role: turn.role, content: turn.text.clone() });
        Exposure {
            exposure_id: self.exposure_id(at),
            unit_id: self.unit_id.clone(),
            session_id: Some(self.id.clone()),
            surface: Surface::Chat,
            context: Context { messages: messages.collect(), ..Context::default() },
            slate: vec![Impression {
                item_id: "response".to_owned(),
                position: 0,
                content: self.turns[at].text.clone(),
                score: None,
            }],
            chosen: 0,
            propensity: None,
            token_logprobs: None,
            policy_id: self.policy_id.clone(),
            stage: None,
            assignments: Vec::new(),
            rewrite_applied: None,
            interleaving: None,
            attributes: Map::from_iter([("turn".to_owned(), at.into())]),
            ts: self.ts(at),
            unknown: Map::new(),
        }
    }

    fn thumb(&self, at: usize) -> Signal {
        let kind = match self.turns[at].thumb {
            Some(0) => SignalKind::ThumbsDown,
            _ => SignalKind::ThumbsUp,
        };
        let exposure_id = self.exposure_id(at);
        Signal {
            signal_id: SignalId::new(format!("{exposure_id}.thumb")).expect("checked when read"),
            exposure_id,
            item_id: None,
            kind,
            value: None,
            text: None,
            spans: Vec::new(),
            stage: None,
            op: None,
            actor: Actor::User,
            ts: self.thumb_ts(at),
            retracts: None,
            unknown: Map::new(),
        }
    }
}
