//! How many connections may be open, in all and from one peer. They share the process's file
//! descriptors with the worker, whose own connections come first.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Descriptors that the process keeps for itself: connections to Kafka and ClickHouse, files,
/// pipes.
const OWN_DESCRIPTORS: u64 = 128;

/// Bounds of open connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionBounds {
    /// Connections of all peers.
    pub(super) all: usize,
    /// Connections of one peer: an IPv4 address, or an IPv6 network of 64 bits.
    pub(super) of_peer: usize,
}

impl ConnectionBounds {
    /// The configured bounds, or fewer where the process may not open as many files. A single peer
    /// never takes all.
    pub(crate) fn new(connections_max: usize, connections_per_peer_max: usize) -> Self {
        let descriptors =
            rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(u64::MAX, |(soft, _)| soft);
        Self::within(connections_max, connections_per_peer_max, descriptors)
    }

    fn within(connections_max: usize, connections_per_peer_max: usize, descriptors: u64) -> Self {
        let own = OWN_DESCRIPTORS.max(descriptors / 4);
        let left = usize::try_from(descriptors.saturating_sub(own)).unwrap_or(usize::MAX).max(4);
        let all = connections_max.min(left);
        Self { all, of_peer: connections_per_peer_max.min(all - all / 4) }
    }
}

/// The connections that are open. Cheap to clone.
#[derive(Clone)]
pub(super) struct Connections {
    bounds: ConnectionBounds,
    open: Arc<Mutex<Open>>,
}

#[derive(Default)]
struct Open {
    all: usize,
    of_peer: HashMap<IpAddr, usize>,
}

/// A connection that counts as open until this is dropped.
pub(super) struct Admitted {
    connections: Connections,
    peer: IpAddr,
}

impl Connections {
    pub(super) fn new(bounds: ConnectionBounds) -> Self {
        Self { bounds, open: Arc::default() }
    }

    /// Counts a connection as open; `None` where its peer, or all together, have as many as they
    /// may.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Admitted> {
        let peer = network(address);
        let mut open = self.lock();
        let of_peer = open.of_peer.get(&peer).copied().unwrap_or(0);
        if open.all >= self.bounds.all || of_peer >= self.bounds.of_peer {
            return None;
        }
        open.all += 1;
        open.of_peer.insert(peer, of_peer + 1);
        drop(open);
        Some(Admitted { connections: self.clone(), peer })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Nothing between two changes can panic, so the counts are whole.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.all -= 1;
        if let Some(of_peer) = open.of_peer.get_mut(&self.peer) {
            *of_peer -= 1;
            if *of_peer == 0 {
                open.of_peer.remove(&self.peer);
            }
        }
    }
}

/// Address by which a peer is counted: an IPv6 host usually owns its whole network of 64 bits.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_leave_descriptors_for_the_process() {
        assert_eq!(
            ConnectionBounds::within(1_024, 512, u64::MAX),
            ConnectionBounds { all: 1_024, of_peer: 512 }
        );
        assert_eq!(
            ConnectionBounds::within(1_024, 512, 1_024),
            ConnectionBounds { all: 768, of_peer: 512 }
        );
        assert_eq!(
            ConnectionBounds::within(1_024, 512, 256),
            ConnectionBounds { all: 128, of_peer: 96 }
        );
        assert_eq!(
            ConnectionBounds::within(1_024, 512, 64),
            ConnectionBounds { all: 4, of_peer: 3 }
        );
    }

    #[test]
    fn a_peer_has_its_share_and_connections_count_until_they_are_closed() {
        let connections = Connections::new(ConnectionBounds { all: 3, of_peer: 2 });
        let admit = |address: &str| connections.admit(address.parse().unwrap());
        let first = admit("192.0.2.1").unwrap();
        let _second = admit("::ffff:192.0.2.1").unwrap();
        assert!(admit("192.0.2.1").is_none(), "two are its share");
        let _third = admit("2001:db8::1").unwrap();
        assert!(admit("2001:db8::2").is_none(), "three are all");
        drop(first);
        let _fourth = admit("2001:db8::2").unwrap();
        assert!(admit("2001:db8:0:0:ffff::3").is_none());
        drop(_third);
        drop(_fourth);
        assert_eq!(connections.lock().of_peer.len(), 1);
    }
}
