//! Two releases of the zone data that disagree about every zone but UTC: they exchange the rules of
//! names.
//!
//! Lanes know only the program's own release. So the names of zones are mapped in the records and
//! loads of a lane of the other release, and mapped back in its rows.

use seatmeter::core::calendar::Zone;
use seatmeter::core::event::{Decoded, EventKind};
use seatmeter::core::load::Loaded;
use seatmeter::core::rollup::LaneRows;

use super::driver::Delivered;

/// A release of the zone data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Release {
    #[default]
    Earlier,
    Later,
}

/// Names whose rules the later release exchanges.
const EXCHANGED: [(&str, &str); 4] = [
    ("Pacific/Apia", "Pacific/Chatham"),
    ("America/St_Johns", "America/Sao_Paulo"),
    ("America/Havana", "Australia/Lord_Howe"),
    ("Asia/Beirut", "Asia/Kathmandu"),
];

impl Release {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Earlier => "2025z",
            Self::Later => "2026a",
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Earlier => Self::Later,
            Self::Later => Self::Earlier,
        }
    }

    /// The zone whose rules the release has under this name; the mapping is its own inverse.
    pub(super) fn rules(self, zone: Zone) -> Zone {
        if self == Self::Earlier {
            return zone;
        }
        let exchanged = EXCHANGED.into_iter().flat_map(|(one, other)| [(one, other), (other, one)]);
        let other = exchanged.into_iter().find(|(name, _)| *name == zone.name());
        other.map_or(zone, |(_, other)| other.parse().expect("written above"))
    }

    pub(super) fn deliver(self, records: &mut [Delivered<'_>]) {
        for (_, decoded) in records {
            if let Decoded::Event(event) = decoded
                && let EventKind::AccountUpdated { timezone: Some(zone), .. } = &mut event.kind
            {
                *zone = self.rules(*zone);
            }
        }
    }

    pub(super) fn load(self, loaded: &mut Loaded) {
        loaded.zone_facts.iter_mut().for_each(|fact| fact.zone = self.rules(fact.zone));
    }

    pub(super) fn drain(self, rows: &mut LaneRows) {
        rows.zone_facts.iter_mut().for_each(|fact| fact.zone = self.rules(fact.zone));
    }
}
