//! The HTTP API: routes, access, problem documents.
//!
//! Handlers are thin: they parse the request into a type of [`crate::report`], ask the store, assemble the report and
//! reply. Who may call what is decided in one place, before any handler runs, from the table in [`route`]; nothing here
//! computes a figure, and the text of an inner error never reaches a client.

mod answers;
mod assignments;
mod auth;
mod connections;
mod dashboard;
mod directory;
mod host;
mod ingest;
mod keys;
mod licenses;
mod list_field;
mod log;
mod look;
mod openapi;
mod operations;
mod organizations;
mod params;
mod path;
mod places;
mod problem;
mod quota;
mod reply;
mod reset;
mod route;
mod series;
mod server;
mod state;
mod stream;
mod test_activity;

pub use auth::Auth;
pub use openapi::document as openapi_document;
pub use route::{Access, Endpoint, endpoints, router};
pub use server::{serve, serve_operations};
pub use state::ApiState;
