//! A JSON Schema as the fields of a form. This is all that a page knows of a carrier's account.

use serde_json::Value;
use telephony_core::config;

use crate::service::MASK;

/// A field of a form.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Field {
    /// Its name in the configuration.
    pub(super) name: String,
    /// What people call it.
    pub(super) label: String,
    /// What it is for.
    pub(super) description: Vec<Run>,
    /// Whether the account cannot be without it.
    pub(super) is_required: bool,
    /// What is typed into it.
    pub(super) kind: Kind,
    /// What it says when something else is typed; empty where the browser's own words do.
    pub(super) problem: String,
}

/// What is typed into a field. Values are texts, as they stand in a page.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// A line.
    Line { input: &'static str, value: String, pattern: String, least: Option<u64>, most: Option<u64> },
    /// A line that nobody may read over a shoulder. `is_kept`: one is stored, and stays unless another is typed.
    Secret { is_kept: bool },
    /// Many lines of the same kind: a private key.
    LongSecret { is_kept: bool },
    /// Many lines.
    Text { value: String },
    /// A number.
    Number { is_whole: bool, value: String, least: Option<String>, most: Option<String>, usual: String },
    /// Yes or no.
    Flag { is_on: bool },
    /// One of some: as JSON, for people, and whether it is chosen.
    Choice { options: Vec<(String, String, bool)> },
    /// Several, each on a line of its own.
    List { value: String, item: &'static str },
    /// What this page has no better field for: JSON.
    Json { value: String },
}

/// A piece of a description: text, or a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Run {
    Text(String),
    Link(String),
}

/// The fields of a configuration in the order of the form. `stored`: the account as it may be shown, its secrets masked.
pub(super) fn fields(schema: &schemars::Schema, stored: &Value) -> Vec<Field> {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|known| known == name));
    let field = |(name, property): (String, Value)| {
        let text = |key: &str| property.get(key).and_then(Value::as_str).unwrap_or_default();
        let label = match text("title") {
            "" => name.replace('_', " "),
            title => title.to_owned(),
        };
        let value = stored.get(&name).filter(|value| !value.is_null());
        Field {
            kind: kind(&property, value, is_required(&name)),
            description: linked(text("description")),
            is_required: is_required(&name),
            problem: text("x-problem").to_owned(),
            label,
            name,
        }
    };
    config::fields_in_order(schema).into_iter().map(field).collect()
}

fn kind(property: &Value, stored: Option<&Value>, is_required: bool) -> Kind {
    let flag = |name: &str| property.get(name).and_then(Value::as_bool) == Some(true);
    let default = property.get("default").filter(|value| !value.is_null());
    let text = |value: Option<&Value>| match value {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    if flag("writeOnly") {
        let is_kept = stored.and_then(Value::as_str) == Some(MASK);
        return if flag("x-multiline") { Kind::LongSecret { is_kept } } else { Kind::Secret { is_kept } };
    }
    if let Some(words) = config::choices(property) {
        let chosen = stored.or(default);
        let mut options: Vec<_> =
            words.iter().map(|word| (word.to_string(), text(Some(word)), Some(word) == chosen)).collect();
        if !is_required && default.is_none() {
            options.insert(0, ("null".to_owned(), "the carrier's default".to_owned(), chosen.is_none()));
        }
        return Kind::Choice { options };
    }
    match config::types_of(property).first().copied() {
        Some("boolean") => Kind::Flag { is_on: stored.or(default).and_then(Value::as_bool) == Some(true) },
        Some(number @ ("integer" | "number")) => {
            let bound = |name: &str| property.get(name).filter(|bound| bound.is_number()).map(Value::to_string);
            Kind::Number {
                is_whole: number == "integer",
                value: text(stored.or(default)),
                least: bound("minimum"),
                most: bound("maximum"),
                usual: text(default),
            }
        }
        Some("array") if is_list_of_texts(property) => {
            let items = stored.or(default).and_then(Value::as_array);
            let lines: Vec<String> = items.into_iter().flatten().map(|item| text(Some(item))).collect();
            let item = match property["items"].get("format").and_then(Value::as_str) {
                Some("e164") => "tel",
                Some("uri") => "url",
                _ => "text",
            };
            Kind::List { value: lines.join("\n"), item }
        }
        Some("string") | None if flag("x-multiline") => Kind::Text { value: text(stored.or(default)) },
        Some("string") => Kind::Line {
            input: match property.get("format").and_then(Value::as_str) {
                Some("uri") => "url",
                Some("e164") => "tel",
                _ => "text",
            },
            value: text(stored.or(default)),
            pattern: property.get("pattern").and_then(Value::as_str).unwrap_or_default().to_owned(),
            least: property.get("minLength").and_then(Value::as_u64),
            most: property.get("maxLength").and_then(Value::as_u64),
        },
        _ => {
            let value = stored.or(default).map(|value| serde_json::to_string_pretty(value).unwrap_or_default());
            Kind::Json { value: value.unwrap_or_default() }
        }
    }
}

fn is_list_of_texts(property: &Value) -> bool {
    property.get("items").is_none_or(|items| config::types_of(items) == ["string"])
}

/// A text in pieces, its web addresses apart.
fn linked(text: &str) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("https://") {
        let address = &rest[start..];
        let end = address.find(|next: char| next.is_whitespace() || "<>\"".contains(next)).unwrap_or(address.len());
        let address = address[..end].trim_end_matches(['.', ',', ')', ';', ':']);
        if start > 0 {
            runs.push(Run::Text(rest[..start].to_owned()));
        }
        runs.push(Run::Link(address.to_owned()));
        rest = &rest[start + address.len()..];
    }
    if !rest.is_empty() {
        runs.push(Run::Text(rest.to_owned()));
    }
    runs
}

