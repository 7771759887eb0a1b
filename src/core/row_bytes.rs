//! Memory of rows until they are written.

use super::id::Id;
use super::rollup::{
    DirectoryEntry, Entity, LicenseFact, OrganizationSeen, PlanFact, RejectedRecord, SeatFact,
    SeatInterval, ZoneFact,
};

/// Memory that a row takes until it is written. An id's text is counted with each row, although
/// rows may share it.
pub trait RowBytes {
    /// Bytes, about.
    fn bytes(&self) -> usize;
}

/// Bytes of a row of this type with texts of these lengths.
fn row_bytes<R>(texts: impl IntoIterator<Item = usize>) -> usize {
    size_of::<R>() + texts.into_iter().sum::<usize>()
}

fn id_bytes(id: &Id) -> usize {
    match id {
        Id::Number(_) => 0,
        Id::Text(text) => text.len(),
    }
}

fn optional_id_bytes(id: Option<&Id>) -> usize {
    id.map_or(0, id_bytes)
}

impl RowBytes for SeatFact {
    fn bytes(&self) -> usize {
        let optional = [self.project.as_ref(), self.license_source.as_ref()].map(optional_id_bytes);
        row_bytes::<Self>(
            [&self.account, &self.organization, &self.user]
                .map(id_bytes)
                .into_iter()
                .chain(optional),
        )
    }
}

impl RowBytes for SeatInterval {
    fn bytes(&self) -> usize {
        let opened = self.opened.as_ref().map_or(0, |opened| {
            optional_id_bytes(opened.project.as_ref()) + id_bytes(&opened.license_source)
        });
        let key = [&self.account, &self.organization, &self.user].map(id_bytes);
        row_bytes::<Self>(key.into_iter().chain([opened]))
    }
}

impl RowBytes for LicenseFact {
    fn bytes(&self) -> usize {
        row_bytes::<Self>([id_bytes(&self.account), optional_id_bytes(self.organization.as_ref())])
    }
}

impl RowBytes for PlanFact {
    fn bytes(&self) -> usize {
        row_bytes::<Self>([&self.account, &self.organization, &self.plan].map(id_bytes))
    }
}

impl RowBytes for ZoneFact {
    fn bytes(&self) -> usize {
        row_bytes::<Self>([id_bytes(&self.account)])
    }
}

impl RowBytes for DirectoryEntry {
    fn bytes(&self) -> usize {
        let entity = match &self.entity {
            Entity::Account => 0,
            Entity::Organization(id) | Entity::User(id) => id_bytes(id),
            Entity::Project { organization, project } => id_bytes(organization) + id_bytes(project),
        };
        row_bytes::<Self>([id_bytes(&self.account), entity, self.value.len()])
    }
}

impl RowBytes for OrganizationSeen {
    fn bytes(&self) -> usize {
        row_bytes::<Self>([id_bytes(&self.account), optional_id_bytes(self.organization.as_ref())])
    }
}

impl RowBytes for RejectedRecord {
    fn bytes(&self) -> usize {
        row_bytes::<Self>([self.key.as_ref().map_or(0, Vec::len), self.payload.len()])
    }
}
