//! Lengths of a column's values in `FORMAT Native`, by its type.

use super::reader::{Reader, cut_off};
use crate::embedded::clickhouse::lexer::{Token, Tokens};
use crate::embedded::clickhouse::refusals::not_implemented;
use crate::embedded::libchdb::EngineError;

/// The lower byte of a dictionary's index type: 1, 2, 4 or 8 bytes.
const INDEX_TYPE: u64 = 0xff;
/// Keys precede the indexes.
const HAS_KEYS: u64 = 1 << 9;

/// How values of a type follow one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Bytes of a value.
    Fixed(usize),
    /// Each with its length before it.
    Text,
    /// A byte for each value, then the values.
    Nullable(Box<Layout>),
    /// The end of each array, then all their values.
    Array(Box<Layout>),
    /// One column after the other.
    Tuple(Vec<Layout>),
    /// A dictionary of values, and an index into it for each.
    Dictionary(Box<Layout>),
    /// States of `groupBitmap` over values of that many bytes.
    Bitmap(usize),
}

/// A type's name, split.
#[derive(Debug)]
struct TypeName<'name> {
    name: &'name str,
    /// The texts between the brackets, split at commas.
    arguments: Vec<&'name str>,
}

impl Layout {
    /// The layout of a type, by the name that the engine writes.
    ///
    /// # Errors
    ///
    /// It is not known here.
    pub(super) fn of(type_name: &str) -> Result<Layout, EngineError> {
        let unknown = || {
            not_implemented(&format!(
                "client_protocol_version for a column of type {type_name} in the format Native: \
                 convert it in the query (toString, finalizeAggregation), or ask for another format"
            ))
        };
        Layout::known(type_name)?.ok_or_else(unknown)
    }

    fn known(type_name: &str) -> Result<Option<Layout>, EngineError> {
        let parsed = TypeName::parse(type_name);
        let argument = |at: usize| parsed.arguments.get(at).copied().unwrap_or_default();
        let number = |at: usize| argument(at).parse::<usize>().ok();
        Ok(Some(match parsed.name {
            "String" => Layout::Text,
            "FixedString" => return Ok(number(0).map(Layout::Fixed)),
            "Decimal" => return Ok(number(0).map(|digits| Layout::Fixed(decimal_bytes(digits)))),
            "Nullable" => Layout::Nullable(Box::new(Layout::of(argument(0))?)),
            "Array" => Layout::array(Layout::of(argument(0))?),
            "Map" => Layout::array(Layout::tuple(&parsed.arguments)?),
            "Nested" => Layout::array(Layout::tuple(&parsed.arguments)?),
            "Tuple" => Layout::tuple(&parsed.arguments)?,
            "SimpleAggregateFunction" => Layout::of(argument(1))?,
            "LowCardinality" => {
                // A dictionary of nullable values holds NULL as its first key, without a mask.
                let inner = TypeName::parse(argument(0));
                let is_nullable = inner.name == "Nullable";
                let keys = if is_nullable { inner.arguments.first().copied() } else { None };
                Layout::Dictionary(Box::new(Layout::of(keys.unwrap_or_else(|| argument(0)))?))
            }
            "AggregateFunction" if argument(0) == "groupBitmap" => {
                return Ok(fixed_bytes(argument(1)).map(Layout::Bitmap));
            }
            "Point" => Layout::Fixed(16),
            "Ring" | "LineString" => Layout::array(Layout::of("Point")?),
            "Polygon" | "MultiLineString" => Layout::array(Layout::of("Ring")?),
            "MultiPolygon" => Layout::array(Layout::of("Polygon")?),
            name => return Ok(fixed_bytes(name).map(Layout::Fixed)),
        }))
    }

    fn array(inner: Layout) -> Layout {
        Layout::Array(Box::new(inner))
    }

    /// Elements may have names: `Tuple(a UInt8, b String)`.
    fn tuple(arguments: &[&str]) -> Result<Layout, EngineError> {
        if arguments.is_empty() {
            return Ok(Layout::Fixed(1));
        }
        let elements = arguments.iter().map(|argument| Layout::of(without_name(argument)));
        elements.collect::<Result<Vec<_>, _>>().map(Layout::Tuple)
    }

    /// Steps over the values of so many rows.
    ///
    /// # Errors
    ///
    /// The bytes end before.
    pub(super) fn skip(&self, reader: &mut Reader<'_>, rows: usize) -> Result<(), EngineError> {
        self.skip_prefix(reader)?;
        self.skip_values(reader, rows)
    }

