//! The HTTP API: routes, access, problem documents.
//!
//! Handlers are thin: they parse the request into a type of [`crate::report`], ask the store, assemble the report and
//! reply. Who may call what is decided in one place, before any handler runs, from the table in [`route`]; nothing here
//! computes a figure, and the text of an inner error never reaches a client.

mod activity;
mod assignments;
mod auth;
mod connections;
mod dashboard;
mod host;
mod ingest;
mod keys;
mod licenses;
mod list_field;
mod listing;
mod log;
mod making;
mod openapi;
mod operations;
mod organizations;
mod params;
mod path;
mod places;
mod poll;
mod problem;
mod quiet;
mod quota;
mod recent;
mod reply;
mod reset;
mod route;
mod seats;
mod series;
mod server;
mod state;
mod stream;
mod test_activity;
mod tracked;
mod tree;
mod usage;
mod watch;

pub use auth::Auth;
pub use openapi::document as openapi_document;
pub use route::{Access, Endpoint, endpoints, router};
pub use server::{serve, serve_operations};
pub use state::ApiState;
