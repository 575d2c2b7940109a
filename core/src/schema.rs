//! JSON Schemas (draft 2020-12) of the machine output, one for each kind of document.
//!
//! The schemas are published in `docs/schema/`. A test compares those files with [`all`] and validates the output of
//! every command. They are open: an object may have more fields than its schema lists, since later versions add fields.

mod analyze;
mod compare;
mod doctor;
mod finding;
mod trial;

use serde_json::{Map, Value, json};

use crate::evidence::SourceId;
use crate::report::SCHEMA;

/// Published schema: file name and content.
pub type Published = (&'static str, Value);

/// Returns all schemas with the names of their files in `docs/schema/`.
#[must_use]
pub fn all() -> [Published; 5] {
    [
        ("report.schema.json", trial::report()),
        ("evidence.schema.json", trial::evidence()),
        ("analyze.schema.json", analyze::analyze()),
        ("compare.schema.json", compare::compare()),
        ("doctor.schema.json", doctor::doctor()),
    ]
}

/// Field of an object: name, true if it may be missing, schema.
type Field = (&'static str, bool, Value);

/// Returns a field that is always present.
fn field(name: &'static str, schema: Value) -> Field {
    (name, false, schema)
}

/// Returns a field that may be missing.
fn optional(name: &'static str, schema: Value) -> Field {
    (name, true, schema)
}

fn object(description: &str, fields: Vec<Field>) -> Value {
    let required: Vec<&str> = (fields.iter())
        .filter(|(_, is_optional, _)| !is_optional)
        .map(|(name, ..)| *name)
        .collect();
    let required = json!(required);
    let properties: Map<String, Value> = (fields.into_iter())
        .map(|(name, _, schema)| (name.to_owned(), schema))
        .collect();
    // No `additionalProperties`: a reader must accept fields that later versions add.
    json!({"description": description, "type": "object", "properties": properties, "required": required})
}

fn list(description: &str, items: &Value) -> Value {
    json!({"description": description, "type": "array", "items": items})
}

fn text(description: &str) -> Value {
    json!({"description": description, "type": "string"})
}

fn boolean(description: &str) -> Value {
    json!({"description": description, "type": "boolean"})
}

/// Returns the schema of an integer that may be negative.
fn integer(description: &str) -> Value {
    json!({"description": description, "type": "integer"})
}

/// Returns the schema of an integer that is 0 or more.
fn count(description: &str) -> Value {
    json!({"description": description, "type": "integer", "minimum": 0})
}

fn one_of(description: &str, values: &[&str]) -> Value {
    json!({"description": description, "type": "string", "enum": values})
}

/// Returns the schema of a single allowed value.
fn constant(description: &str, value: &Value) -> Value {
    json!({"description": description, "const": value})
}

/// Returns a schema that also allows null.
fn nullable(mut schema: Value) -> Value {
    if let Some(kind) = schema.get_mut("type") {
        *kind = json!([kind, "null"]);
        // `enum` restricts the value in addition to `type`, so null has to be in both.
        if let Some(Value::Array(values)) = schema.get_mut("enum") {
            values.push(Value::Null);
        }
        return schema;
    }
    // A `$ref` or `const` has no `type` to extend.
    json!({"anyOf": [schema, {"type": "null"}]})
}

fn defined(name: &str) -> Value {
    json!({"$ref": format!("#/$defs/{name}")})
}

/// Returns a schema as a complete document: with `$schema`, `$id`, `title` and the definitions that it refers to.
fn document(file: &str, title: &str, schema: Value, definitions: Vec<(&str, Value)>) -> Value {
    let definitions: Map<String, Value> = (definitions.into_iter())
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    let mut head = Map::new();
    head.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    head.insert(
        "$id".to_owned(),
        json!(format!("urn:rstproof:schema:{SCHEMA}:{file}")),
    );
    head.insert("title".to_owned(), json!(title));
    if let Value::Object(fields) = schema {
        head.extend(fields);
    }
    head.insert("$defs".to_owned(), Value::Object(definitions));
    Value::Object(head)
}

fn schema_number() -> Field {
    let number = constant("Version of the machine output.", &json!(SCHEMA));
    field("schema", number)
}

fn tool() -> Field {
    let tool = object(
        "Program that wrote the document.",
        vec![
            field("name", text("`rstproof`.")),
            field("version", text("Version of the program.")),
        ],
    );
    field("tool", tool)
}

fn host() -> Field {
    let host = object(
        "Host that the document is about: `uname(2)` and libpcap. All empty if unknown.",
        vec![
            field("sysname", text("`uname -s`.")),
            field("release", text("`uname -r`.")),
            field("version", text("`uname -v`.")),
            field("machine", text("`uname -m`.")),
            field("libpcap", text("Version of libpcap, in its own words.")),
        ],
    );
    field("host", host)
}

fn evidence_sources() -> Field {
    let flags = SourceId::ALL.into_iter().map(|source| {
        let is_optional = !source.is_in_every_report();
        (source.field(), is_optional, boolean(source.description()))
    });
    let reasons = SourceId::ALL.into_iter().filter_map(|source| {
        let about = format!(
            "Reason why there is no {}, if one was wanted.",
            source.name()
        );
        Some(optional(source.reason_field()?, text(&about)))
    });
    let sources = object(
        "Evidence sources that were used, besides the system calls.",
        flags.chain(reasons).collect(),
    );
    field("evidence_sources", sources)
}

fn remark(description: &str) -> Value {
    object(
        description,
        vec![
            field("id", text("Stable id, kebab-case.")),
            field("message", text("One line for people.")),
        ],
    )
}

fn family() -> Value {
    one_of("Address family.", &["ipv4", "ipv6"])
}

fn role(description: &str) -> Value {
    one_of(description, &["client", "server"])
}

fn verdict(description: &str) -> Value {
    let verdicts = ["confirmed", "refuted", "inconclusive"];
    nullable(one_of(description, &verdicts))
}

/// Returns the schema of an address with a port.
fn socket(description: &str) -> Value {
    json!({"description": description, "type": "string", "examples": ["192.0.2.1:8080", "[2001:db8::1]:8080"]})
}

fn address(description: &str) -> Value {
    json!({"description": description, "type": "string", "examples": ["192.0.2.1", "2001:db8::1"]})
}

fn errno(description: &str) -> Value {
    json!({"description": description, "type": "string", "examples": ["ECONNRESET", "EPIPE"]})
}

fn form() -> Value {
    let forms = ["active", "passive", "passive-ack"];
    nullable(one_of(
        "Form of the RST: `active` (a socket aborted: ACK, window, timestamps if in use), `passive` (reply to a segment with \
         ACK), `passive-ack` (reply to a segment without ACK); null if Linux sends no RST of this form.",
        &forms,
    ))
}

// The names of RFC 9293, 3.3.2, as `State` has them.
fn tcp_state(description: &str) -> Value {
    let states = [
        "LISTEN",
        "SYN-SENT",
        "SYN-RECEIVED",
        "ESTABLISHED",
        "FIN-WAIT-1",
        "FIN-WAIT-2",
        "CLOSE-WAIT",
        "CLOSING",
        "LAST-ACK",
        "TIME-WAIT",
        "CLOSED",
    ];
    one_of(description, &states)
}

// Frames are numbered from 1, as in Wireshark.
fn frame(description: &str) -> Value {
    json!({"description": description, "type": "integer", "minimum": 1})
}

fn triggered_by() -> Field {
    let frame = frame(
        "Frame that the RST is a reply to; null if the RST is not a reply, or the frame was not captured.",
    );
    field("triggered_by", nullable(frame))
}
