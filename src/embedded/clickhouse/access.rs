//! The permissions of the engine's only user: the engine's own access control, read from a file at
//! its start.
//!
//! Without external access, the user has no rights on sources (files, other hosts, databases of
//! other kinds) and none to back up or to define dictionaries or named collections. It cannot
//! change settings that name files or hosts, switch to another SQL dialect, or hold SQL in a
//! string. The [guard](super::guard) covers the rest.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::embedded::private;

/// Its name in the data directory. It is written at each start. Passing it to the engine also keeps
/// the engine from reading a `config.xml` of the current folder.
const ACCESS_FILE: &str = "seatmeter-engine.xml";

/// Grants that reach no further than the data directory. `SHOW` and the other groups are the
/// engine's.
const RIGHTS: &str = "CHECK, SHOW, SELECT, INSERT, \
     ALTER UPDATE, ALTER DELETE, ALTER COLUMN, ALTER INDEX, ALTER STATISTICS, ALTER PROJECTION, \
     ALTER CONSTRAINT, ALTER TTL, \
     ALTER MATERIALIZE TTL, ALTER REWRITE PARTS, ALTER SETTINGS, ALTER MOVE PARTITION, ALTER \
     MODIFY COMMENT, ALTER DATABASE, \
     ALTER VIEW, \
     CREATE DATABASE, CREATE TABLE, CREATE VIEW, CREATE TEMPORARY TABLE, CREATE TEMPORARY VIEW, \
     CREATE FUNCTION, \
     DROP, UNDROP TABLE, TRUNCATE, OPTIMIZE, KILL QUERY, KILL TRANSACTION, dictGet, \
     SYSTEM DROP CACHE, SYSTEM MERGES, SYSTEM TTL MERGES, SYSTEM MOVES, SYSTEM CLEANUP, SYSTEM \
     FLUSH, \
     SYSTEM RELOAD ASYNCHRONOUS METRICS, SYSTEM WAIT LOADING PARTS, SYSTEM LOAD PRIMARY KEY, \
     SYSTEM UNLOAD PRIMARY KEY";

/// One more. Engines before 26.7 refuse to start with a right, or a constraint on a setting, that
/// they do not know.
const RIGHT_SINCE_26_7: &str = "SYSTEM BACKGROUND";

/// Settings that nobody may change. The first group names files and hosts, the second holds SQL
/// that the guard would not see, the third runs statements, or reads views, without the engine's
/// access control. The engine lets a subquery change them nevertheless, so the guard refuses them
/// there.
pub(super) const FIXED_SETTINGS: [&str; 22] = [
    "format_schema",
    "format_schema_source",
    "output_format_schema",
    "format_template_row",
    "format_template_resultset",
    "input_format_record_errors_file_path",
    "format_avro_schema_registry_url",
    "url_base",
    "rename_files_after_processing",
    "allow_experimental_ai_functions",
    "dialect",
    "polyglot_dialect",
    "additional_table_filters",
    "additional_result_filter",
    "parallel_replicas_custom_key",
    "cluster_for_parallel_replicas",
    "allow_experimental_eval_table_function",
    "promql_table",
    "ast_fuzzer_runs",
    "ast_fuzzer_any_query",
    "default_normal_view_sql_security",
    "default_materialized_view_sql_security",
];

/// One of them that engines before 26.7 do not know.
const SETTING_SINCE_26_7: &str = "allow_experimental_eval_table_function";

/// The default database of every connection. The embedded engine would create it as an overlay of
/// two, one of which shows each file of the machine as a table, to read, truncate and write to,
/// past all access control. To prevent that, the database has to exist already.
pub(super) const DEFAULT_DATABASE: &str = "default";

/// Its id, in a data directory that has none yet.
const DEFAULT_DATABASE_ID: &str = "5ea7e7e5-0000-4000-8000-000000000001";

/// The definition that keeps the engine from creating that database.
const NO_DATABASE: &str = "<default_database></default_database>";

