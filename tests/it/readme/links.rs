//! Links lead somewhere, every page can be reached, and the first page stays short.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{document, documents, root};

/// As web pages make them of headings.
fn anchors(text: &str) -> BTreeSet<String> {
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| {
            let name = line.trim_start_matches('#').trim().to_lowercase();
            name.chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
                .collect::<String>()
                .replace(' ', "-")
        })
        .collect()
}

fn links(text: &str) -> Vec<&str> {
    text.split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap())
        .collect()
}

#[test]
fn links_lead_somewhere() {
    let mut reached = BTreeSet::from([PathBuf::from("README.md")]);
    for (path, text) in documents() {
        for link in links(&text) {
            if link.starts_with("https://") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let to = match file {
                "" => path.clone(),
                file => path.parent().unwrap_or(Path::new("")).join(file),
            };
            assert!(root().join(&to).exists(), "{}: {link}", path.display());
            if !anchor.is_empty() {
                let text = document(to.to_str().unwrap());
                assert!(
                    anchors(&text).contains(anchor),
                    "{}: {link}",
                    path.display()
                );
            }
            if path == Path::new("README.md") {
                reached.insert(to);
            }
        }
    }
    for (path, _) in documents() {
        assert!(
            reached.contains(&path),
            "README.md does not lead to {}",
            path.display()
        );
    }
}

#[test]
fn the_first_page_is_short() {
    let text = document("README.md");
    // The bars of tables are none.
    let words = text.split_whitespace();
    let words = words
        .filter(|w| !w.trim_matches(['|', '-']).is_empty())
        .count();
    assert!(words < 2000, "README.md has {words} words");
}

/// What people must know before they begin stands before anything that they are to type.
#[test]
fn what_it_does_not_do_comes_first() {
    let text = document("README.md");
    let first = text.split("\n## ").next().unwrap();
    for word in [
        "What it does not do",
        "INBOX",
        "spam filter",
        "filters",
        "label",
        "unread",
        "deleted",
        "POP",
    ] {
        assert!(first.contains(word), "{word}");
    }
    assert!(
        first.lines().count() < 40,
        "{} lines",
        first.lines().count()
    );
}

/// Words of another century, and of another place.
#[test]
fn it_is_written_in_plain_english_of_today() {
    let odd = [
        " shall ",
        " hath ",
        " whilst ",
        " thereof",
        " hereby",
        " upon ",
        "has not ",
        "have not ",
        " may it be",
        " let no ",
        " it be ",
        "/work/",
        "/root/",
    ];
    for (path, text) in documents() {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in odd {
            assert!(!text.contains(word), "{}:{word}", path.display());
        }
    }
}
