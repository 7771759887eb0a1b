//! Who exports, and how values are written in Protobuf's JSON.

use std::time::SystemTime;

use serde_json::{Value, json};

/// The process that exports, as the receiver tells it from others.
#[derive(Clone, Debug)]
pub struct Exporting {
    pub version: &'static str,
    /// Other than those of all other processes.
    pub instance: String,
    /// Since when its counters count.
    pub since: SystemTime,
}

impl Exporting {
    pub(super) fn resource(&self) -> Value {
        json!({ "attributes": [
            attribute("service.name", "seatmeter"),
            attribute("service.version", self.version),
            attribute("service.instance.id", &self.instance),
        ]})
    }
}

pub(super) fn attribute(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// 64-bit integers are strings in Protobuf's JSON.
pub(super) fn nanoseconds(at: SystemTime) -> String {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos().to_string()
}
