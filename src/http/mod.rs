//! The HTTP API: routes, access, problem documents.
//!
//! Handlers are thin: they parse the request into a type of [`crate::report`], ask the store,
//! assemble the report and reply. Who may call what is decided in one place, before any handler
//! runs, from the table in [`mod@router`]; nothing here computes a figure, and the text of an inner
//! error never reaches a client.

mod account_lists;
mod answers;
mod auth;
mod connections;
mod dashboard;
mod directory;
mod docs;
mod keys;
mod log;
mod look;
mod openapi;
mod operations;
mod page_file;
mod places;
mod reply;
mod reports;
mod request;
mod reset;
mod router;
mod server;
mod state;
mod usage_parts;

pub use auth::{Access, Authenticator};
pub use openapi::document as openapi_document;
pub use operations::metrics_text;
pub use router::{Endpoint, endpoints, router};
pub use server::{serve, serve_metrics, serve_operations};
pub use state::ApiState;
