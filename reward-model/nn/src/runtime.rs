//! Threads that compute on their own cores only.
//!
//! Matrix products and the operations of this crate split over the rayon pool of the calling thread,
//! which [`pinned_pool`] gives it. candle's own element-wise operations do not: from 64 Ki elements on
//! they go to one process-wide pool of workers that wait by spinning, behind one lock. With several
//! model threads, or other work on the machine, that wastes most of the processor. The environment
//! variable `CANDLE_NUM_THREADS=1`, set before the first such operation, leaves that pool without
//! workers; [`spinning_workers`] tells whether it took effect.

use std::thread::JoinHandle;

use crate::Error;

/// Runs `work` on a new operating-system thread called `name` inside its own pool of `threads`
/// rayon workers, and returns the handle to join.
///
/// candle and gemm split work over the rayon pool of the calling thread. Without an own pool every
/// model thread of a process would use the one global pool and thereby all cores: a trainer would
/// steal the cores of the decoder that answers users.
///
/// # Errors
/// Fails when `threads` is 0 or the system refuses a thread.
pub fn pinned_pool<T, F>(name: &str, threads: usize, work: F) -> Result<JoinHandle<T>, Error>
where
    T: Send + 'static,
    F: FnOnce() -> T + Send + 'static,
{
    if threads == 0 {
        return Err(Error::invalid("threads", "must be at least 1, got 0"));
    }
    let prefix = name.to_owned();
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(move |worker| format!("{prefix}-{worker}"))
        .build()
        .map_err(|error| Error::invalid("threads", format!("cannot be started: {error}")))?;
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || pool.install(work))
        .map_err(|error| Error::invalid("threads", format!("cannot be started: {error}")))
}

/// How many workers candle's process-wide pool has; see the module's text. Starts them if need be.
#[must_use]
pub fn spinning_workers() -> usize {
    candle_core::utils::barrier_pool().n_workers()
}
