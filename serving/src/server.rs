//! Listening, and stopping without cutting anybody off.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::Error;
use crate::routes::router;
use crate::state::Serving;

/// A bound socket, not yet answering.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds `address`; port 0 takes a free one.
    ///
    /// # Errors
    /// Fails when the address is in use or not ours.
    pub async fn bind(address: SocketAddr) -> Result<Self, Error> {
        let failed = |source| Error::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Answers requests and follows examples until `shutdown` resolves, then drains: no new request is taken,
/// those under way have `drain` to finish, and the model thread ends.
///
/// # Errors
/// Fails when the network does, or the model thread had died.
pub async fn serve(
    serving: Arc<Serving>,
    listener: Listener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Error> {
    let (stop, stopped) = watch::channel(false);
    let follower = tokio::spawn(Arc::clone(&serving).follow(stopped.clone()));
    tracing::info!(address = %listener.address, "serving");
    let app = router(Arc::clone(&serving));
    let mut draining = stopped.clone();
    let graceful = async move {
        // An error means that the sender is gone, which is a reason to stop too.
        let _ = draining.wait_for(|stopped| *stopped).await;
    };
    let server = axum::serve(listener.listener, app).with_graceful_shutdown(graceful);
    let mut server = std::pin::pin!(server.into_future());
    let result = tokio::select! {
        result = &mut server => result,
        () = shutdown => {
            tracing::info!("draining");
            serving.drain();
            let _ = stop.send(true);
            match tokio::time::timeout(serving.config().drain, server).await {
                Ok(result) => result,
                Err(_) => {
                    tracing::warn!("requests were still under way at the end of the drain");
                    Ok(())
                }
            }
        }
    };
    let _ = stop.send(true);
    if follower.await.is_err() {
        tracing::error!("the follower of examples ended in a panic");
    }
    serving.shutdown().await?;
    result.map_err(Error::Serve)
}
