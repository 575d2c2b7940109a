//! Forms of a scenario on kernels with or without a patch.

use super::Scenario;
use crate::history::{Kernel, Patch};

/// Variant of a scenario on kernels that have a certain patch, or that lack it.
#[derive(Debug)]
pub struct Otherwise {
    /// Kernels that the variant applies to.
    pub on: On,
    /// Scenario on these kernels, with the same id and topic.
    pub is: &'static Scenario,
}

/// Set of kernels, defined by one patch.
#[derive(Clone, Copy, Debug)]
pub enum On {
    /// Kernels that have this patch.
    With(&'static Patch),
    /// Kernels that lack this patch.
    Without(&'static Patch),
}

impl On {
    /// Returns the patch that defines the set.
    #[must_use]
    pub fn patch(self) -> &'static Patch {
        match self {
            Self::With(patch) | Self::Without(patch) => patch,
        }
    }

    /// Returns true if the kernel belongs to the set.
    #[must_use]
    pub fn is(self, kernel: Kernel) -> bool {
        match self {
            Self::With(patch) => kernel.has(patch),
            Self::Without(patch) => !kernel.has(patch),
        }
    }
}

impl Scenario {
    /// Returns the form of the scenario on this kernel.
    #[must_use]
    pub fn on(&'static self, kernel: Kernel) -> &'static Self {
        let other = self.otherwise.iter().find(|other| other.on.is(kernel));
        // A variant may have variants of its own.
        other.map_or(self, |other| other.is.on(kernel))
    }

    /// Returns all forms of the scenario on different kernels, beginning with the scenario itself.
    #[must_use]
    pub fn forms(&'static self) -> Vec<&'static Self> {
        let others = self.otherwise.iter().flat_map(|other| other.is.forms());
        std::iter::once(self).chain(others).collect()
    }

    /// Returns the patches that change the scenario.
    #[must_use]
    pub fn patches(&'static self) -> Vec<&'static Patch> {
        self.patches_where(|_, _| true)
    }

    /// Returns the patches that change the scenario in some respect: `differ` compares two of its forms.
    pub fn patches_where(
        &'static self,
        differ: impl Fn(&Self, &Self) -> bool,
    ) -> Vec<&'static Patch> {
        let mut patches: Vec<&'static Patch> = Vec::new();
        for form in self.forms() {
            for other in form.otherwise.iter().filter(|other| differ(form, other.is)) {
                if !patches.contains(&other.on.patch()) {
                    patches.push(other.on.patch());
                }
            }
        }
        patches
    }
}