/// Defines the database that connections begin in, if it is not defined.
///
/// # Errors
///
/// Its definition cannot be written.
pub(super) fn define_default_database(data_dir: &Path) -> Result<()> {
    let folder = data_dir.join("metadata");
    private::ensure_folder(&folder).with_context(|| format!("cannot use {}", folder.display()))?;
    let definition = folder.join(DEFAULT_DATABASE).with_extension("sql");
    if definition.exists() {
        return Ok(());
    }
    // If the engine created it by itself, a link beside the definition holds its id.
    let linked = std::fs::read_link(folder.join(DEFAULT_DATABASE)).ok();
    let known = linked.as_deref().and_then(Path::file_name).and_then(|name| name.to_str());
    let id = known.unwrap_or(DEFAULT_DATABASE_ID);
    private::write_file(&definition, &format!("ATTACH DATABASE _ UUID '{id}'\nENGINE = Atomic\n"))
}

/// Writes the file for an engine, and returns its path.
///
/// # Errors
///
/// It cannot be written.
pub(super) fn write(
    data_dir: &Path,
    allow_external: bool,
    is_before_26_7: bool,
) -> Result<PathBuf> {
    let folder = data_dir
        .canonicalize()
        .with_context(|| format!("cannot look at {}", data_dir.display()))?;
    let path = folder.join(ACCESS_FILE);
    let text = if allow_external {
        format!("<clickhouse>{NO_DATABASE}</clickhouse>\n")
    } else {
        restricted(&path, is_before_26_7)
    };
    private::write_file(&path, &text)?;
    Ok(path)
}

fn restricted(path: &Path, is_before_26_7: bool) -> String {
    let mut rights = vec![RIGHTS];
    if !is_before_26_7 {
        rights.push(RIGHT_SINCE_26_7);
    }
    let rights = rights.join(", ");
    let fixed: String = FIXED_SETTINGS
        .iter()
        .filter(|name| !is_before_26_7 || **name != SETTING_SINCE_26_7)
        .map(|name| format!("<{name}><readonly/></{name}>"))
        .collect();
    format!(
        "<clickhouse>{NO_DATABASE}
  <users_config>{path}</users_config>
  <profiles><default><constraints>{fixed}</constraints></default></profiles>
  <quotas><default/></quotas>
  <users><default>
    <password></password><networks><ip>::/0</ip></networks>
    <profile>default</profile><quota>default</quota>
    <grants><query>GRANT {rights} ON *.*</query></grants>
  </default></users>
</clickhouse>
",
        path = escaped(&path.to_string_lossy())
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_database_keeps_its_id() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("metadata");
        let definition = || {
            define_default_database(data.path()).unwrap();
            std::fs::read_to_string(folder.join("default.sql")).unwrap()
        };
        assert!(definition().contains(DEFAULT_DATABASE_ID));
        std::fs::remove_file(folder.join("default.sql")).unwrap();
        std::os::unix::fs::symlink("../store/abc/abc-def", folder.join("default")).unwrap();
        assert!(definition().contains("'abc-def'"));
        std::fs::write(folder.join("default.sql"), "kept").unwrap();
        assert_eq!(definition(), "kept");
    }

    #[test]
    fn the_file_names_itself_and_no_source() {
        let text = restricted(Path::new("/a & b/<c>"), false);
        assert!(text.contains("<users_config>/a &amp; b/&lt;c&gt;</users_config>"), "{text}");
        assert!(text.contains("SYSTEM UNLOAD PRIMARY KEY, SYSTEM BACKGROUND ON *.*"), "{text}");
        let older = restricted(Path::new("/a & b/<c>"), true);
        assert!(older.contains("SYSTEM UNLOAD PRIMARY KEY ON *.*"), "{older}");
        assert!(text.contains(SETTING_SINCE_26_7) && !older.contains(SETTING_SINCE_26_7));
        for source in
            ["FILE", "URL", "SOURCES", "BACKUP", "CREATE DICTIONARY", "NAMED COLLECTION", "READ"]
        {
            assert!(!RIGHTS.split(", ").any(|right| right == source), "{source}");
        }
    }
}