    /// The versions of all dictionaries in it come before all values.
    fn skip_prefix(&self, reader: &mut Reader<'_>) -> Result<(), EngineError> {
        match self {
            Layout::Fixed(_) | Layout::Text | Layout::Bitmap(_) => Ok(()),
            Layout::Nullable(inner) | Layout::Array(inner) => inner.skip_prefix(reader),
            Layout::Tuple(elements) => {
                elements.iter().try_for_each(|element| element.skip_prefix(reader))
            }
            Layout::Dictionary(_) => reader.u64().map(drop),
        }
    }

    fn skip_values(&self, reader: &mut Reader<'_>, rows: usize) -> Result<(), EngineError> {
        if rows == 0 {
            return Ok(());
        }
        match self {
            Layout::Fixed(width) => reader.skip(rows, *width),
            Layout::Text => (0..rows).try_for_each(|_| reader.text().map(drop)),
            Layout::Nullable(inner) => {
                reader.skip(rows, 1)?;
                inner.skip_values(reader, rows)
            }
            Layout::Array(inner) => {
                reader.skip(rows - 1, 8)?;
                let values = reader.count()?;
                inner.skip_values(reader, values)
            }
            Layout::Tuple(elements) => {
                elements.iter().try_for_each(|element| element.skip_values(reader, rows))
            }
            Layout::Dictionary(keys) => skip_dictionaries(keys, reader, rows),
            Layout::Bitmap(width) => (0..rows).try_for_each(|_| skip_bitmap(reader, *width)),
        }
    }
}

/// Dictionaries follow one another until all rows have an index.
fn skip_dictionaries(
    keys: &Layout,
    reader: &mut Reader<'_>,
    rows: usize,
) -> Result<(), EngineError> {
    let mut left = rows;
    while left > 0 {
        let kind = reader.u64()?;
        if kind & HAS_KEYS != 0 {
            let count = reader.count()?;
            keys.skip_values(reader, count)?;
        }
        let indexes = reader.count()?;
        let width = match kind & INDEX_TYPE {
            0 => 1,
            1 => 2,
            2 => 4,
            _ => 8,
        };
        reader.skip(indexes, width)?;
        left = left.checked_sub(indexes.max(1)).ok_or_else(cut_off)?;
    }
    Ok(())
}

/// Up to 32 values as a list, more as a roaring bitmap.
fn skip_bitmap(reader: &mut Reader<'_>, width: usize) -> Result<(), EngineError> {
    match reader.byte()? {
        0 => {
            let count = reader.length()?;
            reader.skip(count, width)
        }
        _ => reader.text().map(drop),
    }
}

fn decimal_bytes(digits: usize) -> usize {
    match digits {
        ..=9 => 4,
        10..=18 => 8,
        19..=38 => 16,
        _ => 32,
    }
}

/// The bytes of a value of a type with a fixed width.
fn fixed_bytes(type_name: &str) -> Option<usize> {
    let name = TypeName::parse(type_name).name;
    Some(match name {
        "UInt8" | "Int8" | "Bool" | "Enum8" | "Nothing" => 1,
        "UInt16" | "Int16" | "Enum16" | "Date" | "BFloat16" => 2,
        "UInt32" | "Int32" | "Float32" | "Date32" | "DateTime" | "IPv4" | "Time" => 4,
        "UInt64" | "Int64" | "Float64" | "DateTime64" | "Time64" => 8,
        "UInt128" | "Int128" | "UUID" | "IPv6" => 16,
        "UInt256" | "Int256" => 32,
        _ if name.starts_with("Interval") => 8,
        _ => return None,
    })
}

impl<'name> TypeName<'name> {
    fn parse(text: &'name str) -> TypeName<'name> {
        let text = text.trim();
        let Some((name, rest)) = text.split_once('(') else {
            return TypeName { name: text, arguments: Vec::new() };
        };
        let inner = rest.strip_suffix(')').unwrap_or(rest);
        let mut arguments = Vec::new();
        let (mut depth, mut from) = (0_usize, 0);
        for (token, range) in Tokens::new(inner.as_bytes()) {
            match token {
                Token::Open => depth += 1,
                Token::Close => depth = depth.saturating_sub(1),
                Token::Symbol(b',') if depth == 0 => {
                    arguments.push(inner[from..range.start].trim());
                    from = range.end;
                }
                _ => {}
            }
        }
        if !inner.trim().is_empty() {
            arguments.push(inner[from..].trim());
        }
        TypeName { name, arguments }
    }
}

/// The type of a tuple's element: what follows its name, if it has one.
fn without_name(argument: &str) -> &str {
    let mut tokens = Tokens::new(argument.as_bytes());
    let first = tokens.next();
    match (first, tokens.next()) {
        (Some(_), Some((Token::Word, range))) => &argument[range.start..],
        _ => argument,
    }
}
