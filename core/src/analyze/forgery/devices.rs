//! Signs of known devices in an RST, each with its published source.

use super::{Case, Indicator, Weight};

/// Reset codes that a Citrix ADC (`NetScaler`) puts into the window field: first and last code, and their meaning.
///
/// Citrix, CTX200852, "Reset Codes Reference"; Citrix Blogs, 20 May 2014, "What's That `NetScaler` Reset Packet?".
/// Wireshark 4.4 shows them as well.
const NETSCALER_CODES: [(u16, u16, &str); 20] = [
    (8196, 8196, "bad SSL record"),
    (8201, 8202, "stray packet"),
    (
        8204,
        8208,
        "packet that does not fit the handshake or the connection",
    ),
    (8209, 8209, "out of memory"),
    (8210, 8210, "HTTP denial-of-service protection"),
    (8211, 8211, "idle or zombie time-out"),
    (8212, 8212, "stray SYN"),
    (9100, 9100, "orphaned HTTP connection"),
    (9201, 9210, "HTTP connection that cannot be tracked"),
    (9212, 9222, "HTTP request or response that is not valid"),
    (9300, 9303, "idle or zombie time-out"),
    (9304, 9304, "window probes not answered"),
    (9305, 9309, "window or handshake protection"),
    (9310, 9311, "keepalive probes not answered"),
    (9400, 9401, "connections flushed"),
    (9600, 9602, "too many packets that do not fit"),
    (9700, 9701, "RST passed on from the other side"),
    (9800, 9800, "monitoring probe timed out"),
    (9811, 9811, "SSL failure after a fatal alert"),
    (9812, 9818, "reset by configuration or policy"),
];

impl Case<'_> {
    /// Checks for the reset codes of a `NetScaler`. An ordinary window that happens to be one resembles the sender's
    /// earlier windows.
    pub(super) fn netscaler(&self) -> Option<Indicator> {
        /// Largest ordinary difference of two windows, in units of the window field: a segment.
        const NEAR: u16 = 1460;
        let window = self.header.window;
        let (.., meaning) = NETSCALER_CODES
            .iter()
            .find(|(first, last, _)| (*first..=*last).contains(&window))?;
        let is_usual = self.sender.window()?.abs_diff(window) <= NEAR;
        if is_usual || self.reset.timestamps.is_some() {
            return None;
        }
        let message = format!(
            "window {window} is a reset code of a NetScaler load balancer ({meaning}; Citrix CTX200852)"
        );
        Some(Indicator::against(
            "netscaler-code",
            Weight::Moderate,
            message,
        ))
    }
}
