//! The one place of this crate with `unsafe` code: a hint to the processor.
#![allow(unsafe_code)]

/// Asks the processor for all of this, a cache line after the other, and does not wait for it.
pub(crate) fn prefetch<T>(what: &T) {
    // A line has 64 bytes.
    #[cfg(target_arch = "x86_64")]
    for at in (0..size_of::<T>()).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the address is within `what`; and of any address it is no more than a hint, which changes nothing.
        unsafe { _mm_prefetch::<_MM_HINT_T0>((&raw const *what).cast::<i8>().add(at)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = what;
}
