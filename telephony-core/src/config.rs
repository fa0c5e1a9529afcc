//! An account's configuration: one typed struct per provider is parser, defaults, documentation and schema.
//!
//! The struct's JSON Schema is what the configuration page renders, what the documentation tables are generated from, and
//! what [`parse`] checks a configuration against, so that a user learns every mistake at once and by field.

use std::fmt;

use schemars::{JsonSchema, Schema, generate::SchemaSettings};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use url::Url;

use crate::{error::FieldProblem, name::ProviderName};

/// The field of a stored configuration that names the provider. It belongs to the envelope, not to the provider's struct.
pub const PROVIDER_FIELD: &str = "provider";

/// A provider's typed configuration: the credentials and settings of one account.
///
/// Derive `Deserialize` with `#[serde(deny_unknown_fields)]` and `JsonSchema`. Doc comments are read by the customer who
/// fills in the form. The schema carries what can be said of one field: `#[schemars(regex(pattern = …))]`, `range(…)`,
/// `extend("x-problem" = "must start with …")` for the message, `extend("x-order" = 3)` for the place in the form. What
/// concerns several fields, or needs code, belongs in [`check`](Self::check).
pub trait ProviderConfig: DeserializeOwned + JsonSchema + fmt::Debug + Clone + Send + Sync + 'static {
    /// Adds what the schema cannot say.
    fn check(&self, problems: &mut Problems);
}

/// Collects what is wrong with a configuration.
#[derive(Debug, Default)]
pub struct Problems(Vec<FieldProblem>);

impl Problems {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a problem. The first of a field is kept, later ones of the same field are dropped: they follow from it.
    pub fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        let field = field.into();
        if !self.0.iter().any(|problem| problem.field == field) {
            self.0.push(FieldProblem::new(field, reason));
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The error that lists them, or `Ok` if there are none.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every problem noted.
    pub fn into_result(self, provider: ProviderName) -> Result<(), ConfigError> {
        if self.0.is_empty() { Ok(()) } else { Err(ConfigError { provider, problems: self.0 }) }
    }
}

/// Everything that is wrong with a configuration, by field. It names fields, never their values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    provider: ProviderName,
    problems: Vec<FieldProblem>,
}

impl ConfigError {
    /// Whose configuration it is.
    #[must_use]
    pub fn provider(&self) -> ProviderName {
        self.provider
    }

    /// What is wrong, in the order of the form.
    #[must_use]
    pub fn problems(&self) -> &[FieldProblem] {
        &self.problems
    }
}

/// One line for each problem: `account_sid: must start with AC and have 34 characters`.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} configuration has {} problem", self.provider, self.problems.len())?;
        if self.problems.len() != 1 {
            f.write_str("s")?;
        }
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The JSON Schema (draft 2020-12, everything inline) of a configuration type.
#[must_use]
pub fn schema_of<C: ProviderConfig>() -> Schema {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<C>()
}

/// The names of the secret fields in a schema.
#[must_use]
pub fn secret_fields(schema: &Schema) -> Vec<String> {
    properties(schema.as_value())
        .filter(|(_, property)| property.get("writeOnly").and_then(Value::as_bool) == Some(true))
        .map(|(name, _)| name.to_owned())
        .collect()
}

/// The fields of a schema in the order of the form: by `x-order`, then by name.
#[must_use]
pub fn fields_in_order(schema: &Schema) -> Vec<(String, Value)> {
    let mut fields: Vec<(String, Value)> =
        properties(schema.as_value()).map(|(name, property)| (name.to_owned(), property.clone())).collect();
    fields.sort_by_key(|(name, property)| {
        (property.get("x-order").and_then(Value::as_i64).unwrap_or(i64::MAX), name.clone())
    });
    fields
}

