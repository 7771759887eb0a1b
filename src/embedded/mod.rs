//! The parts that let one binary run with nothing installed: an in-process ClickHouse behind HTTP, a mock Kafka cluster, and their provisioning.
