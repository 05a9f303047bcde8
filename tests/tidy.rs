//! House rules that neither the compiler nor clippy keeps: the length of files, the direction of
//! imports, what the core may know, a first line that says what a module is for.

#![allow(clippy::unwrap_used)]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// Lines of a source file, and of a file of tests.
const LONG: (usize, usize) = (500, 800);

/// What the core does not know: clocks, sockets, tasks, files, and the libraries that have them.
const NOT_IN_CORE: &[&str] = &[
    "Instant::now",
    "SystemTime::now",
    "Utc::now",
    "azure_",
    "rdkafka",
    "std::env",
    "std::fs",
    "std::net",
    "std::thread",
    "tokio",
    "tracing::",
];

/// Only the commands and the sandbox talk to a terminal, and nothing is left half done.
const NOT_IN_LIBRARY: &[&str] =
    &["println!(", "print!(", "eprintln!(", "eprint!(", "dbg!(", "todo!(", "unimplemented!("];

/// What betrays one developer's machine, or an unfinished merge. In two parts, so that this list does
/// not find itself.
const NOT_IN_TREE: &[(&str, &str)] =
    &[("/ho", "me/"), ("/Us", "ers/"), ("/ro", "ot/"), ("<<<<", "<<< "), (">>>>", ">>> ")];

/// A file of the project: its path from the root, with slashes, and its text.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_test(&self) -> bool {
        !self.path.starts_with("src/") || self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// The lines that count, with their numbers: neither comments nor the module of tests at the end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let tests = self.text.find("#[cfg(test)]\nmod tests {").unwrap_or(self.text.len());
        let lines = self.text[..tests].lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
        lines.filter(|(_, line)| !line.starts_with("//"))
    }

    /// The first part of the path below `src`: `core` of `src/core/key.rs`.
    fn module(&self) -> &str {
        let below = self.path.strip_prefix("src/").unwrap_or_default();
        below.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }
}

fn tree() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path: PathBuf = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                if ![".git", ".cache", "target", "node_modules"].contains(&name.as_str()) {
                    open.push(path);
                }
            } else if let Ok(text) = fs::read_to_string(&path) {
                let path = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
                files.push(File { path, text });
            }
        }
    }
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "the tree was read");
    files
}

fn rust() -> impl Iterator<Item = File> {
    tree().into_iter().filter(|file| Path::new(&file.path).extension().is_some_and(|kind| kind == "rs"))
}

/// The modules of ours that a line imports: `core` of `use crate::core::Key`, and each of
/// `crate::{core, config::Config}`.
fn imported(line: &str) -> Vec<&str> {
    fn is_name(c: char) -> bool {
        c.is_alphanumeric() || c == '_'
    }
    fn first_name(text: &str) -> &str {
        let text = text.trim_start();
        &text[..text.find(|c| !is_name(c)).unwrap_or(text.len())]
    }
    let mut found = Vec::new();
    for (at, path) in line.match_indices("crate::") {
        if line[..at].ends_with(is_name) {
            continue;
        }
        match line[at + path.len()..].strip_prefix('{') {
            None => found.push(first_name(&line[at + path.len()..])),
            Some(group) => {
                let mut depth = 0;
                found.push(first_name(group));
                for (at, c) in group.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' if depth == 0 => found.push(first_name(&group[at + 1..])),
                        _ => {}
                    }
                }
            }
        }
    }
    found.retain(|name| name.starts_with(|c: char| c.is_lowercase()));
    found
}

/// Imports go one way. A module that is not named here is an edge, such as `source` and `sink`.
fn may_import(module: &str, imported: &str) -> bool {
    match module {
        "config" => imported == "config",
        "core" => matches!(imported, "core" | "config"),
        "service" => imported != "cli",
        "cli" => true,
        _edge => !matches!(imported, "cli" | "service"),
    }
}

/// Fails with every place at once, so that one run shows all there is to do.
fn none(what: &str, places: &str) {
    assert!(places.is_empty(), "{what}:\n{places}");
}

