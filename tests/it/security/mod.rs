//! Kafka as in production: TLS, SASL, and nothing is allowed without an ACL.

mod counting;
mod refusals;
mod tokens;
