//! What lies in dist/ does what it says, as far as it can be tried within seconds and without other systems; `dist/check`
//! tries the rest in chroots and containers. Not for what the documents tell to type: that is `readme`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use gmail_stand_in::{Gmail, Mail, Options};
use serde_json::{Map, Value, json};

use crate::testkit::in_ci;

const PROGRAM: &str = env!("CARGO_BIN_EXE_imap-to-gmail");
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path)).unwrap()
}

/// Not every machine has every tool; the project's own check has.
fn there(tool: &str) -> bool {
    let there = Command::new(tool).arg("--version").output().is_ok();
    if !there {
        assert!(!in_ci(), "{tool} is not installed");
        println!("skipped: {tool} is not installed");
    }
    there
}

fn mailbox(host: &str) -> Gmail {
    let source = Gmail::start(Options::plain(
        "IMAP4rev1 LITERAL+ UIDPLUS SASL-IR AUTH=PLAIN",
    ));
    source.add(Mail::new(format!(
        "Message-ID: <1@{host}>\r\nFrom: a@example.org\r\n\r\n1\r\n"
    )));
    source
}

/// An account as the form of Home Assistant gives it: what was left empty is there, too.
fn account(source: &Gmail, gmail: &Gmail) -> Value {
    let mut account = Map::new();
    for (side, server) in [("source", source), ("target", gmail)] {
        let mut set = |key: &str, value: Value| account.insert(format!("{side}_{key}"), value);
        set("server", json!("localhost"));
        set("port", json!(server.port()));
        set("ca_file", json!(server.ca_file()));
        set("user", json!(server.account()));
        set("pass", json!(server.password()));
    }
    account.insert("since".into(), json!("all"));
    account.insert("label".into(), json!(""));
    account.insert("ping_url".into(), Value::Null);
    Value::Object(account)
}

