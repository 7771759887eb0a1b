//! Shared by all Kafka clients of the program: causes and remedies for librdkafka's errors; tokens
//! for OAUTHBEARER; the properties of producers.
//!
//! What it never does: connect to a broker on behalf of a client, decide whether to go on, or
//! print.

mod acl;
mod authorization_server;
mod cause;
mod certificate;
mod files;
mod producer;
mod secrets;
mod token;

pub use self::acl::{Operation, Resource};
pub use self::cause::{Cause, Causes, Kind};
pub use self::producer::producer_properties;
pub use self::token::Tokens;
