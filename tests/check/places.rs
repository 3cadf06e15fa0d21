//! A configuration that a container was given by itself: what lies beside it inside is the container's, and goes with it.

use serde_json::Value;

use super::desk::right;
use crate::common::mounts::in_private_mounts;

/// What a check says of the ledger, and whether it found anything of places.
fn ledger(config: &str, mount: &str) -> Option<String> {
    let mut stage = right();
    stage.set("state_file", Value::Null);
    let script = format!(
        "mkdir inside data && touch inside/config.json && {mount} cd data && exec \"$0\" check -c {config} --json"
    );
    let out = in_private_mounts(&script)?
        .arg(env!("CARGO_BIN_EXE_imap-to-gmail"))
        .current_dir(stage.dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    let all: Value =
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}{out:?}", out = out.stderr));
    let mut all = all["checks"].as_array().unwrap().iter();
    let found = all.find(|f| f["name"] == "ledger")?;
    Some(found["message"].as_str().unwrap().into())
}

#[test]
fn the_ledger_of_a_configuration_that_was_mounted_alone_lies_in_the_current_folder() {
    let alone = "mount --bind config.json inside/config.json &&";
    let Some(found) = ledger("../inside/config.json", alone) else {
        return;
    };
    assert_eq!(
        found,
        "sync_state.db is not there yet: the first run makes it"
    );
    // One whose folder was mounted has that.
    let folder = "cp config.json data && mount --bind data inside &&";
    let found = ledger("../inside/config.json", folder).unwrap();
    assert_eq!(
        found,
        "../inside/sync_state.db is not there yet: the first run makes it"
    );
}
