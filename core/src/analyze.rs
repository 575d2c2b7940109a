//! Captures that others made: every connection in them, and every RST explained.
//!
//! A capture is read once, from front to back, at about the speed of reading the file. Each connection is followed by the
//! same [`Flow`](crate::flow::Flow) that judges live trials, so there is one truth about states, RCV.NXT and acceptability;
//! beside it each has Zeek's `conn_state` and `history`, for those are the words that people compare with.

pub mod batch;
pub mod comments;
pub mod diagnosis;
pub mod excerpt;
pub mod explain;
pub mod json;
pub mod marks;
pub mod pieces;
pub mod table;
pub mod tally;
pub mod text;
pub mod zeek;
