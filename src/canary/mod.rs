//! The canary: events of an account of its own, what every report must say of them, and what the
//! API says.
//!
//! `rounds` makes the events of a round and knows the figures after each of them; `bounds` judges
//! an answer by them; `answers` reads the figures of an answer; both are pure. `api` asks. Nothing
//! here sends an event, and no figure is taken from an answer into what is expected.

pub mod answers;
pub mod api;
pub mod bounds;
pub mod figures;
pub mod rounds;
