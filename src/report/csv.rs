//! CSV exports: RFC 4180, with cells that a spreadsheet would run as a formula made harmless.

use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// The characters that make a spreadsheet take a cell for a formula: the usual ones, and their
/// full-width and small forms.
const FORMULA_SIGNS: [char; 12] =
    ['=', '+', '-', '@', '＝', '＋', '－', '＠', '﹦', '﹢', '﹣', '﹫'];

/// Letters and symbols that show as nothing: the fillers of Hangul, and the empty pattern of
/// braille.
const BLANK_LETTERS: [char; 5] = ['\u{115f}', '\u{1160}', '\u{2800}', '\u{3164}', '\u{ffa0}'];

/// Characters besides RFC 4180's own that some spreadsheet splits a cell at unless it is quoted.
const SEPARATORS: [char; 2] = [';', '\t'];

/// U+FEFF in UTF-8: what comes before the header of a file that says that it is UTF-8.
pub const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Bytes that hold most lines; a longer one is written in pieces.
const LINE_BYTES_USUAL: usize = 512;

/// A cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cell {
    /// Text that somebody chose, such as a name: made harmless.
    Text(String),
    /// A number, a day or an instant of ours, or nothing: written as it is.
    Plain(String),
}

impl Cell {
    /// A cell that is empty where there is no value.
    pub fn text(value: Option<String>) -> Self {
        value.map_or_else(|| Self::Plain(String::new()), Self::Text)
    }

    /// A cell that is empty where there is no number, day or instant.
    pub fn number(value: Option<impl ToString>) -> Self {
        Self::Plain(value.map_or_else(String::new, |value| value.to_string()))
    }

    fn into_written(self) -> String {
        match self {
            Self::Text(text) if is_formula(&text) => format!("'{text}"),
            Self::Text(text) | Self::Plain(text) => text,
        }
    }
}

/// True where the first letter that shows is a formula's sign. Spreadsheets skip blanks, controls,
/// marks and letters without width before they look, some of them on import and some when the cell
/// is edited.
fn is_formula(text: &str) -> bool {
    text.chars()
        .find(|&letter| !is_skipped(letter))
        .is_some_and(|letter| FORMULA_SIGNS.contains(&letter))
}

fn is_skipped(letter: char) -> bool {
    let category = letter.general_category();
    letter.is_whitespace()
        || matches!(
            letter.general_category_group(),
            GeneralCategoryGroup::Mark | GeneralCategoryGroup::Separator
        )
        || matches!(category, GeneralCategory::Control | GeneralCategory::Format)
        || BLANK_LETTERS.contains(&letter)
}

/// Lines of CSV under a header, of which any prefix may be taken out as it grows.
pub struct Table {
    bytes: Vec<u8>,
}

impl Table {
    /// A table with its header line.
    pub fn new(header: &[&str]) -> Self {
        let mut table = Self { bytes: Vec::new() };
        table.row(header.iter().map(|&name| Cell::Plain(name.to_owned())));
        table
    }

    /// Adds a line.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cells: Vec<String> = cells.into_iter().map(Cell::into_written).collect();
        // The library quotes for commas, quotes and line ends alone, or the whole line.
        let is_split = cells.iter().any(|cell| cell.contains(SEPARATORS));
        let quotes = if is_split { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
        let mut writer = csv::WriterBuilder::new()
            .terminator(csv::Terminator::CRLF)
            .quote_style(quotes)
            .buffer_capacity(LINE_BYTES_USUAL)
            .from_writer(&mut self.bytes);
        writer.write_record(cells).and_then(|()| Ok(writer.flush()?)).expect(
            "memory does not fail to be written, and a single line has no other to agree with",
        );
    }

    /// Takes out the lines that were added since the last call.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(cells: impl IntoIterator<Item = Cell>) -> String {
        let cells: Vec<Cell> = cells.into_iter().collect();
        let header = vec!["x"; cells.len()];
        let mut table = Table::new(&header);
        table.take_bytes();
        table.row(cells);
        String::from_utf8(table.take_bytes()).unwrap()
    }

    #[test]
    fn cells_are_quoted_where_they_must_be_and_lines_end_in_crlf() {
        let text = |text: &str| Cell::Text(text.to_owned());
        assert_eq!(line([text("a"), text("b c"), Cell::text(None)]), "a,b c,\r\n");
        assert_eq!(
            line([text("a,b"), text("say \"hi\""), text("two\nlines")]),
            "\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\"\r\n"
        );
    }

    #[test]
    fn formulas_are_defused_and_numbers_are_not() {
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|' /C calc'!A0", "＝1", "＠x"] {
            let written = line([Cell::Text(formula.to_owned()), Cell::Plain("1".to_owned())]);
            assert_eq!(written, format!("'{formula},1\r\n"));
        }
        for hidden in [
            "\t=1",
            "\r=1",
            "\n=1",
            " =1",
            "\u{a0}=1",
            "\u{200b}=1",
            "\u{feff}+1",
            "\u{301}-1",
            "\u{3164}@x",
            " \u{0}＝1",
        ] {
            let written = line([Cell::Text(hidden.to_owned())]);
            assert!(written.trim_start_matches('"').starts_with('\''), "{written:?}");
        }
        for sign in ['﹦', '﹢', '﹣', '﹫', '＋', '－'] {
            assert_eq!(line([Cell::Text(format!("{sign}1"))]), format!("'{sign}1\r\n"));
        }
        assert_eq!(
            line([Cell::Text("a =1".to_owned()), Cell::Text("\u{200b}a".to_owned())]),
            "a =1,\u{200b}a\r\n"
        );
        assert_eq!(
            line([Cell::Plain("-174".to_owned()), Cell::Text("a=b".to_owned())]),
            "-174,a=b\r\n"
        );
    }

    #[test]
    fn a_cell_that_a_spreadsheet_would_split_is_quoted() {
        let text = |text: &str| Cell::Text(text.to_owned());
        assert_eq!(line([text("x;=1+1;y"), text("a")]), "\"x;=1+1;y\",\"a\"\r\n");
        assert_eq!(line([text("a"), text("b\tc")]), "\"a\",\"b\tc\"\r\n");
        assert_eq!(line([Cell::Plain(String::new())]), "\"\"\r\n", "an empty line would be none");
    }

    #[test]
    fn lines_are_taken_out_once() {
        let mut table = Table::new(&["a", "b"]);
        assert_eq!(table.take_bytes(), b"a,b\r\n");
        assert_eq!(table.take_bytes(), b"");
        table.row([Cell::Plain("1".to_owned()), Cell::Plain("2".to_owned())]);
        assert_eq!(table.take_bytes(), b"1,2\r\n");
    }
}
