//! Public data sets turned into Plaudit events.
//!
//! The data stay where they are: every reader takes the directory that holds the sets, one folder
//! each, and yields events in the order in which the product would have received them, or plain pairs ([`pairs`]).

pub mod convai;
mod error;
mod files;
pub mod pairs;
mod time;
pub mod upworthy;

pub use error::Error;

/// Which part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// To learn from.
    Train,
    /// To be judged on.
    Test,
}

impl Split {
    /// Its name in those of files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Test => "test",
        }
    }
}
