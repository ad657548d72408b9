//! The paths that a piece of code names, as far as that shows without a compiler: lists are taken
//! apart, other names of things are not followed.

/// Every path that begins with `root`, in full: `std::{fs, time::{self, Instant}}` yields
/// `std::fs`, `std::time` and `std::time::Instant`. A path that takes in all there is ends with `*`.
pub(super) fn named(code: &str, root: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices(root) {
        let (before, rest) = (&code[..at], &code[at + root.len()..]);
        if !is_inside_a_path(before) && !rest.starts_with(is_word) {
            expand(rest, root.to_owned(), &mut found);
        }
    }
    found
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// Whether what comes after `before` goes on with a word or a path. `::tokio` begins one.
fn is_inside_a_path(before: &str) -> bool {
    let Some(parent) = before.trim_end().strip_suffix("::") else {
        return before.ends_with(is_word);
    };
    // `use ::tokio`, unlike `other::tokio`.
    parent.ends_with(|c| is_word(c) || c == '>')
}

fn word(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c| !is_word(c)).unwrap_or(text.len()))
}

/// Notes the paths that `rest` makes of `path`, and returns what comes after them.
fn expand<'a>(mut rest: &'a str, mut path: String, found: &mut Vec<String>) -> &'a str {
    while let Some(after) = rest.trim_start().strip_prefix("::") {
        let after = after.trim_start();
        if let Some(list) = after.strip_prefix('{') {
            return expand_list(list, &path, found);
        }
        let (name, after_name) = word(after);
        if name.is_empty() {
            found.push(if after.starts_with('*') { format!("{path}::*") } else { path });
            return after;
        }
        path = format!("{path}::{name}");
        rest = after_name;
    }
    found.push(path);
    rest
}

/// The same for the inside of `{}`.
fn expand_list<'a>(mut rest: &'a str, path: &str, found: &mut Vec<String>) -> &'a str {
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        if rest.is_empty() {
            return rest;
        }
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
        let (name, after) = word(rest);
        match name {
            "" => found.push(format!("{path}::*")),
            "self" => found.push(path.to_owned()),
            name => {
                rest = expand(after, format!("{path}::{name}"), found);
            }
        }
        // Over another name, or whatever this is.
        rest = &rest[rest.find([',', '}']).unwrap_or(rest.len())..];
    }
}

#[test]
fn paths_are_taken_apart() {
    let list = "use crate :: {\n    a::{self, b as c},\n    d::*,\n};";
    let cases: &[(&str, &str, &[&str])] = &[
        ("use crate::raft::X; crate::limits::Y", "crate", &["crate::raft::X", "crate::limits::Y"]),
        ("use crate::{raft::X, limits};", "crate", &["crate::raft::X", "crate::limits"]),
        (list, "crate", &["crate::a", "crate::a::b", "crate::d::*"]),
        ("use {crate::a, std::fs};", "std", &["std::fs"]),
        ("use ::tokio::time;", "tokio", &["tokio::time"]),
        ("use tokio;", "tokio", &["tokio"]),
        ("let a = other::tokio::b; tokio_util::c(); a_tokio::d()", "tokio", &[]),
        ("std::mem::size_of::<u8>()", "std", &["std::mem::size_of"]),
        ("use super::super::raft::X;", "super", &["super::super::raft::X"]),
    ];
    for (code, root, expected) in cases {
        assert_eq!(named(code, root), *expected, "{code}");
    }
}
