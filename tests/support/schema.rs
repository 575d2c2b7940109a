//! Validation of machine output against the published schemas, as strict as it gets: a field that is not in its schema is an error.
//!
//! The schemas use a small part of JSON Schema, and a keyword that is not part of it fails here.

use std::fmt;
use std::io;
use std::sync::LazyLock;

use rstproof_core::schema;
use serde_json::{Map, Value};

/// Fails unless the value fits the schema of this name: `report`, `evidence`, `analyze`, `compare` or `doctor`.
#[track_caller]
pub(crate) fn assert_fits(name: &str, value: &Value) {
    if let Err(why) = check(name, value) {
        panic!("{name}: {why}: {}", shortened(value));
    }
}

/// The first place where the value does not fit the schema of this name, and why.
pub(crate) fn check(name: &str, value: &Value) -> Result<(), String> {
    static SCHEMAS: LazyLock<[schema::Published; 5]> = LazyLock::new(schema::all);
    let file = format!("{name}.schema.json");
    let (_, schema) = SCHEMAS.iter().find(|(it, _)| *it == file).unwrap();
    fits(schema, schema, value, &Place::Root(name))
}

/// Place of a value in a document. It is written only where the value does not fit.
enum Place<'a> {
    Root(&'a str),
    Field(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

fn fits(root: &Value, schema: &Value, value: &Value, place: &Place<'_>) -> Result<(), String> {
    let schema = schema.as_object().unwrap();
    let demand = |holds: bool, what: fmt::Arguments<'_>| {
        let wrong = || Err(format!("{place}: {what}: {}", shortened(value)));
        if holds { Ok(()) } else { wrong() }
    };
    for (keyword, argument) in schema {
        match keyword.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" | "examples" => {}
            "$ref" => {
                let pointer = argument.as_str().unwrap().strip_prefix('#').unwrap();
                fits(root, root.pointer(pointer).unwrap(), value, place)?;
            }
            "anyOf" => {
                let results = argument.as_array().unwrap().iter();
                let results: Vec<_> = results.map(|it| fits(root, it, value, place)).collect();
                if results.iter().all(Result::is_err) {
                    let reasons = results.into_iter().filter_map(Result::err);
                    return Err(reasons.collect::<Vec<_>>().join("\n  or "));
                }
            }
            "type" => {
                let is = |kind: &Value| match kind.as_str().unwrap() {
                    "null" => value.is_null(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "string" => value.is_string(),
                    "array" => value.is_array(),
                    "object" => value.is_object(),
                    other => panic!("type {other}"),
                };
                let kinds = match argument {
                    Value::Array(kinds) => kinds.iter().any(is),
                    kind => is(kind),
                };
                demand(kinds, format_args!("not of type {argument}"))?;
            }
            "const" => demand(value == argument, format_args!("not {argument}"))?,
            "enum" => {
                let values = argument.as_array().unwrap();
                demand(
                    values.contains(value),
                    format_args!("not one of {argument}"),
                )?;
            }
            "minimum" => {
                let (least, number) = (argument.as_i64().unwrap(), value.as_i64());
                demand(
                    number.is_none_or(|it| it >= least),
                    format_args!("below {least}"),
                )?;
            }
            "minItems" | "maxItems" => {
                let (wanted, len) = (argument.as_u64().unwrap(), value.as_array().map(Vec::len));
                let is_least = keyword == "minItems";
                let is_met = |len: usize| {
                    let len = len as u64;
                    if is_least {
                        len >= wanted
                    } else {
                        len <= wanted
                    }
                };
                demand(len.is_none_or(is_met), format_args!("{keyword} {wanted}"))?;
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    fits(root, argument, item, &Place::Item(place, index))?;
                }
            }
            "required" => {
                if let Some(fields) = value.as_object() {
                    let names = argument.as_array().unwrap().iter();
                    let missing = names.map(|it| it.as_str().unwrap());
                    let missing = missing.filter(|it| !fields.contains_key(*it));
                    let missing = missing.collect::<Vec<_>>().join(", ");
                    demand(missing.is_empty(), format_args!("lacks {missing}"))?;
                }
            }
            "properties" => fits_properties(root, schema, value, place)?,
            "additionalProperties" if schema.contains_key("properties") => {
                panic!("{place}: the schemas are open, and closed here")
            }
            "additionalProperties" => {
                for (name, item) in value.as_object().into_iter().flatten() {
                    fits(root, argument, item, &Place::Field(place, name))?;
                }
            }
            other => panic!("{place}: keyword {other} is not checked"),
        }
    }
    Ok(())
}

fn fits_properties(
    root: &Value,
    schema: &Map<String, Value>,
    value: &Value,
    place: &Place<'_>,
) -> Result<(), String> {
    for (name, item) in value.as_object().into_iter().flatten() {
        let place = Place::Field(place, name);
        match schema["properties"].get(name) {
            Some(property) => fits(root, property, item, &place)?,
            None => return Err(format!("{place}: not in the schema")),
        }
    }
    Ok(())
}

/// Returns the beginning of a value, which may be of many megabytes.
fn shortened(value: &Value) -> String {
    /// The first bytes that are written; more of them are an error.
    struct Beginning(Vec<u8>);

    impl io::Write for Beginning {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let left = 300 - self.0.len();
            self.0.extend_from_slice(&bytes[..bytes.len().min(left)]);
            if bytes.len() > left {
                return Err(io::ErrorKind::WriteZero.into());
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut beginning = Beginning(Vec::new());
    let is_whole = serde_json::to_writer(&mut beginning, value).is_ok();
    let mut text = String::from_utf8_lossy(&beginning.0).into_owned();
    if !is_whole {
        text.push('…');
    }
    text
}
