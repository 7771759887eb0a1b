//! The metrics that a PromQL expression names. promtool judges the syntax; see
//! `.ci/operator/check`.

use std::collections::BTreeSet;

/// Words that are no metrics, although no parenthesis follows them.
const WORDS: [&str; 8] = ["and", "or", "unless", "bool", "offset", "inf", "nan", "atan2"];

/// Words in front of a list of labels.
const BEFORE_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// Every metric that the expression names.
pub(super) fn metrics(expression: &str) -> BTreeSet<String> {
    let plain = without_enclosed(expression);
    let mut metrics = BTreeSet::new();
    let mut rest = plain.as_str();
    while let Some(start) = rest.find(starts_name) {
        let before = rest[..start].chars().next_back();
        rest = &rest[start..];
        let end = rest.find(|letter| !continues_name(letter)).unwrap_or(rest.len());
        let name = &rest[..end];
        rest = rest[end..].trim_start();
        if BEFORE_LABELS.contains(&name) {
            let (_, after) = rest.split_once(')').unwrap_or_default();
            rest = after;
            continue;
        }
        let is_number = before.is_some_and(|before| before.is_ascii_digit());
        let is_word = WORDS.contains(&name.to_ascii_lowercase().as_str());
        // An aggregation may have its labels in front of its parentheses.
        let is_function = rest.starts_with('(')
            || BEFORE_LABELS.iter().any(|word| {
                rest.strip_prefix(word).is_some_and(|rest| rest.starts_with([' ', '(']))
            });
        if !is_number && !is_word && !is_function {
            metrics.insert(name.to_owned());
        }
    }
    metrics
}

/// The name under which a series' metric is registered.
pub(super) fn family(name: &str) -> &str {
    let base = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix));
    match base {
        Some(base) if base.ends_with("_seconds") => base,
        _ => name,
    }
}

fn starts_name(letter: char) -> bool {
    letter.is_ascii_alphabetic() || matches!(letter, '_' | ':')
}

fn continues_name(letter: char) -> bool {
    starts_name(letter) || letter.is_ascii_digit()
}

/// The expression without texts, selectors and ranges.
fn without_enclosed(expression: &str) -> String {
    let mut plain = String::new();
    let (mut depth, mut quote) = (0_u32, None);
    for letter in expression.chars() {
        match (quote, letter) {
            (Some(open), letter) => {
                if letter == open {
                    quote = None;
                }
            }
            (None, '"' | '\'' | '`') => quote = Some(letter),
            (None, '{' | '[') => depth += 1,
            (None, '}' | ']') => {
                depth = depth.saturating_sub(1);
                plain.push(' ');
            }
            (None, letter) if depth == 0 => plain.push(letter),
            (None, _) => {}
        }
    }
    plain
}

#[track_caller]
fn check(expression: &str, expected: &[&str]) {
    let found = metrics(expression);
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(found, expected, "{expression}");
}

#[test]
fn metrics_are_told_from_functions_labels_and_numbers() {
    check("up == 0", &["up"]);
    check("sum by (job) (rate(a_total{x=~\"y\"}[5m])) / 14.4 * 0.001", &["a_total"]);
    check("sum(a) by (job, le) > 1e3 and on (job) b:c:d", &["a", "b:c:d"]);
    check(
        "label_replace(a, \"year\", \"$1\", \"b\", \"(c).*\") unless on (d) e offset 1h",
        &["a", "e"],
    );
    check(
        "histogram_quantile(0.9, sum by (le) (rate(a_seconds_bucket[10m])))",
        &["a_seconds_bucket"],
    );
    check("time() - 270 * 86400", &[]);
    assert_eq!(family("a_seconds_bucket"), "a_seconds");
    assert_eq!(family("a_count"), "a_count");
}
