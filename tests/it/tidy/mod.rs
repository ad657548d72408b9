//! The rules of the house that the compiler does not check: who may name whom, sizes, words.

mod paths;

use std::path::{Path, PathBuf};

/// Which of our modules, and which of the guarded crates, each layer may name.
const LAYERS: &[(&str, &[&str], &[&str])] = &[
    ("pb", &[], &["prost", "tonic"]),
    ("clock", &[], &[]),
    ("limits", &[], &[]),
    ("trials", &[], &["fail"]),
    ("exposition", &["limits", "pb", "clock"], &["prost"]),
    ("group", &["limits", "pb", "clock", "trials", "exposition"], &["prost"]),
    ("storage", &["limits", "trials"], &["sled", "raft_engine"]),
    ("telemetry", &["limits", "pb", "clock", "exposition"], &["tracing", "prost"]),
    (
        "raft",
        &["limits", "pb", "clock", "trials", "group", "storage", "telemetry"],
        &["openraft", "tokio", "tracing", "rand", "prost"],
    ),
    (
        "http",
        &["limits", "pb", "clock", "exposition", "group", "raft", "telemetry"],
        &["axum", "hyper", "hyper_util", "tokio", "tracing", "rand"],
    ),
    ("grpc", &["limits", "pb", "raft"], &["tonic", "tokio", "tracing"]),
    ("config", &["limits", "telemetry"], &[]),
    ("cli", &["limits", "config", "telemetry"], &[]),
    ("ctl", &["cli", "raft"], &["hyper", "hyper_util", "tokio"]),
    ("drill", &["cli", "clock", "ctl"], &["hyper", "hyper_util", "tokio"]),
    (
        "server",
        &["limits", "clock", "config", "grpc", "http", "raft", "telemetry"],
        &["tokio", "tracing"],
    ),
    ("bench", &["storage"], &[]),
    ("fuzzing", &["clock", "exposition", "group", "http", "pb"], &[]),
    ("main", &[], &["tokio", "tracing"]),
    ("lib", &["storage"], &[]),
];

/// Crates that only the layers listed beside them may name.
const GUARDED: &[&str] = &[
    "openraft",
    "sled",
    "raft_engine",
    "fail",
    "axum",
    "hyper",
    "hyper_util",
    "tokio",
    "tracing",
    "rand",
    "prost",
    "tonic",
];

