//! The nearest of the names that exist.

/// ` (did you mean NAME?)`, where a known name is near to the given one, or is one that the given
/// one goes on from as if it were a section; else nothing.
pub(super) fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let nearest = known
        .map(|known| (distance(name, known), known))
        .min()
        .filter(|(distance, known)| *distance <= (known.len() / 4).max(2));
    nearest.map_or_else(String::new, |(_, known)| format!(" (did you mean {known}?)"))
}

fn distance(name: &str, known: &str) -> usize {
    match name.strip_prefix(known) {
        Some(rest) if rest.starts_with("__") => 0,
        _ => strsim::damerau_levenshtein(name, known),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_pen_is_recognized_and_something_else_is_not() {
        let suggest = |name| suggestion(name, ["brokers", "topic", "group_id"].into_iter());
        assert_eq!(suggest("broker"), " (did you mean brokers?)");
        assert_eq!(suggest("tpoic"), " (did you mean topic?)");
        assert_eq!(suggest("topic__name"), " (did you mean topic?)");
        assert_eq!(suggest("password"), "");
    }
}
