//! One name, one thing: types that a reader could take for one another.

use std::collections::BTreeMap;

use super::source::Source;

/// Names that files of one module share on purpose, each used with its module's name before it.
const SHARED: [&str; 2] = ["Args", "State"];

/// Names of the standard library that no type of ours has.
const STANDARD: [&str; 6] = ["Duration", "Instant", "Ordering", "Path", "Range", "SystemTime"];

/// Types that have the name of another one: of two that the whole crate sees, or of two that their
/// top-level module sees.
pub(super) fn duplicates<'s>(sources: impl Iterator<Item = &'s Source>) -> Vec<String> {
    let mut in_crate: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    let mut in_modules: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
    for source in sources {
        let Some(module) = source.module() else { continue };
        for (visibility, name) in types(&source.text) {
            if ["pub", "pub(crate)"].contains(&visibility) {
                in_crate.entry(name.to_owned()).or_default().push(&source.path);
            }
            in_modules.entry((module, name.to_owned())).or_default().push(&source.path);
        }
    }
    let standard = in_crate.iter().filter(|(name, _)| STANDARD.contains(&name.as_str()));
    let mut found: Vec<String> =
        standard.map(|(name, files)| format!("{name} of {} is std's too", files[0])).collect();
    let in_modules = in_modules.into_iter().map(|((_, name), files)| (name, files));
    let mut several: Vec<String> = in_crate
        .into_iter()
        .chain(in_modules)
        .filter(|(name, files)| files.len() > 1 && !SHARED.contains(&name.as_str()))
        .map(|(name, files)| format!("{name} is a type of {}", files.join(" and ")))
        .collect();
    several.sort_unstable();
    several.dedup();
    found.extend(several);
    found
}

/// Visibility and name of the types that a file shows to others, without those of its tests.
fn types(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().take_while(|line| *line != "#[cfg(test)]").filter_map(|line| {
        let (visibility, item) =
            line.split_once(' ').filter(|(word, _)| word.starts_with("pub"))?;
        // `pub(in crate::http)` has a blank in it.
        let (visibility, item) = match visibility {
            "pub(in" => ("pub(in)", item.split_once(' ')?.1),
            _ => (visibility, item),
        };
        let (kind, name) = item.split_once(' ')?;
        let end = name.find(|c: char| !c.is_alphanumeric()).unwrap_or(name.len());
        ["struct", "enum", "trait", "type"].contains(&kind).then_some((visibility, &name[..end]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)], expected: &[&str]) {
        let sources: Vec<Source> =
            files.iter().map(|(path, text)| Source::new(path, (*text).to_owned())).collect();
        assert_eq!(duplicates(sources.iter()), expected);
    }

    #[test]
    fn types_of_one_name_are_found() {
        let public = ("src/a/x.rs", "pub struct Seat;");
        check(&[public, ("src/b.rs", "enum Seat {}")], &[]);
        check(&[public, ("src/b.rs", "pub(super) enum Seat {}")], &[]);
        check(
            &[public, ("src/b.rs", "pub(crate) enum Seat {}")],
            &["Seat is a type of src/a/x.rs and src/b.rs"],
        );
        check(
            &[public, ("src/a/y.rs", "pub(in crate::a) type Seat<'a> = &'a str;")],
            &["Seat is a type of src/a/x.rs and src/a/y.rs"],
        );
        check(&[public, ("src/a/y.rs", "#[cfg(test)]\npub struct Seat;")], &[]);
        check(&[("src/a.rs", "pub struct Instant(i64);")], &["Instant of src/a.rs is std's too"]);
        check(&[("src/a/x.rs", "pub struct Args;"), ("src/a/y.rs", "pub struct Args;")], &[]);
    }
}
