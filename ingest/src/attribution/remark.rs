//! What a signal says about parts of a response, or why: small enough to be held until the window closes.

use std::sync::Arc;

use plaudit_event::{Remarks, Signal, SignalKind, Span};

use super::shown::Vote;

/// Longest reason that is kept of one signal, in bytes; the rest is cut.
const MOST_REASON_BYTES: usize = 2_000;

/// One signal's part in the remarks of an example.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Remark {
    Edited(Box<[Span]>),
    Taken(Box<[Span]>),
    Reason(Box<str>),
}

impl Remark {
    /// What `signal` remarks, if anything.
    pub(super) fn of(signal: &Signal) -> Option<Arc<Self>> {
        let spans = || (!signal.spans.is_empty()).then(|| signal.spans.as_slice().into());
        let remark = match signal.kind {
            SignalKind::Edit => Self::Edited(spans()?),
            SignalKind::Copy | SignalKind::Highlight => Self::Taken(spans()?),
            SignalKind::Comment | SignalKind::Rating | SignalKind::ThumbsUp | SignalKind::ThumbsDown => {
                let text = signal.text.as_deref().map(str::trim).filter(|text| !text.is_empty())?;
                Self::Reason(text[..text.floor_char_boundary(MOST_REASON_BYTES)].into())
            }
            _ => return None,
        };
        Some(Arc::new(remark))
    }
}

/// Whether signals of `kind` can remark something.
pub(super) const fn can_remark(kind: &SignalKind) -> bool {
    matches!(
        kind,
        SignalKind::Edit
            | SignalKind::Copy
            | SignalKind::Highlight
            | SignalKind::Comment
            | SignalKind::Rating
            | SignalKind::ThumbsUp
            | SignalKind::ThumbsDown
    )
}

/// All remarks in `votes` that stand, oldest first whatever the order of arrival: other than labels, they add up.
pub(super) fn remarks(votes: &[Vote]) -> Remarks {
    let mut standing: Vec<&Vote> = votes.iter().filter(|vote| !vote.is_retracted && vote.remark.is_some()).collect();
    standing.sort_by(|a, b| if a.is_later_than(b) { std::cmp::Ordering::Greater } else { std::cmp::Ordering::Less });
    let mut all = Remarks::default();
    for remark in standing.iter().filter_map(|vote| vote.remark.as_deref()) {
        match remark {
            Remark::Edited(spans) => all.edited.extend_from_slice(spans),
            Remark::Taken(spans) => all.taken.extend_from_slice(spans),
            Remark::Reason(text) => all.reasons.push(text.to_string()),
        }
    }
    all
}

/// `remarks` within a response of `length` characters.
pub(super) fn within(remarks: &Remarks, length: u32) -> Remarks {
    let clip = |spans: &[Span]| -> Vec<Span> {
        let clipped = spans.iter().map(|span| Span { start: span.start, end: span.end.min(length) });
        clipped.filter(|span| span.start < span.end).collect()
    };
    Remarks { edited: clip(&remarks.edited), taken: clip(&remarks.taken), reasons: remarks.reasons.clone() }
}
