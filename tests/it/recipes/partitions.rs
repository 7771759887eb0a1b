//! Each answer of a view, cut into parts and put together again: by each value of each column, and
//! by a condition, its negation and where it is neither. An engine that loses or repeats rows by a
//! shortcut (a filter that it moves, a cache, a limit that it pushes down) gives parts that are not
//! the whole. The method is known as ternary logic partitioning (Rigger and Su, "Finding Bugs in
//! Database Systems via Query Partitioning", 2020).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::settings::{Analyst, Question, analyst};

/// Requests at once.
const THREADS: usize = 4;

/// Values of a column that a view is cut by, at most; the others are one part.
const VALUES_MAX: usize = 3;

/// How often each row is there.
type Rows = BTreeMap<String, usize>;

/// ClickHouse 26.7 makes `column.size` of a comparison with the empty text, also for a column of a
/// view, which has none, and ends in an error where nothing else is read of the column.
fn counting() -> [(String, String); 1] {
    [("optimize_functions_to_subcolumns".to_owned(), "0".to_owned())]
}

/// A column of a view.
struct Column {
    name: String,
    kind: String,
}

impl Column {
    /// Whether values of the column have an order that SQL compares by.
    fn is_ordered(&self) -> bool {
        !["Array", "Map", "Tuple", "AggregateFunction"].iter().any(|kind| self.kind.contains(kind))
    }
}

fn rows_of(analyst: &Analyst, database: &str, sql: &str) -> Rows {
    let text = analyst.post(database, sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let mut rows = Rows::new();
    for line in text.lines() {
        *rows.entry(line.to_owned()).or_default() += 1;
    }
    rows
}

fn united(parts: impl IntoIterator<Item = Rows>) -> Rows {
    let mut all = Rows::new();
    for (row, times) in parts.into_iter().flatten() {
        *all.entry(row).or_default() += times;
    }
    all
}

fn columns_of(analyst: &Analyst, question: &Question) -> Vec<Column> {
    let sql = format!("DESCRIBE TABLE ({}) FORMAT TabSeparatedRaw", question.sql);
    // Older engines break the line in a type that has parts.
    let one_line = [("print_pretty_type_names".to_owned(), "0".to_owned())];
    let text = analyst.post(&question.database, &sql, &one_line).unwrap();
    let column = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        let (name, kind) = (fields.next().unwrap(), fields.next().unwrap());
        Column { name, kind }
    };
    text.lines().map(column).collect()
}

/// Cuts a view in all ways; returns the number of cuts that had more than one part with rows.
fn cut(analyst: &Analyst, question: &Question) -> usize {
    let Question { name, database, sql, .. } = question;
    let whole = rows_of(analyst, database, sql);
    let count = whole.values().sum::<usize>().to_string();
    let mut cuts = 0;
    for column in columns_of(analyst, question).iter().filter(|column| column.is_ordered()) {
        let text = format!("toString({})", column.name);
        let values = rows_of(
            analyst,
            database,
            &format!(
                "SELECT DISTINCT {text} FROM ({sql}) WHERE {} IS NOT NULL ORDER BY 1 LIMIT \
                {VALUES_MAX} FORMAT TabSeparated",
                column.name
            ),
        );
        let kind = column.kind.replace('\'', "\\'");
        let literal = |value: &str| format!("CAST('{value}', '{kind}')");
        let values: Vec<String> = values.keys().map(|value| literal(value)).collect();
        let Some(middle) = values.get(values.len() / 2) else { continue };
        let list = values.join(", ");
        let mut by_value: Vec<String> =
            values.iter().map(|value| format!("{} = {value}", column.name)).collect();
        by_value.push(format!("{} NOT IN ({list})", column.name));
        by_value.push(format!("{} IS NULL", column.name));
        let condition = format!("{} < {middle}", column.name);
        let by_condition =
            vec![condition.clone(), format!("NOT ({condition})"), format!("({condition}) IS NULL")];
        for conditions in [by_value, by_condition] {
            let view = sql.split_once(" FROM ").expect("a statement of a view").1;
            let select = sql.strip_suffix(view).expect("its end");
            let parts: Vec<Rows> = conditions
                .iter()
                .map(|of_part| {
                    rows_of(analyst, database, &format!("{select}{view} WHERE {of_part}"))
                })
                .collect();
            cuts += usize::from(parts.iter().filter(|part| !part.is_empty()).count() > 1);
            assert_eq!(united(parts), whole, "{name} by {conditions:?}");
            let counted: usize = conditions
                .iter()
                .map(|of_part| {
                    let sql = format!(
                        "SELECT count() FROM {view} WHERE {of_part} FORMAT TabSeparatedRaw"
                    );
                    let text = analyst.post(database, &sql, &counting()).unwrap();
                    text.trim().parse::<usize>().unwrap()
                })
                .sum();
            assert_eq!(counted.to_string(), count, "{name} counted by {conditions:?}");
        }
    }
    cuts
}

#[tokio::test]
async fn the_parts_of_each_view_make_up_the_whole() {
    let (_database, analyst) = analyst(&["42", ""]).await;
    let views: Vec<&Question> =
        analyst.questions.iter().filter(|question| !question.is_ordered).collect();
    let (next, cuts) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(question) = views.get(next.fetch_add(1, Ordering::Relaxed)) {
                    cuts.fetch_add(cut(&analyst, question), Ordering::Relaxed);
                }
            });
        }
    });
    assert!(cuts.into_inner() > 100, "few cuts have parts");
}
