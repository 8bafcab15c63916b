//! From JSON to the tree.

use regex::RegexBuilder;
use serde_json::{Map, Value};

use super::{Accepts, Clause, Condition, ConditionError, Element, Members, Operator, Path, Test, Version};

/// Deepest nesting of a condition; deeper parts hold for nobody.
const MAX_DEPTH: usize = 64;
/// Largest compiled regular expression.
const MAX_REGEX_BYTES: usize = 1 << 20;
/// The operators on a value, for messages.
const OPERATORS: &str = "$eq $ne $lt $lte $gt $gte $in $nin $ini $nini $all $alli $exists $type $size $regex $regexi \
                         $notRegex $notRegexi $elemMatch $not $veq $vne $vlt $vlte $vgt $vgte $inGroup $notInGroup";

impl Path {
    pub(super) fn new(dotted: &str) -> Self {
        Self(dotted.split('.').map(str::to_owned).collect())
    }
}

impl Condition {
    /// Parses a condition of our own.
    ///
    /// # Errors
    /// Every part that could not be meant so: an unknown operator, a value of the wrong type, a regular expression
    /// that does not compile, nesting deeper than 64.
    pub fn parse(value: &Value) -> Result<Self, Vec<ConditionError>> {
        let mut parser = Parser::default();
        let condition = parser.condition(value);
        if parser.errors.is_empty() { Ok(condition) } else { Err(parser.errors) }
    }

    /// Reads a condition of somebody else's: parts that are not understood decide nothing, and nobody passes where
    /// they would decide.
    #[must_use]
    pub fn read(value: &Value) -> Self {
        Parser::default().condition(value)
    }
}

/// Whether every key is an operator; so has the empty object.
pub(super) fn is_operators(fields: &Map<String, Value>) -> bool {
    fields.keys().all(|key| key.starts_with('$'))
}

#[derive(Default)]
struct Parser {
    path: Vec<String>,
    errors: Vec<ConditionError>,
}

impl Parser {
    fn error(&mut self, message: impl Into<String>) {
        let path = if self.path.is_empty() { "condition".to_owned() } else { self.path.join(".") };
        self.errors.push(ConditionError { path, message: message.into() });
    }

    fn within<T>(&mut self, key: &str, parse: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(key.to_owned());
        let parsed = parse(self);
        self.path.pop();
        parsed
    }

    fn condition(&mut self, value: &Value) -> Condition {
        if self.path.len() > MAX_DEPTH {
            self.error(format!("must be nested at most {MAX_DEPTH} deep"));
            return Condition { clauses: vec![Clause::Never], is_broken: false };
        }
        let Some(fields) = value.as_object() else {
            self.error(format!("must be an object, got {value}"));
            let clauses = if value.is_null() { Vec::new() } else { vec![Clause::Never] };
            return Condition { clauses, is_broken: value.is_null() };
        };
        let clauses = fields.iter().map(|(key, value)| self.within(key, |parser| parser.clause(key, value)));
        Condition { clauses: clauses.collect(), is_broken: false }
    }

    fn clause(&mut self, key: &str, value: &Value) -> Clause {
        match key {
            "$and" => self.conditions(value).map_or_else(|clause| clause, Clause::All),
            "$or" => self.conditions(value).map_or_else(|clause| clause, Clause::Any),
            "$nor" => self.conditions(value).map_or_else(|clause| clause, Clause::None),
            "$not" => match value {
                Value::Object(_) => Clause::Not(self.condition(value)),
                _ => self.wrong("a condition", value),
            },
            "$savedGroup" => self.group(value),
            "$savedGroups" => self.wrong("written as `$savedGroup`", value),
            _ => {
                // GrowthBook's own example has an attribute `$groups`; other such names are slips.
                if key.starts_with('$') && key != "$groups" {
                    self.error("no operator between conditions is called so: $and, $or, $nor, $not, $savedGroup");
                }
                Clause::Field { path: Path::new(key), test: self.test(value) }
            }
        }
    }

    fn wrong(&mut self, expected: &str, value: &Value) -> Clause {
        self.error(format!("must be {expected}, got {value}"));
        if value.is_null() { Clause::Broken } else { Clause::Never }
    }

    fn conditions(&mut self, value: &Value) -> Result<Vec<Condition>, Clause> {
        let Some(items) = value.as_array() else {
            return Err(self.wrong("a list of conditions", value));
        };
        let parse = |(index, item): (usize, &Value)| self.within(&index.to_string(), |parser| parser.condition(item));
        Ok(items.iter().enumerate().map(parse).collect())
    }

    fn group(&mut self, value: &Value) -> Clause {
        let attribute = match value.get("attributeKey") {
            None => None,
            Some(Value::String(key)) => Some(Path::new(key)),
            Some(other) => {
                self.error(format!("`attributeKey` must be a text, got {other}"));
                return Clause::Never;
            }
        };
        match value.get("id") {
            Some(Value::String(id)) => Clause::Group { id: id.clone(), attribute },
            _ => {
                self.error(format!("must be an object with the `id` of a group, got {value}"));
                Clause::Never
            }
        }
    }

