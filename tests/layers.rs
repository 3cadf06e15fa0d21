//! The sources themselves: who may import whom, who may print, who may speak SQL, and that no migration is forgotten.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What each module may import, in an order in which everything below comes first. What a new module needs is
/// added here, with a reason when it is not obvious.
const LAYERS: &[(&str, &[&str])] = &[
    ("text", &[]),
    ("mount", &[]),
    ("error", &[]),
    ("folder", &["error"]),
    ("place", &["error", "text"]),
    ("message", &["error"]),
    // A configuration that was mounted alone has no folder of its own.
    ("config", &["error", "message", "mount", "place", "text"]),
    (
        "oauth",
        &["config", "error", "message", "mount", "place", "text"],
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
        &["config", "error", "message", "response", "text", "wire"],
    ),
    // Passwords and tokens are turned into sign-ins here, for either side.
    (
        "credentials",
        &["config", "error", "message", "oauth", "session"],
    ),
    // The two ends never meet.
    (
        "source",
        &["config", "error", "message", "response", "session"],
    ),
    (
        "gmail",
        &["config", "error", "message", "response", "session"],
    ),
    (
        "engine",
        &[
            "config",
            "credentials",
            "error",
            "folder",
            "gmail",
            "ledger",
            "message",
            "oauth",
            "session",
            "source",
            "text",
            "wire",
        ],
    ),
    (
        "mailboxes",
        &[
            "config",
            "credentials",
            "error",
            "folder",
            "message",
            "session",
            "text",
        ],
    ),
    // `config` knows where in a JSON file something is wrong.
    (
        "import_state",
        &["config", "error", "ledger", "message", "text"],
    ),
    ("status", &["error", "ledger", "message", "text"]),
    // It says sizes, counts and signs of life as `status` does.
    (
        "check",
        &[
            "config", "error", "folder", "gmail", "ledger", "message", "oauth", "response",
            "session", "source", "status", "text", "wire",
        ],
    ),
    // A size is written the same way in the configuration and in `--log-max-size`.
    ("logging", &["config", "error", "message", "place"]),
    (
        "cli",
        &[
            "check",
            "config",
            "engine",
            "error",
            "import_state",
            "ledger",
            "logging",
            "mailboxes",
            "message",
            "oauth",
            // `auth` proves a token by signing in with it.
            "session",
            "status",
            "text",
        ],
    ),
    // The list of modules.
    ("lib", &[]),
    // It sees the library from outside.
    ("main", &["imap_to_gmail"]),
];

/// `logging` has nowhere else to say that there is no log.
const PRINTERS: &[&str] = &["cli", "logging", "main"];
const SPEAKS_SQL: &str = "ledger";

#[derive(Clone, Debug, PartialEq)]
enum Token {
    /// An identifier, a number, or one other character.
    Code(String),
    Text(String),
}

/// Rust, as far as it matters here: comments are dropped, literals are kept apart from code.
fn tokens(source: &str) -> Vec<Token> {
    let c: Vec<char> = source.chars().collect();
    let at = |i: usize| c.get(i).copied().unwrap_or('\0');
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = Vec::new();
    let mut i = 0;
    while i < c.len() {
        match c[i] {
            '/' if at(i + 1) == '/' => {
                while i < c.len() && c[i] != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= c.len() {
                        break;
                    }
                }
            }
            '"' => {
                let start = i + 1;
                i = start;
                while i < c.len() && c[i] != '"' {
                    i += if c[i] == '\\' { 2 } else { 1 };
                }
                out.push(Token::Text(c[start..i.min(c.len())].iter().collect()));
                i += 1;
            }
            // A character, not a lifetime.
            '\'' if at(i + 1) == '\\' || at(i + 2) == '\'' => {
                i += if at(i + 1) == '\\' { 3 } else { 2 };
                while i < c.len() && c[i] != '\'' {
                    i += 1;
                }
                i += 1;
            }
            first if word(first) => {
                let start = i;
                while word(at(i)) {
                    i += 1;
                }
                let text: String = c[start..i].iter().collect();
                let mut hashes = 0;
                while at(i + hashes) == '#' {
                    hashes += 1;
                }
                // r"...", br#"..."#: no escapes in there.
                if matches!(&*text, "r" | "br" | "cr") && at(i + hashes) == '"' {
                    let end: String = format!("\"{}", "#".repeat(hashes));
                    let rest: String = c[i + hashes + 1..].iter().collect();
                    let body = rest.split(&end).next().unwrap().to_string();
                    i += hashes + 1 + body.chars().count() + end.len();
                    out.push(Token::Text(body));
                } else {
                    out.push(Token::Code(text));
                }
            }
            space if space.is_whitespace() => i += 1,
            other => {
                out.push(Token::Code(other.to_string()));
                i += 1;
            }
        }
    }
    out
}

