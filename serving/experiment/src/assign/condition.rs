//! Targeting conditions: the JSON language of GrowthBook's published SDK specification.
//!
//! A condition is parsed once into a tree and evaluated against a JSON object of attributes without allocating
//! (a regular expression allocates once per thread). `{"country": "US", "age": {"$gte": 18}}` holds when every entry
//! does; `$and`, `$or`, `$nor` and `$not` combine conditions, `$savedGroup` refers to [`Groups`].
//!
//! The language never converts between types: `"5"` is not 5, and no order is defined between a text and a number.
//! A missing attribute is null. Texts are compared by UTF-16 code units, regular expressions are those of the crate
//! `regex` (no look-around, no back-references).
//!
//! Where an unknown operator or kind of group decides, nobody passes, not even under `$not`: whoever wrote the
//! condition meant something that is not understood here. [`Condition::parse`] refuses such a condition; the lenient
//! [`Condition::read`] is for definitions of others.

mod constant;
mod eval;
mod group;
mod members;
mod number;
mod parse;
mod prune;
mod value;
mod version;

use regex::Regex;
use serde_json::Value;

pub use group::{Group, Groups};
pub use prune::{Pruned, prune};

pub(super) use eval::REMOTE_GROUPS;
pub(super) use number::js_text;

use members::Members;
use version::Version;

/// Why a condition is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct ConditionError {
    /// Where in the condition, such as `$or[1].age.$gt`.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// A parsed condition on one JSON object: every clause must hold.
#[derive(Debug, Clone, Default)]
pub struct Condition {
    clauses: Vec<Clause>,
    /// The value is null where a condition must be: evaluation stops here, and nobody passes.
    is_broken: bool,
}

#[derive(Debug, Clone)]
enum Clause {
    All(Vec<Condition>),
    /// Holds also when empty.
    Any(Vec<Condition>),
    None(Vec<Condition>),
    Not(Condition),
    Group {
        id: String,
        attribute: Option<Path>,
    },
    Field {
        path: Path,
        test: Test,
    },
    Never,
    /// Null where a list or a condition must be.
    Broken,
}

/// A dotted path to an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Path(Vec<String>);

/// What is asked of one value.
#[derive(Debug, Clone)]
enum Test {
    /// The same JSON value; for null also a missing one.
    Is(Value),
    /// All of these.
    Operators(Vec<Operator>),
}

#[derive(Debug, Clone)]
enum Operator {
    Equal(Value),
    NotEqual(Value),
    Order { accepts: Accepts, than: Value },
    Version { accepts: Accepts, than: Version },
    NotVersion(Version),
    Member { of: Members, fold: bool, negate: bool },
    Contains { all: Vec<Test>, fold: bool },
    Exists(bool),
    Type(String),
    Matches { pattern: Regex, negate: bool },
    Size(Test),
    AnyElement(Element),
    Not(Test),
    InGroup(String),
    NotInGroup(String),
    Never,
    Always,
    Unknown,
}

/// Which orders an operator accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Accepts {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

/// What `$elemMatch` asks of an element.
#[derive(Debug, Clone)]
enum Element {
    Value(Test),
    Fields(Condition),
}

#[cfg(test)]
mod tests;
