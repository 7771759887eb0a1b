//! The settings that go with each request, so that the profile of the ClickHouse user changes no
//! answer.
//!
//! A setting of a request beats that of a profile. All of these are known to [the oldest
//! server](super::VERSION_MIN): a server refuses a request with one that it does not know.

/// Settings that decide what a statement means. Each view sets them too, for analysts whose own
/// profile differs; a test holds the views against this list.
pub const PINNED: [(&str, &str); 5] = [
    ("aggregate_functions_null_for_empty", "0"),
    ("join_default_strictness", "ALL"),
    ("join_use_nulls", "0"),
    ("prefer_column_name_to_alias", "0"),
    ("transform_null_in", "0"),
];

/// The rest. A load that is cut short, or rows that are acknowledged before they are stored, would
/// be a wrong count; so overflows are errors, and nothing is answered before it is done.
pub(super) const REQUEST: [(&str, &str); 21] = [
    ("async_insert", "0"),
    ("distributed_foreground_insert", "1"),
    ("wait_end_of_query", "1"),
    // A retried block must not be taken for a duplicate: its first try may have reached the table
    // but not the materialized view behind it. The rows are idempotent, so nothing is counted
    // twice.
    ("insert_deduplicate", "0"),
    ("materialized_views_ignore_errors", "0"),
    ("read_overflow_mode", "throw"),
    ("read_overflow_mode_leaf", "throw"),
    ("result_overflow_mode", "throw"),
    ("group_by_overflow_mode", "throw"),
    ("sort_overflow_mode", "throw"),
    ("distinct_overflow_mode", "throw"),
    ("set_overflow_mode", "throw"),
    ("join_overflow_mode", "throw"),
    ("timeout_overflow_mode", "throw"),
    ("limit", "0"),
    ("offset", "0"),
    // Recursive queries need it.
    ("enable_analyzer", "1"),
    // An answer of up to a minute ago would be no answer.
    ("use_query_cache", "0"),
    // Of the formats that rows travel in.
    ("output_format_binary_encode_types_in_binary_format", "0"),
    ("input_format_binary_decode_types_in_binary_format", "0"),
    // Tables and views are made by requests too.
    ("data_type_default_nullable", "0"),
];

/// Shortcuts of the engine, on by default, that have made wrong answers in released versions: a
/// cache of conditions that other queries can spoil, limits pushed into aggregations, filters
/// derived from others and pushed below windows, filters pushed through joins, several replicas for
/// one query, and with several shards, filters that are sent to a shard as text. They are switched
/// off where the server knows the setting: a server refuses a request with one that it does not
/// know.
pub const SHORTCUTS: [(&str, &str); 7] = [
    ("allow_push_predicate_ast_for_distributed_subqueries", "0"),
    ("enable_join_runtime_filters", "0"),
    ("enable_parallel_replicas", "0"),
    ("optimize_aggregation_in_order_limit", "0"),
    ("optimize_and_compare_chain", "0"),
    ("optimize_trivial_group_by_limit_query", "0"),
    ("use_query_condition_cache", "0"),
];

/// What a view over several shards sets for analysts too: a join is over all rows of both sides,
/// and no shard is left out, or answered for by a replica that lacks rows, because another one does
/// not answer.
pub(super) const SHARDED_VIEW: [(&str, &str); 3] = [
    ("distributed_product_mode", "global"),
    ("fallback_to_stale_replicas_for_distributed_queries", "0"),
    ("skip_unavailable_shards", "0"),
];

/// The rest where rows lie on several shards. All shards are asked, or the one that has the
/// account; the same replica of each as long as it is there, so that an answer is not older than
/// the one before; a row is written where its account is, and by any number of writers at once.
pub(super) const SHARDED: [(&str, &str); 9] = [
    ("distributed_group_by_no_merge", "0"),
    ("insert_distributed_one_random_shard", "0"),
    ("insert_quorum_parallel", "1"),
    ("insert_shard_id", "0"),
    ("load_balancing", "in_order"),
    ("max_replica_delay_for_distributed_queries", "10"),
    ("optimize_distributed_group_by_sharding_key", "0"),
    ("optimize_skip_unused_shards", "1"),
    ("prefer_global_in_and_join", "0"),
];

/// All that go with each request.
pub(super) fn of_requests() -> impl Iterator<Item = (&'static str, &'static str)> {
    PINNED.into_iter().chain(REQUEST)
}
