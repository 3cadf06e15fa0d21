//! Every sentence that the program says to a person, to the letter: the real binary is run in a folder of its own
//! with given files, and its stdout, stderr and status are compared with what is written here.
//!
//! Nothing here speaks to a server that could be slow or absent; where a run would get as far as that, the ledger's
//! lock is held, so that "the configuration is right" shows as "another one is running".

mod commands;
mod config;
mod config_servers;
mod dist;
mod doubts;
mod excerpts;
mod folders;
mod health;
mod import;
mod ledger;
mod life;
mod locks;
mod man;
mod places;
mod readers;
mod relative;
mod retry;
mod secrets;
mod so_far;
pub(crate) mod status;
mod status_hostile;
mod status_trouble;
mod telling;
mod text_files;
mod token;
mod typed;
mod unread;
mod waiting;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use imap_to_gmail::error::Fault;
use imap_to_gmail::logging;

const HELP_HINT: &str =
    "`imap-to-gmail --help` shows the commands, `imap-to-gmail COMMAND --help` their options";

/// A folder with files to run the program in.
pub(crate) struct WorkDir(tempfile::TempDir);

/// What a run said and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    command: String,
    status: Option<i32>,
    out: String,
    err: String,
    files: Vec<String>,
}

impl WorkDir {
    pub(crate) fn new() -> WorkDir {
        WorkDir(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &WorkDir {
        fs::write(self.path(name), content).unwrap();
        self
    }

    pub(crate) fn files(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.0.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Runs the program with these arguments.
    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, &[])
    }

    /// The same, with this in the environment.
    pub(crate) fn run_with(&self, args: &[&str], env: &[(&str, &str)]) -> Ran {
        let mut command = Command::new(env!("CARGO_BIN_EXE_imap-to-gmail"));
        command
            .args(args)
            .env("TZ", "UTC")
            .envs(env.iter().copied());
        self.finish(command, args)
    }

    /// The same, where every file is made with all the rights that the program does not refuse.
    pub(crate) fn run_unmasked(&self, args: &[&str]) -> Ran {
        let mut command = Command::new("sh");
        command
            .args(["-c", "umask 000; exec \"$@\"", "sh"])
            .arg(env!("CARGO_BIN_EXE_imap-to-gmail"))
            .args(args);
        self.finish(command, args)
    }

    fn finish(&self, mut command: Command, args: &[&str]) -> Ran {
        let output = command
            .current_dir(self.0.path())
            .env_remove("COLUMNS")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ran {
            command: args.join(" "),
            status: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            files: self.files(),
        }
    }
}

impl Ran {
    /// All but the two lines with which a run begins.
    #[track_caller]
    pub(crate) fn begun(mut self) -> Ran {
        let rest: Vec<&str> = self.out.splitn(3, '\n').collect();
        assert!(
            rest.len() == 3
                && rest[0].contains(" INFO  imap-to-gmail ")
                && rest[1].contains(" INFO  "),
            "{self:?}"
        );
        self.out = rest[2].to_string();
        self
    }

    /// All that it said was this.
    #[track_caller]
    pub(crate) fn says(&self, status: i32, out: &str, err: &str) {
        assert!(
            self.status == Some(status) && self.out == out && self.err == err,
            "imap-to-gmail {}\n\n--- expected {status}\n{out}--- on stderr\n{err}\n--- got {:?}\n{}--- on stderr\n{}\n--- beside {:?}",
            self.command,
            self.status,
            self.out,
            self.err,
            self.files
        );
    }

    /// It did its work and printed this.
    #[track_caller]
    pub(crate) fn prints(&self, out: &str) {
        self.says(0, out, "");
    }

    /// The same, with the line of a file that is meant.
    #[track_caller]
    pub(crate) fn points(&self, status: i32, sentence: &str, lines: &str, hint: &str) {
        let said = format!("error: {sentence}\n\n{lines}\nhint: {hint}\n");
        self.says(status, "", &said);
    }

    /// It failed and said so in one sentence, with one hint.
    #[track_caller]
    pub(crate) fn fails(&self, status: i32, sentence: &str, hint: &str) {
        self.says(status, "", &format!("error: {sentence}\n\nhint: {hint}\n"));
    }

