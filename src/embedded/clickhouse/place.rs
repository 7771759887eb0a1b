//! The connection on which a statement runs: its own, or that of its session.
//!
//! What a request names (database, settings) holds for its statement alone. A connection of its own
//! ends with it, or serves another request that names the same; on that of a session it is taken
//! back afterwards, so that only what the client did by statements stays.

use super::access::DEFAULT_DATABASE;
use super::effect::Effect;
use super::engine::Engine;
use super::idle::{Idle, SetUp, Setup};
use super::request::Parsed;
use super::sessions::{Kept, Lease};
use super::settings::{BASE_SETTINGS, LOG_COMMENT, quoted, set};
use crate::embedded::libchdb::{Connection, EngineError};

/// The code of a change of settings in a session that was set to read only.
const READONLY: u32 = 164;

/// Reads the size of a session's temporary tables, whatever limits the session has set.
const TABLE_BYTES: &str = "SELECT toUInt64(sum(ifNull(total_bytes, 0))) FROM system.tables WHERE \
     database = '' AND is_temporary SETTINGS max_rows_to_read = 0, max_bytes_to_read = 0, \
     max_result_rows = 0, max_execution_time = 0";

/// The connection on which the statement of one request runs.
#[derive(Debug)]
pub(super) struct Place {
    /// The session, if there is one.
    lease: Option<Lease>,
    /// The request's own connection, unless the session keeps one.
    own: Option<SetUp>,
    idle: Idle,
    /// The session keeps its connection from this statement on.
    is_new: bool,
    effect: Effect,
    /// Statements that take back what the request has set.
    undo: Vec<String>,
}

/// What a statement leaves behind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Left {
    pub(super) succeeded: bool,
    /// It may have written.
    pub(super) wrote: bool,
    /// Its connection is as it was before.
    pub(super) nothing: bool,
}

impl Place {
    /// Prepares a connection for a request. `mark` ends the comment of its statement.
    ///
    /// # Errors
    ///
    /// An unknown database or setting; too many sessions keep a connection.
    pub(super) fn take(
        engine: &Engine,
        mut lease: Option<Lease>,
        request: &Parsed,
        effect: Effect,
        mark: &str,
    ) -> Result<Place, EngineError> {
        let mut is_new = false;
        if let Some(lease) = lease.as_mut().filter(|lease| lease.kept.is_none()) {
            is_new = effect != Effect::Nothing;
            if is_new {
                lease.kept = Some(lease.keep(engine.connect()?, DEFAULT_DATABASE)?);
            }
        }
        let keeps = lease.as_ref().is_some_and(|lease| lease.kept.is_some());
        let setup = Setup::of(request);
        let used = if keeps { None } else { engine.idle().take(&setup) };
        let is_set_up = used.is_some();
        let own = match used {
            None if !keeps => Some(SetUp::new(engine.connect()?, setup.clone())),
            used => used,
        };
        let idle = engine.idle().clone();
        let mut place = Place { lease, own, idle, is_new, effect, undo: Vec::new() };
        if is_set_up {
            let comment = (LOG_COMMENT.to_owned(), comment_of(request, mark));
            match place.connection().query(set(&[comment]).as_bytes(), "Null", &[]) {
                Ok(_) => return Ok(place),
                // It takes no settings any more, as the request has made it read only.
                Err(_) => place.own = Some(SetUp::new(engine.connect()?, setup)),
            }
        }
        match place.set(request, mark) {
            Ok(()) => Ok(place),
            Err(error) => {
                place.leave(Left { succeeded: false, wrote: false, nothing: false })?;
                Err(error)
            }
        }
    }

    pub(super) fn connection(&mut self) -> &mut Connection {
        let kept = self.lease.as_mut().and_then(|lease| lease.kept.as_mut());
        match (kept, &mut self.own) {
            (Some(kept), _) => &mut kept.connection,
            (None, Some(own)) => &mut own.connection,
            (None, None) => unreachable!("a place has a connection of one kind"),
        }
    }

    /// Whether the connection outlives the request.
    pub(super) fn is_kept(&self) -> bool {
        self.own.is_none()
    }

    fn kept(&mut self) -> Option<&mut Box<Kept>> {
        self.lease.as_mut()?.kept.as_mut()
    }

