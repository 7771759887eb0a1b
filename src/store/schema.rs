//! The files of `schemas/clickhouse`: tables, which are numbered and applied once, and views, which
//! are made anew whenever their text changes.
//!
//! All of them lie in the internal database. The documented views, which analysts read, are made a
//! second time in the database of the documented views, from the same text: their names lead to the
//! internal database there, and they read it with the rights of whoever made them, so that an
//! analyst needs no right to it.

use sha2::{Digest as _, Sha256};

use super::placement::{Placement, Statement, quoted};

/// A documented view reads its tables with the rights of the user who made it.
const RIGHTS_OF_THE_MAKER: &str = "SQL SECURITY DEFINER";
/// A test holds the documented views to it.
const HEADER: &str = "a documented view starts with VIEW and its name, and a line of it with AS";

macro_rules! embed {
    ($folder:literal: $($name:literal)*) => {
        [$((
            $name,
            include_str!(concat!("../../schemas/clickhouse/", $folder, "/", $name, ".sql")),
        )),*]
    };
}

/// Name and text of every file in `schemas/clickhouse/tables`; a test compares the list with the
/// directory.
static TABLE_FILES: &[(&str, &str)] = &embed! { "tables":
    "0001_schema_migrations"
    "0002_source_progress"
    "0003_active_users_state"
    "0004_active_users_by_account_state"
    "0005_active_users_by_account_rollup"
    "0006_test_executions_state"
    "0007_quota_usage_state"
    "0008_seat_facts"
    "0009_seat_intervals"
    "0010_license_facts"
    "0011_plan_facts"
    "0012_zone_facts"
    "0013_directory_state"
    "0014_organizations_seen"
    "0015_rejected_event_facts"
    "0016_schema_views"
    "0017_deployment"
    "0018_zone_claims"
    "0019_account_progress"
    "0020_account_moves"
    "0021_active_days"
    "0022_ingest_audit_state"
    "0023_alert_events"
    "0024_alert_deliveries"
    "0025_alert_marks"
};

/// Name and text of every file in `schemas/clickhouse/views`, each after the views that it reads; a
/// test compares the list with the directory.
static VIEW_FILES: &[(&str, &str)] = &embed! { "views":
    "ingest_progress"
    "ingest_audit"
    "rejected_events"
    "split_accounts"
    "daily_active_users"
    "daily_active_users_by_account"
    "test_executions_daily"
    "quota_usage_daily"
    "quota_usage"
    "license_purchases"
    "plans"
    "accounts"
    "organizations"
    "organization_paths"
    "organization_subtree"
    "organization_tree"
    "organization_children"
    "users"
    "projects"
    "license_intervals"
    "license_assignments"
    "license_changes"
    "license_purchases_at"
    "license_history"
    "license_history_by_organization"
    "license_usage"
    "license_usage_by_organization"
    "account_license_assignments"
    "quota_months"
    "test_activity"
    "user_keys"
    "integrity_of_sources"
    "integrity_of_tests"
    "integrity_of_accounts"
    "integrity"
    "alerts"
};

/// The views that analysts read. What stands here is described in `schemas/clickhouse/README.md`,
/// and keeps its name and its columns.
pub const DOCUMENTED_VIEWS: [&str; 23] = [
    "accounts",
    "alerts",
    "daily_active_users",
    "daily_active_users_by_account",
    "ingest_audit",
    "ingest_progress",
    "integrity",
    "license_assignments",
    "license_intervals",
    "license_purchases",
    "organization_paths",
    "organization_subtree",
    "organization_tree",
    "organizations",
    "plans",
    "projects",
    "quota_usage",
    "quota_usage_daily",
    "rejected_events",
    "split_accounts",
    "test_executions_daily",
    "user_keys",
    "users",
];

/// One numbered file of the schema, applied once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Its number: 1, 2, and so on without gaps.
    pub version: u32,
    /// Its name without the number.
    pub name: String,
    /// The statement.
    pub sql: String,
}

/// One view of the schema, made anew when its text changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Its name.
    pub name: String,
    /// The statement, which replaces a view of that name.
    pub sql: String,
    /// Whether analysts read it.
    pub is_documented: bool,
}

impl Migration {
    /// SHA-256 of the statement, hexadecimal.
    pub fn checksum(&self) -> String {
        checksum(&self.sql)
    }

    /// The statements as they are run, in their order.
    pub fn statements(&self, placement: &Placement) -> Vec<Statement> {
        placement.table(&self.name, &with_unix_lines(&self.sql))
    }
}

