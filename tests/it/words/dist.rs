//! The completions and manual pages in dist/ are what the command line of today and docs/configuration.md give.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use clap_complete::{Shell, generate};

use super::man;
use crate::testkit::in_ci;

/// Every generated file by its name.
fn made() -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for (shell, name) in [
        (Shell::Bash, "imap-to-gmail.bash"),
        (Shell::Zsh, "_imap-to-gmail"),
        (Shell::Fish, "imap-to-gmail.fish"),
    ] {
        let mut text = Vec::new();
        generate(
            shell,
            &mut imap_to_gmail::cli::command(),
            "imap-to-gmail",
            &mut text,
        );
        if shell == Shell::Bash {
            text = mended(&String::from_utf8(text).unwrap()).into_bytes();
        }
        files.insert(name.into(), text);
    }
    files.extend(man::pages());
    files
}

/// clap_complete 4.6 takes the hyphens of the program's name for those between commands where it says
/// what to offer for a command (seen 2026-11): no option would be completed.
fn mended(bash: &str) -> String {
    let text = bash.replace("imap__subcmd__to__subcmd__gmail", "imap__to__gmail");
    for command in text.lines().filter_map(|l| l.trim().strip_prefix("cmd=\"")) {
        let label = format!("\n        {})\n", command.trim_end_matches('"'));
        assert!(
            command == "\"" || text.contains(&label),
            "nothing is offered for {command}"
        );
    }
    text
}

/// With `UPDATE_WORDS=1` in the environment the files are written instead of compared.
#[test]
fn completions_and_manual_pages_are_up_to_date() {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist");
    let made = made();
    let is_page = |name: &str| name.ends_with(".1") || name.ends_with(".5");
    let ours = |name: &str| made.contains_key(name) || is_page(name);
    if std::env::var("UPDATE_WORDS").is_ok() {
        for old in fs::read_dir(&dist).unwrap() {
            let old = old.unwrap();
            if ours(old.file_name().to_str().unwrap()) {
                fs::remove_file(old.path()).unwrap();
            }
        }
        for (name, text) in &made {
            fs::write(dist.join(name), text).unwrap();
        }
    }
    for (name, text) in &made {
        let written = fs::read(dist.join(name)).unwrap_or_default();
        assert!(
            *text == written,
            "dist/{name} is not what the program gives (UPDATE_WORDS=1 writes it anew)"
        );
    }
    for file in fs::read_dir(&dist).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        assert!(
            !is_page(&name) || made.contains_key(&name),
            "dist/{name} is of a command that there is not"
        );
    }
}

/// A run notes in its lock which kernel it is on, for `status` to know a killed one.
#[test]
fn no_unit_hides_which_kernel_it_is() {
    let dist = Path::new(env!("CARGO_MANIFEST_DIR")).join("dist");
    let files = fs::read_dir(dist).unwrap().map(|file| file.unwrap().path());
    let units: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|end| end == "service"))
        .collect();
    assert_eq!(units.len(), 2);
    for unit in units {
        let text = fs::read_to_string(&unit).unwrap();
        for hiding in ["ProcSubset=pid", "InaccessiblePaths=/proc"] {
            assert!(!text.contains(hiding), "{}: {hiding}", unit.display());
        }
    }
}

/// The two formatters that people have find nothing to say of any page.
#[test]
#[allow(clippy::print_stdout)]
fn manual_pages_are_clean() {
    let folder = tempfile::tempdir().unwrap();
    let pages = man::pages();
    for (name, text) in &pages {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let checkers: [&[&str]; 2] = [&["mandoc", "-Tlint"], &["groff", "-man", "-ww", "-z"]];
    for checker in checkers {
        for name in pages.keys() {
            let ran = Command::new(checker[0])
                .args(&checker[1..])
                .arg(name)
                .current_dir(folder.path())
                .output();
            let Ok(ran) = ran else {
                assert!(!in_ci(), "{} is not installed", checker[0]);
                println!("skipped: {} is not installed", checker[0]);
                break;
            };
            let mut said = String::from_utf8(ran.stdout).unwrap();
            said += &String::from_utf8(ran.stderr).unwrap();
            // Of what is not installed here it cannot know.
            said = said
                .lines()
                .filter(|l| !l.contains("referenced manual not found"))
                .collect::<Vec<_>>()
                .join("\n");
            assert!(said.is_empty(), "{checker:?}: {said}");
        }
    }
}
