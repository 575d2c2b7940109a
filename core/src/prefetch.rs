//! Prefetching of memory. This module is the only one of the crate with `unsafe` code.
#![allow(unsafe_code)]

/// Prefetches all cache lines of a value, without waiting for them.
pub(crate) fn prefetch<T>(what: &T) {
    // A cache line has 64 bytes.
    #[cfg(target_arch = "x86_64")]
    for at in (0..size_of::<T>()).step_by(64) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the address is within `what`; and a prefetch is only a hint, which changes nothing and never faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>((&raw const *what).cast::<i8>().add(at)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = what;
}
