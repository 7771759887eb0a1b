//! The envelope of an event and the fields of its `data`, as raw values.

use super::json::{Raw, Scanner};

/// The used fields of the envelope, and those of its `data`. If a field is given twice, the last
/// one counts.
#[derive(Debug, Default)]
pub(super) struct Envelope<'a> {
    pub(super) id: Raw<'a>,
    pub(super) source: Raw<'a>,
    pub(super) event_type: Raw<'a>,
    pub(super) time: Raw<'a>,
    pub(super) data: Data,
    /// Empty unless `data` is an object.
    pub(super) fields: Fields<'a>,
}

/// The envelope's `data`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Data {
    /// Not given, or null.
    #[default]
    Absent,
    /// Some other JSON value.
    NotAnObject,
    /// An object.
    Object,
}

/// The fields of `data` that any event type has.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) account_id: Raw<'a>,
    pub(super) organization_id: Raw<'a>,
    pub(super) user_id: Raw<'a>,
    pub(super) project_id: Raw<'a>,
    pub(super) origin: Raw<'a>,
    pub(super) tests: Raw<'a>,
    pub(super) duration_ms: Raw<'a>,
    pub(super) seats: Raw<'a>,
    pub(super) license_source: Raw<'a>,
    pub(super) plan: Raw<'a>,
    pub(super) monthly_quota: Raw<'a>,
    pub(super) name: Raw<'a>,
    pub(super) timezone: Raw<'a>,
    pub(super) parent_id: Raw<'a>,
    pub(super) email: Raw<'a>,
}

impl<'a> Envelope<'a> {
    /// Fills an empty envelope, in place because it is large; `None` where the text is not JSON, or
    /// not an object.
    pub(super) fn fill(&mut self, text: &'a str) -> Option<()> {
        Scanner::whole_object(text, |scanner, name| {
            match name.len() {
                2 if is(name, b"id") => self.id = scanner.value()?,
                4 if is(name, b"type") => self.event_type = scanner.value()?,
                4 if is(name, b"time") => self.time = scanner.value()?,
                4 if is(name, b"data") => self.fill_data(scanner)?,
                6 if is(name, b"source") => self.source = scanner.value()?,
                _ => {
                    scanner.value()?;
                }
            }
            Some(())
        })
    }

    #[inline(always)]
    fn fill_data(&mut self, scanner: &mut Scanner<'a>) -> Option<()> {
        if self.data != Data::Absent {
            self.fields = Fields::default();
        }
        if !scanner.is_at_object() {
            let value = scanner.value()?;
            self.data = if value == Raw::Null { Data::Absent } else { Data::NotAnObject };
            return Some(());
        }
        self.data = Data::Object;
        scanner.object(|scanner, name| {
            let value = scanner.value()?;
            if let Some(slot) = self.fields.slot(name) {
                *slot = value;
            }
            Some(())
        })
    }
}

impl<'a> Fields<'a> {
    /// The field with that name, if some event type has it.
    fn slot(&mut self, name: &[u8]) -> Option<&mut Raw<'a>> {
        Some(match name.len() {
            4 if is(name, b"name") => &mut self.name,
            4 if is(name, b"plan") => &mut self.plan,
            5 if is(name, b"tests") => &mut self.tests,
            5 if is(name, b"seats") => &mut self.seats,
            5 if is(name, b"email") => &mut self.email,
            6 if is(name, b"origin") => &mut self.origin,
            7 if is(name, b"user_id") => &mut self.user_id,
            8 if is(name, b"timezone") => &mut self.timezone,
            9 if is(name, b"parent_id") => &mut self.parent_id,
            10 if is(name, b"account_id") => &mut self.account_id,
            10 if is(name, b"project_id") => &mut self.project_id,
            11 if is(name, b"duration_ms") => &mut self.duration_ms,
            13 if is(name, b"monthly_quota") => &mut self.monthly_quota,
            14 if is(name, b"license_source") => &mut self.license_source,
            15 if is(name, b"organization_id") => &mut self.organization_id,
            _ => return None,
        })
    }
}

/// True for that name. The length is part of the type, so that a comparison compiles to a few
/// instructions.
#[inline(always)]
pub(super) fn is<const LEN: usize>(name: &[u8], expected: &[u8; LEN]) -> bool {
    name.first_chunk::<LEN>() == Some(expected) && name.len() == LEN
}
