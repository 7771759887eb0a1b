//! The fields that all reports share.

use serde::Serialize;
use utoipa::ToSchema;

use super::id::{AccountId, OrganizationId};
use super::value::{Date, Timestamp};
use crate::core::calendar::{Interval, Zone};

/// Whom a report is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Subject {
    /// The account.
    #[schema(value_type = String, example = "acme")]
    pub account_id: AccountId,
    /// The organization that the report is limited to; null for the whole account.
    #[schema(value_type = Option<String>, example = "42", required = true)]
    pub organization_id: Option<OrganizationId>,
    /// IANA name of the account's time zone of now, in which days begin and end.
    #[schema(example = "Europe/Berlin")]
    pub timezone: &'static str,
}

impl Subject {
    /// The report's subject in the zone of now.
    pub fn new(account: &AccountId, organization: Option<&OrganizationId>, zone: Zone) -> Self {
        Self {
            account_id: account.clone(),
            organization_id: organization.cloned(),
            timezone: zone.name(),
        }
    }
}

/// The range that a report covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Range)]
pub struct ReportRange {
    /// The unit of its buckets.
    #[schema(value_type = IntervalName)]
    pub interval: &'static str,
    /// The first day.
    pub from: Date,
    /// The last day, inclusive.
    pub to: Date,
}

/// The names of the calendar units, for the API's description.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum IntervalName {
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl ReportRange {
    /// The range of a period.
    pub fn of(period: &super::period::Period) -> Self {
        let interval: Interval = period.interval;
        Self { interval: interval.as_str(), from: Date(period.from), to: Date(period.to) }
    }
}

/// A report as it is sent: what it says, and how fresh it is. The entity tag is a hash of the
/// former alone.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Answer<T> {
    #[serde(flatten)]
    pub report: T,
    /// ClickHouse's time of the last completed flush, of the partition whose last one is oldest;
    /// null before the first.
    #[schema(required = true)]
    pub data_through: Option<Timestamp>,
}
