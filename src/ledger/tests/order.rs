//! The files of the ledger import each other one way: in the order of the list in `src/ledger.rs`.

use std::fs;
use std::path::Path;

#[test]
fn each_file_imports_only_what_stands_above_it() {
    let listed: Vec<&str> = include_str!("../../ledger.rs")
        .lines()
        .skip_while(|line| *line != "//! ```text")
        .skip(1)
        .map_while(|line| line.strip_prefix("//! ")?.split(' ').next())
        .take_while(|name| *name != "```")
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ledger");
    let mut there: Vec<String> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|file| file.strip_suffix(".rs").map(String::from))
        .filter(|name| name != "tests")
        .collect();
    there.sort();
    let mut sorted = listed.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, there, "the list has each file once");
    for (n, name) in listed.iter().enumerate() {
        let source = fs::read_to_string(folder.join(format!("{name}.rs"))).unwrap();
        let code = source.split("\nmod tests {").next().unwrap();
        for import in code.split("super::").skip(1) {
            let word = |c: char| c.is_alphanumeric() || c == '_';
            let import = import.split(|c| !word(c)).next().unwrap();
            assert!(
                listed[..n].contains(&import),
                "{name}.rs imports `super::{import}`, which does not stand above it"
            );
        }
    }
}
