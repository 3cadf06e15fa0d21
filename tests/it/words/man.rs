//! The manual pages: those of the commands from the command line itself, that of the configuration from
//! docs/configuration.md. Not for what stands in them for one command alone: that is its `--help`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::{Arg, Command};

/// When the pages last changed in more than what is generated.
const DATE: &str = "2026-11-28";
/// Columns of a line of source: some formatters complain of longer ones.
const WIDTH: usize = 78;
const CONFIG: &str = "imap-to-gmail-config";

const STATUS: &[(&str, &str)] = &[
    (
        "0",
        "Done, or ended by a person (SIGINT, SIGTERM). `status` also when it reports trouble.",
    ),
    (
        "1",
        "Failed: a server is out of reach, another run uses the ledger, the disk is full, or there is no ledger to report on.",
    ),
    (
        "2",
        "A mistake on the command line or in the configuration.",
    ),
    (
        "3",
        "`run --once`: messages failed or still wait. `audit`: a run has still to see to some.",
    ),
    (
        "4",
        "A person must act, such as after a refused password or certificate: `run --once`, `check`, `auth`. `audit`: some messages are not where they should be.",
    ),
];

const STATUS_NOTE: &str = "The first that applies, in the order 2, 1, 4, 3, 0. `run` without `--once` does not end for a server that is away or a refused password: it says so and tries again.";

const FILES: &[(&str, &str)] = &[
    (
        "config.json",
        "The configuration, see `imap-to-gmail-config`(5). It is looked for in the current directory where `--config` does not name another one.",
    ),
    (
        "sync_state.db",
        "The ledger, a SQLite database in which every message is a row. It lies beside the configuration unless `state_file` or `--state-file` says otherwise. While it is in use there are `sync_state.db-wal`, `sync_state.db-shm` and `sync_state.db.lock` beside it. `sqlite3 sync_state.db \".backup backup.db\"` copies it while it is in use.",
    ),
    (
        "token.json",
        "A sign-in made by `auth`, where the configuration names one. It opens all mail of its account.",
    ),
    (
        "client_secret.json",
        "The credentials of an OAuth client of your own, for `auth`.",
    ),
    (
        "NAME.1.zst",
        "The newest of the rotated logs of `--log NAME`; `zstdcat` reads it.",
    ),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("TZ", "The time zone in which times are shown beside UTC."),
    ("NO_COLOR", "With anything in it, nothing is coloured."),
    (
        "TERM",
        "With `dumb`, or without it, `run` draws no line of progress at the bottom of the terminal.",
    ),
    (
        "DISPLAY, WAYLAND_DISPLAY",
        "Where one of them is set, `auth` opens the browser by itself (with `xdg-open`).",
    ),
    (
        "HTTPS_PROXY, ALL_PROXY, NO_PROXY",
        "A proxy for the requests to the provider of a sign-in. Connections to the mail servers do not use it.",
    ),
    (
        "TMPDIR",
        "Where `run --dry-run` keeps its copy of the ledger while it works.",
    ),
    (
        "NOTIFY_SOCKET",
        "Set by systemd for a service of `Type=notify`, which `run` then tells how it is.",
    ),
];

/// Every page by its file's name.
pub(crate) fn pages() -> BTreeMap<String, Vec<u8>> {
    let mut main = imap_to_gmail::cli::command().disable_help_subcommand(true);
    main.build();
    let mut pages = BTreeMap::new();
    let commands: Vec<&Command> = main.get_subcommands().collect();
    let mut add = |name: &str, section: u8, page: Page| {
        pages.insert(format!("{name}.{section}"), page.0.into_bytes());
    };
    add("imap-to-gmail", 1, of_the_program(&main, &commands));
    for command in &commands {
        let name = format!("imap-to-gmail-{}", command.get_name());
        add(&name, 1, of_a_command(&name, command, &commands));
    }
    add(CONFIG, 5, of_the_configuration(&commands));
    pages
}

fn of_the_program(main: &Command, commands: &[&Command]) -> Page {
    let name = "imap-to-gmail";
    let mut page = Page::new(name, 1, &about(main));
    page.section("Synopsis");
    page.synopsis(name, main);
    for command in commands {
        page.control("br");
        page.synopsis(&format!("{name} {}", command.get_name()), command);
    }
    page.section("Description");
    page.text("Brings the mail of another account into Gmail: it watches the INBOX of the one, or more of its folders, over IMAP and copies each message into the other, as it is and once. Every message is a row of a ledger, by which it knows what it has copied. Without a command it does what `run` does.");
    page.section("Commands");
    for command in commands {
        page.entry(
            &format!("`imap-to-gmail-{}`(1)", command.get_name()),
            &about(command),
        );
    }
    page.options(main);
    page.list("Exit status", STATUS);
    page.paragraph(STATUS_NOTE);
    page.list("Files", FILES);
    page.list("Environment", ENVIRONMENT);
    page.see_also(name, commands);
    page
}

