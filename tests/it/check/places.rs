//! A configuration that a container was given by itself: what lies beside it inside is the container's, and goes with it.

use serde_json::Value;

use super::findings::right;
use super::mounted::findings_of;

/// What a check says of the ledger; None where this machine lets nobody mount anything.
fn ledger(config: &str, mount: &str) -> Option<String> {
    let mut env = right();
    env.set("state_file", Value::Null);
    let script = format!(
        "mkdir inside data && touch inside/config.json && {mount} cd data && exec \"$0\" check -c {config} --json"
    );
    let all = findings_of(&env, &script)?;
    let mut all = all.as_array().unwrap().iter();
    let found = all.find(|f| f["name"] == "ledger");
    Some(found.unwrap()["message"].as_str().unwrap().into())
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
