//! The envelope of an event and the fields of its `data`, as raw values in their places.

use super::json::{Raw, Scanner};

/// The fields of the envelope that matter, and those of its `data`. Of a field given twice, the last counts.
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

/// What the envelope's `data` is.
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
    /// Fills an empty envelope, in place because it is large; `None` where the text is not JSON, or not an object.
    pub(super) fn fill(&mut self, text: &'a str) -> Option<()> {
        Scanner::whole_object(text, |scanner, name| {
            match name {
                "id" => self.id = scanner.value()?,
                "source" => self.source = scanner.value()?,
                "type" => self.event_type = scanner.value()?,
                "time" => self.time = scanner.value()?,
                "data" => self.fill_data(scanner)?,
                _ => {
                    scanner.value()?;
                }
            }
            Some(())
        })
    }

    #[inline(always)]
    fn fill_data(&mut self, scanner: &mut Scanner<'a>) -> Option<()> {
        self.fields = Fields::default();
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
    /// The field of that name, where some event type has it.
    fn slot(&mut self, name: &str) -> Option<&mut Raw<'a>> {
        Some(match name {
            "account_id" => &mut self.account_id,
            "user_id" => &mut self.user_id,
            "organization_id" => &mut self.organization_id,
            "project_id" => &mut self.project_id,
            "origin" => &mut self.origin,
            "tests" => &mut self.tests,
            "duration_ms" => &mut self.duration_ms,
            "seats" => &mut self.seats,
            "license_source" => &mut self.license_source,
            "plan" => &mut self.plan,
            "monthly_quota" => &mut self.monthly_quota,
            "name" => &mut self.name,
            "timezone" => &mut self.timezone,
            "parent_id" => &mut self.parent_id,
            "email" => &mut self.email,
            _ => return None,
        })
    }
}
