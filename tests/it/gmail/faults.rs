//! Each thing that Gmail is known to say, in each phase: what it does to the ledger, to the run, and to what people read.

mod cases;

use self::cases::{cases, left_open};
use crate::testkit::env::{TestEnv, mail};

/// What goes wrong, and what must come of it. Three messages are in the source.
struct Case {
    name: &'static str,
    setup: fn(&TestEnv),
    status: i32,
    delivered: u64,
    failed: u64,
    /// Messages that were charged with an attempt.
    charged: i64,
    /// `trouble.kind` after the run.
    trouble: Option<&'static str>,
    /// In what the run wrote, or in `status --failed`.
    words: &'static str,
}

const FINE: Case = Case {
    name: "",
    setup: |_| {},
    status: 0,
    delivered: 3,
    failed: 0,
    charged: 0,
    trouble: None,
    words: "done: everything is in user@gmail.com",
};

const NEEDS_USER: Case = Case {
    status: 4,
    delivered: 0,
    trouble: Some("needs_user"),
    ..FINE
};

const THROTTLED: Case = Case {
    status: 3,
    delivered: 0,
    trouble: Some("throttled"),
    ..FINE
};

/// So often that it outlasts every try of a run.
const ALWAYS: usize = 9999;

#[test]
fn each_fault_has_its_reaction() {
    let mut wrong = String::new();
    for case in cases() {
        let mut env = TestEnv::new();
        env.set("connections", 1);
        env.mails(2);
        // The newest, and so the first to go, is over 4096 bytes: its literal waits to be asked for.
        let big = mail(
            "<big@example.org>",
            crate::testkit::env::DATE,
            &"x".repeat(9_000),
        );
        env.source.add(gmail_stand_in::Mail::new(big));
        (case.setup)(&env);
        let ran = env.run_with(&["--debug"]);
        let status = env.status();
        let charged: i64 =
            env.one("SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL");
        let open: i64 = env.one("SELECT count(*) FROM message WHERE status = 'in_flight'");
        let got = (
            ran.status,
            status["delivered"].as_u64().unwrap(),
            status["failed"].as_u64().unwrap(),
            charged,
            status["trouble"]["kind"].as_str(),
        );
        let want = (
            case.status,
            case.delivered,
            case.failed,
            case.charged,
            case.trouble,
        );
        let words = ran.err.clone() + &env.command(&["status", "--failed"]).out;
        if got != want || !words.contains(case.words) || open > left_open(case.name) {
            wrong.push_str(&format!(
                "== {}: got {got:?}, want {want:?}, words {:?}, in flight {open}\n{}\n{}\n",
                case.name,
                case.words,
                ran.err
                    .lines()
                    .filter(|l| !l.contains("DEBUG"))
                    .collect::<Vec<_>>()
                    .join("\n"),
                env.dump()
            ));
        }
        assert!(
            !words.contains("abcdefghijklmnop"),
            "{}: the password is shown",
            case.name
        );
        // Whatever it was, it passes.
        env.target.clear_faults();
        env.target.knobs(|k| *k = Default::default());
        env.command(&["retry-failed"]);
        for _ in 0..3 {
            if env.run().status == 0 {
                break;
            }
        }
        let bodies = env.held().len();
        if bodies != 3 || env.status()["delivered"] != 3 {
            wrong.push_str(&format!(
                "== {}: afterwards Gmail holds {bodies}\n{}\n",
                case.name,
                env.dump()
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
