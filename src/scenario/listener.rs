//! Connections that nobody has accepted yet, and what becomes of them.