fn code(token: Option<&Token>) -> &str {
    match token {
        Some(Token::Code(text)) => text,
        _ => "",
    }
}

/// The module of src/ that a file belongs to, and how many modules deep it lies.
fn module_of(path: &str) -> (&str, usize) {
    let inner = path.strip_suffix(".rs").unwrap_or(path);
    (inner.split('/').next().unwrap(), inner.split('/').count())
}

/// The modules that a file imports by `crate::`, by enough `super::`, or by the crate's own name; `*` for all.
fn imports(path: &str, tokens: &[Token]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut depth = module_of(path).1;
    // For each open brace: is it that of an inline module?
    let mut braces = Vec::new();
    let mut i = 0;
    let colons = |i: usize| code(tokens.get(i)) == ":" && code(tokens.get(i + 1)) == ":";
    while i < tokens.len() {
        match code(tokens.get(i)) {
            "{" => {
                let module = i > 1 && code(tokens.get(i - 2)) == "mod";
                depth += usize::from(module);
                braces.push(module);
            }
            "}" => depth -= usize::from(braces.pop() == Some(true)),
            "imap_to_gmail" if colons(i + 1) => {
                found.insert("imap_to_gmail".into());
            }
            "crate" if colons(i + 1) => {
                i += 3;
                first_words(tokens, i, &mut found);
                continue;
            }
            "super" if colons(i + 1) => {
                let mut up = 1;
                i += 3;
                while code(tokens.get(i)) == "super" && colons(i + 1) {
                    up += 1;
                    i += 3;
                }
                if up >= depth {
                    first_words(tokens, i, &mut found);
                }
                continue;
            }
            _ => {}
        }
        i += 1;
    }
    found
}

/// What is named at `i`: one word, or the first word of each path in a group.
fn first_words(tokens: &[Token], i: usize, found: &mut BTreeSet<String>) {
    if code(tokens.get(i)) != "{" {
        found.insert(code(tokens.get(i)).to_string());
        return;
    }
    let mut depth = 0;
    let mut begins = true;
    for token in &tokens[i..] {
        match code(Some(token)) {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => begins = true,
            word if begins => {
                found.insert(word.to_string());
                begins = false;
            }
            _ => {}
        }
        if depth == 0 {
            return;
        }
    }
}

