//! The whole way from Kafka to ClickHouse, on real Apache Kafka and the embedded engine, each a
//! process of its own.
//!
//! `cargo bench --bench pipeline` runs every part; `cargo bench --bench pipeline -- PART...` only
//! some:
//!
//! | part | what it measures |
//! |---|---|
//! | `drain` | CPU per event of a backlog: two baseline readers, and the worker, in turn, three times each |
//! | `growth` | memory from 1 to 10 million events |
//! | `latency` | from the record's timestamp to its durable rollup, at half of the load that the worker can take |
//! | `start` | from the start of the process to the first flush, with 2,000 organizations in the store |
//! | `partitions` | 1, 2, 4 and 16 partitions |
//! | `users` | 1,000 to 1,000,000 active users |
//! | `backlog` | how fast backlogs of three shapes are drained, and what that waits for |
//! | `verify` | `seatmeter verify` against the batch reader alone |
//! | `ids` | numbers, short texts and UUIDs as ids of users |
//! | `codecs` | a log that is not compressed, by lz4, and by zstd |
//!
//! CPU seconds are those of the whole process, from its start until the last event is durable, by
//! the kernel's accounting; memory is the highest resident set. Compare figures of one run only.

#![allow(clippy::print_stdout, reason = "a bench reports on standard output")]

mod backlog;
mod drain;
mod kinds;
mod latency;
mod process;
mod readers;
mod scaling;
mod shapes;
#[allow(
    unused_imports,
    clippy::unwrap_used,
    reason = "it belongs to the tests, which use more of it and may panic"
)]
#[path = "../../tests/it/support/mod.rs"]
mod support;
mod verify;
mod worker;

/// A part of the bench.
const PARTS: [(&str, fn()); 10] = [
    ("drain", drain::run),
    ("growth", scaling::growth),
    ("latency", latency::run),
    ("start", latency::start),
    ("partitions", scaling::partitions),
    ("users", scaling::users),
    ("backlog", shapes::run),
    ("verify", verify::run),
    ("ids", kinds::ids),
    ("codecs", kinds::codecs),
];

fn main() {
    // cargo adds `--bench`.
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [mode, arguments @ ..] = &wanted[..]
        && readers::run_as_child(mode, arguments)
    {
        return;
    }
    for part in &wanted {
        let names = PARTS.map(|(name, _)| name);
        assert!(
            names.contains(&part.as_str()),
            "no part is called {part:?}; there are {}",
            names.join(", ")
        );
    }
    for (name, run) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|part| part == name) {
            run();
            println!();
        }
    }
}