    #[track_caller]
    pub(crate) fn out(&self) -> &str {
        assert_eq!((self.status, &*self.err), (Some(0), ""), "{self:?}");
        &self.out
    }
}

/// Blanks at line ends, which the help has in it, would not survive in a file.
fn trimmed(text: &str) -> String {
    text.lines()
        .map(|l| format!("{}\n", l.trim_end()))
        .collect()
}

/// With `UPDATE_WORDS=1` in the environment the files are written instead of compared.
#[test]
fn help_is_what_the_files_say() {
    let help = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/words/help");
    let desk = WorkDir::new();
    let mut expected = vec!["imap-to-gmail.txt".to_string()];
    let main = desk.run(&["--help"]);
    let commands: Vec<&str> = main
        .out()
        .split_once("Commands:\n")
        .unwrap()
        .1
        .lines()
        .take_while(|l| !l.is_empty())
        .map(|l| l.split_whitespace().next().unwrap())
        .filter(|name| *name != "help")
        .collect();
    let mut texts = vec![trimmed(main.out())];
    for command in commands {
        expected.push(format!("{command}.txt"));
        texts.push(trimmed(desk.run(&[command, "--help"]).out()));
    }
    for (name, text) in expected.iter().zip(&texts) {
        if std::env::var("UPDATE_WORDS").is_ok() {
            fs::write(help.join(name), text).unwrap();
        }
        let written = fs::read_to_string(help.join(name)).unwrap_or_default();
        assert!(
            *text == written,
            "tests/it/words/help/{name} says\n{written}\nthe program says\n{text}\n(UPDATE_WORDS=1 writes it anew)"
        );
        assert!(
            text.lines().all(|l| l.chars().count() <= 100),
            "{name} has lines of more than 100 columns"
        );
    }
    let mut written: Vec<String> = fs::read_dir(&help)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    written.sort();
    expected.sort();
    assert_eq!(written, expected, "one file for each command");
    desk.run(&["--version"])
        .prints(&format!("imap-to-gmail {}\n", env!("CARGO_PKG_VERSION")));
}

const LOG_HINT: &str =
    "give another PLACE with `--log`: stdout, stderr, syslog, or the path of a file";

#[test]
fn a_log_that_cannot_be_written_is_wrong_usage() {
    let desk = WorkDir::new();
    desk.file("config.json", config::right().to_string());
    fs::create_dir(desk.path("logs")).unwrap();
    let pipe = Command::new("mkfifo").arg(desk.path("pipe")).status();
    assert!(pipe.unwrap().success());
    let before = desk.files();
    for (place, what) in [
        ("logs", "this is a folder, expected a file for the log"),
        ("logs/", "this is a folder, expected a file for the log"),
        (
            "config.json/imap.log",
            "config.json is a file, expected a folder for the log",
        ),
        ("pipe", "the log cannot be written: it is a pipe"),
    ] {
        desk.run(&["run", "--config", "config.json", "--once", "--log", place])
            .fails(2, &format!("{place}: {what}"), LOG_HINT);
    }
    desk.run(&["run", "--config", "config.json", "--once", "--log", ""])
        .fails(
            2,
            "a value is required for '--log <PLACE>' but none was supplied",
            HELP_HINT,
        );
    assert_eq!(desk.files(), before, "no ledger is made");
}

#[test]
fn no_system_log_is_wrong_usage() {
    let desk = WorkDir::new();
    // Not the real one: this machine may have it.
    let socket = desk.path("log");
    let start = || {
        logging::start(&logging::Options {
            place: logging::Place::Syslog(socket.clone()),
            max_size: 1,
            max_files: 1,
            debug: false,
            bottom: None,
        })
    };
    let refused = |what: &str| {
        let error = start().map(|_| ()).unwrap_err();
        assert_eq!(error.fault, Fault::Usage);
        assert_eq!(
            error.message,
            format!(
                "`--log syslog`: {} cannot be reached: {what}",
                socket.display()
            )
        );
        assert_eq!(
            error.hint.as_deref(),
            Some(
                "no syslog daemon is listening there, as in most containers; log to stdout or to a file instead"
            )
        );
    };
    refused("No such file or directory (os error 2)");
    drop(UnixDatagram::bind(&socket).unwrap());
    refused("Connection refused (os error 111)");
    assert_eq!(
        logging::Place::named(Path::new("syslog")),
        logging::Place::Syslog("/dev/log".into())
    );
}

#[test]
fn sizes_and_numbers_of_log_files_are_understood_or_refused() {
    let (desk, _lock) = config::desk();
    desk.file("config.json", config::right().to_string());
    let run = |option: &str, value: &str| {
        desk.run(&["run", "--config", "config.json", "--once", option, value])
    };
    for size in [
        "",
        " ",
        "0",
        "0K",
        "ten",
        "10MB",
        "10 M",
        "1.5M",
        "M",
        "-1",
        "+5",
        "99999999999G",
    ] {
        run("--log-max-size", size).fails(
            2,
            &format!("invalid value '{size}' for '--log-max-size <SIZE>': expected a size of at least one byte, like 100K, 10M or 1G"),
            HELP_HINT,
        );
    }
    for number in ["five", "-1", "1.5", "5M", "99999999999"] {
        run("--log-max-files", number).fails(
            2,
            &format!("invalid value '{number}' for '--log-max-files <N>': expected a number of files, like 5; 0 keeps none"),
            HELP_HINT,
        );
    }
    for (option, right) in [
        (
            "--log-max-size",
            &["1", "100K", "100k", "10M", "1G", "17179869183G"][..],
        ),
        ("--log-max-files", &["0", "1", "500"]),
    ] {
        for value in right {
            run(option, value).fails(
                1,
                "sync_state.db: another imap-to-gmail is running with this ledger",
                "`imap-to-gmail status --state-file sync_state.db` shows what it does. One is enough: if this one is to run, end the other first (Ctrl-C in its window, or stop its service)",
            );
        }
    }
    assert_eq!(logging::max_size("100K"), Ok(102_400));
    assert_eq!(logging::max_size("10M"), Ok(10_485_760));
    assert_eq!(logging::max_size("1G"), Ok(1_073_741_824));
    assert_eq!(logging::max_size("4096"), Ok(4096));
}

#[test]
fn a_dry_run_writes_no_log_file() {
    let desk = WorkDir::new();
    let mut config = config::with("source_server", "localhost");
    // Where nothing listens.
    config["source_port"] = 1.into();
    config["source_tls"] = "none".into();
    desk.file("config.json", config.to_string());
    let ran = desk.run(&[
        "run",
        "--config",
        "config.json",
        "--dry-run",
        "--log",
        "imap.log",
    ]);
    assert_eq!(ran.status, Some(1), "{ran:?}");
    assert_eq!(ran.files, ["config.json"]);
}
