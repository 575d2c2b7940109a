//! Conditions on the error of an application, where the packets of a connection leave it open.

use crate::analyze::identified::identified;

identified! {
    /// Condition under which the application of an end gets the stated error. Its meaning is a clause that follows the name of
    /// the error.
    pub enum ErrnoCondition {
        /// The receiver has sent its FIN. After `close()` no call can report the error, after `shutdown()` one can:
        /// `tcp_done_with_error()` reports it unless the socket is `SOCK_DEAD`.
        SocketHeld = "socket-held", "only if the process still holds the socket: after close() no call reports it";
        /// The sender's FIN was sent and not acknowledged; the stated error is that after its arrival.
        FinReceived = "fin-received", "if the FIN before it had arrived; otherwise ECONNRESET, at once or after a challenge";
        /// The sender's FIN was sent and not acknowledged; the stated error is that before its arrival.
        FinNotReceived = "fin-not-received", "if the FIN before it had not arrived; otherwise EPIPE";
        /// The capture lacks what the sender sent last, which may be a FIN.
        NoFinMissing = "no-fin-missing", "unless the capture lacks a FIN before it: then EPIPE";
        /// The receiver was in SYN-RECEIVED, as far as the capture shows.
        HandshakeCompleted = "handshake-completed", "if the handshake was completed by an ACK that the capture lacks; otherwise the listener drops the request, and no call reports it";
        /// The RST looks like that of a socket, and not of a closed port.
        NoSynAckMissing = "no-syn-ack-missing", "unless the capture lacks the rest of the handshake: then ECONNRESET";
        /// The receiver is the end of an older connection, which may be in TIME-WAIT.
        NotTimeWait = "not-time-wait", "if its older connection is still open; in TIME-WAIT no call reports it";
        /// An end has stopped sending again, earlier than Linux gives up by default: its kernel has given up because of a setting, or
        /// its process has.
        KernelGaveUp = "kernel-gave-up", "only if its kernel gave up; none if its process did so before";
        /// The probes of a closed window are answered, so the kernel gives up only if a time-out is set.
        UserTimeout = "user-timeout", "only with TCP_USER_TIMEOUT: probes that are answered go on for ever";
        /// The capture ended while an end still sent again.
        NoLaterReply = "no-later-reply", "unless a reply came after the end of the capture";
    }
}
