//! Public data sets turned into Plaudit events.
//!
//! The data stay where they are: every reader takes the directory that holds the sets, one folder
//! each, and yields events in the order in which the product would have received them.

pub mod convai;
mod error;
mod files;
mod time;
pub mod upworthy;

pub use error::Error;
