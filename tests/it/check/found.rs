//! Set-ups that the users of other programs reported.

use std::process::Stdio;

use super::findings::right;
use crate::testkit::mounts::in_private_mounts;

/// github.com/evcc-io/evcc/pull/30903, github.com/GoblinHonest/mimo2api_mimoapi/issues/5: the database alone is mounted
/// into a container, so that its -wal file stays in the container and goes with it.
#[test]
fn a_ledger_that_is_mounted_without_its_folder_is_a_problem() {
    let env = right();
    let folder = env.dir.path();
    let ledger = env.ledger_file();
    let outside = folder.join("outside.db");
    for file in [&ledger, &outside] {
        std::fs::write(file, "").unwrap();
    }
    for (script, told) in [
        (
            "mount --bind \"$1\" \"$2\" && exec \"$4\" check --config \"$3\" --json",
            true,
        ),
        ("exec \"$4\" check --config \"$3\" --json", false),
    ] {
        let Some(mut command) = in_private_mounts(script) else {
            return;
        };
        let ran = command
            .arg("sh")
            .args([&outside, &ledger, &env.config_file()])
            .arg(env!("CARGO_BIN_EXE_imap-to-gmail"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(out.contains("\"ledger\""), "{out}");
        assert_eq!(
            out.contains("the ledger is mounted as a single file"),
            told,
            "{out}"
        );
    }
}
