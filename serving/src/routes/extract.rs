//! Reading requests: bodies with a limit and field paths, headers that are ids.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, HeaderValue, header};
use serde::de::DeserializeOwned;

use crate::Error;

/// Reads a JSON body of at most `limit` bytes.
///
/// # Errors
/// 413 above the limit; 400 on another media type, on what is not JSON, and on a field of the wrong
/// shape, naming its path.
pub(super) async fn json<T: DeserializeOwned>(headers: &HeaderMap, body: Body, limit: usize) -> Result<T, Error> {
    if let Some(media_type) = headers.get(header::CONTENT_TYPE)
        && !is_json(media_type)
    {
        let reason = "the body must be JSON: send `content-type: application/json`";
        return Err(Error::Malformed(reason.to_owned()));
    }
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > limit) {
        return Err(Error::TooLarge { limit });
    }
    let bytes = to_bytes(body, limit).await.map_err(|error| body_error(&error, limit))?;
    let mut deserializer = serde_json::Deserializer::from_slice(&bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| shape_error(&error))?;
    deserializer.end().map_err(|error| Error::Malformed(format!("the body is not JSON: {error}")))?;
    Ok(value)
}

fn is_json(media_type: &HeaderValue) -> bool {
    let essence = media_type.to_str().unwrap_or("").split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/json") || essence.ends_with("+json")
}

fn body_error(error: &axum::Error, limit: usize) -> Error {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if cause.is::<http_body_util::LengthLimitError>() {
            return Error::TooLarge { limit };
        }
        source = cause.source();
    }
    Error::Malformed("the body ended early".to_owned())
}

fn shape_error(error: &serde_path_to_error::Error<serde_json::Error>) -> Error {
    let inner = error.inner();
    if inner.is_syntax() || inner.is_eof() {
        return Error::Malformed(format!("the body is not JSON: {inner}"));
    }
    let path = error.path().to_string();
    // At the root the message itself names the missing field.
    let field = if path == "." { missing_field(&inner.to_string()).unwrap_or("body".to_owned()) } else { path };
    Error::invalid(field, format!("has the wrong shape: {inner}"))
}

fn missing_field(message: &str) -> Option<String> {
    let rest = message.strip_prefix("missing field `")?;
    rest.split('`').next().map(str::to_owned)
}

/// A header as text, when it is there.
///
/// # Errors
/// Fails on bytes that are not visible ASCII.
pub(super) fn header<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<Option<&'a str>, Error> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Error::invalid(name, "must be visible ASCII"))?;
    Ok(Some(text))
}
