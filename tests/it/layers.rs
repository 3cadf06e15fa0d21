//! The sources themselves, read as text that rustfmt has formatted: who may import whom, who may print, who
//! may speak SQL, that no files of one folder import each other in a circle, how long a file may be, no
//! migration forgotten.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// What each module may import, in an order in which everything below comes first. What a new module needs is
/// added here, with a reason when it is not obvious.
const LAYERS: &[(&str, &[&str])] = &[
    ("text", &[]),
    ("threads", &[]),
    ("mount", &[]),
    ("error", &[]),
    ("http", &[]),
    ("folder", &["error"]),
    ("place", &["error", "text"]),
    ("message", &["error"]),
    // A configuration that was mounted alone has no folder of its own.
    (
        "config",
        &[
            "error", "folder", "http", "message", "mount", "place", "text",
        ],
    ),
    (
        "oauth",
        &[
            "config", "error", "http", "message", "mount", "place", "text",
        ],
    ),
    // It knows no IMAP.
    (
        "ledger",
        &["error", "folder", "message", "mount", "place", "text"],
    ),
    ("response", &["error", "message"]),
    ("wire", &["config", "error", "message", "response", "text"]),
    (
        "session",
        &[
            "config", "error", "folder", "message", "response", "text", "wire",
        ],
    ),
    // Passwords and tokens are turned into sign-ins here, for either side.
    (
        "credentials",
        &["config", "error", "message", "oauth", "session"],
    ),
    ("mailbox", &["error", "message", "response", "session"]),
    // The two ends never meet.
    (
        "source",
        &[
            "config", "error", "folder", "mailbox", "message", "response", "session",
        ],
    ),
    (
        "target",
        // The API believes the same authorities as IMAP.
        &[
            "config", "error", "folder", "http", "mailbox", "message", "response", "session",
            "wire",
        ],
    ),
    (
        "engine",
        &[
            "config",
            "credentials",
            "error",
            "folder",
            "ledger",
            "message",
            "oauth",
            "session",
            "source",
            "target",
            "text",
            "threads",
            "wire",
        ],
    ),
    (
        "survey",
        &[
            "config", "error", "folder", "message", "oauth", "session", "text",
        ],
    ),
    // `config` knows where in a JSON file something is wrong.
    (
        "import_state",
        &["config", "error", "ledger", "message", "text"],
    ),
    ("status", &["error", "ledger", "message", "text"]),
    // It looks at both sides as a run does, and knows nothing of one.
    (
        "audit",
        &[
            "config",
            "credentials",
            "error",
            "folder",
            "ledger",
            "message",
            "session",
            "source",
            "target",
            "text",
        ],
    ),
    // It judges nothing itself: what is healthy, and what is trouble, stands in the report.
    (
        "alarm",
        &[
            "config", "error", "http", "ledger", "message", "status", "text",
        ],
    ),
    // The token file says when a person last signed in.
    (
        "page",
        &[
            "error", "http", "ledger", "message", "oauth", "status", "text",
        ],
    ),
    // It says sizes, counts and signs of life as `status` does.
    (
        "check",
        &[
            "config", "error", "folder", "ledger", "message", "oauth", "response", "session",
            "source", "status", "target", "text", "wire",
        ],
    ),
    // A route knows nothing of the process that it runs in.
    (
        "service",
        &[
            "alarm", "config", "engine", "error", "ledger", "status", "text", "threads",
        ],
    ),
    // A size is written the same way in the configuration and in `--log-max-size`.
    (
        "logging",
        &["config", "error", "message", "place", "threads"],
    ),
    (
        "cli",
        &[
            "audit",
            "check",
            "config",
            "engine",
            "error",
            "import_state",
            "ledger",
            "logging",
            "message",
            "oauth",
            "page",
            "service",
            // `auth` proves a token by signing in with it.
            "session",
            "status",
            "survey",
            "text",
            "threads",
        ],
    ),
    // The list of modules.
    ("lib", &[]),
    // It sees the library from outside.
    ("main", &["imap_to_gmail"]),
];

/// `logging` has nowhere else to say that there is no log.
const PRINTERS: &[&str] = &["cli", "logging", "main"];
const PRINTS: &[&str] = &["print!(", "println!(", "dbg!(", "stdout(", "stderr("];
const SPEAKS_SQL: &str = "ledger";
const SQL: &[&str] = &["SELECT", "INSERT", "UPDATE", "DELETE", "PRAGMA", "rusqlite"];
/// What is the process's own, and who knows of it. `auth` listens for signals while nothing is echoed.
const OF_THE_PROCESS: &[(&str, &[&str])] = &[
    ("sd_notify", &["service"]),
    ("signal_hook", &["cli", "service"]),
];

/// Every file of a folder by its path in there, but those that are no text.
fn files(folder: &str) -> BTreeMap<String, String> {
    let (mut paths, mut found) = (vec![Path::new(folder).to_path_buf()], BTreeMap::new());
    while let Some(path) = paths.pop() {
        if let Ok(entries) = fs::read_dir(&path) {
            paths.extend(entries.map(|entry| entry.unwrap().path()));
            continue;
        }
        let Ok(text) = String::from_utf8(fs::read(&path).unwrap()) else {
            continue;
        };
        let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
        found.insert(name.to_string(), text);
    }
    found
}

