//! Tests of the reader of texts.
