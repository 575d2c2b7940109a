//! Receivers of what the tables find: one for each table, and one for the output of all.

use std::ops::ControlFlow;

use super::super::preceded::Link;
use super::{Connection, ResetRecord, Step, Totals};

/// Receiver of events of one table's connections.
pub trait ConnectionObserver: Send {
    /// Output of the observer for a [`Sink`].
    type Output: Default + Send;

    /// True if the observer receives every segment.
    const OBSERVES_SEGMENTS: bool = false;

    /// Handles a segment, after the table has taken it in.
    fn segment(&mut self, _step: &Step) {}

    /// Handles a connection that is over, with those of its RSTs that have not been reported yet.
    fn connection(&mut self, connection: &Connection<'_>, resets: &[ResetRecord]);

    /// Handles RSTs of a connection that is not over: it is dormant, or there are too many RSTs to be held.
    fn resets(&mut self, connection: &Connection<'_>, resets: &[ResetRecord]);

    /// Handles a connection of a live capture that has failed without an RST or an ICMP error, and is not over.
    fn failed(&mut self, _connection: &Connection<'_>) {}

    /// Handles an event in this frame that the failure of another connection may have followed from.
    fn link(&mut self, _frame: u32, _link: Link) {}

    /// Returns the output since the last call.
    fn take_output(&mut self) -> Self::Output;
}

/// Receiver of the output of all tables' observers, chunk by chunk, in the order of the capture.
pub trait Sink<S>: Send {
    /// Handles the output of all observers for one chunk, given the progress up to its end. Returns
    /// [`ControlFlow::Break`] to stop reading.
    fn accept(&mut self, outputs: Vec<S>, progress: &Progress<'_>) -> ControlFlow<()>;
}

/// Progress of an analysis.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Number of bytes of the capture that have been read.
    pub position: u64,
    /// Number of the frame up to which all RSTs have been handed over; `u32::MAX` at the end of the capture.
    pub through: u32,
    /// Totals so far.
    pub totals: &'a Totals,
}
