//! Set-ups that the users of other programs reported.

use std::process::{Command, Stdio};

use crate::desk::right;

/// github.com/evcc-io/evcc/pull/30903, github.com/GoblinHonest/mimo2api_mimoapi/issues/5: the database alone is mounted
/// into a container, so that its -wal file stays in the container and goes with it.
#[test]
fn a_ledger_that_is_mounted_without_its_folder_is_a_warning() {
    let stage = right();
    let folder = stage.dir.path();
    let ledger = stage.ledger_file();
    let outside = folder.join("outside.db");
    for file in [&ledger, &outside] {
        std::fs::write(file, "").unwrap();
    }
    let run = |script: &str| {
        Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
            .args([&outside, &ledger, &stage.config_file()])
            .arg(env!("CARGO_BIN_EXE_imap-to-gmail"))
            .stdin(Stdio::null())
            .output()
    };
    let may_mount = run("mount --bind \"$1\" \"$2\"").is_ok_and(|ran| ran.status.success());
    if !may_mount {
        eprintln!("not tried: nothing can be mounted here");
        return;
    }
    for (script, told) in [
        (
            "mount --bind \"$1\" \"$2\" && exec \"$4\" check --config \"$3\" --json",
            true,
        ),
        ("exec \"$4\" check --config \"$3\" --json", false),
    ] {
        let ran = run(script).unwrap();
        let out = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(out.contains("\"ledger\""), "{out}");
        assert_eq!(out.contains("is mounted by itself"), told, "{out}");
    }
}
