//! What an end has sent that the other one has not acknowledged, and whether the other one takes more.

use super::Flow;
use crate::transcript::Role;

impl Flow {
    /// Returns the number of retransmissions and probes that this end has sent since the last acknowledgment of new
    /// data.
    #[must_use]
    pub fn unanswered(&self, role: Role) -> u32 {
        self.end(role).unanswered
    }

    /// Returns true if this end has sent more than one byte beyond the window of the other end; false if that window is
    /// unknown.
    #[must_use]
    pub(crate) fn has_sent_beyond_window(&self, role: Role) -> bool {
        let (end, other) = (self.end(role), self.end(role.peer()));
        let edge = other.window_end(end);
        // A probe of a closed window is one byte.
        let next = end.snd_nxt().zip(edge);
        next.is_some_and(|(next, edge)| next.is_after(edge.plus(1)))
    }

    /// Returns true if this end has advertised window 0 last.
    #[must_use]
    pub(crate) fn has_closed_window(&self, role: Role) -> bool {
        self.end(role).has_closed_window()
    }

    /// Returns the number of bytes that this end has sent and the other end has not acknowledged; 0 if that is unknown.
    #[must_use]
    pub(crate) fn unacknowledged(&self, role: Role) -> u32 {
        let end = self.end(role);
        let (Some(una), Some(next)) = (end.snd_una(), end.snd_nxt()) else {
            return 0;
        };
        let controls = [
            end.iss() == Some(una),
            end.after_fin() == Some(next) && una != next,
        ];
        let controls = controls.into_iter().filter(|is_there| *is_there).count();
        next.relative_to(una)
            .saturating_sub(u32::try_from(controls).unwrap_or(0))
    }

    /// Returns the number of bytes that this end has sent, each counted once.
    #[must_use]
    pub(crate) fn payload_sent(&self, role: Role) -> u32 {
        self.end(role).payload_sent()
    }
}