const FILE_LINES_MAX: usize = 500;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path, ending));
        } else if path.extension().is_some_and(|e| e == ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The code of a file without its tests and comments.
fn code_of(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let before_tests = text.split("#[cfg(test)]\nmod ").next().unwrap();
    let lines = before_tests.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

fn is_test_file(path: &Path) -> bool {
    path.components().any(|c| c.as_os_str() == "tests" || c.as_os_str() == "tests.rs")
}

fn layer_of(path: &Path) -> String {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    let first = inside.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// What the pure layers must not name: for the same input they give the same output, everywhere and
/// at any time.
const IMPURE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
];
const PURE_LAYERS: &[&str] = &["exposition", "group"];

/// What is wrong with the names in the code of a file, whose module is this far below the root.
fn faults(layer: &str, depth: usize, code: &str) -> Vec<String> {
    let Some((_, ours, crates)) = LAYERS.iter().find(|(name, ..)| *name == layer) else {
        return vec![format!("layer `{layer}` is not in the table")];
    };
    let mut wrong = Vec::new();
    for used in layers_named(depth, code) {
        let is_layer = LAYERS.iter().any(|(name, ..)| *name == used);
        if used == "*" || (is_layer && used != layer && !ours.contains(&&*used)) {
            wrong.push(format!("`{layer}` may not use `{used}`"));
        }
    }
    for guarded in GUARDED.iter().filter(|guarded| !crates.contains(guarded)) {
        if paths::named(code, guarded).iter().any(|path| is_of_crate(path, guarded, code)) {
            wrong.push(format!("`{layer}` may not name `{guarded}`"));
        }
    }
    if PURE_LAYERS.contains(&layer) {
        for path in paths::named(code, "std") {
            let whole = path.trim_end_matches("::*");
            let names = |impure: &&&str| is_within(whole, impure) || is_within(impure, whole);
            if let Some(impure) = IMPURE.iter().find(names).filter(|_| path != "std") {
                wrong.push(format!("`{layer}` is pure and may not name `{impure}`: {path}"));
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    wrong
}

/// What stands below the root of the crate in the paths of some code.
fn layers_named(depth: usize, code: &str) -> Vec<String> {
    let below_root = paths::named(code, "crate")
        .into_iter()
        .filter_map(|path| path.split("::").nth(1).map(str::to_owned));
    // Enough steps up are the root, too.
    let climbed = paths::named(code, "super").into_iter().filter_map(|path| {
        let steps = path.split("::").take_while(|part| *part == "super").count();
        (steps >= depth).then(|| path.split("::").nth(steps).map(str::to_owned)).flatten()
    });
    below_root.chain(climbed).collect()
}

/// Whether a path of one word is the crate, and not a variable of that name.
fn is_of_crate(path: &str, name: &str, code: &str) -> bool {
    path.contains("::")
        || [";", " as "].iter().any(|end| code.contains(&format!("use {name}{end}")))
        || code.contains(&format!("extern crate {name}"))
}

fn is_within(path: &str, parent: &str) -> bool {
    path.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// How far the module of a file is below the root of the crate.
fn depth_of(path: &Path) -> usize {
    let inside = path.strip_prefix(root().join("src")).unwrap();
    inside.components().count() - usize::from(inside.ends_with("mod.rs"))
}

#[test]
fn arrows_point_down() {
    let mut wrong = Vec::new();
    for path in files_below(&root().join("src"), "rs").into_iter().filter(|p| !is_test_file(p)) {
        for fault in faults(&layer_of(&path), depth_of(&path), &code_of(&path)) {
            wrong.push(format!("{}: {fault}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "the layers of ARCHITECTURE.md are broken:\n{}", wrong.join("\n"));
}

#[test]
fn arrows_that_point_up_are_found() {
    for (layer, code) in [
        ("group", "use crate::raft::Replica;"),
        ("group", "use crate::{clock::UnixNanos, raft::Replica};"),
        ("group", "use crate::{\n    clock::UnixNanos,\n    raft::{self, Replica},\n};"),
        ("group", "use {crate::raft, crate::clock};"),
        ("group", "fn a() { crate::http::serve() }"),
        ("group", "use crate::*;"),
        ("group", "use super::super::raft::Replica;"),
        ("group", "use super::super::{clock, raft};"),
        ("storage", "use tokio::time::sleep;"),
        ("storage", "use ::tokio::time::sleep;"),
        ("storage", "use tokio;"),
        ("storage", "use tokio as runtime;"),
        ("storage", "extern crate tokio;"),
        ("storage", "use {std::fs, tokio::fs::File};"),
        ("group", "use std::fs;"),
        ("group", "use std::{collections::BTreeMap, fs::File};"),
        ("group", "use std::time::{Duration, Instant};"),
        ("group", "use std::time::*;"),
        ("group", "use std::time;"),
        ("exposition", "fn a() { std::env::var(\"A\") }"),
        ("exposition", "use std::{fmt, thread};"),
        ("elsewhere", ""),
    ] {
        assert_eq!(
            faults(layer, 2, code).len(),
            1,
            "`{layer}`: {code}: {:?}",
            faults(layer, 2, code)
        );
    }
    for (layer, code) in [
        ("group", "use crate::{clock::UnixNanos, exposition::{name, wire}};"),
        ("group", "use crate::group::Group; use super::raft_like;"),
        ("group", "use std::time::Duration; std::mem::take(fs); use std::{fmt, io::Read};"),
        ("group", "let tokio = 1; a(tokio, my::tokio::b)"),
        ("raft", "use super::super::group::Group; use tokio::{fs, time::Instant};"),
        ("storage", "use std::fs; use std::time::Instant;"),
    ] {
        assert_eq!(faults(layer, 2, code), Vec::<String>::new(), "`{layer}`: {code}");
    }
}

#[test]
fn files_stay_small() {
    let mut wrong = Vec::new();
    for path in files_below(&root().join("src"), "rs").into_iter().filter(|p| !is_test_file(p)) {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.split("#[cfg(test)]\nmod ").next().unwrap().lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!("{}: {lines} lines before its tests", path.display()));
        }
    }
    assert!(wrong.is_empty(), "split these files:\n{}", wrong.join("\n"));
}

#[test]
fn nothing_is_left_unfinished() {
    let words = ["TODO", "FIXME", "XXX", "HACK", "unimplemented!", "todo!", "#[ignore"];
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "benches", "docs", "fuzz"] {
        let folder = root().join(folder);
        if !folder.exists() {
            continue;
        }
        for ending in ["rs", "md", "py", "toml"] {
            for path in files_below(&folder, ending) {
                if path.ends_with("tests/it/tidy/mod.rs")
                    || path.components().any(|c| c.as_os_str() == "target")
                {
                    continue;
                }
                let text = std::fs::read_to_string(&path).unwrap();
                for word in words {
                    if text.contains(word) {
                        wrong.push(format!("{}: contains `{word}`", path.display()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "finish these:\n{}", wrong.join("\n"));
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut wrong = Vec::new();
    let mut documents = files_below(&root().join("docs"), "md");
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        documents.push(root().join(name));
    }
    for path in documents {
        let text = std::fs::read_to_string(&path).unwrap();
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            let file = target.split('#').next().unwrap();
            if file.is_empty() || target.contains("://") {
                continue;
            }
            if !path.parent().unwrap().join(file).exists() {
                wrong.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "dead links:\n{}", wrong.join("\n"));
}