    fn test(&mut self, value: &Value) -> Test {
        match value {
            Value::Object(fields) if is_operators(fields) => {
                let parse = |(key, value): (&String, &Value)| {
                    self.within(key, |parser| {
                        if parser.path.len() > MAX_DEPTH {
                            parser.error(format!("must be nested at most {MAX_DEPTH} deep"));
                            return Operator::Never;
                        }
                        parser.operator(key, value)
                    })
                };
                Test::Operators(fields.iter().map(parse).collect())
            }
            _ => Test::Is(value.clone()),
        }
    }

    fn operator(&mut self, key: &str, value: &Value) -> Operator {
        let value = || value.clone();
        match key {
            "$eq" => Operator::Equal(self.scalar(value())),
            "$ne" => Operator::NotEqual(self.scalar(value())),
            "$lt" => self.order(Accepts::Less, value()),
            "$lte" => self.order(Accepts::LessOrEqual, value()),
            "$gt" => self.order(Accepts::Greater, value()),
            "$gte" => self.order(Accepts::GreaterOrEqual, value()),
            "$veq" => Operator::Version { accepts: Accepts::Equal, than: self.version(value()) },
            "$vne" => Operator::NotVersion(self.version(value())),
            "$vlt" => Operator::Version { accepts: Accepts::Less, than: self.version(value()) },
            "$vlte" => Operator::Version { accepts: Accepts::LessOrEqual, than: self.version(value()) },
            "$vgt" => Operator::Version { accepts: Accepts::Greater, than: self.version(value()) },
            "$vgte" => Operator::Version { accepts: Accepts::GreaterOrEqual, than: self.version(value()) },
            "$in" | "$nin" | "$ini" | "$nini" => self.member(key, value()),
            "$all" | "$alli" => self.contains(key == "$alli", value()),
            "$exists" => self.exists(value()),
            "$regex" | "$regexi" | "$notRegex" | "$notRegexi" => self.regex(key, value()),
            "$size" => Operator::Size(self.test(&value())),
            "$elemMatch" => self.element(value()),
            "$not" => Operator::Not(self.test(&value())),
            "$type" => self.text(value()).map_or(Operator::Never, Operator::Type),
            "$inGroup" => self.text(value()).map_or(Operator::Never, Operator::InGroup),
            "$notInGroup" => self.text(value()).map_or(Operator::Never, Operator::NotInGroup),
            "$and" | "$or" | "$nor" | "$savedGroup" | "$savedGroups" => {
                self.error("belongs between conditions, not on a value");
                Operator::Never
            }
            _ => {
                self.error(format!("unknown operator `{key}`, must be one of {OPERATORS}"));
                Operator::Unknown
            }
        }
    }

    fn scalar(&mut self, value: Value) -> Value {
        if value.is_array() || value.is_object() {
            self.error(format!("must be a text, a number, true, false or null, got {value}"));
        }
        value
    }

    fn order(&mut self, accepts: Accepts, than: Value) -> Operator {
        if !than.is_string() && !than.is_number() {
            self.error(format!("must be a text or a number, got {than}"));
        }
        Operator::Order { accepts, than }
    }

    fn version(&mut self, value: Value) -> Version {
        if !value.is_string() {
            self.error(format!("must be a text such as \"1.2.3\", got {value}"));
        }
        Version::new(value)
    }

    fn text(&mut self, value: Value) -> Option<String> {
        if let Value::String(text) = value {
            return Some(text);
        }
        self.error(format!("must be a text, got {value}"));
        None
    }

    fn list(&mut self, value: Value) -> Option<Vec<Value>> {
        if let Value::Array(items) = value {
            return Some(items);
        }
        self.error(format!("must be a list, got {value}"));
        None
    }

    fn member(&mut self, key: &str, value: Value) -> Operator {
        let Some(of) = self.list(value) else { return Operator::Never };
        Operator::Member { of: Members::new(of), fold: key.ends_with("ini"), negate: key.starts_with("$n") }
    }

    fn contains(&mut self, fold: bool, value: Value) -> Operator {
        let Some(items) = self.list(value) else { return Operator::Never };
        Operator::Contains { all: items.iter().map(|item| self.test(item)).collect(), fold }
    }

    fn exists(&mut self, value: Value) -> Operator {
        if let Value::Bool(expected) = value {
            return Operator::Exists(expected);
        }
        self.error(format!("must be true or false, got {value}"));
        Operator::Always
    }

    fn element(&mut self, value: Value) -> Operator {
        let Value::Object(fields) = &value else {
            self.error(format!("must be an object, got {value}"));
            return Operator::Never;
        };
        let joins = |key: &String| ["$and", "$or", "$nor", "$savedGroup"].contains(&key.as_str());
        if is_operators(fields) && !fields.keys().any(joins) {
            return Operator::AnyElement(Element::Value(self.test(&value)));
        }
        Operator::AnyElement(Element::Fields(self.condition(&value)))
    }

    fn regex(&mut self, key: &str, value: Value) -> Operator {
        let negate = key.starts_with("$not");
        // What cannot be a pattern matches nothing.
        let nothing = if negate { Operator::Always } else { Operator::Never };
        let Some(text) = self.text(value) else { return nothing };
        match RegexBuilder::new(&text).case_insensitive(key.ends_with('i')).size_limit(MAX_REGEX_BYTES).build() {
            Ok(pattern) => Operator::Matches { pattern, negate },
            Err(error) => {
                self.error(format!("must be a regular expression, got `{text}`: {error}"));
                nothing
            }
        }
    }
}
