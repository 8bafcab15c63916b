//! Where a backend is: the URIs of the configuration.

use std::path::Path;

use crate::Error;

/// A backend of this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Location<'a> {
    /// `memory:`
    Memory,
    /// `sqlite:PATH`
    Sqlite(&'a Path),
}

/// Reads `location`; `distributed` is the scheme that other builds know beside those of this one.
pub(crate) fn parse<'a>(location: &'a str, distributed: &'static str) -> Result<Location<'a>, Error> {
    match location.split_once(':') {
        Some(("memory", "")) => Ok(Location::Memory),
        Some(("sqlite", path)) if !path.is_empty() => Ok(Location::Sqlite(Path::new(path))),
        Some((scheme, _)) if scheme == distributed => {
            Err(Error::NotBuilt { location: location.to_owned(), backend: distributed })
        }
        _ => Err(Error::Location { location: location.to_owned(), allowed: "`memory:` or `sqlite:PATH`" }),
    }
}