/// What is wrong with a file of src/, by the tables above.
fn faults(path: &str, source: &str) -> Vec<String> {
    let (module, _) = module_of(path);
    let tokens = tokens(source);
    let mut out = Vec::new();
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == module) else {
        return vec![format!("src/{path}: `{module}` has no row in LAYERS")];
    };
    for import in imports(path, &tokens) {
        if import != module && !allowed.contains(&&*import) {
            out.push(format!("src/{path}: `{module}` must not import `{import}`"));
        }
    }
    for (i, token) in tokens.iter().enumerate() {
        let next = code(tokens.get(i + 1));
        let before = if i > 0 { code(tokens.get(i - 1)) } else { "" };
        match token {
            Token::Code(word) => {
                let prints = match &**word {
                    "print" | "println" | "eprint" | "eprintln" | "dbg" => next == "!",
                    "stdout" | "stderr" => next == "(" && !matches!(before, "." | "fn"),
                    _ => false,
                };
                if prints && !PRINTERS.contains(&module) {
                    out.push(format!("src/{path}: `{module}` must not print: {word}"));
                }
                if word == "rusqlite" && module != SPEAKS_SQL {
                    out.push(format!("src/{path}: only `{SPEAKS_SQL}` knows rusqlite"));
                }
            }
            Token::Text(text) => {
                let sql = ["SELECT", "INSERT", "UPDATE", "DELETE", "PRAGMA"]
                    .iter()
                    .find(|k| {
                        text.split(|c: char| !c.is_alphanumeric() && c != '_')
                            .any(|w| w == **k)
                    });
                if let Some(keyword) = sql.filter(|_| module != SPEAKS_SQL) {
                    out.push(format!("src/{path}: SQL outside `{SPEAKS_SQL}`: {keyword}"));
                }
            }
        }
    }
    out
}

