//! The small candle toolkit shared by the reward model and the policies.
//!
//! Everything here is deterministic on the CPU: parameters live in an ordered map, initial values come
//! from a named [`Stream`](plaudit_event::Stream), and the optimiser's state can be saved and restored
//! bit for bit.

mod activations;
pub mod bert;
pub mod checkpoint;
pub mod decoder;
pub mod device;
mod error;
pub mod generate;
mod init;
pub mod lora;
pub mod loss;
pub mod ops;
pub mod optim;
mod params;
pub mod pieces;
pub mod runtime;
pub mod schedule;
pub mod tokenizer;
mod weights;

pub use activations::Activations;
pub use error::{Error, describe};
pub use init::{constant, normal, ones, uniform, zeros};
pub use params::{INDEX_FILE, Params, WEIGHTS_FILE, weight_files};
pub use weights::Precision;
