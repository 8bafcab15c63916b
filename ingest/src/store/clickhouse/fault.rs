//! What went wrong at the server, and what to do about it.

use clickhouse::error::Error as Fault;

use crate::{Error, ErrorKind};

/// The table or database is not there: the schema is to be made again.
pub(super) const MISSING: [u32; 2] = [60, 81];

/// Codes of what passes: the network, load, memory, disk, replicas, the keeper, timeouts.
const PASSING: [u32; 28] = [
    3, 159, 160, 164, 201, 202, 203, 209, 210, 225, 230, 236, 241, 242, 243, 252, 279, 285, 286, 289, 319, 394, 425,
    439, 473, 745, 999, 1000,
];
/// Codes of a wrong address, user, password or right, or of a cluster that the server does not know.
const SETUP: [u32; 8] = [170, 192, 193, 194, 291, 497, 516, 701];
/// Codes of damaged parts.
const DAMAGED: [u32; 8] = [33, 40, 86, 228, 229, 232, 233, 246];

/// An error at `address` while trying to `action`.
///
/// Only the code and the name of an exception are kept: the rest of its text may quote what users wrote.
pub(super) fn error(action: &'static str, address: &str, fault: &Fault) -> Error {
    let (kind, detail) = match fault {
        Fault::BadResponse(text) => match code(text) {
            Some(code) => (kind(code), format!("exception {code} {}", name(text)).trim_end().to_owned()),
            // Not from the server itself: from a proxy, or one that is on its way up or down.
            None => (ErrorKind::Unavailable, "no answer of a ClickHouse server".to_owned()),
        },
        Fault::Network(_) => (ErrorKind::Unavailable, root(fault)),
        Fault::TimedOut => return timeout(action, address),
        Fault::InvalidParams(_) | Fault::Unsupported(_) => (ErrorKind::Invalid, fault.to_string()),
        Fault::SchemaMismatch(_) | Fault::InvalidColumnsHeader(_) => (ErrorKind::Data, "columns differ".to_owned()),
        // A response that was cut off.
        Fault::NotEnoughData | Fault::Decompression(_) => (ErrorKind::Unavailable, fault.to_string()),
        _ => (ErrorKind::Internal, "the answer cannot be read".to_owned()),
    };
    Error::ClickHouse { action, address: address.to_owned(), detail, kind }
}

/// The server did not answer in time.
pub(super) fn timeout(action: &'static str, address: &str) -> Error {
    let detail = "no answer in time".to_owned();
    Error::ClickHouse { action, address: address.to_owned(), detail, kind: ErrorKind::Unavailable }
}

/// The number in `Code: 60. DB::Exception: …`.
pub(super) fn code(text: &str) -> Option<u32> {
    let digits = text.split_once("Code: ")?.1;
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().ok()
}

/// The name at the end of an exception, such as `(UNKNOWN_TABLE)`.
fn name(text: &str) -> &str {
    let is_name =
        |word: &&str| word.len() > 2 && word.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    text.rsplit(['(', ')']).find(is_name).unwrap_or_default()
}

fn kind(code: u32) -> ErrorKind {
    match code {
        _ if PASSING.contains(&code) || MISSING.contains(&code) => ErrorKind::Unavailable,
        _ if SETUP.contains(&code) => ErrorKind::Invalid,
        _ if DAMAGED.contains(&code) => ErrorKind::Data,
        _ => ErrorKind::Internal,
    }
}

/// The text of the innermost cause.
fn root(fault: &Fault) -> String {
    let mut cause: &dyn std::error::Error = fault;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Error {
        error("write", "clickhouse://h/d", &Fault::BadResponse(text.to_owned()))
    }

    #[test]
    fn what_an_exception_means_is_told_by_its_code_and_its_text_is_left_out() {
        let cases = [
            ("Code: 60. DB::Exception: Table x does not exist. (UNKNOWN_TABLE) (version 26.1)", ErrorKind::Unavailable),
            ("Code: 241. DB::Exception: (total) memory: 'my secret' (MEMORY_LIMIT_EXCEEDED)", ErrorKind::Unavailable),
            ("Code: 516. DB::Exception: my secret: Authentication failed (AUTHENTICATION_FAILED)", ErrorKind::Invalid),
            ("Code: 40. DB::Exception: my secret (CHECKSUM_DOESNT_MATCH)", ErrorKind::Data),
            ("Code: 62. DB::Exception: at 'my secret' (SYNTAX_ERROR)", ErrorKind::Internal),
            ("<html>502 my secret</html>", ErrorKind::Unavailable),
        ];
        for (text, kind) in cases {
            let error = of(text);
            assert_eq!(error.kind(), kind, "{text}");
            assert!(!format!("{error:?}").contains("secret"), "{error}");
        }
        let text = of(cases[0].0).to_string();
        assert_eq!(text, "failed to write in `clickhouse://h/d`: exception 60 UNKNOWN_TABLE");
    }
}
