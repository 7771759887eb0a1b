//! The connection to ClickHouse: addresses, credentials, TLS, settings and timeouts.

use std::fmt;
use std::future::Future;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context as _;
use clickhouse::query::Query;
use clickhouse::{Client, Compression, RowOwned, RowRead};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::ExposeSecret as _;
use url::Url;

use super::error::{StoreError, Target};
use super::placement::{Placement, Shards};
use super::server_version::{ServerVersion, VERSION_MIN};
use super::settings;
use super::tables::TABLES;
use crate::config;

/// Time limit for a connection to open. Short, because a host that drops packets would else eat the
/// whole request timeout.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Lifetime of an idle connection. ClickHouse closes idle ones after 3 s (10 s since 23.11), and a
/// request on a connection that is just being closed fails.
const IDLE_TIMEOUT: Duration = Duration::from_millis(2_500);
/// Memory for lists of users: enough for 20 million users of days, a quarter of what a report's
/// query may take by default.
const USER_LISTS_MAX_BYTES: u64 = 1_000_000_000;
/// Time limit of one statement of a migration: with a cluster it waits for every replica
/// (ClickHouse's own limit for that is 180 s).
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(200);

/// The rollups in ClickHouse. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Store {
    connection: Arc<Connection>,
    /// Memory that the query of a report may take in ClickHouse, bytes; 0: as much as the server
    /// allows.
    query_memory_max_bytes: u64,
    /// Memory that lists of users may take in ClickHouse, bytes; beyond it users are merged as
    /// bitmaps.
    user_lists_max_bytes: u64,
}

struct Connection {
    /// Sends no database, for statements that must work before there is one.
    server: Client,
    /// Sends the internal database.
    client: Client,
    target: Target,
    internal_database: String,
    placement: Placement,
    /// `clickhouse.insert_quorum`.
    insert_quorum: u32,
    /// The shortcuts that the server lets us switch off; unknown before it was asked.
    shortcuts: OnceLock<Vec<(&'static str, &'static str)>>,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("target", &self.connection.target).finish_non_exhaustive()
    }
}

impl Store {
    /// A store that connects when it is first used.
    ///
    /// # Errors
    /// Where the URL is none, user or password do not fit into a header, or `ca_file` cannot be
    /// read.
    pub fn connect(config: &config::ClickHouse) -> anyhow::Result<Self> {
        let url = Url::parse(&config.url)
            .with_context(|| format!("clickhouse.url = '{}' is no URL", config.url))?;
        let connector = connector(config.ca_file.as_deref())?;
        let mut pool = HyperClient::builder(TokioExecutor::new());
        pool.pool_idle_timeout(IDLE_TIMEOUT);
        let http = pool.build(connector);
        let mut server = Client::with_http_client(http)
            .with_url(url.as_str())
            .with_user(&config.user)
            .with_password(config.password.expose_secret())
            .with_compression(Compression::None)
            .with_product_info("seatmeter", env!("CARGO_PKG_VERSION"));
        for (name, value) in settings::of_requests() {
            server = server.with_setting(name, value);
        }
        let placement = placement(config);
        if placement.shards().is_some() {
            for (name, value) in settings::SHARDED_VIEW.into_iter().chain(settings::SHARDED) {
                server = server.with_setting(name, value);
            }
        }
        if config.insert_quorum > 0 {
            server = server.with_setting("insert_quorum", config.insert_quorum.to_string());
        }
        let target = Target {
            url: url.origin().ascii_serialization(),
            user: config.user.clone(),
            database: config.database.clone(),
            request_timeout: config.request_timeout,
        };
        let internal_database = config.internal_database();
        let client = server.clone().with_database(&internal_database);
        let connection = Connection {
            server,
            client,
            target,
            internal_database,
            placement,
            insert_quorum: config.insert_quorum,
            shortcuts: OnceLock::new(),
        };
        Ok(Self {
            connection: Arc::new(connection),
            query_memory_max_bytes: 0,
            user_lists_max_bytes: USER_LISTS_MAX_BYTES,
        })
    }

    /// The same store, whose queries of reports may take this much memory in ClickHouse each,
    /// bytes; 0: as much as the server allows.
    pub fn with_query_memory_max(mut self, bytes: u64) -> Self {
        self.query_memory_max_bytes = bytes;
        self
    }

