//! Circles of files: a file uses another, which uses the first, directly or through others.

use std::collections::{BTreeMap, BTreeSet};

use super::source::Source;

/// By file, the files that it uses.
type Uses<'s> = BTreeMap<&'s str, BTreeSet<&'s str>>;

/// The files of the first circle, the first of them again at the end.
pub(super) fn first<'s>(sources: impl Iterator<Item = &'s Source>) -> Option<Vec<&'s str>> {
    let sources: Vec<&Source> = sources.collect();
    let files: BTreeMap<Vec<&str>, &str> =
        sources.iter().map(|source| (module_of(&source.path), source.path.as_str())).collect();
    let uses: Uses<'_> =
        sources.iter().map(|source| (source.path.as_str(), used_by(source, &files))).collect();
    let mut done = BTreeSet::new();
    uses.keys().find_map(|file| circle_from(file, &uses, &mut Vec::new(), &mut done))
}

/// The module of a file: `src/store/mod.rs` is `store`, `src/store/rows.rs` is `store::rows`.
fn module_of(path: &str) -> Vec<&str> {
    let stem = path.strip_prefix("src/").and_then(|path| path.strip_suffix(".rs")).unwrap_or(path);
    let mut names: Vec<&str> = stem.split('/').collect();
    if names.last() == Some(&"mod") {
        names.pop();
    }
    names
}

/// The files whose items the file names. Declaring a module does not count; tests do not either.
fn used_by<'s>(source: &'s Source, files: &BTreeMap<Vec<&str>, &'s str>) -> BTreeSet<&'s str> {
    let own = module_of(&source.path);
    let mut used = BTreeSet::new();
    for path in source.paths_outside_tests() {
        let mut names = path.split("::").peekable();
        let mut module: Vec<&str> = match names.peek() {
            Some(&"crate") => Vec::new(),
            _ => own.clone(),
        };
        let mut is_name = true;
        while let Some(keyword) = names.next_if(|name| ["crate", "self", "super"].contains(name)) {
            is_name = false;
            if keyword == "super" {
                module.pop();
            }
        }
        for name in names.clone() {
            module.push(name);
            if !files.contains_key(&module) {
                module.pop();
                break;
            }
        }
        // A lone name is a variable or an item; a path that begins with one names a child module.
        if is_name && (names.count() == 1 || module == own) {
            continue;
        }
        used.extend(files.get(&module).copied().filter(|file| *file != source.path));
    }
    used
}

fn circle_from<'s>(
    file: &'s str,
    uses: &Uses<'s>,
    way: &mut Vec<&'s str>,
    done: &mut BTreeSet<&'s str>,
) -> Option<Vec<&'s str>> {
    if let Some(at) = way.iter().position(|met| *met == file) {
        return Some(way[at..].iter().copied().chain([file]).collect());
    }
    if !done.insert(file) {
        return None;
    }
    way.push(file);
    let circle = uses[file].iter().find_map(|next| circle_from(next, uses, way, done));
    way.pop();
    circle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)], expected: Option<&[&str]>) {
        let sources: Vec<Source> =
            files.iter().map(|(path, text)| Source::new(path, (*text).to_owned())).collect();
        assert_eq!(first(sources.iter()).as_deref(), expected);
    }

    #[test]
    fn a_circle_is_found() {
        let a = ("src/a.rs", "use crate::b::{B, c::C};");
        check(&[a, ("src/b/mod.rs", "mod c;"), ("src/b/c.rs", "struct C;")], None);
        let parent = ("src/b/mod.rs", "pub use c::C;");
        check(&[parent, ("src/b/c.rs", "use super::{d::D};"), ("src/b/d.rs", "")], None);
        check(
            &[a, ("src/b/mod.rs", ""), ("src/b/c.rs", "fn c() { super::super::a::f(); }")],
            Some(&["src/a.rs", "src/b/c.rs", "src/a.rs"]),
        );
        check(
            &[("src/b/mod.rs", "mod c; pub use c::C;"), ("src/b/c.rs", "use super::D;")],
            Some(&["src/b/c.rs", "src/b/mod.rs", "src/b/c.rs"]),
        );
        check(&[("src/b/mod.rs", "mod c;"), ("src/b/c.rs", "pub(in crate::b) fn f() {}")], None);
        let test = "use crate::d::D; #[cfg(test)] mod tests { use crate::a::A; }";
        check(&[("src/a.rs", "use crate::e::E;"), ("src/e.rs", test), ("src/d.rs", "")], None);
    }
}
