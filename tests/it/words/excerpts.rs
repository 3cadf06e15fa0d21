//! What is no JSON, told by what stands there: line, column, and the line itself with a caret below, in which no secret
//! is shown. All of it is in `excerpts.txt`, to be read.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use imap_to_gmail::config::ledger_place;

use super::config::desk;

/// Whatever must not be shown is HUSH in these.
const MISTAKES: &[(&str, &[&str])] = &[
    (
        "comments",
        &[
            "{\n  // HUSH\n  \"source_user\": \"x\"}",
            "# HUSH\n{\"source_user\": \"x\"}",
            "{\"source_user\": \"x\", /* HUSH */ \"since\": 1}",
            "{\"source_user\": \"x\" // HUSH\n}",
            "{\"source_user\": \"x\"}\n// HUSH",
            "{\n  \"since\": \"7d\", # HUSH\n  \"connections\": 3\n}",
        ],
    ),
    (
        "quotation marks of other kinds",
        &[
            "{\n  \u{201c}source_user\u{201d}: \"x\"}",
            "{\"source_user\": \u{201e}x\u{201c}}",
            "{\"source_pass\": \u{2019}HUSH\u{2019}}",
            "{'source_user': 'x'}",
            "{\"source_pass\": 'HUSH'}",
            "{\"source_user\": \"x\u{201d},\n \"since\": \"7d\"}",
            "{\"source_pass\": \"HUSH\u{201d},\n \"since\": \"7d\"}",
            "{`since`: \"7d\"}",
        ],
    ),
    (
        "what is no JSON at all",
        &[
            "source_server: imap.example.org\nsource_pass: HUSH\n",
            "---\nsource_pass: HUSH\n",
            "- source_pass: HUSH\n",
            "source_pass = HUSH",
            "[source]\npass = HUSH\n",
            "\"source_pass\": \"HUSH\",\n\"since\": \"7d\"\n",
            "SQLite format 3\u{0} HUSH",
            "HUSH",
            "<config>HUSH</config>",
        ],
    ),
    (
        "commas, colons and brackets",
        &[
            "{\n  \"source_pass\": \"HUSH\",\n}",
            "{\"source_server\": \"a\",\n\n}",
            "{\n  \"source_pass\": \"HUSH\"\n  \"since\": \"7d\"\n}",
            "{\n  \"connections\": 3 \"since\": \"7d\"\n}",
            "{\"since\": \"7d\",, \"connections\": 3}",
            "{, \"since\": \"7d\"}",
            "{\"since\": \"7d\"; \"connections\": 3}",
            "{\"source_pass_command\": [\"echo\", \"HUSH\",]}",
            "{\"source_pass_command\": [\"echo\" \"HUSH\"]}",
            "{\"source_pass_command\": [\"echo\", \"HUSH\"}",
            "{\"since\": \"7d\"]",
            "{\"since\": \"7d\": 1}",
        ],
    ),
    (
        "what does not end, or ends too early",
        &[
            "{\n  \"source_pass\": \"HUSH\"\n",
            "{\n  \"source_pass_command\": [\"echo\", \"HUSH\"\n",
            "{",
            "{\n  \"source_pass\": \"HUSH",
            "{\n  \"source_pass\": \"HUSH\n  \"since\": 1}",
            "{\n  \"since: \"7d\",\n  \"source_pass\": \"HUSH\"}",
            "{\n  \"source_user\": \"me, \"source_pass\": \"HUSH\"}",
            "{} HUSH",
            "{\"since\": \"7d\"}}",
            "{\"since\": \"7d\"}\n{\"source_pass\": \"HUSH\"}",
        ],
    ),
    (
        "keys",
        &[
            "{source_user: \"x\", source_pass: \"HUSH\"}",
            "{\"since\": \"7d\", HUSH: 1}",
            "{\"since\" \"7d\"}",
            "{\"since\" = \"7d\"}",
            "{\"since\"}",
            "{5: \"HUSH\"}",
            "{\"since\": }",
            "{\"since\": , \"connections\": 3}",
        ],
    ),
    (
        "values",
        &[
            "{\n  \"source_pass\": HUSH}",
            "{\"source_user\": me@example.org, \"source_pass\": \"HUSH\"}",
            "{\"source_tls\": None}",
            "{\"source_tls\": TRUE}",
            "{\"source_port\": 0993}",
            "{\"source_port\": 993,5}",
            "{\"source_port\": +993}",
            "{\"source_port\": 9.}",
            "{\"since\": 30d}",
            "{\"since\": 2024-01-31}",
            "{\"connections\": $3}",
            "{\"source_tls\": tru}",
        ],
    ),
    (
        "within a text",
        &[
            "{\"source_pass\": \"HUSH\\x\"}",
            "{\"source_pass\": \"HU\\SH\", \"since\": \"7d\"}",
            "{\"source_pass\": \"HU\"SH\"}",
            "{\"source_pass\": \"HU\tSH\"}",
            "{\"source_pass\": \"HU\u{8}SH\"}",
            "{\"source_pass\": \"HUSH\\\"}",
            "{\"source_user\":\u{a0}\"x\"}",
            "{\n\u{200b}\"source_user\": \"x\"}",
        ],
    ),
    (
        "long lines, wide and unprintable characters",
        &[
            "{\n\t\"since\":\t\"7d\"\t\"connections\": 3}",
            "{\"source_user\": \"\u{4f60}\u{597d}@example.org\" \"since\": \"7d\"}",
            "{\"source_user\": \"\u{1b}[2J\" ]",
            "{\"source_user\": \"J\u{f6}rg\" \"since\": \"7d\"}",
        ],
    ),
    (
        "a key twice",
        &[
            "{\n  \"source_user\": \"a\",\n  \"source_user\": \"b\"\n}",
            "{\"since\": \"1d\", \"source_pass\": \"HUSH\", \"source_pass\": \"HUSH\"}",
            "{\"since\": \"1d\", \"sinc\\u0065\": \"2d\"}",
            "{\"source_pass\": \"HUSH\",\r\n \"source_pass\": \"HUSH\"}\r\n",
        ],
    ),
];

