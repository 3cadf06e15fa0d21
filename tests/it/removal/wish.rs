//! `after_delivery` and `after_days` in a configuration: what they mean, what is refused, and a second reader of one account.

use std::fs;

use chrono::Utc;
use gmail_stand_in::{Gmail, Options};
use imap_to_gmail::config::{AfterDelivery, Config, Disposal};
use imap_to_gmail::error::Result;
use imap_to_gmail::folder::{SpecialUse, Spot};
use serde_json::{Value, json};

use super::{BOTH, ids};
use crate::testkit::again;
use crate::testkit::env::{DATE, mail};
use crate::testkit::eventually;
use crate::testkit::family::{Family, replace};
use crate::testkit::route::{Account, CHILD, Route};

/// A configuration with these keys besides.
fn load(keys: Value) -> Result<Config> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config.json");
    let mut config = json!({
        "source_server": "imap.example.org", "source_user": "u", "source_pass": "p",
        "target_user": "you@gmail.com", "target_pass": "p",
    });
    let all = config.as_object_mut().unwrap();
    all.extend(keys.as_object().unwrap().clone());
    fs::write(&file, config.to_string()).unwrap();
    Config::load(&file, Utc::now())
}

#[test]
fn what_it_means() {
    let is = |keys: Value, disposal: Disposal, flagged_too| {
        let found = load(keys).unwrap().after_delivery;
        let wanted = AfterDelivery {
            disposal,
            after_days: found.after_days,
            flagged_too,
        };
        assert_eq!(found, wanted);
    };
    let label = |name: &str| Disposal::MoveTo(Spot::Label(name.into()));
    is(json!({}), Disposal::Keep, false);
    is(json!({"after_delivery": "keep"}), Disposal::Keep, false);
    is(json!({"after_delivery": "delete"}), Disposal::Delete, false);
    is(
        json!({"after_delivery": {"delete": true, "flagged_too": true}}),
        Disposal::Delete,
        true,
    );
    is(
        json!({"after_delivery": {"move_to": "A/B"}}),
        label("A/B"),
        false,
    );
    let archive = Disposal::MoveTo(Spot::Use(SpecialUse::Archive));
    is(
        json!({"after_delivery": {"move_to": "\\archive"}}),
        archive,
        false,
    );
    // It is made of all mailboxes but the one that mail is moved into.
    is(
        json!({"after_delivery": {"move_to": "Old"}, "folders": ["*"], "exclude": ["Old"]}),
        label("Old"),
        false,
    );
    let days = load(json!({"after_delivery": "delete", "after_days": 30})).unwrap();
    assert_eq!(days.after_delivery.after_days, 30);
    let said = days.after_delivery.wanted().unwrap();
    assert_eq!(said, "delete after 30 days");
}

#[test]
fn what_is_refused() {
    for (value, what) in [
        (json!(true), "expected \"keep\", \"delete\" or {\"move_to\""),
        (json!("remove"), "got the text \"remove\""),
        (json!({}), "got an object without `move_to`"),
        (json!({"delete": false}), "got an object without `move_to`"),
        (
            json!({"delete": true, "move_to": "A"}),
            "got both `delete` and `move_to`",
        ),
        (
            json!({"move_to": "inbox"}),
            "expected another mailbox than INBOX",
        ),
        (json!({"move_to": "a//b"}), "on each side of a /"),
        (json!({"move_to": "\\Nowhere"}), "one of \\Sent"),
        (
            json!({"move_to": 1}),
            "`move_to`: got a number, expected text",
        ),
        (
            json!({"move_to": "A", "flagged_too": 1}),
            "`flagged_too`: got 1",
        ),
        (json!({"moveto": "A"}), "unknown key `moveto`"),
    ] {
        let e = load(json!({"after_delivery": value.clone()})).unwrap_err();
        assert!(e.message.contains("`after_delivery`"), "{e}");
        assert!(e.message.contains(what), "{value}: {e}");
        assert!(e.hint.is_some(), "{value}");
    }
    for days in [json!("30"), json!(-1), json!(1.5), json!(99_999)] {
        let e = load(json!({"after_days": days})).unwrap_err();
        assert!(
            e.message
                .contains("expected a number of days from 0 to 36500"),
            "{e}"
        );
    }
    for (folders, into) in [
        (json!(["INBOX", "Old"]), "Old"),
        (json!(["*"]), "Old"),
        (json!(["INBOX", "\\Archive"]), "Archive"),
        (json!(["INBOX", "\\Archive"]), "\\Archive"),
    ] {
        let keys = json!({"folders": folders, "after_delivery": {"move_to": into}});
        let e = load(keys).unwrap_err();
        assert!(e.message.contains("would be copied again"), "{e}");
    }
}

