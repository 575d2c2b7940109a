//! Reports of trials for people and for programs: one module per format. And explanations of scenarios.

pub(crate) mod columns;
pub mod explain;
pub mod human;
pub mod json;
pub mod junit;
pub mod ladder;
