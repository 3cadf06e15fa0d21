//! A new ledger on a Gmail that holds most of what waits: somebody has copied it before.

use gmail_stand_in::Mail;

use crate::testkit::env::TestEnv;

/// A source of 8, of which one has no name, as a first ledger has brought it into Gmail; the ledger is gone.
fn copied_before() -> TestEnv {
    let env = TestEnv::new();
    env.mails(7);
    env.mail("", "nameless");
    env.run_until_done(1);
    std::fs::remove_file(env.ledger_file()).unwrap();
    env.mail("<new@x>", "came since");
    env
}

const SENTENCE: &str = "this ledger has delivered nothing yet, and user@gmail.com already holds 7 of the 9 messages that wait, by Message-ID and date: they are not sent again; of the other 2, 1 has no Message-ID: only its bytes tell whether it is there, and if the target changed those it is sent again";

#[test]
fn a_second_ledger_is_said_before_anything_is_sent() {
    let env = copied_before();
    let dry = env.run_with(&["--dry-run"]);
    let said = dry.out.replace("\n  ", " ");
    assert!(said.contains(SENTENCE), "{said}");
    assert!(said.contains("name that one as `state_file`"), "{said}");
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    let at = |text: &str| {
        ran.err
            .find(text)
            .unwrap_or_else(|| panic!("{text}: {}", ran.err))
    };
    assert!(at(SENTENCE) < at("INFO  delivered "), "{}", ran.err);
    assert!(
        at("name that one as `state_file`") < at("INFO  delivered "),
        "{}",
        ran.err
    );
    assert!(
        ran.err.contains(env.ledger_file().to_str().unwrap()),
        "{}",
        ran.err
    );
    env.assert_complete();
    // Said once in a ledger's life.
    env.mail("<newer@x>", "came later");
    let ran = env.run();
    assert!(!ran.err.contains("has delivered nothing"), "{}", ran.err);
    assert!(
        !env.run_with(&["--dry-run"])
            .out
            .contains("has delivered nothing")
    );
}

#[test]
fn it_costs_no_command_more() {
    let commands = [false, true].map(|known| {
        let mut env = copied_before();
        env.set("connections", 1);
        if known {
            // With an imported id, whosever it is, the ledger is no new one.
            import(&env, "<nobody@x>");
        }
        let before = env.target.lines();
        let ran = env.run();
        assert_eq!(ran.err.contains("has delivered nothing"), !known);
        let said = env.target.transcript().after(before);
        said.client().iter().filter(|l| l.starts_with('a')).count()
    });
    assert_eq!(commands[0], commands[1]);
}

fn import(env: &TestEnv, id: &str) {
    let ids = serde_json::json!({ "synced_message_ids": [id] });
    std::fs::write(env.dir.path().join("script.json"), ids.to_string()).unwrap();
    let ran = env.command(&["import-state", "script.json", "--config", "config.json"]);
    assert_eq!(ran.status, 0, "{ran:?}");
}

#[test]
fn a_first_run_on_a_gmail_that_holds_little_of_it_says_nothing() {
    for there in [0, 2, 4] {
        let env = TestEnv::new();
        env.mails(8);
        for message in env.source.messages().iter().take(there) {
            env.target.add(Mail::new(&message.bytes));
        }
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(!ran.err.contains("has delivered nothing"), "{}", ran.err);
    }
}

#[test]
fn who_comes_from_the_script_is_not_asked_about_a_second_ledger() {
    let env = copied_before();
    import(&env, "<0@example.org>");
    let ran = env.run();
    assert!(!ran.err.contains("has delivered nothing"), "{}", ran.err);
}