    fn set(&mut self, request: &Parsed, mark: &str) -> Result<(), EngineError> {
        // What is set here would belong to the statement, and these run at once.
        if self.is_kept() && matches!(self.effect, Effect::Settings | Effect::Database) {
            return Ok(());
        }
        if let Some(database) = request.database.as_deref().filter(|name| !name.is_empty()) {
            if let Some(kept) = self.kept() {
                let back = format!("USE {}", quoted(&kept.database, '`'));
                self.undo.push(back);
            }
            let sql = format!("USE {}", quoted(database, '`'));
            self.connection().query(sql.as_bytes(), "Null", &[])?;
        }
        let mut settings = request.settings.clone();
        settings.push((LOG_COMMENT.to_owned(), comment_of(request, mark)));
        if request.readonly && !self.is_kept() {
            settings.push(("readonly".to_owned(), "2".to_owned()));
        }
        if let Some(kept) = self.kept() {
            let back = settings_back(kept, &settings)?;
            self.undo.push(back);
        }
        match self.connection().query(set(&settings).as_bytes(), "Null", &[]) {
            Err(error) if error.code == READONLY => {
                self.undo.pop();
                // Such a session takes no settings, so a statement without any goes without its
                // mark.
                if settings.len() == 1 { Ok(()) } else { Err(error) }
            }
            outcome => outcome.map(drop),
        }
    }

    /// Takes back what the request has set, and gives the session back.
    ///
    /// # Errors
    ///
    /// The session's temporary tables have become too large; it has ended.
    pub(super) fn leave(mut self, left: Left) -> Result<(), EngineError> {
        let Left { succeeded, wrote, nothing } = left;
        if let Some(own) = self.own.take().filter(|_| nothing && succeeded) {
            self.idle.give(own);
        }
        let Some(mut lease) = self.lease.take() else { return Ok(()) };
        if self.is_new && !succeeded {
            lease.kept = None;
        }
        let Some(kept) = lease.kept.as_mut() else { return Ok(()) };
        let effect = if succeeded { self.effect } else { Effect::Nothing };
        let outcome = take_back(kept, &self.undo)
            .and_then(|()| note(kept, effect))
            .and_then(|()| if wrote && succeeded { measure(kept) } else { Ok(()) });
        if outcome.is_err() {
            lease.end();
        }
        outcome
    }
}

/// The comment of the request, with the mark at its end: the engine assigns query ids itself, so a
/// query is identified by the mark.
fn comment_of(request: &Parsed, mark: &str) -> String {
    let comment = request.settings.iter().rev().find(|(name, _)| name == LOG_COMMENT);
    comment.map_or_else(|| mark.to_owned(), |(_, comment)| format!("{comment} {mark}"))
}

fn take_back(kept: &mut Kept, undo: &[String]) -> Result<(), EngineError> {
    for sql in undo.iter().rev() {
        kept.connection.query(sql.as_bytes(), "Null", &[]).inspect_err(|error| {
            tracing::warn!(%error, "a session ends, as what a request has set in it stays");
        })?;
    }
    Ok(())
}

/// Takes note of what a statement has left behind.
fn note(kept: &mut Kept, effect: Effect) -> Result<(), EngineError> {
    match effect {
        Effect::Nothing => {}
        Effect::Settings => kept.has_settings = true,
        Effect::Tables => kept.has_tables = true,
        Effect::Database => {
            let output = kept.connection.query(b"SELECT currentDatabase()", "RawBLOB", &[])?;
            kept.database = String::from_utf8_lossy(&output.bytes).into_owned();
        }
    }
    Ok(())
}

fn measure(kept: &mut Kept) -> Result<(), EngineError> {
    if !kept.has_tables {
        return Ok(());
    }
    let output = kept.connection.query(TABLE_BYTES.as_bytes(), "RowBinary", &[])?;
    let bytes = output.bytes.first_chunk().copied().map_or(u64::MAX, u64::from_le_bytes);
    kept.set_table_bytes(bytes)
}

/// The statement that gives settings the values which they have now.
fn settings_back(kept: &mut Kept, settings: &[(String, String)]) -> Result<String, EngineError> {
    if !kept.has_settings {
        let back: Vec<String> = settings
            .iter()
            .map(|(name, _)| match BASE_SETTINGS.iter().find(|(base, _)| base == name) {
                Some((_, value)) => format!("{name} = {}", quoted(value, '\'')),
                None => format!("{name} = DEFAULT"),
            })
            .collect();
        return Ok(format!("SET {}", back.join(", ")));
    }
    let names: Vec<String> = settings.iter().map(|(name, _)| quoted(name, '\'')).collect();
    let names = names.join(", ");
    // A setting may be named by an alias.
    let sql = format!(
        r"SELECT arrayStringConcat(groupArray(concat(name, ' = ', if(changed, concat('\'',
            replaceAll(replaceAll(value, '\\', '\\\\'), '\'', '\\\''), '\''), 'DEFAULT'))), ', ')
        FROM system.settings
        WHERE alias_for = '' AND (name IN ({names}) OR name IN
            (SELECT alias_for FROM system.settings WHERE name IN ({names})))"
    );
    let output = kept.connection.query(sql.as_bytes(), "RawBLOB", &[])?;
    Ok(format!("SET {}", String::from_utf8_lossy(&output.bytes)))
}