/// Reads a configuration, or says everything that is wrong with it.
///
/// The member `"provider"` is taken to be the envelope's and skipped. Unknown fields are refused: a misspelt option would
/// otherwise be silently without effect.
///
/// # Errors
///
/// [`ConfigError`] with every problem: of the schema, and of [`ProviderConfig::check`].
pub fn parse<C: ProviderConfig>(provider: ProviderName, value: &Value) -> Result<C, ConfigError> {
    let mut problems = Problems::new();
    let schema = schema_of::<C>();
    let Some(object) = value.as_object() else {
        problems.add("(whole)", "must be an object of fields and values");
        return Err(ConfigError { provider, problems: problems.0 });
    };
    let mut object = object.clone();
    object.remove(PROVIDER_FIELD);
    let (readable, stood_in) = complete(&schema, object, &mut problems);
    match serde_json::from_value::<C>(Value::Object(readable)) {
        Ok(config) => {
            let mut found = Problems::new();
            config.check(&mut found);
            for problem in found.0 {
                if !stood_in.contains(&problem.field) {
                    problems.add(problem.field, problem.reason);
                }
            }
            sort_by_form(&schema, &mut problems.0);
            problems.into_result(provider)?;
            Ok(config)
        }
        Err(error) => {
            // The schema does not say all that the type demands. Say what serde says; it names fields, not values, for
            // every message but those about strings, which may quote one: keep only their kind.
            if problems.is_empty() {
                let message = if error.is_data() { field_safe(&error) } else { error.to_string() };
                problems.add("(whole)", message);
            }
            sort_by_form(&schema, &mut problems.0);
            Err(ConfigError { provider, problems: problems.0 })
        }
    }
}

fn field_safe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.split_once(['"', '`']) {
        Some((before, _)) => format!("{}(value not shown)", before),
        None => text,
    }
}

fn sort_by_form(schema: &Schema, problems: &mut [FieldProblem]) {
    let order: Vec<String> = fields_in_order(schema).into_iter().map(|(name, _)| name).collect();
    problems.sort_by_key(|problem| {
        let name = problem.field.split(['.', '[']).next().unwrap_or_default();
        order.iter().position(|known| known == name).unwrap_or(usize::MAX)
    });
}

fn properties(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(|properties| properties.iter().map(|(name, property)| (name.as_str(), property)))
}

/// Checks an object against the schema, notes every problem, and returns it with unknown fields removed and unreadable or
/// missing ones replaced by a stand-in, so that the rest can still be checked. Also returns the names stood in for.
fn complete(
    schema: &Schema,
    mut object: Map<String, Value>,
    problems: &mut Problems,
) -> (Map<String, Value>, Vec<String>) {
    let schema = schema.as_value();
    let mut stood_in = Vec::new();
    let known: Vec<&str> = properties(schema).map(|(name, _)| name).collect();
    let unknown: Vec<String> = object.keys().filter(|name| !known.contains(&name.as_str())).cloned().collect();
    for name in unknown {
        object.remove(&name);
        let hint = closest(&name, &known).map(|close| format!(" (did you mean {close}?)")).unwrap_or_default();
        problems.add(name, format!("is not a field of this provider{hint}"));
    }
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|known| known == name));
    for (name, property) in properties(schema) {
        match object.get(name) {
            None | Some(Value::Null) if is_required(name) => {
                problems.add(name, "is missing");
                object.insert(name.to_owned(), stand_in(property));
                stood_in.push(name.to_owned());
            }
            None | Some(Value::Null) => {
                object.remove(name); // An explicit null means the default, as an absent field does.
            }
            Some(value) => {
                let before = problems.0.len();
                let readable = check_value(name, property, value, problems);
                if problems.0.len() > before {
                    stood_in.push(name.to_owned());
                }
                if !readable {
                    if is_required(name) {
                        object.insert(name.to_owned(), stand_in(property));
                    } else {
                        object.remove(name);
                    }
                }
            }
        }
    }
    (object, stood_in)
}