/// Every file of src/ by its path in there.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut out = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(&root).unwrap().to_str().unwrap();
                out.push((name.to_string(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    out.sort();
    out
}

#[test]
fn imports_run_downward_and_each_thing_has_its_place() {
    let sources = sources();
    let found: Vec<String> = sources
        .iter()
        .flat_map(|(path, text)| faults(path, text))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    // The reader of sources sees what there is to see.
    let of = |name: &str| {
        let (path, text) = sources.iter().find(|(path, _)| path == name).unwrap();
        imports(path, &tokens(text))
    };
    assert!(of("cli/run.rs").contains("engine") && of("cli/status.rs").contains("status"));
    assert!(of("session.rs").contains("wire") && of("ledger/deliver.rs").contains("message"));
}

#[test]
fn the_table_itself_runs_downward() {
    let files: BTreeSet<String> = sources()
        .iter()
        .map(|(path, _)| module_of(path).0.to_string())
        .collect();
    for (n, (module, allowed)) in LAYERS.iter().enumerate() {
        assert!(
            files.contains(*module),
            "`{module}` is in LAYERS and not in src/"
        );
        for below in *allowed {
            let earlier = LAYERS[..n].iter().any(|(name, _)| name == below);
            assert!(
                earlier || *below == "imap_to_gmail",
                "`{module}` imports `{below}`, which does not come before it"
            );
        }
    }
    let allowed = |module: &str| LAYERS.iter().find(|(name, _)| *name == module).unwrap().1;
    assert!(!allowed("source").contains(&"gmail") && !allowed("gmail").contains(&"source"));
    assert_eq!(
        allowed("ledger"),
        ["error", "folder", "message", "mount", "place", "text"]
    );
}

#[test]
fn a_wrong_import_is_found_however_it_is_written() {
    let must_not =
        |module: &str, import: &str| vec![format!("`{module}` must not import `{import}`")];
    for (path, source, wrong) in [
        // Upward.
        (
            "ledger.rs",
            "use crate::engine::Engine;",
            must_not("ledger", "engine"),
        ),
        (
            "ledger/people.rs",
            "fn f() { crate::session::open() }",
            must_not("ledger", "session"),
        ),
        (
            "ledger.rs",
            "pub(crate) use crate :: { error::{Error, Result}, wire };",
            must_not("ledger", "wire"),
        ),
        (
            "wire.rs",
            "use super::session::View;",
            must_not("wire", "session"),
        ),
        (
            "wire/tls.rs",
            "use super::super::session::View;",
            must_not("wire", "session"),
        ),
        (
            "message.rs",
            "mod tests { use super::super::config::Tls; }",
            must_not("message", "config"),
        ),
        (
            "error.rs",
            "use crate::{message::Time, error::Fault};",
            must_not("error", "message"),
        ),
        (
            "config.rs",
            "use imap_to_gmail::cli;",
            must_not("config", "imap_to_gmail"),
        ),
        ("oauth.rs", "use crate::*;", must_not("oauth", "*")),
        // Sideways.
        (
            "source.rs",
            "use crate::gmail::Account;",
            must_not("source", "gmail"),
        ),
        (
            "gmail.rs",
            "fn f(s: &mut crate::source::Source) {}",
            must_not("gmail", "source"),
        ),
        (
            "status.rs",
            "use crate::logging;",
            must_not("status", "logging"),
        ),
        (
            "engine/a.rs",
            "use crate::{ledger::Row, status::{self, Report}, cli};",
            [must_not("engine", "cli"), must_not("engine", "status")].concat(),
        ),
        // No place of its own.
        ("utils.rs", "", vec!["`utils` has no row in LAYERS".into()]),
        // Printing and SQL.
        (
            "engine.rs",
            "fn f() { println!(\"x\") }",
            vec!["`engine` must not print: println".into()],
        ),
        (
            "config.rs",
            "fn f() { std::io::stderr().write_all(b\"x\"); }",
            vec!["`config` must not print: stderr".into()],
        ),
        (
            "status.rs",
            "const Q: &str = \"SELECT 1\";",
            vec!["SQL outside `ledger`: SELECT".into()],
        ),
        (
            "status.rs",
            "const Q: &str = r#\"say \"UPDATE\"\"#;",
            vec!["SQL outside `ledger`: UPDATE".into()],
        ),
        (
            "engine.rs",
            "fn f(db: &rusqlite::Connection) {}",
            vec!["only `ledger` knows rusqlite".into()],
        ),
    ] {
        let wrong: Vec<String> = wrong.iter().map(|w| format!("src/{path}: {w}")).collect();
        assert_eq!(faults(path, source), wrong, "{source}");
    }
}

#[test]
fn what_is_allowed_is_not_complained_of() {
    for (path, source) in [
        (
            "ledger.rs",
            "use crate::{error::Error, message::{Time, Uid}};\nmod people;\nuse people::Row;",
        ),
        (
            "ledger/people.rs",
            "use super::Ledger;\nconst Q: &str = \"SELECT 1\";\nuse rusqlite::Connection;",
        ),
        (
            "engine/deliver.rs",
            "use super::settle::settle;\nmod tests { use super::super::Engine; use super::*; }",
        ),
        (
            "message.rs",
            "mod tests { use super::*; }\nfn f<'a>(c: char) -> bool { c == '\"' || c == '\\'' }\nuse crate::error::shown;",
        ),
        (
            "source.rs",
            "// use crate::gmail;\n/* crate::gmail /* crate::cli */ */\n//! [`crate::gmail`]\nconst T: &str = \"crate::gmail \\\" println!\";",
        ),
        (
            "config.rs",
            "pub(crate) fn f(c: &mut Command) { c.stdout(x).stderr(y); }",
        ),
        ("status.rs", "const T: &str = \"SELECTED UPDATES insert\";"),
        (
            "cli.rs",
            "fn f() { println!(\"x\"); std::io::stdout().flush() }",
        ),
        ("main.rs", "use imap_to_gmail::cli;"),
    ] {
        assert_eq!(faults(path, source), [""; 0], "{source}");
    }
}

#[test]
fn no_migration_is_forgotten() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
    let mut files: Vec<(u32, String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_string();
            let number = name.strip_prefix('V').and_then(|n| n.split_once("__"));
            let number = number.unwrap_or_else(|| panic!("{name} is not called V1__what"));
            (
                number.0.parse().unwrap(),
                name.clone(),
                fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    let numbers: Vec<u32> = files.iter().map(|(n, _, _)| *n).collect();
    assert_eq!(numbers, (1..=files.len() as u32).collect::<Vec<_>>());
    let known = imap_to_gmail::ledger::migrations();
    let known: Vec<(&str, &str)> = known.to_vec();
    let there: Vec<(&str, &str)> = files
        .iter()
        .map(|(_, name, text)| (&**name, &**text))
        .collect();
    assert_eq!(
        known, there,
        "src/ledger.rs lists each file of migrations/, in order"
    );
}
