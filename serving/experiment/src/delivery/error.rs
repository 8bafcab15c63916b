//! What the machine does not accept.

use super::State;

/// An event that has no meaning in this state; nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{event}` is not possible in state {state}: {reason}")]
pub struct Illegal {
    /// The event.
    pub event: &'static str,
    /// Where the candidate stands.
    pub state: State,
    /// Why not.
    pub reason: &'static str,
}
