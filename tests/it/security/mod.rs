//! A Kafka as production has it: TLS, SASL, and nobody may do anything that no ACL allows.

mod counting;
mod refusals;
mod tokens;