fn of_a_command(name: &str, command: &Command, commands: &[&Command]) -> Page {
    let mut page = Page::new(name, 1, &about(command));
    page.section("Synopsis");
    page.synopsis(&format!("imap-to-gmail {}", command.get_name()), command);
    page.section("Description");
    let long = command.get_long_about().or_else(|| command.get_about());
    let long = long.map(ToString::to_string).unwrap_or_default();
    let mut paragraphs = long.split("\n\n").peekable();
    // The first one is the name's.
    if paragraphs.clone().count() > 1 {
        paragraphs.next();
    }
    for (n, paragraph) in paragraphs.enumerate() {
        if n > 0 {
            page.control("PP");
        }
        let full_stop = if paragraph.ends_with('.') { "" } else { "." };
        page.text(&format!("{paragraph}{full_stop}"));
    }
    page.options(command);
    page.section("Exit status");
    page.text("See `imap-to-gmail`(1), also for files and environment.");
    page.see_also(name, commands);
    page
}

fn about(command: &Command) -> String {
    command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default()
}

/// From Markdown: headings, paragraphs, lists and indented lines. Tables are left out: what they say stands in the
/// sections too.
fn of_the_configuration(commands: &[&Command]) -> Page {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let source = fs::read_to_string(path).unwrap();
    let mut page = Page::new(CONFIG, 5, "configuration of imap-to-gmail");
    page.section("Description");
    let mut fresh = true;
    for block in source.split("\n\n").map(|b| b.trim_matches('\n')) {
        if let Some(key) = block.strip_prefix("### ") {
            page.subsection(key.trim_matches('`'));
            fresh = true;
        } else if block.starts_with("## All keys") || block.starts_with('|') {
        } else if let Some(title) = block.strip_prefix("## ") {
            page.section(title);
            fresh = true;
        } else if block.starts_with("# ") {
        } else if block.starts_with("    ") {
            page.literal(block);
        } else if block.starts_with("- ") {
            for item in block.strip_prefix("- ").unwrap().split("\n- ") {
                page.control("IP \\(bu 2");
                page.text(&joined(item));
            }
            fresh = false;
        } else {
            if !std::mem::take(&mut fresh) {
                page.control("PP");
            }
            page.text(&joined(block));
        }
    }
    page.see_also(CONFIG, commands);
    page
}

/// In one line, links as their text, emphasis as quiet text.
fn joined(block: &str) -> String {
    let line = block.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut out = String::new();
    let mut rest = line.as_str();
    while let Some((before, link)) = rest.split_once('[') {
        out.push_str(before);
        match link.split_once("](") {
            Some((text, after)) if !text.contains(['[', '`', '"']) => {
                out.push_str(text);
                rest = after.split_once(')').unwrap().1;
            }
            _ => {
                out.push('[');
                rest = link;
            }
        }
    }
    (out + rest)
        .replace("**", "")
        .replace("*source*", "source")
        .replace("*target*", "target")
}

/// One page, in the language of man(7).
struct Page(String);

impl Page {
    fn new(name: &str, section: u8, about: &str) -> Page {
        let manual = if section == 5 {
            "File Formats"
        } else {
            "User Commands"
        };
        let version = env!("CARGO_PKG_VERSION");
        let mut page = Page(format!(
            ".TH {} {section} {DATE} \"imap-to-gmail {version}\" \"{manual}\"\n.nh\n.ad l\n",
            escaped(&name.to_uppercase())
        ));
        page.section("Name");
        page.text(&format!("{name} \u{2014} {about}"));
        page.0 = page.0.replace(" \u{2014} ", " \\- ");
        page
    }

    fn section(&mut self, title: &str) {
        let _ = writeln!(self.0, ".SH {}", quoted(&title.to_uppercase()));
    }

    fn subsection(&mut self, title: &str) {
        let _ = writeln!(self.0, ".SS {}", quoted(title));
    }

    fn control(&mut self, line: &str) {
        let _ = writeln!(self.0, ".{line}");
    }

    fn paragraph(&mut self, text: &str) {
        self.control("PP");
        self.text(text);
    }

    /// A term and what is said of it.
    fn entry(&mut self, term: &str, text: &str) {
        self.control("TP");
        let _ = writeln!(self.0, "{}", marked(term));
        self.text(text);
    }

    fn list(&mut self, title: &str, entries: &[(&str, &str)]) {
        self.section(title);
        for (term, text) in entries {
            self.entry(&format!("`{term}`"), text);
        }
    }

    /// Lines as they are.
    fn literal(&mut self, block: &str) {
        self.0.push_str(".PP\n.RS 4\n.nf\n");
        for line in block.lines() {
            let line = escaped(line.strip_prefix("    ").unwrap_or(line));
            let _ = writeln!(self.0, "{}", guarded(&line));
        }
        self.0.push_str(".fi\n.RE\n");
    }

