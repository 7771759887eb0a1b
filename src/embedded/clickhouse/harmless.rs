//! Features of the engine that reach no further than the data directory. Everything else that it
//! lists is refused, so additions of a new release are refused until they have been reviewed.

use std::collections::BTreeSet;

use crate::embedded::libchdb::{Connection, EngineError};

/// Table functions that reach no further than the data directory, in lower case. `format` has its
/// own rule.
const FUNCTIONS: [&str; 33] = [
    "dictionary",
    "format",
    "fuzzjson",
    "fuzzquery",
    "generate_series",
    "generaterandom",
    "generateseries",
    "input",
    "loop",
    "merge",
    "mergetreeanalyzeindexes",
    "mergetreeanalyzeindexesuuid",
    "mergetreeindex",
    "mergetreeprojection",
    "mergetreetextindex",
    "null",
    "numbers",
    "numbers_mt",
    "primes",
    "prometheusquery",
    "prometheusqueryrange",
    "sqlstandardvalues",
    "timeseriesdata",
    "timeseriesmetrics",
    "timeseriessamples",
    "timeseriesselector",
    "timeseriestags",
    "values",
    "view",
    "viewexplain",
    "viewifpermitted",
    "zeros",
    "zeros_mt",
];

/// Engines of tables and databases that reach no further than the data directory, in lower case,
/// beside those of the MergeTree family.
const ENGINES: [&str; 21] = [
    "alias",
    "atomic",
    "buffer",
    "dictionary",
    "fuzzjson",
    "fuzzquery",
    "generaterandom",
    "join",
    "log",
    "loop",
    "materializedview",
    "memory",
    "merge",
    "null",
    "ordinary",
    "set",
    "stripelog",
    "timeseries",
    "tinylog",
    "view",
    "windowview",
];

/// The names of all other table functions, in lower case.
///
/// # Errors
///
/// The engine's error.
pub(super) fn other_functions(
    connection: &mut Connection,
) -> Result<BTreeSet<String>, EngineError> {
    let listed = names(connection, "SELECT name FROM system.table_functions")?;
    Ok(listed.into_iter().filter(|name| !FUNCTIONS.contains(&name.as_str())).collect())
}

/// The names of all other engines of tables and databases, in lower case.
///
/// # Errors
///
/// The engine's error.
pub(super) fn other_engines(connection: &mut Connection) -> Result<BTreeSet<String>, EngineError> {
    let listed = names(
        connection,
        "SELECT name FROM system.table_engines UNION ALL SELECT name FROM system.database_engines",
    )?;
    let is_harmless = |name: &str| name.ends_with("mergetree") || ENGINES.contains(&name);
    Ok(listed.into_iter().filter(|name| !is_harmless(name)).collect())
}

fn names(connection: &mut Connection, sql: &str) -> Result<Vec<String>, EngineError> {
    let output = connection.query(sql.as_bytes(), "TSVRaw", &[])?;
    Ok(String::from_utf8_lossy(&output.bytes).to_lowercase().lines().map(str::to_owned).collect())
}