/// Every file of src/ by its path in there, without comments.
fn sources() -> BTreeMap<String, String> {
    let mut sources = files("src");
    for text in sources.values_mut() {
        let code = text.lines().map(|line| line.split("//").next().unwrap());
        *text = code.collect::<Vec<_>>().join("\n");
    }
    sources
}

fn words(text: &str) -> Vec<&str> {
    let between = |c: char| !c.is_alphanumeric() && c != '_';
    text.split(between).collect()
}

/// The words of each path, or group of paths, that begins with this prefix.
fn after<'a>(code: &'a str, prefix: &str) -> Vec<Vec<&'a str>> {
    let ends = |rest: &'a str| rest.split(|c| "();=<>&.?".contains(c)).next();
    let paths = code.split(prefix).skip(1);
    paths.map(|rest| words(ends(rest).unwrap())).collect()
}

fn allowed(module: &str) -> &[&str] {
    let row = LAYERS.iter().find(|(name, _)| *name == module);
    assert!(row.is_some(), "`{module}` has no row in LAYERS");
    row.unwrap().1
}

#[test]
fn each_thing_has_its_place() {
    for (path, code) in sources() {
        let (module, allowed) = (words(&path)[0], allowed(words(&path)[0]));
        let own = code.split("\nmod tests {").next().unwrap();
        let root = "super::".repeat(path.split('/').count());
        let mut imports = [after(own, &root), after(&code, "crate::")].concat();
        imports.extend(after(&code, &(root + "super::")));
        for import in imports.iter().map(|path| path[0]) {
            let may = import == module || allowed.contains(&import);
            assert!(may, "{path} must not import `{import}`");
        }
        let may = !code.contains(" imap_to_gmail::") || allowed.contains(&"imap_to_gmail");
        assert!(may, "{path} must not import `imap_to_gmail`");
        let print = code.replace(".std", "").replace("fn std", "");
        let may = PRINTERS.contains(&module) || !PRINTS.iter().any(|how| print.contains(how));
        assert!(may, "{path} must not print");
        // IMAP has a command of this name.
        let sql = code.replace("SELECT {}", "");
        let may = module == SPEAKS_SQL || !words(&sql).iter().any(|word| SQL.contains(word));
        assert!(may, "{path} must not speak SQL");
        for (word, who) in OF_THE_PROCESS {
            let may = who.contains(&module) || !words(&code).contains(word);
            assert!(may, "{path} must not know of {word}");
        }
    }
}

/// What is written by a program is as long as it is: the texts that golden tests compare, dumps of ledgers.
const WRITTEN_BY_HAND: &[&str] = &["rs", "sh", "c"];

#[test]
fn no_file_is_too_long_to_be_read_at_once() {
    let mut looked_at = 0;
    for folder in ["src", "tests", "benches", "examples"] {
        for (path, text) in files(folder) {
            let end = path.rsplit('.').next().unwrap();
            if !WRITTEN_BY_HAND.contains(&end) {
                continue;
            }
            looked_at += 1;
            let may = text.lines().count() <= 500;
            assert!(may, "{folder}/{path} must not have more than 500 lines");
        }
    }
    assert!(looked_at > 400, "{looked_at}");
}

#[test]
fn the_table_itself_runs_downward() {
    for (n, (module, below)) in LAYERS.iter().enumerate() {
        let file = format!("src/{module}.rs");
        assert!(Path::new(&file).exists(), "there is no {file}");
        let up = LAYERS[n..].iter().find(|(name, _)| below.contains(name));
        assert!(up.is_none(), "`{module}` imports from above: {up:?}");
    }
    assert!(!allowed("source").contains(&"target") && !allowed("target").contains(&"source"));
    let below_ledger = ["error", "folder", "message", "mount", "place", "text"];
    assert_eq!(allowed("ledger"), below_ledger);
}

#[test]
fn no_files_of_one_folder_import_each_other_in_a_circle() {
    let mut imports = BTreeSet::new();
    let sources = sources();

    for (path, code) in &sources {
        let own = code.split("\nmod tests {").next().unwrap();
        for (at, _) in path.match_indices('/') {
            let (folder, inner) = path.split_at(at + 1);
            let mut named = after(own, &format!("crate::{}", folder.replace('/', "::")));
            if !inner.contains('/') {
                named.extend(after(own, "super::"));
            }
            let from = words(inner)[0];
            let others = named.concat().into_iter().filter(|to| *to != from);
            imports.extend(others.map(|to| [from, to].map(|name| format!("{folder}{name}"))));
        }
    }
    // What imports nothing, or only what is in no circle, is in none either.
    for _ in 0..imports.len() {
        let importing: BTreeSet<_> = imports.iter().map(|[from, _]| from.clone()).collect();
        imports.retain(|[_, to]| importing.contains(to));
    }
    assert!(imports.is_empty(), "{imports:#?}");
}

#[test]
fn no_migration_is_forgotten() {
    let known = imap_to_gmail::ledger::migrations();
    assert_eq!(fs::read_dir("migrations").unwrap().count(), known.len());
    for (n, (name, text)) in known.iter().enumerate() {
        let file = fs::read_to_string(format!("migrations/{name}.sql")).unwrap();
        let in_order = name.starts_with(&format!("V{}__", n + 1));
        assert!(in_order && file == *text, "{name}");
    }
}
