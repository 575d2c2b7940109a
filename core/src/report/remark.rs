//! Remarks: findings and reasons for inconclusive verdicts, in the form of a report.

use serde::Serialize;

use crate::verdict::{Finding, InconclusiveReason};

/// Finding, or reason for an inconclusive verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// Stable id, kebab-case.
    pub id: &'static str,
    /// Message for people, in one line.
    pub message: String,
    /// Fields of a finding, as its id defines them; `None` for the reason of an inconclusive verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Finding>,
}

impl Remark {
    /// Creates a remark without details.
    #[must_use]
    pub fn new(id: &'static str, message: String) -> Self {
        Self {
            id,
            message,
            details: None,
        }
    }
}

impl From<&Finding> for Remark {
    fn from(finding: &Finding) -> Self {
        Self {
            details: Some(finding.clone()),
            ..Self::new(finding.id(), finding.to_string())
        }
    }
}

impl From<InconclusiveReason> for Remark {
    fn from(reason: InconclusiveReason) -> Self {
        Self::new(reason.id(), reason.to_string())
    }
}
