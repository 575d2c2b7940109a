//! Which RST broke this connection, who sent it, and why: proven, not guessed.
pub mod capture;
pub mod error;
pub mod evidence;
pub mod exit_code;
pub mod flow;
pub mod lab;
pub mod packet;
pub mod runner;
pub mod scenario;
mod sys;
pub mod time;
pub mod transcript;
pub mod trial;
pub mod verdict;
