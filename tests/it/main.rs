//! Every integration test, in one binary: linking librdkafka once is slow enough.

mod simulation;
