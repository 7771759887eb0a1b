//! CSV exports: RFC 4180, with cells that a spreadsheet would run as a formula made harmless.

/// The characters that make a spreadsheet take a cell for a formula: the usual ones, their full-width forms, and the
/// control characters that such a program skips before it looks.
const FORMULA_STARTS: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

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

    fn into_written(self) -> String {
        match self {
            Self::Text(text) if text.starts_with(FORMULA_STARTS) => format!("'{text}"),
            Self::Text(text) | Self::Plain(text) => text,
        }
    }
}

/// Lines of CSV under a header, of which any prefix may be taken out as it grows.
pub struct Table {
    writer: csv::Writer<Vec<u8>>,
}

impl Table {
    /// A table with its header line.
    pub fn new(header: &[&str]) -> Self {
        let mut table = Self { writer: empty_writer() };
        table.row(header.iter().map(|&name| Cell::Plain(name.to_owned())));
        table
    }

    /// Adds a line.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.writer
            .write_record(cells.into_iter().map(Cell::into_written))
            .expect("every line has as many cells as the header, and memory does not fail to be written");
    }

    /// Takes out the lines that were added since the last call.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        let full = std::mem::replace(&mut self.writer, empty_writer());
        full.into_inner().unwrap_or_else(|_| unreachable!("memory does not fail to be written"))
    }
}

fn empty_writer() -> csv::Writer<Vec<u8>> {
    csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new())
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
        for hidden in ["\t=1", "\r=1", "\n=1"] {
            let written = line([Cell::Text(hidden.to_owned())]);
            assert!(written.trim_start_matches('"').starts_with('\''), "{written:?}");
        }
        assert_eq!(line([Cell::Plain("-174".to_owned()), Cell::Text("a=b".to_owned())]), "-174,a=b\r\n");
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
