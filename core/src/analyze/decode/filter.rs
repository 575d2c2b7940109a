//! Filter of the frames to analyze.

use std::fmt;
use std::sync::Arc;

/// Filter of frames, compiled separately for each link type of a capture, because a BPF program is valid for one type
/// only.
#[derive(Clone)]
pub struct FrameFilter(Arc<MakeFilter>);

type MakeFilter = dyn Fn(u16) -> Option<CompiledFilter> + Send + Sync;

/// Predicate on the captured bytes of a frame of one link type. It returns true if the frame passes the filter.
pub type CompiledFilter = Box<dyn Fn(&[u8]) -> bool>;

impl FrameFilter {
    /// Creates a filter from a function that compiles it for a number of the `LINKTYPE_` registry. If the function
    /// returns `None` for a link type, all frames of the type are rejected.
    pub fn new(make: impl Fn(u16) -> Option<CompiledFilter> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    /// Returns the filter for a link type; `None` if it rejects all frames of it.
    pub(super) fn compiled(&self, link: u16) -> Option<CompiledFilter> {
        self.0(link)
    }
}

impl fmt::Debug for FrameFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameFilter").finish_non_exhaustive()
    }
}
