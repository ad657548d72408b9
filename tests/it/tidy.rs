//! The rules of the house that the compiler does not check: who may name whom, sizes, words.

use std::collections::BTreeMap;
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

/// Every `prefix::name` in the code, as `name`s.
fn names_after<'a>(code: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> + 'a {
    code.match_indices(prefix).filter_map(move |(at, _)| {
        let preceded = code[..at].chars().next_back();
        if preceded.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            return None;
        }
        let rest = &code[at + prefix.len()..];
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        (end > 0).then(|| &rest[..end])
    })
}

fn names_crate(code: &str, name: &str) -> bool {
    names_after(code, &format!("{name}::")).next().is_some()
        || code.contains(&format!("use {name};"))
}

#[test]
fn arrows_point_down() {
    let rules: BTreeMap<_, _> =
        LAYERS.iter().map(|(l, ours, crates)| (*l, (ours, crates))).collect();
    let mut wrong = Vec::new();
    for path in files_below(&root().join("src"), "rs") {
        let (layer, code) = (layer_of(&path), code_of(&path));
        if is_test_file(&path) {
            continue;
        }
        let Some((ours, crates)) = rules.get(layer.as_str()) else {
            wrong.push(format!("{}: layer `{layer}` is not in the table", path.display()));
            continue;
        };
        for used in names_after(&code, "crate::") {
            if rules.contains_key(used) && used != layer && !ours.contains(&used) {
                wrong.push(format!("{}: `{layer}` may not use `{used}`", path.display()));
            }
        }
        for guarded in GUARDED {
            if !crates.contains(guarded) && names_crate(&code, guarded) {
                wrong.push(format!("{}: `{layer}` may not name `{guarded}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "the layers of ARCHITECTURE.md are broken:\n{}", wrong.join("\n"));
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
                if path.ends_with("tests/it/tidy.rs")
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
