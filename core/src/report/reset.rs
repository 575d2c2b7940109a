//! RSTs in a report.

use serde::Serialize;

use crate::flow::{Form, Reset, State};
use crate::scenario::Sender;
use crate::transcript::Role;
use crate::verdict::{Attribution, Judgement, ResetOrigin};

/// One RST of the connection.
#[derive(Clone, Debug, Serialize)]
pub struct ResetReport {
    /// Number of the frame in the capture file.
    pub frame: u32,
    /// End whose address the RST carries as its source.
    pub from: Role,
    /// Form of the RST; `None` if Linux sends no RST of this form.
    pub form: Option<Form>,
    /// State of the receiver when the RST arrived.
    pub receiver_state: State,
    /// True if the receiver was required to accept the RST.
    pub acceptable: bool,
    /// Reason why the RST is acceptable or not.
    pub acceptance: String,
    /// Sender of the RST, as reported by the kernel trace.
    pub sender: Sender,
    /// Reason for sending the RST, as reported by the kernel trace: the name of an `sk_rst_reason`.
    pub kernel_reason: Option<String>,
    /// Frame that the RST replies to, if it is a reply.
    pub triggered_by: Option<u32>,
    /// Indices of the calls whose error the RST explains.
    pub explains_calls: Vec<usize>,
}

impl ResetReport {
    /// Creates the report of an RST that explains the errors of these calls.
    pub(super) fn new(reset: &Reset, origin: &ResetOrigin, explains_calls: Vec<usize>) -> Self {
        Self {
            frame: reset.frame,
            from: reset.from,
            form: reset.form,
            receiver_state: reset.receiver_state,
            acceptable: reset.acceptance.is_acceptable(),
            acceptance: reset.acceptance.to_string(),
            sender: origin.sender,
            kernel_reason: origin.reason.clone(),
            triggered_by: reset.triggered_by,
            explains_calls,
        }
    }
}

/// Returns, for each RST, the calls whose error it explains: [`Judgement::explained_by`] of all RSTs in one pass.
pub(super) fn explained(judgement: &Judgement) -> Vec<Vec<usize>> {
    // One pass over the errors, not one for each RST: a hostile capture may have many of both.
    let mut explained = vec![Vec::new(); judgement.resets.len()];
    for (call, attribution) in &judgement.attributions {
        if let Attribution::Reset(reset) = attribution
            && let Some(calls) = explained.get_mut(*reset)
        {
            calls.push(*call);
        }
    }
    explained
}
