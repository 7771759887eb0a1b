//! The metrics of Prometheus' text format, as this program's own recorder writes it.

/// Names and values, in the order of the text.
pub(super) type Labels = Vec<(String, String)>;

/// A metric with all its series.
#[derive(Debug, Default)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) help: String,
    /// `counter`, `gauge`, `histogram` or `summary`.
    pub(super) kind: String,
    pub(super) samples: Vec<Sample>,
}

/// A line of it.
#[derive(Debug)]
pub(super) struct Sample {
    /// The metric's, or that with `_bucket`, `_sum` or `_count`.
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) value: f64,
}

/// All metrics of the text. A line that is none is left out, and so is a series without a type.
pub(super) fn families(text: &str) -> Vec<Family> {
    let mut families: Vec<Family> = Vec::new();
    let mut help = (String::new(), String::new());
    for line in text.lines() {
        if let Some((name, text)) = line.strip_prefix("# HELP ").and_then(|l| l.split_once(' ')) {
            help = (name.to_owned(), text.replace("\\n", "\n").replace("\\\\", "\\"));
        } else if let Some((name, kind)) =
            line.strip_prefix("# TYPE ").and_then(|line| line.split_once(' '))
        {
            let of_it = if help.0 == name { help.1.clone() } else { String::new() };
            let (name, kind) = (name.to_owned(), kind.to_owned());
            families.push(Family { name, help: of_it, kind, samples: Vec::new() });
        } else if let (Some(family), Some(sample)) = (families.last_mut(), sample(line))
            && sample.name.starts_with(&family.name)
        {
            family.samples.push(sample);
        }
    }
    families
}

fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(end);
    let (labels, value) = match rest.strip_prefix('{') {
        Some(labels) => labels_of(labels)?,
        None => (Vec::new(), rest),
    };
    let value = match value.trim() {
        "+Inf" => f64::INFINITY,
        value => value.parse().ok()?,
    };
    (!name.is_empty() && !name.starts_with('#')).then(|| Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

/// The labels, and what follows their closing brace.
fn labels_of(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, after) = rest.split_once("=\"")?;
        let (value, after) = quoted_value(after)?;
        labels.push((name.to_owned(), value));
        rest = after;
    }
}

/// A label's value up to its closing quotation mark, and what follows.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_read_as_they_were_meant() {
        let found = sample("m{a=\"x, \\\"y\\\"} \\\\\",b=\"\"} 1e3").unwrap();
        assert_eq!(found.name, "m");
        let pairs = [("a", "x, \"y\"} \\"), ("b", "")];
        assert_eq!(found.labels, pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(found.value, 1_000.0);
        assert!(sample("m NaN").unwrap().value.is_nan());
        assert_eq!(sample("m +Inf").unwrap().value, f64::INFINITY);
        for line in ["", "m", "m{a=\"x} 1", "m one", "# HELP m"] {
            assert!(sample(line).is_none(), "{line}");
        }
    }
}