impl View {
    /// SHA-256 of its statements, hexadecimal.
    pub fn checksum(&self) -> String {
        let for_analysts = self.statement_for_analysts("", &Placement::Server).unwrap_or_default();
        checksum(&format!("{}{for_analysts}", self.sql))
    }

    /// The statement as it is run in the internal database.
    pub fn statement(&self, placement: &Placement) -> String {
        placement.view(&with_unix_lines(&self.sql))
    }

    /// The statement that makes a documented view for analysts, in this database. It is run in the
    /// internal one, whose tables and views it means where it names no database. `None` for other
    /// views.
    pub fn statement_for_analysts(&self, database: &str, placement: &Placement) -> Option<String> {
        if !self.is_documented {
            return None;
        }
        let sql = with_unix_lines(&self.sql);
        let (head, rest) = sql.split_once(&format!("VIEW {} ", self.name)).expect(HEADER);
        let (columns, select) = rest.split_once("\nAS ").expect(HEADER);
        let name = format!("{}.{}", quoted(database), quoted(&self.name));
        let sql = format!("{head}VIEW {name} {columns}\n{RIGHTS_OF_THE_MAKER}\nAS {select}");
        Some(placement.view(&sql))
    }
}

/// The text with one kind of line ends, whatever the checkout that this program was built from has
/// made of them.
fn with_unix_lines(sql: &str) -> String {
    sql.replace("\r\n", "\n")
}

fn checksum(sql: &str) -> String {
    hex::encode(Sha256::digest(with_unix_lines(sql)))
}

/// The version of the schema that this program knows.
pub fn schema_version() -> u32 {
    migrations().last().map_or(0, |last| last.version)
}

/// The migrations that this program knows, in order.
pub fn migrations() -> Vec<Migration> {
    TABLE_FILES
        .iter()
        .map(|(file, sql)| {
            let (version, name) = file.split_once('_').expect("a migration is named NNNN_name");
            Migration {
                version: version.parse().expect("a migration's name starts with its number"),
                name: name.to_owned(),
                sql: (*sql).to_owned(),
            }
        })
        .collect()
}

