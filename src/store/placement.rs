//! Where the tables lie: on one server, on each replica of a cluster, or spread over the shards of
//! one.
//!
//! With several shards the rows of an account are on one of them, in a database of their own. The
//! internal database has a `Distributed` table of the same name over each of those, and views read
//! it as they read a table elsewhere. ClickHouse does the distributing: no process of seatmeter
//! knows where an account is. Tables that are of no account are small, and are whole on every node.

use super::settings::SHARDED_VIEW;

/// Where a statement takes `ON CLUSTER`. A comment, so that any client runs the files as they
/// stand.
pub(super) const ON_CLUSTER: &str = "/*on cluster*/";
/// Where an engine becomes `Replicated…`.
pub(super) const REPLICATED: &str = "/*replicated*/";
/// Tables whose rows are of no account. All others start their key with `account_id`; a test holds
/// them to it.
const OF_NO_ACCOUNT: [&str; 8] = [
    "alert_marks",
    "deployment",
    "ingest_audit_state",
    "rejected_event_facts",
    "schema_migrations",
    "schema_views",
    "source_progress",
    "zone_claims",
];
/// Replicas of one shard. The path names the table, not a number that the statement was given: a
/// node where it failed is no other table after the next attempt.
const OF_SHARD: &str = "'/clickhouse/tables/{database}/{table}/{shard}', '{replica}'";
/// One set of replicas of all nodes, whatever their shard.
const EVERYWHERE: &str = "'/clickhouse/tables/{database}/{table}/all', '{shard}-{replica}'";

/// Where the tables lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On one server.
    Server,
    /// On each replica of a cluster of one shard.
    Replicas {
        /// The cluster.
        cluster: String,
    },
    /// On several shards.
    Shards(Shards),
}

/// Several shards of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shards {
    /// The cluster.
    pub cluster: String,
    /// How many; 2 or more.
    pub count: u32,
    /// The database of the rows of accounts, on each shard.
    pub database: String,
}

/// A statement that makes a table, and where it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Run in the database of the shards' own rows, not in the internal one.
    pub is_of_shard: bool,
    /// Its text.
    pub sql: String,
}

impl Placement {
    /// The cluster.
    pub fn cluster(&self) -> Option<&str> {
        match self {
            Self::Server => None,
            Self::Replicas { cluster } | Self::Shards(Shards { cluster, .. }) => Some(cluster),
        }
    }

    /// Several shards.
    pub fn shards(&self) -> Option<&Shards> {
        match self {
            Self::Server | Self::Replicas { .. } => None,
            Self::Shards(shards) => Some(shards),
        }
    }

    /// Whether the server that we talk to has the table itself, so that it can be made to fetch
    /// what other replicas of it have.
    pub(super) fn is_replicated_here(&self, table: &str) -> bool {
        match self {
            Self::Server => false,
            Self::Replicas { .. } => true,
            Self::Shards(_) => OF_NO_ACCOUNT.contains(&table),
        }
    }

    /// The statements that make a table, or a materialized view that fills one, in their order.
    pub(super) fn table(&self, name: &str, sql: &str) -> Vec<Statement> {
        let internal = |sql| Statement { is_of_shard: false, sql };
        let of_shard = |sql| Statement { is_of_shard: true, sql };
        let Self::Shards(shards) = self else {
            return vec![internal(self.replicated(sql))];
        };
        if OF_NO_ACCOUNT.contains(&name) {
            return vec![internal(with_path(&self.replicated(sql), EVERYWHERE))];
        }
        let rows = of_shard(with_path(&self.replicated(sql), OF_SHARD));
        match sql.contains("CREATE MATERIALIZED VIEW") {
            // It fills a table of its shard with what another one of it gets.
            true => vec![rows],
            false => vec![rows, internal(shards.distributed(name))],
        }
    }

    /// The statement of a view.
    pub(super) fn view(&self, sql: &str) -> String {
        let sql = self.replicated(sql);
        if self.shards().is_none() {
            return sql;
        }
        let pins = SHARDED_VIEW.map(|(name, value)| format!("    {name} = {},\n", text(value)));
        sql.replacen("\nSETTINGS\n", &format!("\nSETTINGS\n{}", pins.concat()), 1)
    }

    fn replicated(&self, sql: &str) -> String {
        match self.cluster() {
            Some(cluster) => {
                sql.replace(ON_CLUSTER, &on_cluster(cluster)).replace(REPLICATED, "Replicated")
            }
            None => sql.to_owned(),
        }
    }
}

impl Shards {
    /// The key that decides on the shard. The number of shards is part of it, so that a shard that
    /// is added to the cluster moves no account, and [`Self::count_in`] can tell it.
    fn key(count: u32) -> String {
        format!("cityHash64(account_id) % {count}")
    }

    fn distributed(&self, table: &str) -> String {
        let Shards { cluster, count, database } = self;
        format!(
            "CREATE TABLE IF NOT EXISTS {table} {on_cluster}\n\
            AS {database}.{table}\n\
            ENGINE = Distributed({cluster}, {database_text}, '{table}', {key})",
            on_cluster = on_cluster(cluster),
            database = quoted(database),
            cluster = text(cluster),
            database_text = text(database),
            key = Self::key(*count),
        )
    }

