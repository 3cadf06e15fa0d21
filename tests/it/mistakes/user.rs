//! A person at a terminal: a folder with a configuration that is right, until something is done wrong.

use std::fs::{self, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use gmail_stand_in::{Gmail, Mail, Options};

use crate::testkit::env::SOURCE;

const HOME: &str = "/home/ann/mail";

/// A mistake and the screen that it led to.
pub(crate) struct Said {
    pub(crate) mistake: &'static str,
    pub(crate) screen: String,
}

pub(crate) struct User {
    dir: tempfile::TempDir,
    pub(crate) source: Gmail,
    pub(crate) gmail: Gmail,
    config: Vec<(String, String)>,
    /// What is not the same each time, and what is shown instead.
    alike: Vec<(String, String)>,
}

impl User {
    pub(crate) fn new() -> User {
        let mut source = Options::plain(SOURCE);
        source.account = "ann@example.org".into();
        source.password = "green tea".into();
        let target = Options {
            account: "ann@gmail.com".into(),
            ..Options::default()
        };
        User::between(source, target)
    }

    pub(crate) fn between(source: Options, target: Options) -> User {
        let (source, gmail) = (Gmail::start(source), Gmail::start(target));
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        let mut user = User {
            alike: Vec::new(),
            config: Vec::new(),
            dir,
            source,
            gmail,
        };
        for (name, server) in [
            ("source-ca.pem", &user.source),
            ("gmail-ca.pem", &user.gmail),
        ] {
            fs::copy(server.ca_file(), user.path(name)).unwrap();
        }
        let (from, to) = (user.source.port(), user.gmail.port());
        user.same(from, 993);
        user.same(to, 993);
        let text = |s: &str| format!("\"{s}\"");
        for (key, value) in [
            ("source_server", text("localhost")),
            ("source_port", from.to_string()),
            ("source_ca_file", text("source-ca.pem")),
            ("source_user", text(user.source.account())),
            ("source_pass", text("green tea")),
            ("target_server", text("localhost")),
            ("target_port", to.to_string()),
            ("target_ca_file", text("gmail-ca.pem")),
            ("target_user", text("ann@gmail.com")),
            ("target_pass", text("abcd efgh ijkl mnop")),
        ] {
            user.config.push((key.into(), value));
        }
        let home = user.dir.path().to_str().unwrap().to_string();
        user.alike.push((home, HOME.into()));
        user.write_config();
        user
    }

    /// A port that is shown as another one.
    fn same(&mut self, port: u16, shown: u16) {
        self.alike.push((port.to_string(), shown.to_string()));
    }

    /// Sets a port to one that is shown as `shown`.
    pub(crate) fn port(&mut self, key: &str, port: u16, shown: u16) -> &mut User {
        self.same(port, shown);
        self.set(key, &port.to_string())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> &User {
        fs::write(self.path(name), content).unwrap();
        fs::set_permissions(self.path(name), Permissions::from_mode(0o600)).unwrap();
        self
    }

    /// Writes this, as JSON, behind a key of the configuration.
    pub(crate) fn set(&mut self, key: &str, json: &str) -> &mut User {
        match self.config.iter_mut().find(|(k, _)| k == key) {
            Some((_, value)) => *value = json.into(),
            None => self.config.push((key.into(), json.into())),
        }
        self.write_config();
        self
    }

    pub(crate) fn without(&mut self, key: &str) -> &mut User {
        self.config.retain(|(k, _)| k != key);
        self.write_config();
        self
    }

    /// Gmail is entered with a token.
    pub(crate) fn with_token(&mut self) -> &mut User {
        let life = Duration::from_secs(3600);
        let token = self.gmail.issue_token(life);
        let json = self.gmail.token_json(&token, life);
        self.file("token.json", json);
        self.without("target_pass");
        self.set("target_token_file", "\"token.json\"")
    }

    fn write_config(&self) {
        let lines: Vec<String> = self
            .config
            .iter()
            .map(|(key, value)| format!("  \"{key}\": {value}"))
            .collect();
        self.file("config.json", format!("{{\n{}\n}}\n", lines.join(",\n")));
    }

    /// Changes the text of the configuration as an editor would.
    pub(crate) fn edit(&self, from: &str, to: &str) -> &User {
        let text = fs::read_to_string(self.path("config.json")).unwrap();
        assert!(text.contains(from), "{text}");
        self.file("config.json", text.replacen(from, to, 1))
    }

    fn command(&self, typed: &str) -> Command {
        let mut words = typed.split(' ');
        assert_eq!(words.next(), Some("imap-to-gmail"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_imap-to-gmail"));
        command
            .args(words)
            .current_dir(self.dir.path())
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .env_remove("DISPLAY")
            .env_remove("WAYLAND_DISPLAY")
            .stdin(Stdio::null());
        command
    }

    /// What is on the screen after this was typed.
    pub(crate) fn types(&self, mistake: &'static str, typed: &str) -> Said {
        let output = self.command(typed).output().unwrap();
        let mut text = String::from_utf8(output.stdout).unwrap();
        if typed.contains(" check") {
            text = in_disorder(&text);
        }
        text += &String::from_utf8(output.stderr).unwrap();
        self.said(mistake, typed, &text)
    }

    /// A message in the source.
    pub(crate) fn mail(&self) {
        let mail = b"Message-ID: <1@example.org>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\nSubject: hello\r\n\r\nhi\r\n";
        self.source.add(Mail::new(mail));
    }

    /// What is on the screen while a run goes on in another one.
    pub(crate) fn while_it_runs(&self, mistake: &'static str, typed: &str) -> Said {
        let mut child = self
            .command("imap-to-gmail run")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        said_until(&mut child, "watching");
        let said = self.types(mistake, typed);
        child.kill().unwrap();
        child.wait().unwrap();
        said
    }

    /// What a run that goes on has said by the line in which this stands; then it is ended.
    pub(crate) fn watches(&self, mistake: &'static str, typed: &str, until: &'static str) -> Said {
        let mut child = self
            .command(typed)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut text = said_until(&mut child, until);
        child.kill().unwrap();
        let rest = child.wait_with_output().unwrap();
        text += &String::from_utf8(rest.stderr).unwrap();
        self.said(mistake, typed, &text)
    }

    pub(crate) fn said(&self, mistake: &'static str, typed: &str, text: &str) -> Said {
        let mut screen = format!("$ {typed}\n{text}");
        for (is, shown) in &self.alike {
            screen = screen.replace(is, shown);
        }
        Said {
            mistake,
            screen: undated(&screen),
        }
    }
}

/// What a program writes to its stdout up to the line that has this in it, which must come within 20 s. What comes then
/// is read and thrown away.
fn said_until(child: &mut Child, until: &'static str) -> String {
    let out = BufReader::new(child.stdout.take().unwrap());
    let (told, hears) = channel();
    thread::spawn(move || {
        let mut text = String::new();
        for line in out.lines().map_while(Result::ok) {
            text.push_str(&line);
            text.push('\n');
            if line.contains(until) {
                let _ = told.send(std::mem::take(&mut text));
            }
        }
    });
    let text = hears.recv_timeout(Duration::from_secs(20));
    text.unwrap_or_else(|_| panic!("waited 20 s in vain for {until}"))
}

/// Findings of a check that are neither in order nor left out.
fn in_disorder(text: &str) -> String {
    let mut keep = true;
    let mut out = String::new();
    for line in text.lines() {
        if !line.starts_with(' ') {
            keep = !line.starts_with("ok ") && !line.starts_with("skipped ");
        }
        if keep {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// Days, times of day and fingerprints with every digit 0; the program's version, too.
fn undated(text: &str) -> String {
    let version = format!("imap-to-gmail {}", env!("CARGO_PKG_VERSION"));
    let text = text.replace(&version, "imap-to-gmail VERSION");
    // A busy machine wakes later.
    let text = text.replace("said nothing for 10 s", "said nothing for 9 s");
    let ends = |c: char| c.is_whitespace() || "(),;\"`".contains(c);
    text.split_inclusive(ends)
        .map(|piece| {
            if is_dated(piece) && !piece.ends_with('"') || is_fingerprint(piece) {
                piece.replace(|c: char| c.is_ascii_hexdigit(), "0")
            } else {
                piece.to_string()
            }
        })
        .collect()
}

/// `2026-11-28`, `22:47`, `2026-11-28T22:47:01Z`
fn is_dated(piece: &str) -> bool {
    let digits = piece.chars().filter(char::is_ascii_digit).count();
    let marks = piece.matches(':').count() >= 1 || piece.matches('-').count() == 2;
    digits >= 4 && marks && piece.starts_with(|c: char| c.is_ascii_digit())
}

fn is_fingerprint(piece: &str) -> bool {
    let hex = |c: char| c.is_ascii_hexdigit() || ":.,;".contains(c) || c.is_whitespace();
    piece.matches(':').count() > 4 && piece.chars().all(hex)
}