/// Each account has a ledger of its own that stays its own, and what is in Gmail is not sent again.
#[test]
fn the_add_on_runs_the_accounts_of_its_form() {
    if !there("jq") {
        return;
    }
    let (one, other) = (mailbox("one"), mailbox("other"));
    let (gmail, second) = (
        Gmail::start(Options::default()),
        Gmail::start(Options::default()),
    );
    // Two into one Gmail account have the same name where their servers have, too: here the target differs.
    let mut accounts = vec![account(&one, &gmail), account(&other, &second)];
    accounts[1]["target_server"] = json!("127.0.0.1");
    accounts[1]["source_server"] = json!("127.0.0.1");
    let dir = tempfile::tempdir().unwrap();
    let bin = dir.path().join("bin");
    fs::create_dir(&bin).unwrap();
    // `run` would go on.
    let script = format!(
        "#!/bin/sh\ncase $1 in run) exec {PROGRAM} \"$@\" --once ;; *) exec {PROGRAM} \"$@\" ;; esac\n"
    );
    fs::write(bin.join("imap-to-gmail"), script).unwrap();
    fs::set_permissions(bin.join("imap-to-gmail"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    for round in 0..2 {
        let options = json!({ "accounts": accounts });
        fs::write(dir.path().join("options.json"), options.to_string()).unwrap();
        let ran = Command::new(Path::new(ROOT).join("dist/home-assistant/run"))
            .env("PATH", &path)
            .env("DATA", dir.path())
            .env("OWN", dir.path().join("none"))
            .output()
            .unwrap();
        let said = String::from_utf8(ran.stdout).unwrap();
        assert!(ran.status.success(), "round {round}: {said}");
        assert!(said.contains("no problems"), "{said}");
        for target in [&gmail, &second] {
            assert_eq!(target.messages().len(), 1, "round {round}: {said}");
        }
        let ledgers = fs::read_dir(dir.path().join("ledgers")).unwrap();
        let names = ledgers.map(|l| l.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|n| n.ends_with(".db")).count(), 2);
        accounts.reverse();
    }
    for file in fs::read_dir(dir.path().join("accounts")).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
}

/// Each key of the form is one of the configuration.
#[test]
fn the_form_of_the_add_on_has_keys_of_the_configuration() {
    let text = read("dist/home-assistant/config.yaml");
    let form = text.split("\nschema:\n").nth(1).unwrap();
    let page = read("docs/configuration.md");
    let mut keys = 0;
    for line in form.lines().skip(1) {
        let key = line
            .trim_start_matches([' ', '-'])
            .split(':')
            .next()
            .unwrap();
        assert!(page.contains(&format!("### `{key}`\n")), "{key}");
        keys += 1;
    }
    assert!(keys > 8, "{keys}");
    let version = format!("version: \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(text.contains(&version), "{version}");
}

/// What cargo-binstall asks for is what dist/release makes, and holds the program where it looks for it.
#[test]
fn an_archive_is_named_as_it_is_looked_for() {
    let manifest = read("Cargo.toml");
    let value = |key: &str| {
        let line = manifest.lines().find_map(|l| l.strip_prefix(key)).unwrap();
        let (name, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
        line.trim_matches([' ', '=', '"'])
            .replace("{ name }", name)
            .replace("{ version }", version)
            .replace("{ target }", "T")
            .replace("{ bin }{ binary-ext }", name)
            .replace("{ archive-suffix }", ".tar.gz")
    };
    let release = read("dist/release");
    assert!(release.contains("$out/$name.tar.gz"));
    let made = release.split("name=\"").nth(1).unwrap();
    let made = made.split('"').next().unwrap();
    let made = made
        .replace("$version", env!("CARGO_PKG_VERSION"))
        .replace("$1", "T");
    assert_eq!(
        value("pkg-url").rsplit('/').next().unwrap(),
        format!("{made}.tar.gz")
    );
    assert_eq!(value("bin-dir"), format!("{made}/imap-to-gmail"));
}

/// The example for the service is the usual one, with a ledger where the service may write.
#[test]
fn the_example_for_the_service_names_its_ledger() {
    let mut service: Value = serde_json::from_str(&read("dist/service.json.example")).unwrap();
    let ledger = service.as_object_mut().unwrap().remove("state_file");
    let usual: Value = serde_json::from_str(&read("config.json.example")).unwrap();
    assert_eq!(service, usual);
    let unit = read("dist/imap-to-gmail.service");
    assert!(unit.contains("\nStateDirectory=imap-to-gmail\n"));
    assert_eq!(ledger, Some(json!("/var/lib/imap-to-gmail/sync_state.db")));
}

/// By systemd's own measure, from 0 (confined) to 10.
#[test]
fn the_units_may_do_little() {
    if !there("systemd-analyze") {
        return;
    }
    for unit in ["imap-to-gmail.service", "imap-to-gmail@.service"] {
        let ran = Command::new("systemd-analyze")
            .args(["security", "--offline=yes", "--threshold=20"])
            .arg(Path::new(ROOT).join("dist").join(unit))
            .output()
            .unwrap();
        let said = String::from_utf8(ran.stdout).unwrap();
        let told = said.lines().last().unwrap_or_default().to_string();
        assert!(
            ran.status.success() && told.contains("exposure"),
            "{unit}: {told}"
        );
    }
}

/// `./install` of an archive, into a folder, and away again.
#[test]
fn an_archive_installs_itself_and_goes_away() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, to) = (dir.path().join("archive"), dir.path().join("to"));
    let copy = |from: &str, folder: &str| {
        let from = Path::new(ROOT).join(from);
        fs::create_dir_all(archive.join(folder)).unwrap();
        let name = from.file_name().unwrap();
        fs::copy(&from, archive.join(folder).join(name)).unwrap();
    };
    copy("dist/install", "");
    copy("dist/imap-to-gmail.1", "man");
    copy("dist/imap-to-gmail-config.5", "man");
    for shell in ["imap-to-gmail.bash", "_imap-to-gmail", "imap-to-gmail.fish"] {
        copy(&format!("dist/{shell}"), "completions");
    }
    for unit in [
        "imap-to-gmail.service",
        "imap-to-gmail@.service",
        "imap-to-gmail.sysusers",
    ] {
        copy(&format!("dist/{unit}"), "systemd");
    }
    std::os::unix::fs::symlink(PROGRAM, archive.join("imap-to-gmail")).unwrap();
    // There is systemd.
    fs::create_dir_all(to.join("etc/systemd")).unwrap();
    let install = |arguments: &[&str]| {
        let ran = Command::new(archive.join("install"))
            .args(arguments)
            .env("DESTDIR", &to)
            .output()
            .unwrap();
        assert!(ran.status.success(), "{ran:?}");
        String::from_utf8(ran.stdout).unwrap()
    };
    let files = [
        "usr/local/bin/imap-to-gmail",
        "usr/local/share/man/man1/imap-to-gmail.1",
        "usr/local/share/man/man5/imap-to-gmail-config.5",
        "usr/local/share/bash-completion/completions/imap-to-gmail",
        "etc/systemd/system/imap-to-gmail.service",
        "etc/sysusers.d/imap-to-gmail.conf",
    ];
    // Twice: the second is an upgrade.
    for _ in 0..2 {
        let said = install(&[]);
        assert!(
            said.contains(concat!("imap-to-gmail ", env!("CARGO_PKG_VERSION"))),
            "{said}"
        );
        for file in files {
            assert!(to.join(file).is_file(), "{file}");
        }
    }
    install(&["remove"]);
    for file in files {
        assert!(!to.join(file).exists(), "{file}");
    }
}
