//! Every metric and log event by name, and the health that `/readyz` reports.

pub mod events;
pub mod health;
pub mod http;
pub mod latency;
pub mod metrics;
