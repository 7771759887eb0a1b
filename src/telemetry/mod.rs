//! Every metric and log event by name, and the health that `/readyz` reports.

pub mod health;