/// Two routes of one process read one account, into two Gmail accounts: neither removes what the other may lack.
#[test]
fn two_that_read_one_account_remove_nothing_there() {
    let source = Gmail::start(Options::plain(BOTH));
    let targets = [0, 1].map(|_| Gmail::start(Options::default()));
    source.add(gmail_stand_in::Mail::new(mail(
        "<a@example.org>",
        DATE,
        "a",
    )));
    let routes = targets.each_ref().map(|target| {
        let mut route = Route::between(Account::on(&source), Account::on(target));
        route.set("after_delivery", "delete");
        route
    });
    let configs = routes.each_ref().map(|route| route.config_file());
    let mut args = vec!["imap-to-gmail", "run", "--log", "stderr"];
    for config in &configs {
        args.extend(["--config", config.to_str().unwrap()]);
    }
    let start = || {
        again("program")
            .env(CHILD, json!(args).to_string())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut child = start();
    let told = |route: &Route| {
        let trouble = &route.status_soon()["trouble"]["message"];
        trouble
            .as_str()
            .is_some_and(|text| text.contains("reads the same account"))
    };
    eventually("both say so", || routes.iter().all(told));
    eventually("both have it", || {
        targets.iter().all(|target| target.messages().len() == 1)
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(ids(&source, "INBOX"), ["a"]);
    // Alone it does what it is told.
    let ran = routes[0].run();
    assert_eq!(ids(&source, "INBOX"), [""; 0], "{}", ran.err);
}

/// A configuration that nobody can read may be one that reads the same account, and has not copied what would be removed.
#[test]
fn beside_a_configuration_that_cannot_be_read_nothing_is_removed_until_it_can() {
    let mut family = Family::of(&["anna", "ben"]);
    let [anna, ben] = &mut family.members[..] else {
        unreachable!()
    };
    anna.set("after_delivery", "delete");
    for key in [
        "source_port",
        "source_ca_file",
        "source_user",
        "source_pass",
    ] {
        ben.set(key, anna.key(key));
    }
    family.publish(0);
    family.publish(1);
    let good = family.config(1);
    fs::write(family.file(1), "{\"source_server\": ").unwrap();
    let [anna, ben] = &family.members[..] else {
        unreachable!()
    };
    anna.mail("<a@example.org>", "text");
    let trouble = || {
        let trouble = anna.status_soon()["trouble"]["message"].take();
        trouble.as_str().unwrap_or_default().to_string()
    };
    let running = family.start();
    eventually("it says why nothing is removed", || {
        trouble().contains("1.json cannot be read")
    });
    eventually("it is delivered", || anna.target.messages().len() == 1);
    // Wrong in another place, it says enough.
    replace(&family.file(1), &good.replacen('{', "{\"sinse\": 1,", 1));
    eventually("it is known who reads the account", || {
        trouble().contains("reads the same account")
    });
    replace(&family.file(1), &good);
    eventually("the other one has it too", || {
        ben.target.messages().len() == 1
    });
    assert_eq!(ids(&anna.source, "INBOX"), ["a"]);
    fs::remove_file(family.file(1)).unwrap();
    eventually("alone it does what it is told", || {
        ids(&anna.source, "INBOX").is_empty()
    });
    drop(running);
}