/// Checks one value against the small part of JSON Schema that configurations use. Returns whether serde can read it.
fn check_value(field: &str, property: &Value, value: &Value, problems: &mut Problems) -> bool {
    let own_words = property.get("x-problem").and_then(Value::as_str);
    let mut complain = |field: &str, general: String| problems.add(field, own_words.map_or(general, str::to_owned));
    let types = types_of(property);
    let fits = types.iter().any(|name| match *name {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    });
    if !types.is_empty() && !fits {
        problems.add(field, format!("must be {}, not {}", article(types[0]), article(kind(value))));
        return false;
    }
    if let Some(words) = choices(property)
        && !words.iter().any(|word| word == value)
    {
        let list: Vec<String> = words.iter().map(|word| word.as_str().unwrap_or_default().to_owned()).collect();
        complain(field, format!("must be one of {}", list.join(", ")));
        return false;
    }
    match value {
        Value::String(text) => {
            let length = text.chars().count() as u64;
            let bound = |name: &str| property.get(name).and_then(Value::as_u64);
            if let Some(least) = bound("minLength")
                && length < least
            {
                complain(field, format!("must have at least {least} characters"));
                return false;
            }
            if let Some(most) = bound("maxLength")
                && length > most
            {
                complain(field, format!("must have at most {most} characters"));
                return true;
            }
            if property.get("format").and_then(Value::as_str) == Some("uri")
                && let Err(error) = Url::parse(text)
            {
                complain(field, format!("must be a URL, for instance https://example.com: {error}"));
                return false;
            }
            if let Some(pattern) = property.get("pattern").and_then(Value::as_str)
                && regex_lite::Regex::new(pattern).is_ok_and(|regex| !regex.is_match(text))
            {
                complain(field, format!("must match {pattern}"));
                // A type behind the pattern may refuse to read it, so it is stood in for.
                return false;
            }
            true
        }
        Value::Number(number) => {
            let given = number.as_f64().unwrap_or(f64::NAN);
            let bound = |name: &str| property.get(name).and_then(Value::as_f64);
            let (least, most) = (bound("minimum"), bound("maximum"));
            let below = least.is_some_and(|least| given < least);
            let above = most.is_some_and(|most| given > most);
            if below || above {
                complain(
                    field,
                    match (least, most) {
                        (Some(least), Some(most)) => format!("must be {least} to {most}"),
                        (Some(least), None) => format!("must be at least {least}"),
                        (None, most) => format!("must be at most {}", most.unwrap_or_default()),
                    },
                );
                return false;
            }
            true
        }
        Value::Array(items) => {
            let Some(item_schema) = property.get("items") else { return true };
            let mut readable = true;
            for (index, item) in items.iter().enumerate() {
                readable &= check_value(&format!("{field}[{index}]"), item_schema, item, problems);
            }
            readable
        }
        _ => true,
    }
}

/// The JSON types that a property of a schema allows, `null` left out.
#[must_use]
pub fn types_of(property: &Value) -> Vec<&str> {
    match property.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => {
            several.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect()
        }
        _ => Vec::new(),
    }
}

/// The values of an enumeration, in each of the forms in which a schema may say them; `None` if the property is none.
#[must_use]
pub fn choices(property: &Value) -> Option<Vec<Value>> {
    if let Some(Value::Array(words)) = property.get("enum") {
        return Some(words.iter().filter(|word| !word.is_null()).cloned().collect());
    }
    let alternatives = property.get("oneOf").or_else(|| property.get("anyOf"))?.as_array()?;
    let mut words = Vec::new();
    for alternative in alternatives {
        if let Some(word) = alternative.get("const") {
            words.push(word.clone());
        } else if alternative.get("type").and_then(Value::as_str) != Some("null") {
            words.extend(choices(alternative)?);
        }
    }
    Some(words)
}

/// A value of the right kind to stand where the user gave none that can be read.
fn stand_in(property: &Value) -> Value {
    if let Some(words) = choices(property)
        && let Some(first) = words.first()
    {
        return first.clone();
    }
    match types_of(property).first().copied() {
        Some("integer" | "number") => property.get("minimum").cloned().unwrap_or(Value::from(1)),
        Some("boolean") => Value::Bool(false),
        Some("array") => Value::Array(Vec::new()),
        Some("object") => Value::Object(Map::new()),
        _ if property.get("format").and_then(Value::as_str) == Some("uri") => Value::from("https://example.invalid/"),
        _ if property.get("format").and_then(Value::as_str) == Some("e164") => Value::from("+10000000000"),
        _ => Value::from("x"),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn article(kind: &str) -> String {
    match kind {
        "null" => "null".to_owned(),
        "integer" => "a whole number".to_owned(),
        "string" => "a text".to_owned(),
        "array" => "a list".to_owned(),
        "boolean" => "true or false".to_owned(),
        "object" => "an object".to_owned(),
        other => format!("a {other}"),
    }
}

/// The known name that is at most two edits away, for a hint.
fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (edits(name, candidate), *candidate))
        .filter(|(edits, _)| *edits <= 2)
        .min()
        .map(|(_, c)| c)
}

