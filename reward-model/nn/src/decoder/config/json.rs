//! `config.json` to and from [`Config`].

use std::path::Path;

use serde_json::Value;

use super::{Config, Family, RopeScaling};
use crate::Error;

impl Config {
    /// Reads `config.json` text; `path` is named in errors.
    ///
    /// Keys that do not change what is computed are ignored. The numbers of the rotary embedding are
    /// read from `rope_parameters` where newer writers put them. A model that needs a feature this
    /// decoder lacks (another activation or family, windows of attention) is refused.
    ///
    /// # Errors
    /// Fails when the text is no configuration, a field is outside its range, or a feature is missing.
    pub fn from_json(text: &str, path: &Path) -> Result<Self, Error> {
        let corrupt = |error: serde_json::Error| Error::corrupt(path, error.to_string());
        let mut value: Value = serde_json::from_str(text).map_err(corrupt)?;
        if !value.is_object() {
            return Err(Error::corrupt(path, "must be a JSON object"));
        }
        refuse_unsupported(&value, path)?;
        let family = family(&value, path)?;
        let mut rope_scaling = None;
        for key in ["rope_scaling", "rope_parameters"] {
            let (theta, scaling) = rope(&value, key, path)?;
            if let Some(theta) = theta {
                value["rope_theta"] = theta;
            }
            rope_scaling = scaling.or(rope_scaling);
        }
        if value.get("num_key_value_heads").is_none_or(Value::is_null) {
            // Checkpoints from before grouped-query attention.
            value["num_key_value_heads"] = value["num_attention_heads"].clone();
        }
        let read: Self = serde_json::from_value(value).map_err(corrupt)?;
        let mut config = Self { family, rope_scaling, ..read };
        let usual = config.hidden.checked_div(config.heads);
        if family == Family::Qwen3 {
            config.head_dim = config.head_dim.or(Some(128));
        } else if config.head_dim == usual {
            config.head_dim = None;
        }
        config.validate()?;
        Ok(config)
    }

    /// The text of `config.json`; equal configurations give equal texts.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut value = serde_json::to_value(self).expect("numbers and flags always serialise");
        let (model_type, architecture) = self.family.names();
        if self.family == Family::Qwen3 {
            value["head_dim"] = Value::from(self.heads().head_dim);
        }
        if let Some(scaling) = self.rope_scaling {
            value["rope_scaling"] = serde_json::to_value(scaling).expect("numbers always serialise");
        }
        value["architectures"] = Value::from(vec![architecture]);
        value["model_type"] = Value::from(model_type);
        value["hidden_act"] = Value::from("silu");
        format!("{value:#}\n")
    }
}

/// By `model_type`, or by `architectures` where that is missing.
fn family(value: &Value, path: &Path) -> Result<Family, Error> {
    let model_type = value.get("model_type").and_then(Value::as_str);
    let architecture = value.get("architectures").and_then(|list| list.get(0)).and_then(Value::as_str);
    let (Some(found), by_type) = (model_type.or(architecture), model_type.is_some()) else {
        return Ok(Family::Llama);
    };
    let name = |family: &Family| if by_type { family.names().0 } else { family.names().1 };
    Family::ALL.into_iter().find(|family| name(family) == found).ok_or_else(|| {
        let names = Family::ALL.each_ref().map(name).join(", ");
        Error::corrupt(path, format!("`model_type` must be one of {names}, got \"{found}\""))
    })
}

fn refuse_unsupported(value: &Value, path: &Path) -> Result<(), Error> {
    let activation = value.get("hidden_act").and_then(Value::as_str).unwrap_or("silu");
    if activation != "silu" {
        return Err(Error::corrupt(path, format!("`hidden_act` must be \"silu\", got \"{activation}\"")));
    }
    for key in ["mlp_bias", "use_sliding_window"] {
        if value.get(key).and_then(Value::as_bool) == Some(true) {
            return Err(Error::corrupt(path, format!("`{key}` is not supported")));
        }
    }
    let kinds = value.get("layer_types").and_then(Value::as_array);
    if let Some(kind) = kinds.into_iter().flatten().find(|kind| *kind != "full_attention") {
        return Err(Error::corrupt(path, format!("`layer_types` must be \"full_attention\", got {kind}")));
    }
    Ok(())
}

/// Base and scaling of the rotary frequencies in the object `key`, which goes before the key beside it.
fn rope(value: &Value, key: &str, path: &Path) -> Result<(Option<Value>, Option<RopeScaling>), Error> {
    let Some(found) = value.get(key).filter(|found| !found.is_null()) else {
        return Ok((None, None));
    };
    let Some(object) = found.as_object() else {
        return Err(Error::corrupt(path, format!("`{key}` must be an object, got {found}")));
    };
    let mut rest = object.clone();
    let theta = rest.remove("rope_theta");
    // `type` is the name of old writers.
    let old = rest.remove("type");
    let kind = rest.remove("rope_type").or(old).unwrap_or_else(|| Value::from("default"));
    if kind == "default" {
        return match rest.into_iter().next() {
            None => Ok((theta, None)),
            Some((name, number)) => {
                Err(Error::corrupt(path, format!("`{key}` with `{name}` {number} is not supported")))
            }
        };
    }
    if kind != "linear" && kind != "llama3" {
        return Err(Error::corrupt(path, format!("`{key}` with `rope_type` {kind} is not supported")));
    }
    rest.insert("rope_type".to_owned(), kind);
    let scaling = serde_json::from_value(Value::Object(rest));
    let scaling = scaling.map_err(|error| Error::corrupt(path, format!("`{key}`: {error}")))?;
    Ok((theta, Some(scaling)))
}