    /// The same store, with this much memory in ClickHouse for lists of users, bytes. What does not
    /// fit is counted more slowly, in less memory.
    pub fn with_user_lists_max(mut self, bytes: u64) -> Self {
        self.user_lists_max_bytes = bytes;
        self
    }

    /// Memory that the lists of users of a query may take in ClickHouse, bytes.
    pub(super) fn user_lists_max_bytes(&self) -> u64 {
        match self.query_memory_max_bytes {
            0 => self.user_lists_max_bytes,
            max => max.min(self.user_lists_max_bytes),
        }
    }

    /// Asks the server for its version, which also shows that it is there and lets us in.
    ///
    /// # Errors
    /// Where it cannot be reached, refuses user or password, is too old, or lacks the configured
    /// cluster.
    pub async fn check_server(&self) -> Result<ServerVersion, StoreError> {
        let text: String =
            self.within(self.connection.server.query("SELECT version()").fetch_one()).await?;
        let url = self.target().url.clone();
        let found = ServerVersion::parse(&text).ok_or_else(|| StoreError::Unexpected {
            url: url.clone(),
            message: format!("its version is '{text}'"),
        })?;
        if found < VERSION_MIN {
            return Err(StoreError::TooOld { url, found, needed: VERSION_MIN });
        }
        self.check_cluster().await?;
        self.find_shortcuts().await?;
        Ok(found)
    }

    /// Asks which shortcuts the server knows; from now on they are switched off with each query.
    async fn find_shortcuts(&self) -> Result<(), StoreError> {
        let query = self
            .server_query(
                "SELECT s.name AS name FROM system.settings AS s \
                WHERE s.name IN {names:Array(String)}",
            )
            .param("names", settings::SHORTCUTS.map(|(name, _)| name).as_slice());
        let known: Vec<String> = self.within(query.fetch_all()).await?;
        let is_known = |(name, _): &(&str, &str)| known.iter().any(|of| of == name);
        let shortcuts = settings::SHORTCUTS.into_iter().filter(is_known).collect();
        // Another task that asked at the same time got the same answer.
        let _ = self.connection.shortcuts.set(shortcuts);
        Ok(())
    }

    /// The query without the engine's shortcuts.
    fn without_shortcuts(&self, query: Query) -> Query {
        let known = self.connection.shortcuts.get().into_iter().flatten();
        known.fold(query, |query, (name, value)| query.with_setting(*name, *value))
    }

    /// Makes the replica that we talk to fetch what the others have stored, so that nothing is read
    /// that is older than the progress. Without a cluster there is nothing to wait for, nor for
    /// what lies on several shards, whose replicas all have what was acknowledged.
    ///
    /// # Errors
    /// Where a table cannot be synced.
    pub async fn sync_replica(&self) -> Result<(), StoreError> {
        for table in TABLES {
            self.sync_table(table).await?;
        }
        Ok(())
    }

    /// The same for one table.
    pub(super) async fn sync_table(&self, table: &str) -> Result<(), StoreError> {
        if !self.placement().is_replicated_here(table) {
            return Ok(());
        }
        let sql = format!("SYSTEM SYNC REPLICA {table} LIGHTWEIGHT");
        self.within(self.connection.client.query(&sql).execute()).await
    }

    /// The name of the cluster, if the schema lies on one.
    pub(super) fn cluster(&self) -> Option<&str> {
        self.placement().cluster()
    }

    /// `insert_quorum` of each INSERT; 0 is off.
    pub(super) fn insert_quorum(&self) -> u32 {
        self.connection.insert_quorum
    }

    /// Where the tables lie.
    pub(super) fn placement(&self) -> &Placement {
        &self.connection.placement
    }

    /// The database of the tables, and of the views as worker and API read them.
    pub(super) fn internal_database(&self) -> &str {
        &self.connection.internal_database
    }

    /// The server.
    pub(super) fn target(&self) -> &Target {
        &self.connection.target
    }

    /// The client, for requests that need more than a query.
    pub(super) fn client(&self) -> &Client {
        &self.connection.client
    }

