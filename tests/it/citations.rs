//! What comments cite of docs/gmail.md, docs/gmail-import.md and docs/servers.md is there: each number has its heading. And each heading
//! has somebody who relies on it: a comment that cites it, or a file that it names.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const PAGES: [&str; 3] = ["gmail", "gmail-import", "servers"];
/// Where citations may stand.
const PLACES: [&str; 7] = [
    "src",
    "tests",
    "benches",
    "examples",
    "migrations",
    "dist",
    "docs",
];

#[test]
fn what_is_cited_is_there() {
    let mut dangling = Vec::new();
    for page in PAGES {
        let headings: BTreeSet<Number> = headings(page).into_iter().map(|(n, _)| n).collect();
        for citation in citations(page) {
            for number in citation.numbers {
                if !headings.contains(&number) {
                    let number = text(&number);
                    dangling.push(format!("{}: docs/{page}.md {number}", citation.place));
                }
            }
        }
    }
    assert!(
        dangling.is_empty(),
        "no such heading:\n{}",
        dangling.join("\n")
    );
}

#[test]
fn what_is_there_is_relied_on() {
    let mut idle = Vec::new();
    for page in PAGES {
        let cited: BTreeSet<Number> = citations(page)
            .into_iter()
            .flat_map(|c| c.numbers)
            .collect();
        let headings = headings(page);
        for (number, _) in &headings {
            // Who cites a chapter cites its sections, and a chapter lives by its sections.
            let is_cited = cited
                .iter()
                .any(|c| c.starts_with(number) || number.starts_with(c));
            let names_a_file = headings
                .iter()
                .any(|(n, body)| n.starts_with(number) && !files(body).is_empty());
            if !is_cited && !names_a_file {
                idle.push(format!("docs/{page}.md {}", text(number)));
            }
        }
    }
    assert!(
        idle.is_empty(),
        "nobody relies on:\n{}\ncite it where it is relied on, name that file, or take it out",
        idle.join("\n")
    );
}

#[test]
fn the_files_that_pages_name_are_there() {
    for page in PAGES {
        for name in files(&fs::read_to_string(path_of(page)).unwrap()) {
            assert!(root().join(&name).exists(), "docs/{page}.md names {name}");
        }
    }
}

#[test]
fn citations_are_read_in_every_form() {
    let read = |text: &str| -> Vec<String> { numbers(text).iter().map(self::text).collect() };
    assert_eq!(read("7.3 and 8.2; RFC 6749 4.1"), ["7.3", "8.2"]);
    assert_eq!(read("1.6 to 1.8, 5), and IDLE"), ["1.6", "1.7", "1.8", "5"]);
    assert_eq!(read("6: about 10 min"), ["6"]);
    assert_eq!(read("2.3, 8.2)."), ["2.3", "8.2"]);
    assert_eq!(read("8.2. Exchange"), ["8.2"]);
    assert_eq!(read("`, whose sections"), [""; 0]);
}

/// `3.10` is [3, 10].
type Number = Vec<u32>;

struct Citation {
    /// `src/target.rs:45`
    place: String,
    numbers: Vec<Number>,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn path_of(page: &str) -> PathBuf {
    root().join(format!("docs/{page}.md"))
}

fn text(number: &Number) -> String {
    let parts: Vec<String> = number.iter().map(u32::to_string).collect();
    parts.join(".")
}

/// The numbers of a page's headings, each with what stands below it.
fn headings(page: &str) -> Vec<(Number, String)> {
    let mut found: Vec<(Number, String)> = Vec::new();
    for line in fs::read_to_string(path_of(page)).unwrap().lines() {
        if let Some(heading) = line.strip_prefix('#') {
            let number = heading.trim_start_matches('#').split_whitespace().next();
            let number = number.and_then(number_of).unwrap_or_default();
            found.push((number, String::new()));
        } else if let Some((_, body)) = found.last_mut() {
            body.push_str(line);
            body.push('\n');
        }
    }
    found.retain(|(number, _)| !number.is_empty());
    let distinct: BTreeSet<&Number> = found.iter().map(|(n, _)| n).collect();
    assert_eq!(
        distinct.len(),
        found.len(),
        "docs/{page}.md: a number twice"
    );
    found
}

fn number_of(word: &str) -> Option<Number> {
    word.split('.').map(|part| part.parse().ok()).collect()
}

fn citations(page: &str) -> Vec<Citation> {
    let mark = format!("{page}.md ");
    let mut found = Vec::new();
    for place in PLACES {
        for file in files_below(&root().join(place)) {
            let Ok(content) = fs::read_to_string(&file) else {
                continue;
            };
            let name = file.strip_prefix(root()).unwrap().display().to_string();
            for (n, line) in content.lines().enumerate() {
                let place = format!("{name}:{}", n + 1);
                for after in line.split(&mark).skip(1) {
                    let (place, numbers) = (place.clone(), numbers(after));
                    found.push(Citation { place, numbers });
                }
            }
        }
    }
    assert!(!found.is_empty(), "nobody cites docs/{page}.md");
    found
}

/// The numbers at the beginning of this text: `1.6 to 1.8, 5`.
fn numbers(text: &str) -> Vec<Number> {
    let mut found: Vec<Number> = Vec::new();
    let mut rest = text;
    loop {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        let Some(number) = number_of(word.trim_end_matches('.')) else {
            return found;
        };
        if found.last().is_none_or(|last| last != &number) {
            found.push(number.clone());
        }
        let next = [", ", " and ", " to "].iter().find_map(|between| {
            let next = after.strip_prefix(between)?;
            Some((next, *between == " to "))
        });
        let Some((next, range)) = next else {
            return found;
        };
        rest = next;
        if range && let Some((last, chapter)) = number.split_last() {
            let end: String = rest
                .chars()
                .take_while(|c| c.is_ascii_digit() || *c == '.')
                .collect();
            let end = number_of(end.trim_end_matches('.')).unwrap_or_default();
            for between in last + 1..end.last().copied().unwrap_or(*last) {
                found.push([chapter, &[between]].concat());
            }
        }
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What stands in backticks and is a path of this repository.
fn files(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted
        .filter(|word| word.starts_with("src/") || word.starts_with("tests/"))
        .map(str::to_string)
        .collect()
}
