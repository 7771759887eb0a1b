//! Days, calendar months, report buckets and quota months in a time zone.
//!
//! One rule covers every irregularity of local time: a day starts at the *earliest* instant at
//! which the zone's clock shows its midnight or anything later. So a midnight that a clock change
//! skips or repeats is the first instant of its day, the days of a zone never overlap, and a date
//! that a zone skipped (Pacific/Apia, 2011-12-30) is an empty day that starts, and ends, together
//! with the next one.
//!
//! Every function is total: an instant or a day outside the years 1 to 9999 is read as the nearest
//! one inside. Nothing here reads the current time.

mod bucket;
mod day;
mod day_window;
mod quota_month;
mod zone;

pub use bucket::{Bucket, Interval, ParseIntervalError, bucket_count, buckets};
pub use day::{Day, ParseDayError, YearMonth};
pub use day_window::{DayWindow, day_of, day_start, day_window_of};
pub use quota_month::{quota_month_of, quota_month_start};
pub use zone::{ParseZoneError, RELEASE, Zone};
