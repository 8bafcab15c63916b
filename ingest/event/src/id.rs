//! Typed ids. Every id is 1–128 bytes of printable ASCII without spaces, so that it can be a log key and
//! an HTTP header without escaping. Ids that also name a directory ([`PolicyId`], [`CheckpointId`]) are
//! stricter: letters, digits, `.`, `_` and `-`, the first of which is no `.`.

use rand::RngCore;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Longest id accepted, in bytes.
const MAX_ID_BYTES: usize = 128;

/// Why a string is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Empty, or longer than 128 bytes.
    #[error("length must be 1 to {MAX_ID_BYTES} bytes, got {0}")]
    Length(usize),
    /// A byte outside `!`..=`~`.
    #[error("only printable ASCII without spaces is allowed, got {0:?}")]
    Character(char),
    /// In the name of a directory: a byte that is no letter, digit, `.`, `_` or `-`, or a `.` at the
    /// beginning.
    #[error("names a directory: only letters, digits, `_`, `-` and, not first, `.` are allowed, got {0:?}")]
    FileName(char),
}

fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() || text.len() > MAX_ID_BYTES {
        return Err(IdError::Length(text.len()));
    }
    match text.chars().find(|c| !c.is_ascii_graphic()) {
        Some(bad) => Err(IdError::Character(bad)),
        None => Ok(()),
    }
}

/// Of what can be joined to a path: no separator, and neither hidden nor a way up.
fn check_file_name(text: &str) -> Result<(), IdError> {
    check(text)?;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    match text.chars().find(|c| !is_allowed(*c)) {
        Some(bad) => Err(IdError::FileName(bad)),
        None if text.starts_with('.') => Err(IdError::FileName('.')),
        None => Ok(()),
    }
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident) => {
        id_type!($(#[$doc])* $name, check, "^[!-~]+$");
    };
    ($(#[$doc:meta])* $name:ident, $check:ident, $pattern:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(extend("minLength" = 1, "maxLength" = MAX_ID_BYTES, "pattern" = $pattern))]
        pub struct $name(String);

        impl $name {
            /// Checks and wraps `text`.
            ///
            /// # Errors
            /// Fails when `text` is empty, longer than 128 bytes, or has a character that is not allowed.
            pub fn new(text: impl Into<String>) -> Result<Self, IdError> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

macro_rules! time_ordered {
    ($($name:ident),*) => {$(
        impl $name {
            /// A new UUIDv7: time-ordered to the millisecond, the rest from `rng`.
            pub fn generate(now: Timestamp, rng: &mut impl RngCore) -> Self {
                let mut random = [0_u8; 10];
                rng.fill_bytes(&mut random);
                let millis = u64::try_from(now.as_millis()).unwrap_or(0);
                let uuid = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
                Self(uuid.to_string())
            }
        }
    )*};
}

id_type!(
    /// Names one [`Exposure`](crate::Exposure).
    ExposureId
);
id_type!(
    /// Names one [`Signal`](crate::Signal): its idempotency key.
    SignalId
);
id_type!(
    /// Names who is randomised: a user, session or conversation.
    UnitId
);
id_type!(
    /// Names one immutable policy checkpoint, and its directory; never reused.
    PolicyId,
    check_file_name,
    "^[A-Za-z0-9_-][A-Za-z0-9._-]*$"
);
id_type!(
    /// Names one immutable checkpoint of any model, and its directory.
    CheckpointId,
    check_file_name,
    "^[A-Za-z0-9_-][A-Za-z0-9._-]*$"
);
id_type!(
    /// Names a layer: experiments of one layer exclude each other.
    LayerId
);
id_type!(
    /// Names an experiment.
    ExperimentId
);
id_type!(
    /// Names a variant of an experiment, such as `control`.
    VariantId
);
time_ordered!(ExposureId, SignalId);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seed;

    #[test]
    fn generated_ids_sort_by_time() {
        let mut rng = Seed::new(1).stream("ids");
        let early = ExposureId::generate(Timestamp::from_millis(1_000), &mut rng);
        let late = ExposureId::generate(Timestamp::from_millis(2_000), &mut rng);
        assert!(early < late);
        assert_eq!(early.as_str().as_bytes()[14], b'7', "UUID version 7");
    }

    #[test]
    fn bad_ids_are_refused_with_the_reason() {
        assert_eq!(UnitId::new(""), Err(IdError::Length(0)));
        assert_eq!(UnitId::new("a b"), Err(IdError::Character(' ')));
        assert_eq!(UnitId::new("é"), Err(IdError::Character('é')));
        assert_eq!(UnitId::new("x".repeat(129)), Err(IdError::Length(129)));
        assert!(UnitId::new("x".repeat(128)).is_ok());
        let parsed: Result<UnitId, _> = serde_json::from_str("\"a b\"");
        assert!(parsed.is_err());
    }

    #[test]
    fn ids_that_name_a_directory_stay_in_theirs() {
        for (bad, found) in [("..", '.'), (".hidden", '.'), ("../x", '/'), ("a/b", '/'), ("a\\b", '\\'), ("a:b", ':')] {
            assert_eq!(PolicyId::new(bad), Err(IdError::FileName(found)), "{bad}");
            assert_eq!(CheckpointId::new(bad), Err(IdError::FileName(found)), "{bad}");
            assert!(UnitId::new(bad).is_ok(), "{bad}");
        }
        for good in ["gen-1", "a..b", "v1.2_x", "-"] {
            assert!(PolicyId::new(good).is_ok() && CheckpointId::new(good).is_ok(), "{good}");
        }
        assert_eq!(PolicyId::new(""), Err(IdError::Length(0)));
        assert_eq!(PolicyId::new("é"), Err(IdError::Character('é')));
        let told = PolicyId::new("a/b").unwrap_err().to_string();
        assert_eq!(told, "names a directory: only letters, digits, `_`, `-` and, not first, `.` are allowed, got '/'");
    }
}
