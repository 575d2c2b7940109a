//! Reports of trials for people and for programs: one module per format.

pub mod human;
pub mod json;
pub mod junit;
pub mod ladder;