    /// Filled text: what stands between backticks is bold.
    fn text(&mut self, text: &str) {
        let mut line = String::new();
        for word in marked(text).split(' ') {
            if !line.is_empty() && line.len() + 1 + word.len() > WIDTH {
                let _ = writeln!(self.0, "{}", guarded(&line));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        let _ = writeln!(self.0, "{}", guarded(&line));
    }

    /// How a command is called: `[` and `]` around what may be left out.
    fn synopsis(&mut self, called: &str, command: &Command) {
        let mut line = format!("\\fB{}\\fR", escaped(called));
        let (last, first): (Vec<&Arg>, _) = arguments(command).partition(|a| a.is_positional());
        for arg in first.into_iter().chain(last) {
            let mut form = form(arg);
            if arg.is_positional() && arg.get_num_args().is_some_and(|n| n.max_values() > 1) {
                form += " ...";
            }
            let _ = if arg.is_required_set() {
                write!(line, " {form}")
            } else {
                write!(line, " [{form}]")
            };
        }
        self.control("HP");
        for part in broken(&line) {
            let _ = writeln!(self.0, "{part}");
        }
    }

    fn options(&mut self, command: &Command) {
        self.section("Options");
        for arg in arguments(command) {
            self.control("TP");
            let _ = writeln!(self.0, "{}", form(arg));
            let help = arg.get_long_help().or_else(|| arg.get_help());
            let mut help = help.map(ToString::to_string).unwrap_or_default();
            let default: Vec<_> = arg
                .get_default_values()
                .iter()
                .map(|v| v.to_string_lossy())
                .collect();
            if !default.is_empty() && arg.get_action().takes_values() && !help.contains("[default")
            {
                let _ = write!(help, " [default: {}]", default.join(" "));
            }
            self.text(&joined(&help));
            let values = arg.get_possible_values();
            if arg.get_action().takes_values() && values.iter().any(|v| v.get_help().is_some()) {
                self.control("RS");
                for value in values {
                    let help = value
                        .get_help()
                        .map(ToString::to_string)
                        .unwrap_or_default();
                    self.entry(&format!("`{}`", value.get_name()), &joined(&help));
                }
                self.control("RE");
            }
        }
    }

    /// All pages but this one.
    fn see_also(&mut self, name: &str, commands: &[&Command]) {
        self.section("See also");
        let mut others = vec![("imap-to-gmail".to_string(), 1)];
        others.extend(
            commands
                .iter()
                .map(|c| (format!("imap-to-gmail-{}", c.get_name()), 1)),
        );
        others.push((CONFIG.into(), 5));
        others.push(("sqlite3".into(), 1));
        let others: Vec<String> = others
            .into_iter()
            .filter(|(other, _)| other != name)
            .map(|(other, section)| format!("`{other}`({section})"))
            .collect();
        self.text(&others.join(", "));
    }
}

/// What a person may type, in the order of `--help`, without what every command has.
fn arguments(command: &Command) -> impl Iterator<Item = &Arg> {
    command
        .get_arguments()
        .filter(|a| !a.is_hide_set() && !["help", "version"].contains(&a.get_id().as_str()))
}

/// `-c, --config FILE`, with the markup of the two kinds.
fn form(arg: &Arg) -> String {
    let mut names = Vec::new();
    names.extend(arg.get_short().map(|c| format!("\\fB\\-{c}\\fR")));
    names.extend(
        arg.get_long()
            .map(|l| format!("\\fB{}\\fR", escaped(&format!("--{l}")))),
    );
    let mut form = names.join(", ");
    if arg.get_action().takes_values() || arg.is_positional() {
        for value in arg.get_value_names().unwrap_or_default() {
            let blank = if form.is_empty() { "" } else { " " };
            let _ = write!(form, "{blank}\\fI{}\\fR", escaped(value));
        }
    }
    form
}

/// A synopsis in lines of source: only before what may be left out.
fn broken(line: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for part in line.split(" [") {
        let part = if out.is_empty() {
            part.to_string()
        } else {
            format!("[{part}")
        };
        match out.last_mut() {
            Some(last) if last.len() + 1 + part.len() <= WIDTH => {
                last.push(' ');
                last.push_str(&part);
            }
            _ => out.push(part),
        }
    }
    out
}

fn quoted(title: &str) -> String {
    let title = escaped(title);
    if title.contains(' ') {
        format!("\"{title}\"")
    } else {
        title
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq")
}

fn marked(text: &str) -> String {
    let mut out = String::new();
    for (n, piece) in text.split('`').enumerate() {
        match n % 2 {
            0 => out.push_str(&escaped(piece)),
            _ => {
                let _ = write!(out, "\\fB{}\\fR", escaped(piece));
            }
        }
    }
    out
}

/// A line of text that begins like a request is none.
fn guarded(line: &str) -> String {
    if line.starts_with(['.', '\'']) {
        format!("\\&{line}")
    } else {
        line.to_string()
    }
}
