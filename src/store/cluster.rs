//! Whether the configured cluster is one on which exact counts can be had.

use clickhouse::Row;
use serde::Deserialize;

use super::client::Store;
use super::error::StoreError;

/// What a cluster is made of.
#[derive(Clone, Copy, Debug, Row, Deserialize)]
struct ClusterRow {
    /// 0 where the server knows no such cluster.
    shards: u32,
    /// Of the shard that has fewest.
    replicas_min: u32,
    /// Of the shard that has most.
    replicas: u32,
    /// The greatest of any shard.
    weight: u32,
    /// The server that we talk to is one of its nodes.
    is_here: bool,
}

impl ClusterRow {
    /// Why exact counts cannot be had with this many configured shards and this `insert_quorum`.
    fn unsuitable_because(self, configured: u32, insert_quorum: u32) -> Option<String> {
        let Self { shards, replicas_min, replicas, weight, is_here } = self;
        match (shards, configured) {
            (0, _) => Some(
                "the server knows no such cluster; SELECT cluster FROM system.clusters lists those \
                that it knows"
                    .to_owned(),
            ),
            (shards, configured) if shards != configured => Some(format!(
                "it has {shards} shards, and clickhouse.shards is {configured}: set \
                clickhouse.shards = {shards}, or name a cluster of that many shards, with any \
                number of replicas"
            )),
            (1, _) => None,
            _ if weight != 1 => Some(format!(
                "one of its shards has weight {weight}: accounts are spread evenly, so give each \
                shard weight 1"
            )),
            _ if !is_here => Some(
                "the server is none of its nodes, and has to be: set clickhouse.url to one of them"
                    .to_owned(),
            ),
            _ if replicas_min != replicas => Some(format!(
                "its shards have from {replicas_min} to {replicas} replicas: give each as many, \
                since all of a shard must have what was acknowledged"
            )),
            _ if insert_quorum.max(1) != replicas => Some(format!(
                "its shards have {replicas} replicas each, and clickhouse.insert_quorum is \
                {insert_quorum}: set clickhouse.insert_quorum = {replicas}, since a report is read \
                from any replica of each shard"
            )),
            _ => None,
        }
    }
}

impl Store {
    /// The cluster has to be there, with as many shards as configured. With several of them a
    /// report is read from any replica of each, so each replica must have what was acknowledged.
    pub(super) async fn check_cluster(&self) -> Result<(), StoreError> {
        let Some(cluster) = self.cluster() else {
            return Ok(());
        };
        // Reading macros takes a right, which a name without one is not to depend on.
        let name = match cluster.contains('{') {
            true => self.without_macro(cluster).await?,
            false => cluster.to_owned(),
        };
        let query = self
            .server_query(
                "SELECT toUInt32(count()) AS shards, toUInt32(min(s.replicas)) AS replicas_min, \
                    toUInt32(max(s.replicas)) AS replicas, toUInt32(max(s.weight)) AS weight, \
                    toBool(max(s.is_here)) AS is_here \
                 FROM ( \
                    SELECT c.shard_num, count() AS replicas, max(c.shard_weight) AS weight, \
                        max(c.is_local) AS is_here \
                    FROM system.clusters AS c \
                    WHERE c.cluster = {cluster:String} \
                    GROUP BY c.shard_num \
                 ) AS s",
            )
            .param("cluster", name);
        let found: ClusterRow = self.within(query.fetch_one()).await?;
        let configured = self.placement().shards().map_or(1, |shards| shards.count);
        match found.unsuitable_because(configured, self.insert_quorum()) {
            None => Ok(()),
            Some(reason) => Err(StoreError::UnsuitableCluster {
                url: self.target().url.clone(),
                cluster: cluster.to_owned(),
                reason,
            }),
        }
    }

    /// The cluster that a macro of the server stands for; what is none stays as it is.
    async fn without_macro(&self, cluster: &str) -> Result<String, StoreError> {
        let query = self
            .server_query(
                "SELECT m.substitution FROM system.macros AS m \
                 WHERE concat('{', m.macro, '}') = {cluster:String}",
            )
            .param("cluster", cluster);
        let found: Vec<String> = self.fetch_all(query).await?;
        Ok(found.into_iter().next().unwrap_or_else(|| cluster.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::ClusterRow;

    #[test]
    fn a_cluster_is_suitable_if_every_answer_holds_what_was_acknowledged() {
        let cluster = |shards, replicas, weight| ClusterRow {
            shards,
            replicas_min: replicas,
            replicas,
            weight,
            is_here: true,
        };
        let check = |cluster: ClusterRow, configured, quorum, wanted: Option<&str>| match (
            cluster.unsuitable_because(configured, quorum),
            wanted,
        ) {
            (None, None) => {}
            (Some(reason), Some(wanted)) => assert!(reason.contains(wanted), "{reason}"),
            (reason, _) => panic!("{cluster:?} {configured} {quorum}: {reason:?}"),
        };
        check(cluster(0, 0, 0), 1, 0, Some("knows no such cluster"));
        check(cluster(1, 3, 7), 1, 0, None);
        check(cluster(2, 1, 1), 1, 0, Some("set clickhouse.shards = 2"));
        check(cluster(1, 1, 1), 2, 0, Some("set clickhouse.shards = 1"));
        check(cluster(2, 1, 1), 2, 0, None);
        check(cluster(2, 1, 1), 2, 1, None);
        check(cluster(2, 1, 1), 2, 2, Some("set clickhouse.insert_quorum = 1"));
        check(cluster(2, 1, 3), 2, 0, Some("give each shard weight 1"));
        check(cluster(2, 3, 1), 2, 2, Some("set clickhouse.insert_quorum = 3"));
        check(cluster(2, 3, 1), 2, 3, None);
        check(ClusterRow { replicas_min: 2, ..cluster(2, 3, 1) }, 2, 3, Some("from 2 to 3"));
        check(ClusterRow { is_here: false, ..cluster(2, 1, 1) }, 2, 0, Some("none of its nodes"));
    }
}