    /// For how many shards a table was made, from its engine as `system.tables` has it; 1 for one
    /// that is not distributed.
    pub(super) fn count_in(engine: &str) -> u32 {
        let modulus = engine.strip_prefix("Distributed(").and_then(|arguments| {
            let (_, modulus) = arguments.rsplit_once("% ")?;
            modulus.strip_suffix(')')?.parse().ok()
        });
        modulus.unwrap_or(1)
    }
}

/// The statement with a path and a name for each replica of its engine `Replicated…`, if it has
/// one.
fn with_path(sql: &str, path_and_name: &str) -> String {
    const ENGINE: &str = "ENGINE = Replicated";
    let Some((head, engine)) = sql.split_once(ENGINE) else {
        return sql.to_owned();
    };
    let name_ends = engine.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(engine.len());
    let (name, rest) = engine.split_at(name_ends);
    let rest = match rest.strip_prefix('(') {
        Some(arguments) => format!(", {arguments}"),
        None => format!("){rest}"),
    };
    format!("{head}{ENGINE}{name}({path_and_name}{rest}")
}

/// `ON CLUSTER` with the name quoted.
pub(super) fn on_cluster(cluster: &str) -> String {
    format!("ON CLUSTER {}", quoted(cluster))
}

/// A name as a quoted identifier.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// A text as a literal.
fn text(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::super::schema::{migrations, views};
    use super::*;

    fn shards() -> Placement {
        Placement::Shards(Shards {
            cluster: "c".to_owned(),
            count: 3,
            database: "usage_shard".to_owned(),
        })
    }

    #[test]
    fn tables_of_accounts_are_spread_by_account_and_the_others_are_whole() {
        for migration in migrations() {
            let name = &migration.name;
            let sql = migration.sql.replace('\n', " ");
            let is_of_account = sql.contains("ORDER BY (account_id,");
            let is_filled = sql.contains("CREATE MATERIALIZED VIEW");
            assert_eq!(
                is_of_account || is_filled,
                !OF_NO_ACCOUNT.contains(&name.as_str()),
                "{name}"
            );
            let statements = migration.statements(&shards());
            let places: Vec<bool> = statements.iter().map(|of| of.is_of_shard).collect();
            match (is_of_account, is_filled) {
                (true, _) => assert_eq!(places, [true, false], "{name}"),
                (false, true) => assert_eq!(places, [true], "{name}"),
                (false, false) => assert_eq!(places, [false], "{name}"),
            }
            for Statement { sql, .. } in &statements {
                assert!(sql.contains("IF NOT EXISTS") && sql.contains("ON CLUSTER `c`"), "{sql}");
            }
            assert_eq!(shards().is_replicated_here(name), !is_of_account && !is_filled, "{name}");
        }
    }

    #[test]
    fn a_distributed_table_names_rows_key_and_number_of_shards() {
        let seats = migrations().into_iter().find(|of| of.name == "seat_facts").unwrap();
        let [rows, distributed] = &seats.statements(&shards())[..] else { panic!() };
        let engine = format!("\nENGINE = ReplicatedReplacingMergeTree({OF_SHARD})\n");
        assert!(rows.sql.contains(&engine), "{}", rows.sql);
        let (_, engine) = distributed.sql.split_once("ENGINE = ").unwrap();
        assert_eq!(
            engine,
            "Distributed('c', 'usage_shard', 'seat_facts', cityHash64(account_id) % 3)"
        );
        assert_eq!(Shards::count_in(engine), 3);
        assert_eq!(Shards::count_in("MergeTree ORDER BY a % 3"), 1);
    }

    #[test]
    fn a_table_of_no_account_has_a_replica_on_every_node() {
        let engine = |name: &str| {
            let table = migrations().into_iter().find(|of| of.name == name).unwrap();
            let [Statement { is_of_shard: false, sql }] = &table.statements(&shards())[..] else {
                panic!()
            };
            let (_, engine) = sql.split_once("ENGINE = ").unwrap();
            engine.lines().next().unwrap().to_owned()
        };
        assert_eq!(
            engine("source_progress"),
            "ReplicatedAggregatingMergeTree('/clickhouse/tables/{database}/{table}/all', \
            '{shard}-{replica}')"
        );
        assert_eq!(
            engine("schema_views"),
            "ReplicatedReplacingMergeTree('/clickhouse/tables/{database}/{table}/all', \
            '{shard}-{replica}', applied_at)"
        );
    }

    #[test]
    fn views_join_whole_tables_of_all_shards() {
        for view in views() {
            for (name, value) in SHARDED_VIEW {
                let pin = format!("    {name} = '{value}',\n");
                assert_eq!(view.statement(&shards()).matches(&pin).count(), 1, "{}", view.name);
                assert!(!view.statement(&Placement::Server).contains(&pin), "{}", view.name);
            }
        }
    }
}
