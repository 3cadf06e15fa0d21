//! docs/ARCHITECTURE.md and CONTRIBUTING.md name functions and files that there are.

use std::fs;
use std::path::Path;

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