/// The views that this program knows, each after those that it reads.
pub fn views() -> Vec<View> {
    VIEW_FILES
        .iter()
        .map(|(name, sql)| View {
            name: (*name).to_owned(),
            sql: (*sql).to_owned(),
            is_documented: DOCUMENTED_VIEWS.contains(name),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::deployment::RANDOM_SEED;
    use super::super::placement::{ON_CLUSTER, REPLICATED};
    use super::super::settings::PINNED;
    use super::*;

    fn replicas(cluster: &str) -> Placement {
        Placement::Replicas { cluster: cluster.to_owned() }
    }

    /// The only statement of a migration.
    fn statement(migration: &Migration, placement: &Placement) -> String {
        let [Statement { is_of_shard: false, sql }] = &migration.statements(placement)[..] else {
            panic!("{} is one statement", migration.name)
        };
        sql.clone()
    }

    /// Names of the files in a folder of `schemas/clickhouse`, without their ending, sorted.
    fn files(folder: &str) -> Vec<String> {
        let directory = format!("{}/schemas/clickhouse/{folder}", env!("CARGO_MANIFEST_DIR"));
        let mut files: Vec<String> = std::fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .map(|name| name.strip_suffix(".sql").expect("only .sql files").to_owned())
            .collect();
        files.sort();
        files
    }

    #[test]
    fn migrations_are_numbered_from_one_without_gaps_and_match_the_directory() {
        assert_eq!(
            files("tables"),
            TABLE_FILES.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>()
        );
        for (migration, number) in migrations().iter().zip(1..) {
            assert_eq!(migration.version, number, "{}", migration.name);
        }
        let seeds: usize =
            migrations().iter().map(|migration| migration.sql.matches(RANDOM_SEED).count()).sum();
        assert_eq!(seeds, 1, "one statement takes the seed");
    }

    #[test]
    fn views_match_the_directory_and_are_named_as_their_files() {
        let mut names: Vec<String> = views().into_iter().map(|view| view.name).collect();
        names.sort();
        assert_eq!(files("views"), names);
        for View { name, sql, .. } in views() {
            assert!(
                sql.contains(&format!("CREATE OR REPLACE VIEW {name} {ON_CLUSTER}\n")),
                "{name}"
            );
        }
    }

    #[test]
    fn documented_views_are_made_for_analysts_from_the_same_text() {
        let documented: Vec<View> = views().into_iter().filter(|view| view.is_documented).collect();
        let mut names: Vec<&str> = documented.iter().map(|view| view.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, DOCUMENTED_VIEWS, "sorted, and each is a view");
        for view in documented {
            let name = &view.name;
            assert_eq!(view.sql.matches("\nAS ").count(), 1, "{name}");
            let for_analysts = view.statement_for_analysts("a`b", &replicas("c")).unwrap();
            let header = format!("VIEW `a\\`b`.`{name}` ON CLUSTER `c`\n");
            assert!(for_analysts.contains(&header), "{for_analysts}");
            let restored = for_analysts
                .replace(&header, &format!("VIEW {name} ON CLUSTER `c`\n"))
                .replace(&format!("\n{RIGHTS_OF_THE_MAKER}"), "");
            assert_eq!(restored, view.statement(&replicas("c")));
            for View { name: other, .. } in views() {
                // A parameterized view is looked for when the query runs, in the database of the
                // analyst.
                let reads_it = ["FROM", "JOIN"]
                    .iter()
                    .any(|word| view.sql.contains(&format!("{word} {other}(")));
                assert!(!reads_it, "{name} reads the parameterized view {other}");
            }
            let internal = View { is_documented: false, ..view.clone() };
            assert_eq!(internal.statement_for_analysts("a", &Placement::Server), None);
            assert_ne!(internal.checksum(), view.checksum(), "{name} is made when documented");
        }
    }

    #[test]
    fn line_ends_of_the_checkout_change_neither_checksum_nor_statement() {
        let server = Placement::Server;
        for migration in migrations() {
            let lines = statement(&migration, &server);
            assert!(!lines.contains('\r'), "{}", migration.name);
            let windows = Migration { sql: lines.replace('\n', "\r\n"), ..migration.clone() };
            assert_ne!(windows.sql, lines);
            assert_eq!(windows.checksum(), migration.checksum(), "{}", migration.name);
            let [windows, unix] = [&windows, &migration].map(|of| statement(of, &replicas("c")));
            assert_eq!(windows, unix, "{}", migration.name);
        }
        for view in views() {
            let lines = view.statement(&server);
            let windows = View { sql: lines.replace('\n', "\r\n"), ..view.clone() };
            assert_eq!(windows.checksum(), view.checksum(), "{}", view.name);
            assert_eq!(windows.statement(&server), lines, "{}", view.name);
            let for_analysts =
                [&windows, &view].map(|view| view.statement_for_analysts("d", &server));
            assert_eq!(for_analysts[0], for_analysts[1], "{}", view.name);
        }
    }

    #[test]
    fn every_view_pins_what_a_profile_might_change() {
        for View { name, sql, .. } in views() {
            let (_, pins) =
                sql.split_once("\nSETTINGS\n").unwrap_or_else(|| panic!("{name} pins nothing"));
            let (pins, _) =
                pins.split_once("\nCOMMENT ").unwrap_or_else(|| panic!("{name} has no comment"));
            for (setting, value) in PINNED {
                let is_pinned = [format!("{setting} = {value}"), format!("{setting} = '{value}'")]
                    .iter()
                    .any(|pin| pins.contains(pin));
                assert!(is_pinned, "{name} does not set {setting}");
            }
        }
    }

    #[test]
    fn every_statement_is_idempotent_and_can_be_run_on_a_cluster() {
        let cluster = replicas("m`1");
        let tables = migrations().into_iter().map(|migration| {
            let rendered = statement(&migration, &cluster);
            (migration.name, migration.sql, rendered)
        });
        let views = views().into_iter().map(|view| {
            let rendered = view.statement(&cluster);
            (view.name, view.sql, rendered)
        });
        for (name, sql, rendered) in tables.chain(views) {
            assert!(
                ["IF NOT EXISTS", "OR REPLACE"].iter().any(|words| sql.contains(words)),
                "{name}"
            );
            assert_eq!(sql.matches(ON_CLUSTER).count(), 1, "{name}");
            let engines = sql.matches("ENGINE =").count();
            assert_eq!(sql.matches(REPLICATED).count(), engines, "{name}");
            assert!(rendered.contains("ON CLUSTER `m\\`1`"), "{rendered}");
            assert_eq!(rendered.matches("ENGINE = Replicated").count(), engines, "{rendered}");
        }
    }
}
