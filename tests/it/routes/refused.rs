//! A route of which no run can begin: whoever is to hear of trouble hears of that too, once, and once of its end; and where
//! nobody can be called, as the configuration cannot be read, it shows wherever a person may look.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use imap_to_gmail::ledger;

use crate::alarm::{KEYS, events, script, told};
use crate::testkit::eventually;
use crate::testkit::family::{Family, replace};

/// Two routes, the first of which tells somebody.
fn family() -> Family {
    let mut family = Family::of(&["anna", "ben"]);
    let anna = &mut family.members[0];
    // Not into the folder of the configurations, where it would be taken for one.
    let told = anna.dir.path().join("told.json");
    let line = format!("exec cat >> {}", told.display());
    let tell = script(anna.dir.path(), "tell.sh", &line);
    anna.set("notify_command", vec![tell.to_str().unwrap()]);
    family.publish(0);
    family
}

/// A run of the first cannot begin, for this reason, until it is mended.
#[track_caller]
fn is_told_once(family: &Family, why: &str, mend: impl FnOnce()) {
    let anna = &family.members[0];
    let running = family.start();
    family.gets_mail(1, "<1@ben>");
    let folder = anna.dir.path();
    eventually("the trouble is told", || !events(folder).is_empty());
    // It was tried again in vain, and is told no more for that.
    let tried = || running.log().matches(why).count();
    eventually("it was tried", || tried() >= 1);
    mend();
    family.gets_mail(0, "<1@anna>");
    eventually("its end is told", || events(folder).len() >= 2);
    family.gets_mail(0, "<2@anna>");
    assert_eq!(events(folder), ["trouble needs_user", "over needs_user"]);
    let told = told(folder);
    for document in &told {
        let keys: Vec<&String> = document.as_object().unwrap().keys().collect();
        assert_eq!(keys, KEYS);
        assert_eq!(document["part"], "start");
        assert_eq!(document["source"], "anna@old.example");
        assert_eq!(document["target"], "anna@gmail.com");
        let ledger = document["state_file"].as_str().unwrap();
        assert_eq!(Path::new(ledger), anna.ledger_file());
        let message = document["message"].as_str().unwrap();
        assert!(message.contains(why), "{message}");
        assert_eq!(document["since"], told[0]["since"]);
    }
}

#[test]
fn that_another_process_has_the_ledger_is_told_once_and_its_end_once() {
    let family = family();
    let ledger = family.members[0].ledger_file();
    let lock = ledger::lock(&ledger).unwrap();
    is_told_once(&family, "sync_state.db", || drop(lock));
}

#[test]
fn that_the_ledger_is_damaged_is_told_once_and_its_end_once() {
    let family = family();
    let ledger = family.members[0].ledger_file();
    assert_eq!(family.members[0].run().status, 0);
    let good = fs::read(&ledger).unwrap();
    fs::write(&ledger, "this was a ledger\n".repeat(400)).unwrap();
    is_told_once(&family, "sync_state.db", || {
        fs::write(&ledger, good).unwrap()
    });
}

/// Of a configuration that cannot be understood nobody knows whom to call.
#[test]
fn a_configuration_that_cannot_be_read_shows_wherever_a_person_may_look() {
    let family = Family::of(&["anna", "ben"]);
    let good = family.config(0);
    replace(&family.file(0), "{\"source_server\": ");
    let place = family.folder.path().join("notify");
    let socket = UnixDatagram::bind(&place).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let told = |words: &str| {
        let mut bytes = [0; 4096];
        loop {
            let length = socket.recv(&mut bytes).expect(words);
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            if text.contains("STATUS=") && text.contains(words) {
                return text;
            }
        }
    };
    let folder = [family.folder.path()];
    let running = family.start_within(&folder, &[], &[("NOTIFY_SOCKET", place.as_path())]);
    let status = told("1 in trouble");
    assert!(status.contains("0.json: "), "{status}");
    let log = running.log();
    let line = log.lines().find(|line| line.contains("ERROR")).unwrap();
    assert!(line.contains("0.json"), "{line}");
    let folder = family.folder.path().to_str().unwrap();
    let health = family.members[1].command(&["health", "--config", folder]);
    assert_eq!(health.status, 1);
    assert!(health.out.contains("0.json"), "{health:?}");
    replace(&family.file(0), &good);
    told("all is well");
    family.gets_mail(0, "<1@anna>");
}
