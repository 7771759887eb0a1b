//! Every metric and log event by name, and the state that `/readyz` and `/v1/ingest` report.

pub mod alerts;
pub mod canary;
pub mod events;
pub mod feeding;
pub mod health;
pub mod http;
pub mod latency;
pub mod metrics;
mod names;
pub mod otlp;
mod process;
mod recorder;
mod seek_cause;
mod series;
pub mod standing;
