//! Others at work on the same accounts: a second ledger for one route, a second route into one Gmail account. (A second
//! process on one ledger is turned away: `daemon`.)

use std::process::Child;

use gmail_stand_in::{Fault, Gmail, Mail, On, Options};
use serde_json::json;

use crate::testkit::env::Route;
use crate::testkit::gmail_env::{DATE, Stage, mail};

/// Another source with a route of its own into the stage's Gmail.
fn second_route(stage: &Stage, source: &Gmail) -> Route {
    Route::new(json!({
        "source_server": "localhost",
        "source_port": source.port(),
        "source_ca_file": source.ca_file(),
        "source_user": source.account(),
        "source_pass": source.password(),
        "target_server": "localhost",
        "target_port": stage.gmail.port(),
        "target_ca_file": stage.gmail.ca_file(),
        "target_user": stage.gmail.account(),
        "target_pass": stage.gmail.password(),
        "since": "all",
    }))
}

fn another_source() -> Gmail {
    let mut options = Options::plain("IMAP4rev1 LITERAL+ UIDPLUS IDLE SASL-IR AUTH=PLAIN");
    options.account = "other@example.net".into();
    Gmail::start(options)
}

fn ended_well(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{log}");
    log
}

#[test]
fn two_ledgers_for_one_route_deliver_each_message_once() {
    for at_once in [false, true] {
        let stage = Stage::new();
        stage.mails(30);
        let other = second_route(&stage, &stage.source);
        if at_once {
            let (one, two) = (stage.spawn(&[]), other.spawn(&[]));
            ended_well(one);
            ended_well(two);
        } else {
            stage.run_until_done(1);
            let appends = stage.gmail.transcript().commands("APPEND");
            other.run_until_done(1);
            let after = stage.gmail.transcript().commands("APPEND");
            assert_eq!(appends, after, "the second one finds them");
        }
        stage.assert_complete();
        let proofs: i64 = other.one("SELECT count(*) FROM message WHERE status = 'delivered'");
        assert_eq!(proofs, 30, "{}", other.dump());
    }
}

#[test]
fn two_routes_into_one_account_do_not_get_into_each_others_way() {
    for at_once in [false, true] {
        let stage = Stage::new();
        let second = another_source();
        let other = second_route(&stage, &second);
        for i in 0..20 {
            // Sent to both addresses; each has mail of its own; one list copy differs from the other.
            let both = stage.mail(&format!("<both{i}@x>"), "for both");
            second.add(Mail::new(both));
            stage.mail(&format!("<one{i}@x>"), "for the one");
            second.add(Mail::new(mail(
                &format!("<two{i}@x>"),
                DATE,
                "for the other",
            )));
            stage
                .source
                .add(Mail::new(mail("", DATE, &format!("nameless {i}"))));
            second.add(Mail::new(mail("", DATE, &format!("nameless too {i}"))));
        }
        // Answers are lost on the way, and each looks for its own.
        let stored = true;
        for n in [3, 9, 20] {
            stage
                .gmail
                .fault(On::nth(n, "APPEND"), Fault::CutAfterLiteral { stored });
        }
        if at_once {
            let (one, two) = (stage.spawn(&[]), other.spawn(&[]));
            ended_well(one);
            ended_well(two);
        } else {
            stage.run_until_done(1);
            other.run_until_done(1);
        }
        assert_eq!(stage.gmail.messages().len(), 100, "{at_once}");
        for route in [&*stage, &other] {
            let delivered: i64 =
                route.one("SELECT count(*) FROM message WHERE status = 'delivered'");
            assert_eq!(delivered, 60, "{}", route.dump());
        }
        // What the owner deletes comes back through neither.
        for message in stage.gmail.messages().iter().take(50) {
            stage.gmail.delete(message.id);
        }
        second.renumber("INBOX", 9);
        stage.run_until_done(1);
        other.run_until_done(1);
        assert_eq!(stage.gmail.messages().len(), 50);
    }
}
