//! Making a store again from its log.

use std::sync::Arc;

use super::sqlite::FORMAT;
use super::{EventStore, SqliteStore, locate, open};
use crate::location::Location;
use crate::sqlite::Succession;
use crate::{Config, Error};

/// A store that is being made again.
///
/// An SQLite store is made in a file beside the old one, which serves as long as the new one is not whole; a rebuild that
/// was killed goes on with the file that it left. What is in its place and is no store at all is kept, as `NAME.unknown`. Any other store is emptied first, and filled again by whoever comes
/// next, this call or the server.
pub struct Rebuild {
    store: Arc<dyn EventStore>,
    succession: Option<Succession>,
}

impl Rebuild {
    /// Begins to make the store at `location` again.
    ///
    /// # Errors
    /// Fails when the store is in use, or cannot be emptied or made.
    pub async fn begin(location: &str, config: &Config) -> Result<Self, Error> {
        if let Location::Sqlite(path) = locate(location)? {
            let succession = Succession::begin(path, &FORMAT)?;
            let store = match SqliteStore::open(succession.new_file()) {
                Ok(store) => store,
                // What a rebuild left that was killed, and nobody's data.
                Err(error) if error.kind() == crate::ErrorKind::Data => {
                    succession.start_over()?;
                    SqliteStore::open(succession.new_file())?
                }
                Err(error) => return Err(error),
            };
            return Ok(Self { store: Arc::new(store), succession: Some(succession) });
        }
        let store = open(location, config)?;
        store.clear().await?;
        Ok(Self { store, succession: None })
    }

    /// Throws away what a rebuild before has left, because it is of another log.
    ///
    /// # Errors
    /// Fails when it cannot be emptied.
    pub async fn start_over(&mut self) -> Result<(), Error> {
        self.store.clear().await
    }

    /// The store to fill.
    #[must_use]
    pub fn store(&self) -> Arc<dyn EventStore> {
        Arc::clone(&self.store)
    }

    /// Puts the new store in the place of the old one. Whoever was given it must have let go of it.
    ///
    /// # Errors
    /// Fails when the file system refuses; the old store is then still in its place.
    pub fn finish(self) -> Result<(), Error> {
        drop(self.store);
        self.succession.map_or(Ok(()), Succession::finish)
    }
}