#[test]
fn no_file_is_too_long() {
    let mut places = String::new();
    for file in rust() {
        let (lines, most) = (file.text.lines().count(), if file.is_test() { LONG.1 } else { LONG.0 });
        if lines > most {
            writeln!(places, "{}: {lines} lines, at most {most}", file.path).unwrap();
        }
    }
    none("too long to hold one idea", &places);
}

#[test]
fn imports_go_one_way() {
    let mut places = String::new();
    for file in rust().filter(|file| file.path.starts_with("src/") && !file.is_test()) {
        for (number, line) in file.code() {
            for import in imported(line).into_iter().filter(|import| !may_import(file.module(), import)) {
                writeln!(places, "{}:{number}: {} imports {import}", file.path, file.module()).unwrap();
            }
        }
    }
    none("cli → service → edges → core → config", &places);
}

#[test]
fn the_core_knows_no_clock_socket_task_or_file() {
    let mut places = String::new();
    for file in rust().filter(|file| file.path.starts_with("src/core/") && !file.is_test()) {
        for (number, line) in file.code() {
            if let Some(word) = NOT_IN_CORE.iter().find(|word| line.contains(**word)) {
                writeln!(places, "{}:{number}: {word}", file.path).unwrap();
            }
        }
    }
    none("the core decides over values", &places);
}

#[test]
fn only_the_commands_and_the_sandbox_print() {
    let mut places = String::new();
    // The sandbox has to be heard by who sits before it.
    let prints = |file: &File| file.is_test() || ["cli", "sandbox"].contains(&file.module());
    for file in rust().filter(|file| file.path.starts_with("src/") && !prints(file)) {
        for (number, line) in file.code() {
            if let Some(word) = NOT_IN_LIBRARY.iter().find(|word| line.contains(**word)) {
                writeln!(places, "{}:{number}: {word}", file.path).unwrap();
            }
        }
    }
    none("say it through tracing, or return it", &places);
}

#[test]
fn every_module_says_what_it_is_for() {
    let mut places = String::new();
    for file in rust().filter(|file| !file.text.starts_with("//! ")) {
        writeln!(places, "{}:1: {}", file.path, file.text.lines().next().unwrap_or_default()).unwrap();
    }
    none("begin with //! and a sentence", &places);
}

#[test]
fn nothing_in_the_tree_is_one_developers_own() {
    let words: Vec<String> = NOT_IN_TREE.iter().map(|(one, two)| format!("{one}{two}")).collect();
    let mut places = String::new();
    for file in tree() {
        for (at, line) in file.text.lines().enumerate() {
            if let Some(word) = words.iter().find(|word| line.contains(word.as_str())) {
                writeln!(places, "{}:{}: {word}", file.path, at + 1).unwrap();
            }
        }
    }
    none("it means nothing on another machine", &places);
}

#[test]
fn these_rules_see_what_they_look_for() {
    assert_eq!(imported("use crate::core::{Key, Offset};"), ["core"]);
    assert_eq!(imported("use crate::{core::{Key, Offset}, config};"), ["core", "config"]);
    assert_eq!(imported("let a = crate::sink::write(crate::service::run);"), ["sink", "service"]);
    assert_eq!(imported("use crate::Everything;"), [""; 0]);
    assert_eq!(imported("use mycrate::core::Key;"), [""; 0]);

    let (allowed, refused) = (true, false);
    for (module, import, answer) in [
        ("core", "config", allowed),
        ("core", "sink", refused),
        ("config", "core", refused),
        ("sink", "core", allowed),
        ("sink", "store", allowed),
        ("sink", "service", refused),
        ("service", "sink", allowed),
        ("service", "cli", refused),
        ("cli", "service", allowed),
        ("main", "cli", refused),
    ] {
        assert_eq!(may_import(module, import), answer, "{module} imports {import}");
    }
    let text = "//! a\n// todo!()\nlet b;\n#[cfg(test)]\nmod tests {\n  dbg!(c);\n}\n";
    let file = File { path: "src/core/key.rs".to_owned(), text: text.to_owned() };
    assert_eq!(file.code().collect::<Vec<_>>(), [(3, "let b;"), (4, "")][..1]);
    assert_eq!(file.module(), "core");
}
