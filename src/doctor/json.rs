//! JSON form of the examination: one document.

use super::Examination;

/// Formats the examination as a document, which ends with a line feed. Fails only if it cannot be serialised.
pub fn document(examination: &Examination) -> serde_json::Result<String> {
    let mut text = serde_json::to_string_pretty(examination)?;
    text.push('\n');
    Ok(text)
}
