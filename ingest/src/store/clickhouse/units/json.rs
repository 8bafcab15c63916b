//! Attributes in SQL, with the meaning that they have as JSON.

use serde_json::Value;

use super::sql::quoted;

/// Whether the attribute `name` is `value`.
pub(super) fn equals(name: &str, value: &Value) -> String {
    let name = quoted(name);
    let of = |kinds: &str, found: &str, wanted: &str| {
        format!("(JSONType(attributes, {name}) IN ({kinds}) AND {found}(attributes, {name}) = {wanted})")
    };
    match value {
        Value::String(text) => of("'String'", "JSONExtractString", &quoted(text)),
        Value::Bool(flag) => of("'Bool'", "JSONExtractBool", if *flag { "1" } else { "0" }),
        Value::Number(number) if number.is_i64() => of("'Int64', 'UInt64'", "JSONExtractInt", &number.to_string()),
        Value::Number(number) if number.is_u64() => of("'Int64', 'UInt64'", "JSONExtractUInt", &number.to_string()),
        Value::Number(number) => {
            of("'Double'", "JSONExtractFloat", &format!("toFloat64({})", quoted(&number.to_string())))
        }
        Value::Null => format!("(JSONHas(attributes, {name}) AND JSONType(attributes, {name}) = 'Null')"),
        other => format!("(JSONExtractRaw(attributes, {name}) = {})", quoted(&other.to_string())),
    }
}

/// The attribute `name` as a number, or nothing.
pub(super) fn number(name: &str) -> String {
    let name = quoted(name);
    format!(
        "if(JSONType(attributes, {name}) IN ('Int64', 'UInt64', 'Double'),
            toNullable(JSONExtractFloat(attributes, {name})), NULL)"
    )
}

/// The place of the attribute `name` among `values`, or their number.
pub(super) fn place(name: &str, values: &[String]) -> String {
    let name = quoted(name);
    let text = format!(
        "if(JSONType(attributes, {name}) = 'String', JSONExtractString(attributes, {name}), JSONExtractRaw(attributes, {name}))"
    );
    // An absent attribute is an empty text here, and no value.
    let known: Vec<String> = values.iter().map(|value| quoted(value)).collect();
    let places: Vec<String> = (0..values.len()).map(|place| place.to_string()).collect();
    let others = values.len();
    format!(
        "toUInt16(if(JSONHas(attributes, {name}), transform({text}, [{}], [{}], {others}), {others}))",
        known.join(", "),
        places.join(", ")
    )
}
