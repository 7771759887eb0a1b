//! The organizations of an account.

use std::collections::HashSet;

use chrono_tz::Tz;
use serde::Serialize;
use utoipa::ToSchema;

use super::subject::Subject;

/// One organization; also the form in which the store gives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Organization {
    /// The organization.
    #[schema(example = "42")]
    pub organization_id: String,
    /// Its name, the id until it has one.
    #[schema(example = "Quality")]
    pub name: String,
    /// The organization above it; null at top level.
    #[schema(example = "7", required = true)]
    pub parent_id: Option<String>,
    /// The names from the top of the tree down to it, joined by ` / `.
    #[schema(example = "Acme / Quality")]
    pub path: String,
}

/// Every organization that any event has named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct OrganizationsReport {
    #[serde(flatten)]
    pub subject: Subject,
    /// Ordered by path, then id.
    pub organizations: Vec<Organization>,
}

/// Which organizations of an account a caller may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visible {
    /// All of them.
    All,
    /// These alone.
    Only(HashSet<String>),
}

impl OrganizationsReport {
    /// Puts the report together from all organizations of the account.
    pub fn assemble(account: &str, zone: Tz, visible: &Visible, mut organizations: Vec<Organization>) -> Self {
        if let Visible::Only(ids) = visible {
            organizations.retain(|organization| ids.contains(&organization.organization_id));
        }
        organizations.sort_unstable_by(|a, b| (&a.path, &a.organization_id).cmp(&(&b.path, &b.organization_id)));
        Self { subject: Subject::new(account, None, zone), organizations }
    }
}
