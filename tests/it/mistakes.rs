//! Mistakes that people make, and what the program says to each, to the letter: `said.md`, which reads as a person
//! would meet it. Who runs a NAS and knows no IMAP must be able to mend each from these words alone.
//!
//! The real binary is run in a folder of its own, against stand-ins for the source and for Gmail. Not for every refusal
//! that there is: those are in `words`, `check` and `hostile_servers`.

mod accounts;
mod configuration;
mod files;
mod servers;
mod user;

use std::fs;
use std::path::Path;

use user::Said;

/// With `UPDATE_WORDS=1` in the environment the file is written instead of compared.
#[test]
fn each_mistake_is_answered_as_written() {
    let last = files::full_disk();
    let whole = last.is_some();
    let all: Vec<Said> = [
        configuration::all(),
        files::all(),
        servers::all(),
        accounts::all(),
    ]
    .into_iter()
    .flatten()
    .chain(last)
    .collect();
    let mut text = String::from(
        "# What people do wrong, and what is said to it\n\n\
         Written by `UPDATE_WORDS=1 cargo test mistakes`. What `check` found in order is left out.\n",
    );
    for (n, said) in all.iter().enumerate() {
        text += &format!("\n## {}. {}\n\n", n + 1, said.mistake);
        for line in said.screen.lines() {
            let line = format!("    {line}");
            text += line.trim_end();
            text.push('\n');
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mistakes/said.md");
    if std::env::var("UPDATE_WORDS").is_ok() && whole {
        fs::write(&file, &text).unwrap();
    }
    let mut written = fs::read_to_string(&file).unwrap_or_default();
    if !whole && let Some((before, _)) = written.rsplit_once("\n## ") {
        // The last one needs a mount.
        written = before.to_string();
    }
    for (is, was) in text.lines().zip(written.lines()) {
        assert_eq!(is, was, "the program says\n{text}");
    }
    assert!(text == written, "said.md has more or less than\n{text}");
}
