//! Pages of rows.

use super::query::{BadParameter, Query};

/// Rows of a page, at most.
const LIMIT_MAX: u32 = 1000;

/// Rows of a page that no limit is named for, at most.
const LIMIT_DEFAULT: u32 = 100;

/// A page of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<P> {
    /// Its rows, at most.
    pub limit: usize,
    /// Where the page before it ended.
    pub after: Option<P>,
}

impl<P> Page<P> {
    /// Takes `limit` and `cursor`. `position` is that of a cursor; `None` where the cursor is not
    /// one of this `scope`, which is named in the error.
    pub fn take(
        query: &mut Query,
        scope: &str,
        position: impl FnOnce(&str) -> Option<P>,
    ) -> Result<Self, BadParameter> {
        let limit = query.take_number("limit", 1..=LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT);
        let after = query.take_parsed("cursor", |cursor| {
            position(cursor).ok_or_else(|| format!("Not a next_cursor of this {scope}."))
        })?;
        let limit = usize::try_from(limit).expect("a limit of at most 1000 fits");
        Ok(Self { limit, after })
    }
}

/// Refuses `limit` and `cursor`, as CSV does, which holds all rows.
pub fn refuse_pages(query: &mut Query) -> Result<(), BadParameter> {
    for of_pages in ["limit", "cursor"] {
        query.take_parsed(of_pages, |_| {
            Err::<(), _>("CSV has all rows at once, JSON has pages.".to_owned())
        })?;
    }
    Ok(())
}