    /// A query on the server, whatever databases it has.
    pub(super) fn server_query(&self, sql: &str) -> Query {
        self.without_shortcuts(self.connection.server.query(sql))
    }

    /// A query on the internal database. Parameters are bound as `{name:Type}`; a `?` in the text
    /// has to be doubled.
    pub(super) fn query(&self, sql: &str) -> Query {
        self.without_shortcuts(self.connection.client.query(sql))
    }

    /// A query that the server lets read only.
    pub(super) fn read_only(&self, sql: &str) -> Query {
        self.query(sql).with_setting("readonly", "2")
    }

    /// A query of a report. It takes no longer than anybody waits for it: a server stops it when
    /// the connection is closed, and in any case at the end of the request timeout.
    pub(super) fn read(&self, sql: &str) -> Query {
        let limit_s = self.target().request_timeout.as_secs_f64();
        self.read_only(sql)
            .with_setting("cancel_http_readonly_queries_on_client_close", "1")
            .with_setting("max_execution_time", limit_s.to_string())
            .with_setting("max_memory_usage", self.query_memory_max_bytes.to_string())
    }

    /// As [`Self::read`], for rows that are passed on as they come: the server need not keep them
    /// all, and the reader may take longer than the request timeout.
    pub(super) fn streamed(query: Query) -> Query {
        query.with_setting("wait_end_of_query", "0").with_setting("max_execution_time", "0")
    }

    /// All rows of a query.
    pub(super) async fn fetch_all<T: RowOwned + RowRead>(
        &self,
        query: Query,
    ) -> Result<Vec<T>, StoreError> {
        self.within(query.fetch_all()).await
    }

    /// Runs a statement of a migration as it stands, in a database; `None` for those that make or
    /// drop one.
    pub(super) async fn execute_ddl(
        &self,
        sql: &str,
        database: Option<&str>,
    ) -> Result<(), StoreError> {
        let server = &self.connection.server;
        let client = match database {
            Some(database) => server.clone().with_database(database),
            None => server.clone(),
        };
        // The client library takes a question mark for a placeholder unless it is doubled.
        let query = client.query(&sql.replace('?', "??"));
        self.limited(MIGRATION_TIMEOUT, query.execute()).await
    }

    /// Waits for a request, for at most the request timeout, and tells what its error means.
    pub(super) async fn within<T>(
        &self,
        request: impl Future<Output = clickhouse::error::Result<T>>,
    ) -> Result<T, StoreError> {
        self.limited(self.target().request_timeout, request).await
    }

    async fn limited<T>(
        &self,
        limit: Duration,
        request: impl Future<Output = clickhouse::error::Result<T>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(limit, request).await {
            Ok(answer) => answer.map_err(|error| self.target().classify(error)),
            Err(_) => Err(self.target().timed_out(limit)),
        }
    }
}

/// Where a configuration has the tables.
fn placement(config: &config::ClickHouse) -> Placement {
    match (config.cluster.clone(), config.shards) {
        (None, _) => Placement::Server,
        (Some(cluster), ..=1) => Placement::Replicas { cluster },
        (Some(cluster), count) => {
            Placement::Shards(Shards { cluster, count, database: config.shard_database() })
        }
    }
}

/// Opens connections, with TLS where the URL asks for it. Trusts Mozilla's authorities and those of
/// `ca_file`.
fn connector(ca_file: Option<&Path>) -> anyhow::Result<HttpsConnector<HttpConnector>> {
    let mut tcp = HttpConnector::new();
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .context("TLS cannot be set up")?
    .with_root_certificates(trusted_roots(ca_file)?)
    .with_no_client_auth();
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp))
}

fn trusted_roots(ca_file: Option<&Path>) -> anyhow::Result<rustls::RootCertStore> {
    let mut roots = rustls::RootCertStore::empty();
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let Some(path) = ca_file else {
        return Ok(roots);
    };
    let fault = || format!("clickhouse.ca_file = '{}' cannot be used", path.display());
    let mut added = 0;
    for certificate in CertificateDer::pem_file_iter(path).with_context(fault)? {
        roots.add(certificate.with_context(fault)?).with_context(fault)?;
        added += 1;
    }
    anyhow::ensure!(added > 0, "{}: it holds no PEM certificate", fault());
    Ok(roots)
}
