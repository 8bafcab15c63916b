//! Where a row comes from, also as one number.

use super::Batch;
use crate::Error;

/// Bits of the number of a place that hold the offset; those above hold the shard.
const OFFSET_BITS: u32 = 40;
/// Most shards of a log that a store copies.
const SHARDS: u32 = 1 << 20;

/// Where a row of a topic comes from: orders the rows of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The shard of the log.
    pub shard: u32,
    /// The offset in it.
    pub offset: u64,
}

impl Place {
    /// A number in the order of places, below 2⁶⁰.
    pub(super) const fn number(self) -> u64 {
        (self.shard as u64) << OFFSET_BITS | self.offset
    }

    /// The place with that number.
    pub(super) fn of_number(number: u64) -> Self {
        let shard = u32::try_from(number >> OFFSET_BITS).expect("24 bits");
        Self { shard, offset: number & ((1 << OFFSET_BITS) - 1) }
    }
}

/// Refuses a batch with places that have no number.
pub(super) fn check(batch: &Batch) -> Result<(), Error> {
    if batch.shard < SHARDS && batch.next <= 1 << OFFSET_BITS {
        return Ok(());
    }
    Err(Error::Limit {
        what: "part of the log in a store",
        allowed: format!("shards below {SHARDS} and offsets up to {}", 1_u64 << OFFSET_BITS),
        value: format!("{} up to {}", batch.part(), batch.next),
    })
}
