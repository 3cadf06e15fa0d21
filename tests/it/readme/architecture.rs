//! docs/ARCHITECTURE.md, CONTRIBUTING.md and tests/README.md name functions, files and tests that there are.

use std::fs;
use std::path::{Path, PathBuf};

const PAGES: [&str; 2] = ["docs/ARCHITECTURE.md", "CONTRIBUTING.md"];

/// What stands between backticks.
fn code(page: &str) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let text = text.lines().filter(|line| !line.starts_with("    "));
    let text = text.collect::<Vec<_>>().join(" ");
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_string)
        .collect()
}

#[test]
fn what_is_named_of_the_program_is_there() {
    let mut named = 0;
    for name in code(PAGES[0]).iter().filter(|name| name.contains("::")) {
        let (module, item) = name.rsplit_once("::").unwrap();
        let folder = format!("src/{}", module.replace("::", "/"));
        let source = fs::read_to_string(format!("{folder}.rs")).unwrap_or_default();
        let declared = ["fn", "struct", "enum"].iter().any(|kind| {
            let declaration = format!("{kind} {item}");
            let mut behind = source.split(&declaration).skip(1);
            behind.any(|rest| rest.starts_with(|c: char| !c.is_alphanumeric() && c != '_'))
        });
        let is_file = Path::new(&format!("{folder}/{item}.rs")).exists();
        assert!(declared || is_file, "there is no `{name}`");
        named += 1;
    }
    assert!(named > 20, "{named}");
}

#[test]
fn the_files_that_are_named_are_there() {
    for page in PAGES {
        for path in code(page) {
            let is_path = path.contains('/') && !path.contains([' ', '*']);
            let exists = Path::new(&path).exists();
            assert!(!is_path || exists, "{page}: there is no {path}");
        }
    }
}

/// Every file below this folder, as a module, with what is in it.
fn modules(root: &str) -> Vec<(String, String)> {
    let (mut paths, mut found) = (vec![PathBuf::from(root)], Vec::new());
    while let Some(path) = paths.pop() {
        if let Ok(entries) = fs::read_dir(&path) {
            paths.extend(entries.map(|entry| entry.unwrap().path()));
            continue;
        }
        let name = path.strip_prefix(root).unwrap().with_extension("");
        let name = name.to_str().unwrap().replace('/', "::");
        found.push((name, fs::read_to_string(&path).unwrap()));
    }
    found
}

/// By the end of their path, the `tests` beside the code left out.
#[test]
fn the_tests_that_are_named_are_there() {
    let all = [modules("src"), modules("tests/it")].concat();
    let mut named = 0;
    for name in code("tests/README.md") {
        let is_one = name
            .chars()
            .all(|c| c.is_alphanumeric() || "_:".contains(c));
        let Some((module, test)) = name
            .rsplit_once("::")
            .filter(|(_, test)| is_one && !test.is_empty())
        else {
            continue;
        };
        let beside = module.strip_suffix("::tests").unwrap_or(module);
        let ends = |path: &str, end: &str| path == end || path.ends_with(&format!("::{end}"));
        let there = all.iter().any(|(path, text)| {
            (ends(path, module) || ends(path, beside)) && text.contains(&format!("fn {test}("))
        });
        assert!(there, "there is no test `{name}`");
        named += 1;
    }
    assert!(named > 50, "{named}");
}