/// Levenshtein distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::{address::PhoneNumber, secret::Secret};

    const ACME: ProviderName = ProviderName::new("acme");

    /// An Acme account.
    #[derive(Clone, Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct AcmeConfig {
        /// On the first page of the console.
        #[schemars(regex(pattern = r"^AC[0-9a-f]{4}$"), extend("x-order" = 1, "x-problem" = "must start with AC and have 6 characters"))]
        account: String,
        /// Never shown again.
        #[schemars(extend("x-order" = 2))]
        token: Secret,
        #[serde(default)]
        region: Option<Region>,
        #[serde(default = "ten")]
        #[schemars(range(min = 1, max = 60))]
        timeout_secs: u32,
        #[serde(default)]
        phone_numbers: Vec<PhoneNumber>,
        #[serde(default)]
        api_url: Option<Url>,
        #[serde(default)]
        edge: Option<String>,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    enum Region {
        Us,
        Eu,
    }

    fn ten() -> u32 {
        10
    }

    impl ProviderConfig for AcmeConfig {
        fn check(&self, problems: &mut Problems) {
            if self.region.is_some() && self.edge.is_none() {
                problems.add("edge", "is needed with a region");
            }
            if self.account.len() != 6 {
                problems.add("account", "is checked twice");
            }
        }
    }

    fn problems(value: &Value) -> Vec<String> {
        match parse::<AcmeConfig>(ACME, value) {
            Ok(_) => Vec::new(),
            Err(error) => error.problems().iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_good_one_is_read_with_its_defaults() {
        let config: AcmeConfig =
            parse(ACME, &json!({"provider": "acme", "account": "AC12ef", "token": "t", "region": null})).unwrap();
        assert_eq!((config.timeout_secs, config.region, config.api_url), (10, None, None));
        assert!(config.phone_numbers.is_empty());
        assert_eq!(config.token.expose(), "t");
    }

    #[test]
    fn every_mistake_is_reported_at_once_by_field_and_without_values() {
        let found = problems(&json!({
            "account": "12345-hunter2", "timeout_secs": 99, "region": "mars", "phone_numbers": ["+14155550100", "0049"],
            "tokn": "hunter2", "api_url": "nowhere", "edge": 5,
        }));
        assert_eq!(
            found,
            [
                "account: must start with AC and have 6 characters",
                "token: is missing",
                "api_url: must be a URL, for instance https://example.com: relative URL without a base",
                "edge: must be a text, not a number",
                "phone_numbers[1]: must be a telephone number in E.164 form: + and 2 to 15 digits, the first not 0, for instance +14155550100",
                "region: must be one of us, eu",
                "timeout_secs: must be 1 to 60",
                "tokn: is not a field of this provider (did you mean token?)",
            ]
        );
        assert!(!found.join(" ").contains("hunter2"));
    }

    #[test]
    fn checks_across_fields_run_beside_those_of_the_schema() {
        assert_eq!(
            problems(&json!({"account": "AC12ef", "region": "eu"})),
            ["token: is missing", "edge: is needed with a region",]
        );
    }

    #[test]
    fn what_is_no_object_is_said_so() {
        assert_eq!(problems(&json!("AC")), ["(whole): must be an object of fields and values"]);
        assert_eq!(problems(&json!({"account": "AC12ef", "token": ""})), ["token: must not be empty"]);
    }

    #[test]
    fn the_schema_marks_secrets_and_orders_fields() {
        let schema = schema_of::<AcmeConfig>();
        assert_eq!(secret_fields(&schema), ["token"]);
        let order: Vec<String> = fields_in_order(&schema).into_iter().map(|(name, _)| name).collect();
        assert_eq!(order[..3], ["account", "token", "api_url"]);
    }

    proptest::proptest! {
        #[test]
        fn no_input_panics_or_shows_a_value(account in ".{0,12}", token in "[a-z]{12}", timeout in proptest::num::i64::ANY) {
            let value = json!({"account": account, "token": token, "timeout_secs": timeout});
            let shown = problems(&value).join("\n");
            proptest::prop_assert!(!shown.contains(&token));
        }
    }
}
