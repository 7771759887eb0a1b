//! A database of one test in the shared engine, with a store on it.

use seatmeter::config;
use seatmeter::store::Store;

use crate::support::engine::PASSWORD;
use crate::support::{Database, engine};

/// A database of one test; dropped at its end.
pub(crate) struct TestDatabase {
    database: Database,
    store: Store,
}

impl TestDatabase {
    /// Only a name; nothing is created.
    pub(crate) fn absent() -> Self {
        let database = engine();
        let store = Store::connect(&database.config()).unwrap();
        Self { database, store }
    }

    /// With the whole schema.
    pub(crate) async fn migrated() -> Self {
        let database = Self::absent();
        database.store.migrate().await.unwrap();
        database
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.database.name
    }

    /// A store on it.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The configuration for it.
    pub(crate) fn config(&self) -> config::ClickHouse {
        self.database.config()
    }

    /// The result of a statement on the internal database, as tab-separated text.
    #[track_caller]
    pub(crate) fn text(&self, sql: &str) -> String {
        self.text_of(sql, &[])
    }

    /// The same with parameters.
    #[track_caller]
    pub(crate) fn text_of(&self, sql: &str, parameters: &[(&str, &str)]) -> String {
        self.text_in(&self.database.internal(), sql, parameters)
    }

    /// The result of a statement on the documented views, as tab-separated text.
    #[track_caller]
    pub(crate) fn analyst_text(&self, sql: &str) -> String {
        self.text_in(self.name(), sql, &[])
    }

    /// The result of a statement that names its databases.
    #[track_caller]
    pub(crate) fn engine_text(&self, sql: &str) -> String {
        self.text_in("default", sql, &[])
    }

    #[track_caller]
    fn text_in(&self, database: &str, sql: &str, parameters: &[(&str, &str)]) -> String {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut request = agent
            .post(&self.database.url)
            .header("X-ClickHouse-Key", PASSWORD)
            .query("database", database);
        for (name, value) in parameters {
            // A parameter is sent in the escaped form of tab-separated text.
            let value = value.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n");
            request = request.query(format!("param_{name}"), value);
        }
        let mut answer = request.send(sql).unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        assert_eq!(answer.status(), 200, "{sql}: {text}");
        text
    }

    /// Runs a statement.
    #[track_caller]
    pub(crate) fn execute(&self, sql: &str) {
        self.text(sql);
    }
}
