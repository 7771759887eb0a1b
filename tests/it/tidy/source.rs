//! The Rust files of the project, and what is written in them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The folder of the project.
pub(super) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A Rust file of the project.
pub(super) struct Source {
    /// Its path from the project's root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
    tokens: TokenStream,
    /// Every name and path in it, outside comments and literals, and the ends of paths: `use
    /// std::io::Read` mentions `std::io::Read`, `io::Read`, `Read`, `std::io`, `io` and `std`.
    mentions: BTreeSet<String>,
}

impl Source {
    pub(super) fn new(path: &str, text: String) -> Self {
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut mentions = BTreeSet::new();
        for found in paths(tokens.clone()) {
            let names: Vec<&str> = found.split("::").collect();
            for from in 0..names.len() {
                mentions.extend((from..names.len()).map(|to| names[from..=to].join("::")));
            }
        }
        Self { path: path.to_owned(), text, tokens, mentions }
    }

    /// The top-level module that the file belongs to; `None` outside `src`.
    pub(super) fn module(&self) -> Option<&str> {
        self.path.strip_prefix("src/")?.split(['/', '.']).next()
    }

    pub(super) fn mentions(&self, name: &str) -> bool {
        self.mentions.contains(name)
    }

    /// Each function with its number of lines, from `fn` to its last brace, which the formatting
    /// puts into the column where the function's line begins.
    pub(super) fn functions(&self) -> Vec<(String, usize)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let mut functions = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            let code = line.trim_start();
            let words = code.split("fn ").next().unwrap_or_default().split_whitespace();
            let is_function = code.contains("fn ")
                && words.clone().all(is_qualifier)
                && !line.ends_with('}')
                && !line.ends_with(';');
            let Some(name) = code.split("fn ").nth(1).filter(|_| is_function) else { continue };
            let name = name.split(['(', '<']).next().unwrap_or_default();
            let indent = &line[..line.len() - code.len()];
            let ends = [format!("{indent}}}"), format!("{indent});")];
            let last = lines[at..].iter().position(|line| ends.iter().any(|end| line == end));
            if let Some(last) = last {
                functions.push((name.to_owned(), last + 1));
            }
        }
        functions
    }

    /// The paths in it, without those in tests and in the scopes of `pub(in ...)`.
    pub(super) fn paths_outside_tests(&self) -> BTreeSet<String> {
        paths(without_tests(self.tokens.clone()))
    }
}

/// A word that may stand before `fn`.
fn is_qualifier(word: &str) -> bool {
    ["async", "const", "extern", "unsafe", "\"C\"", "in"].contains(&word)
        || word.starts_with("pub")
        || word.ends_with(')')
}

/// The tokens without items under `#[cfg(test)]` and without `(...)` after `pub`.
fn without_tests(tokens: TokenStream) -> TokenStream {
    let mut kept = Vec::new();
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match (&token, tokens.peek()) {
            (TokenTree::Punct(mark), Some(TokenTree::Group(attribute)))
                if mark.as_char() == '#' && attribute.stream().to_string() == "cfg (test)" =>
            {
                let is_end = |token: &TokenTree| match token {
                    TokenTree::Punct(mark) => mark.as_char() == ';',
                    TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                    _ => false,
                };
                tokens.by_ref().find(is_end);
            }
            (TokenTree::Ident(word), Some(TokenTree::Group(group)))
                if word == "pub" && group.delimiter() == Delimiter::Parenthesis =>
            {
                tokens.next();
            }
            (TokenTree::Group(group), _) => {
                let inner = without_tests(group.stream());
                kept.push(TokenTree::Group(proc_macro2::Group::new(group.delimiter(), inner)));
            }
            _ => kept.push(token),
        }
    }
    kept.into_iter().collect()
}

/// The paths and names among the tokens: `use std::{fs, io::Read}` has `std::fs` and
/// `std::io::Read`.
fn paths(tokens: TokenStream) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect_paths(tokens, "", &mut found);
    found
}

fn collect_paths(tokens: TokenStream, prefix: &str, found: &mut BTreeSet<String>) {
    let mut path = prefix.to_owned();
    let mut end = |path: &mut String| {
        let whole = path.trim_end_matches(':');
        if whole.len() > prefix.len().saturating_sub(2) && !whole.is_empty() {
            found.insert(whole.to_owned());
        }
        prefix.clone_into(path);
    };
    let mut lists = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Ident(name) => {
                if !path.is_empty() && !path.ends_with("::") {
                    end(&mut path);
                }
                path.push_str(&name.to_string());
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' => path.push(':'),
            TokenTree::Group(group) => {
                let is_list_of_paths =
                    group.delimiter() == Delimiter::Brace && path.ends_with("::");
                let list_prefix = if is_list_of_paths { path.clone() } else { String::new() };
                lists.push((group.stream(), list_prefix));
                if is_list_of_paths { prefix.clone_into(&mut path) } else { end(&mut path) }
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => end(&mut path),
        }
    }
    end(&mut path);
    for (tokens, prefix) in lists {
        collect_paths(tokens, &prefix, found);
    }
}

/// Every Rust file in `src`, `tests` and `benches`.
pub(super) fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in ["src", "tests", "benches"] {
        collect_files(&root().join(folder), &mut paths);
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let source = |path: &PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
        Source::new(&name, fs::read_to_string(path).unwrap())
    };
    paths.iter().map(source).collect()
}

/// Every file below the folder.
pub(super) fn collect_files(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { collect_files(&path, paths) } else { paths.push(path) }
    }
}
