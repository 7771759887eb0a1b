//! Kafka to rollups: consumer, rebalances, worker threads that own lanes, flushes.