/// Lines that do not fit onto a screen.
fn long() -> Vec<String> {
    let (x, y, hush) = ("x".repeat(70), "y".repeat(120), "HUSH".repeat(20));
    vec![
        format!("{{\"source_user\": \"{x}\", \"source_pass\": \"{hush}\", \"since\": \"7d\",}}"),
        format!("{{\"source_user\": \"{x}\" \"since\": \"7d\", \"target_user\": \"{y}\"}}"),
        format!("{{\"since\": \"7d\",, \"target_user\": \"{y}\"}}"),
        format!("{{\"source_pass_command\": [\"{hush}\" \"{hush}\"]}}"),
    ]
}

/// With `UPDATE_WORDS=1` in the environment the file is written instead of compared.
#[test]
fn each_mistake_is_shown_where_it_stands_and_no_secret_beside_it() {
    let (desk, _lock) = desk();
    let long = long();
    let long: Vec<&str> = long.iter().map(String::as_str).collect();
    let all = MISTAKES.iter().copied().chain([("long lines", &*long)]);
    let mut told = String::new();
    for (what, texts) in all {
        writeln!(told, "# {what}\n").unwrap();
        for text in texts {
            desk.file("config.json", text);
            let ran = desk.run(&["run", "--once"]);
            assert!(
                ran.status == Some(2) && ran.out.is_empty(),
                "{text}: {ran:?}"
            );
            for line in text.lines() {
                writeln!(told, "> {}", printable(line)).unwrap();
            }
            writeln!(told, "{}", ran.err).unwrap();
            assert!(!ran.err.contains("HUSH"), "{}", ran.err);
            is_pointed_at(&ran.err);
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/words/excerpts.txt");
    if std::env::var("UPDATE_WORDS").is_ok() {
        fs::write(&file, &told).unwrap();
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    for (told, written) in told.lines().zip(written.lines()) {
        assert_eq!(
            told, written,
            "excerpts.txt (UPDATE_WORDS=1 writes it anew)"
        );
    }
    assert_eq!(told.len(), written.len());
}

fn printable(line: &str) -> String {
    let escaped = |c: char| match c {
        '"' | '\'' | '\\' => c.to_string(),
        c => c.escape_debug().to_string(),
    };
    line.chars().map(escaped).collect()
}

/// One line, and below it one caret.
fn is_pointed_at(said: &str) {
    let lines: Vec<&str> = said.lines().collect();
    let caret = lines
        .iter()
        .position(|l| l.trim_end().ends_with("| ^") || l.trim_end().ends_with(" ^"));
    let caret = caret.unwrap_or_else(|| panic!("no caret in {said}"));
    assert!(lines[caret - 1].contains(" | "), "{said}");
    assert!(lines[caret - 1].chars().count() <= 80, "{said}");
    assert!(
        !said.contains(['\u{1b}', '\t', '\u{8}', '\u{200b}', '\u{a0}']),
        "{said}"
    );
}

#[test]
fn what_is_not_utf_8_is_shown_up_to_there() {
    let (desk, _lock) = desk();
    desk.file(
        "config.json",
        b"{\n  \"source_user\": \"J\xf6rg\", \"source_pass\": \"HUSH\"}",
    );
    desk.run(&["run", "--once"]).points(
        2,
        "config.json: not JSON at line 2, column 20: a character that is not UTF-8",
        "  2 |   \"source_user\": \"J\n    |                    ^\n",
        "in Windows' Notepad: \"Save as\", \"Encoding\", \"UTF-8\"; or `iconv -f UTF-16 -t UTF-8 OLD >NEW`, with another name for NEW",
    );
}

/// One character too many, too few, or another one, wherever it is: no piece of a secret is shown.
#[test]
fn whatever_is_wrong_no_secret_is_shown() {
    let desk = super::WorkDir::new();
    let right = concat!(
        "{\"source_server\": \"imap.example.org\", \"source_pass\": \"ABCDE FGH\",\n",
        " \"target_user\": \"you@gmail.com\", \"target_pass\": \"IJK,LMN:OPQ\", \"since\": \"7d\",\n",
        " \"source_pass_command\": [\"RST\", \"UVW XYZ\"]}\n"
    );
    let secrets = [
        "ABC", "CDE", "FGH", "IJK", "LMN", "OPQ", "RST", "UVW", "XYZ",
    ];
    let mut refused = 0;
    let mut tried = |text: &str| {
        desk.file("config.json", text);
        let Err(error) = ledger_place(&desk.path("config.json")) else {
            return;
        };
        refused += 1;
        let said = error.excerpt.unwrap_or_default() + &error.message;
        // The folder's name is of the moment: it may hold anything.
        let said = said.replace(desk.path("").to_str().unwrap(), "");
        let piece = secrets.iter().find(|s| said.contains(**s));
        // A key that is none is named: what follows a quotation mark and stands before a colon.
        assert!(
            piece.is_none() || said.contains("unknown key"),
            "{text}\n{said}"
        );
    };
    for at in 0..=right.len() {
        for other in [
            "", "\"", "'", "\\", ",", ":", "{", "}", "[", "]", "#", "\n", "x", "\u{201d}", "=",
        ] {
            let (before, after) = right.split_at(at);
            tried(&format!("{before}{other}{after}"));
            if !after.is_empty() {
                tried(&format!("{before}{other}{}", &after[1..]));
                // Everything from there on is as in another language.
                tried(&format!("{before}{other}{}", after.replace('"', "'")));
                tried(&format!("{before}{other}{}", after.replace('"', "")));
            }
        }
    }
    assert!(refused > 5000, "{refused}");
}

/// However long a file is and whatever is in it, what is wrong is found, and little is shown. To look at all of it for each
/// of its characters would take many minutes.
#[test]
fn of_a_long_line_little_is_shown() {
    let desk = super::WorkDir::new();
    let file = desk.path("config.json");
    for piece in [
        ";", "x ", "\"a ", "\"a\" ", "\u{201c}", "{", "[", "/*", "a=", ":", ",", "\u{300}",
    ] {
        for start in ["", "{", "{\"since\": "] {
            let text = format!("{start}{}", piece.repeat(200_000 / piece.len()));
            fs::write(&file, text).unwrap();
            let error = ledger_place(&file).unwrap_err();
            let shown = error.excerpt.unwrap();
            assert!(shown.len() < 500, "{shown}");
        }
    }
}

/// `check` shows the line too, and tells programs the place.
#[test]
fn a_check_shows_the_line_too() {
    let (desk, _lock) = desk();
    desk.file("config.json", "{\n  \"source_pass\": \"HUSH\",\n}");
    let ran = desk.run(&["check"]);
    assert!(
        ran.out.starts_with(
            "problem  configuration: config.json: not JSON at line 2, column 24: a comma with\n         \
             nothing after it\n           \
             2 |   \"source_pass\": \"***\",\n             \
             |                       ^\n         \
             hint: delete it"
        ),
        "{}",
        ran.out
    );
    let ran = desk.run(&["check", "--json"]);
    assert!(
        ran.out
            .contains("not JSON at line 2, column 24: a comma with nothing after it"),
        "{ran:?}"
    );
}

/// Text that looks like one of these is text all the same.
#[test]
fn what_stands_within_quotation_marks_is_text() {
    for user in ["\u{201c}x\u{201d} // # 'y'", "a,}: [b", "None", "\\ \""] {
        let config = super::config::accepted(super::config::with("source_user", user));
        assert_eq!(config.source_user, user);
    }
}
