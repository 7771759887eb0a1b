//! Fetches the dependencies of the embedded parts into the user's cache folder: the ClickHouse
//! library from npm, and (for tests) Apache Kafka's jars from Maven.
//!
//! Versions and hashes are pinned here; a mismatch is refused when fetched and when loaded, and so
//! is a file that another user may write to. Package managers do the fetching, with the registries,
//! proxies and credentials that the user has configured. A folder appears atomically, even if two
//! processes create it at once.

mod cache;
mod engine;
mod hash;
mod kafka;
mod progress;
mod staging;

pub use cache::CACHE_DIR_VARIABLE;
pub use engine::{
    OLDER_VERSION as OLDER_ENGINE_VERSION, VERSION as ENGINE_VERSION, engine_library,
    fetch_engine_library, older_engine_library,
};
pub use kafka::kafka_jars;
