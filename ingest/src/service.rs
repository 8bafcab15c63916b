//! The loops around the pure parts: attribution (log → examples) and the sink (log → store).
//!
//! Both can be killed at any moment. They hold nothing that the log and the store do not hold: what
//! they have done is read back from their own output.

mod again;
mod attribution;
mod sink;
mod stretch;
mod workers;

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;

use crate::{Error, ErrorKind};

pub use again::examples_again;
pub use attribution::{Attributed, AttributionService};
pub use sink::{Sinked, StoreSink};
pub use stretch::{Bound, Compared, Copied, Stretch, compare, copy_stretch};
pub use workers::{Workers, copy_all};

/// Longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Something that catches up with the log again and again.
trait CatchUp: Send {
    const NAME: &'static str;
    fn step(&mut self) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Steps every `poll` until `shutdown` says true or its sender is gone. What is unavailable is tried
/// again, ever more slowly; every other error ends the loop.
async fn run(service: &mut impl CatchUp, poll: Duration, mut shutdown: watch::Receiver<bool>) -> Result<(), Error> {
    let mut pause = poll;
    loop {
        match service.step().await {
            Ok(()) => pause = poll,
            Err(error) if error.kind() == ErrorKind::Unavailable => {
                pause = (pause * 2).min(LONGEST_PAUSE);
                let source = std::error::Error::source(&error).map(ToString::to_string);
                tracing::warn!(service = name(service), error = %error, source, "service waits");
            }
            Err(error) => return Err(error),
        }
        tokio::select! {
            _ = shutdown.wait_for(|is_over| *is_over) => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

fn name<S: CatchUp>(_: &S) -> &'static str {
    S::NAME
}