#[cfg(test)]
mod tests {
    use pretty_assertions::assert_eq;
    use serde_json::json;

    use super::*;

    fn one(property: Value, stored: Value) -> Field {
        let schema = json!({"type": "object", "properties": {"field_name": property}, "required": ["field_name"]});
        fields(&schema.try_into().unwrap(), &json!({"field_name": stored})).remove(0)
    }

    #[test]
    fn a_line_has_its_label_its_rule_and_its_words() {
        let property = json!({"type": "string", "title": "Account", "description": "See https://example.com/a, there.",
            "pattern": "^A", "x-problem": "must start with A"});
        let field = one(property, json!("A1"));
        let value = "A1".to_owned();
        let kind = Kind::Line { input: "text", value, pattern: "^A".to_owned(), least: None, most: None };
        assert_eq!((field.label.as_str(), field.kind, field.problem.as_str()), ("Account", kind, "must start with A"));
        let link = Run::Link("https://example.com/a".to_owned());
        assert_eq!(field.description, [Run::Text("See ".to_owned()), link, Run::Text(", there.".to_owned())]);
    }

    #[test]
    fn a_secret_is_never_in_the_page() {
        let property = json!({"type": "string", "writeOnly": true});
        assert_eq!(one(property.clone(), Value::Null).kind, Kind::Secret { is_kept: false });
        assert_eq!(one(property, json!(MASK)).kind, Kind::Secret { is_kept: true });
        let key = json!({"type": "string", "writeOnly": true, "x-multiline": true});
        assert_eq!(one(key, json!(MASK)).kind, Kind::LongSecret { is_kept: true });
    }

    #[test]
    fn choices_keep_the_type_of_their_values() {
        let rates = json!({"type": "integer", "enum": [8000, 16000], "default": 16000});
        let Kind::Choice { options } = one(rates.clone(), Value::Null).kind else { panic!("it is a choice") };
        assert_eq!(options[1], ("16000".to_owned(), "16000".to_owned(), true));
        let Kind::Choice { options } = one(rates, json!(8000)).kind else { panic!("it is a choice") };
        assert_eq!(options[0], ("8000".to_owned(), "8000".to_owned(), true));
        let words = json!({"oneOf": [{"const": "us"}, {"const": "eu"}]});
        let Kind::Choice { options } = one(words, json!("eu")).kind else { panic!("it is a choice") };
        assert_eq!(options[1], ("\"eu\"".to_owned(), "eu".to_owned(), true));
    }

    #[test]
    fn every_other_kind_has_its_field() {
        let number = json!({"type": "integer", "minimum": 1, "maximum": 60, "default": 10});
        let (least, most) = (Some("1".to_owned()), Some("60".to_owned()));
        let (value, usual) = ("5".to_owned(), "10".to_owned());
        assert_eq!(one(number, json!(5)).kind, Kind::Number { is_whole: true, value, least, most, usual });
        assert_eq!(one(json!({"type": "boolean", "default": true}), Value::Null).kind, Kind::Flag { is_on: true });
        let list = json!({"type": "array", "items": {"type": "string", "format": "e164"}});
        let value = "+1\n+2".to_owned();
        assert_eq!(one(list, json!(["+1", "+2"])).kind, Kind::List { value, item: "tel" });
        let nested = json!({"type": "object"});
        assert_eq!(one(nested, json!({"a": 1})).kind, Kind::Json { value: "{\n  \"a\": 1\n}".to_owned() });
        let nameless = one(json!({"type": ["string", "null"], "format": "uri"}), Value::Null);
        assert_eq!(nameless.label, "field name");
        assert!(matches!(nameless.kind, Kind::Line { input: "url", .. }), "{nameless:?}");
    }
}
