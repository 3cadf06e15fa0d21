//! Each thing that Gmail is known to say, in each phase: what it does to the ledger, to the run, and to what people read.

use std::time::Duration;

use gmail_stand_in::{
    Fault, OVERQUOTA, On, OverquotaForm, Refusal, SESSION_EXPIRED, SYSTEM_ERROR, UNABLE_TO_APPEND,
    UNAVAILABLE,
};

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

fn cases() -> Vec<Case> {
    vec![
        // Greeting.
        Case {
            name: "greeting: cut",
            setup: |s| {
                drop(
                    s.target
                        .fault(On::nth(1, "CONNECT").times(2), Fault::CutBefore),
                )
            },
            ..FINE
        },
        Case {
            name: "greeting: outage",
            setup: |s| {
                drop(s.target.fault(
                    On::nth(1, "CONNECT").times(2),
                    Fault::Bye(UNAVAILABLE.into()),
                ))
            },
            ..FINE
        },
        Case {
            name: "greeting: throttled",
            setup: |s| {
                drop(
                    s.target
                        .fault(On::each("CONNECT"), Fault::Bye(OVERQUOTA.into())),
                )
            },
            words: "Account exceeded command or bandwidth limits",
            ..THROTTLED
        },
        // Sign-in.
        Case {
            name: "login: credentials",
            setup: |s| s.target.refuse_login(Refusal::InvalidCredentials, ALWAYS),
            words: "[AUTHENTICATIONFAILED] Invalid credentials (Failure)",
            ..NEEDS_USER
        },
        Case {
            name: "login: credentials, older form",
            setup: |s| {
                s.target
                    .refuse_login(Refusal::InvalidCredentialsAlert, ALWAYS)
            },
            words: "[ALERT] Invalid credentials",
            ..NEEDS_USER
        },
        Case {
            name: "login: app password",
            setup: |s| s.target.refuse_login(Refusal::AppPasswordRequired, ALWAYS),
            words: "hint: Gmail takes only an app password here",
            ..NEEDS_USER
        },
        Case {
            name: "login: web",
            setup: |s| s.target.refuse_login(Refusal::WebLoginRequired, ALWAYS),
            words: "hint: open https://mail.google.com in a web browser",
            ..NEEDS_USER
        },
        Case {
            name: "login: IMAP off",
            setup: |s| s.target.refuse_login(Refusal::ImapDisabled, ALWAYS),
            words: "hint: switch IMAP on",
            ..NEEDS_USER
        },
        Case {
            name: "login: IMAP off in the domain",
            setup: |s| s.target.refuse_login(Refusal::DomainDisabled, ALWAYS),
            words: "IMAP access is disabled for your domain",
            ..NEEDS_USER
        },
        Case {
            name: "login: too many connections",
            setup: |s| s.target.refuse_login(Refusal::TooManyConnections, ALWAYS),
            words: "Too many simultaneous connections",
            ..THROTTLED
        },
        Case {
            name: "login: lookup",
            setup: |s| s.target.refuse_login(Refusal::LookupFailed, 2),
            ..FINE
        },
        Case {
            name: "login: outage",
            setup: |s| s.target.refuse_login(Refusal::Unavailable, 2),
            ..FINE
        },
        Case {
            name: "login: BYE",
            setup: |s| {
                drop(s.target.fault(
                    On::nth(1, "AUTHENTICATE").times(2),
                    Fault::Bye(UNAVAILABLE.into()),
                ))
            },
            ..FINE
        },
        Case {
            name: "login: throttled",
            setup: |s| {
                drop(s.target.fault(
                    On::each("AUTHENTICATE"),
                    Fault::Answer(
                        "NO [ALERT] Account exceeded command or bandwidth limits. (Failure)".into(),
                    ),
                ))
            },
            words: "Account exceeded command or bandwidth limits",
            ..THROTTLED
        },
        // EXAMINE.
        Case {
            name: "EXAMINE: system error",
            setup: |s| {
                drop(s.target.fault(
                    On::nth(1, "EXAMINE").times(2),
                    Fault::Answer(SYSTEM_ERROR.into()),
                ))
            },
            ..FINE
        },
        Case {
            name: "EXAMINE: cut",
            setup: |s| {
                drop(
                    s.target
                        .fault(On::nth(1, "EXAMINE").times(2), Fault::CutBefore),
                )
            },
            ..FINE
        },
        Case {
            name: "EXAMINE: expired",
            setup: |s| {
                drop(
                    s.target
                        .fault(On::nth(1, "EXAMINE"), Fault::Bye(SESSION_EXPIRED.into())),
                )
            },
            ..FINE
        },
        // FETCH of the index.
        Case {
            name: "index: system error",
            setup: |s| {
                drop(s.target.fault(
                    On::nth(1, "UID FETCH").times(2),
                    Fault::Answer(SYSTEM_ERROR.into()),
                ))
            },
            ..FINE
        },
        Case {
            name: "index: cut",
            setup: |s| drop(s.target.fault(On::nth(1, "UID FETCH"), Fault::CutBefore)),
            ..FINE
        },
        Case {
            name: "index: throttled",
            setup: |s| {
                drop(
                    s.target
                        .fault(On::each("UID FETCH"), Fault::Bye(OVERQUOTA.into())),
                )
            },
            words: "Account exceeded command or bandwidth limits",
            ..THROTTLED
        },
        // APPEND before `+`.
        Case {
            name: "APPEND: unable, once",
            setup: |s| {
                drop(s.target.fault(
                    On::nth(1, "APPEND").line_with("{9"),
                    Fault::Answer(UNABLE_TO_APPEND.into()),
                ))
            },
            status: 3,
            delivered: 2,
            charged: 1,
            words: "Unable to append message to folder",
            ..FINE
        },
        Case {
            name: "APPEND: too big",
            setup: |s| {
                drop(s.target.fault(On::nth(1, "APPEND").line_with("{9"), Fault::Answer("BAD [TOOBIG] Message too large. https://support.google.com/mail/answer/6584#limit".into())))
            },
            status: 3,
            delivered: 2,
            failed: 1,
            charged: 1,
            words: "[TOOBIG] Message too large",
            ..FINE
        },
        Case {
            name: "APPEND: label missing",
            setup: |s| {
                // It is looked for before that is believed.
                for command in ["APPEND", "STATUS"] {
                    drop(s.target.fault(
                        On::each(command).line_with("INBOX"),
                        Fault::Answer("NO [TRYCREATE] Folder doesn't exist. (Failure)".into()),
                    ))
                }
            },
            words: "the delivery mailbox is missing",
            ..NEEDS_USER
        },
        Case {
            name: "APPEND: account full",
            setup: |s| {
                drop(s.target.fault(
                    On::each("APPEND"),
                    Fault::Answer("NO [OVERQUOTA] Account is out of storage (Failure)".into()),
                ))
            },
            words: "the target account is full",
            ..NEEDS_USER
        },
        Case {
            name: "APPEND: bandwidth, older form",
            setup: |s| {
                drop(s.target.fault(
                    On::each("APPEND"),
                    Fault::Answer(
                        "NO [ALERT] Account exceeded command or bandwidth limits. (Failure)".into(),
                    ),
                ))
            },
            words: "bandwidth limits",
            ..THROTTLED
        },
        Case {
            name: "APPEND: command",
            setup: |s| {
                drop(s.target.fault(
                    On::nth(1, "APPEND").line_with("{9"),
                    Fault::Answer("BAD Could not parse command".into()),
                ))
            },
            status: 3,
            delivered: 2,
            failed: 1,
            charged: 1,
            words: "Could not parse command",
            ..FINE
        },
        Case {
            name: "APPEND: cut",
            setup: |s| drop(s.target.fault(On::nth(1, "APPEND"), Fault::CutBefore)),
            ..FINE
        },
        Case {
            name: "APPEND: expired after +",
            setup: |s| {
                drop(s.target.fault(
                    On::nth(1, "APPEND").line_with("{9"),
                    Fault::ByeAfterGoAhead(SESSION_EXPIRED.into()),
                ))
            },
            ..FINE
        },
        // After the literal.
        Case {
            name: "literal: expired",
            setup: |s| {
                drop(s.target.fault(
                    On::nth(1, "APPEND"),
                    Fault::ByeAfterLiteral {
                        text: SESSION_EXPIRED.into(),
                        stored: true,
                    },
                ))
            },
            ..FINE
        },
        Case {
            name: "literal: temporary NO, stored",
            setup: |s| {
                drop(s.target.fault(
                    On::nth(1, "APPEND"),
                    Fault::AnswerAfterLiteral {
                        text: SYSTEM_ERROR.into(),
                        stored: true,
                    },
                ))
            },
            ..FINE
        },
        Case {
            name: "literal: temporary NO, not stored",
            setup: |s| {
                drop(s.target.fault(
                    On::nth(1, "APPEND"),
                    Fault::AnswerAfterLiteral {
                        text: SYSTEM_ERROR.into(),
                        stored: false,
                    },
                ))
            },
            status: 3,
            delivered: 2,
            charged: 1,
            words: "looking whether it arrived",
            ..FINE
        },
        Case {
            name: "literal: cannot be parsed",
            setup: |s| {
                drop(s.target.fault(
                    On::nth(1, "APPEND"),
                    Fault::AnswerAfterLiteral {
                        text: "BAD Invalid Arguments: Unable to parse message".into(),
                        stored: false,
                    },
                ))
            },
            status: 3,
            delivered: 2,
            failed: 1,
            charged: 1,
            words: "Unable to parse message",
            ..FINE
        },
        Case {
            name: "literal: bandwidth",
            setup: |s| {
                drop(s.target.fault(
                    On::nth(1, "APPEND"),
                    Fault::ByeAfterLiteral {
                        text: OVERQUOTA.into(),
                        stored: true,
                    },
                ))
            },
            words: "bandwidth limits",

            ..THROTTLED
        },
        Case {
            name: "literal: slow",
            setup: |s| {
                drop(s.target.fault(
                    On::nth(1, "APPEND"),
                    Fault::Delay(Duration::from_millis(700)),
                ))
            },
            ..FINE
        },
        Case {
            name: "literal: committed late",
            setup: |s| {
                drop(s.target.fault(
                    On::nth(1, "APPEND"),
                    Fault::CommitLate(Duration::from_millis(100)),
                ))
            },
            ..FINE
        },
        Case {
            name: "success, but [THROTTLED]",
            setup: |s| {
                s.target
                    .knobs(|k| k.throttled = Some(Duration::from_millis(5)))
            },
            ..FINE
        },
        // Verification.
        Case {
            name: "verification: system error",
            setup: |s| {
                drop(s.target.fault(
                    On::nth(1, "UID FETCH").line_with("(UID X-GM-MSGID RFC822.SIZE INTERNALDATE"),
                    Fault::Answer(SYSTEM_ERROR.into()),
                ))
            },
            ..FINE
        },
        Case {
            name: "verification: cut",
            setup: |s| {
                drop(s.target.fault(
                    On::nth(1, "UID FETCH").line_with("(UID X-GM-MSGID RFC822.SIZE INTERNALDATE"),
                    Fault::CutBefore,
                ))
            },
            ..FINE
        },
        // A refusal that echoes what it refuses.
        Case {
            name: "login: echo",
            setup: |s| {
                drop(
                    s.target
                        .fault(On::nth(1, "AUTHENTICATE"), Fault::EchoCommandInBad),
                )
            },
            ..FINE
        },
    ]
}

/// Messages that may be there, and are looked for by the next run: the one that was answered so when all of it was out,
/// and the one behind it, which had gone out by then.
fn left_open(case: &str) -> i64 {
    match case {
        "literal: bandwidth" => 2,
        "APPEND: label missing" | "APPEND: bandwidth, older form" => 1,
        _ => 0,
    }
}

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

#[test]
fn the_upload_budget_holds_across_runs_and_counts_what_failed() {
    let mut env = TestEnv::new();
    env.set("upload_limit_per_day", "100K")
        .set("connections", 1);
    for i in 0..8 {
        env.mail(&format!("<{i}@x>"), &"x".repeat(30_000));
    }
    for _ in 0..2 {
        let ran = env.run();
        assert_eq!(ran.status, 3, "{}", ran.err);
        assert!(ran.err.contains("`upload_limit_per_day`"), "{}", ran.err);
        assert_eq!(env.held().len(), 3, "three of 30 kB fit into 100");
        assert_eq!(env.status()["trouble"]["kind"], "throttled");
    }
    // A day later; the hours of the budget are the ledger's.
    env.sql()
        .execute("UPDATE upload SET hour = '2020-01-01T00'", [])
        .unwrap();
    assert_eq!(env.run().status, 3);
    assert_eq!(env.held().len(), 6);
    env.set("upload_limit_per_day", serde_json::Value::Null)
        .run_until_done(1);
    env.assert_complete();
}

#[test]
fn a_message_bigger_than_the_upload_limit_holds_up_nobody() {
    let mut env = TestEnv::new();
    env.set("upload_limit_per_day", "100K");
    env.mail("<big@x>", &"x".repeat(200_000));
    env.mail("<small@x>", "small");
    let ran = env.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    assert!(
        ran.err
            .contains("`upload_limit_per_day` lets 102400 through"),
        "{}",
        ran.err
    );
    assert_eq!(env.status()["failed"], 1);
    assert_eq!(env.status()["pending"], 0);
    env.set("upload_limit_per_day", serde_json::Value::Null);
    assert_eq!(env.command(&["retry-failed"]).status, 0);
    env.run_until_done(1);
    env.assert_complete();
}

#[test]
fn gmails_own_limit_stops_the_run_and_the_rest_follows_when_it_is_lifted() {
    for form in [OverquotaForm::Bye, OverquotaForm::NoAlert] {
        let env = TestEnv::new();
        env.target.knobs(|k| {
            k.upload_budget = Some(60_000);
            k.overquota = form;
        });
        for i in 0..5 {
            env.mail(&format!("<{i}@x>"), &"x".repeat(30_000));
        }
        let ran = env.run();
        assert_eq!(ran.status, 3, "{}", ran.err);
        assert_eq!(env.run().status, 3, "still blocked");
        let charged: i64 =
            env.one("SELECT count(*) FROM message WHERE first_failed_at IS NOT NULL");
        assert_eq!(charged, 0);
        env.target.clock().advance(Duration::from_secs(25 * 3600));
        env.target.knobs(|k| k.upload_budget = None);
        env.run_until_done(2);
        env.assert_complete();
    }
}

#[test]
fn where_gmail_takes_no_more_connections_fewer_do_the_work() {
    let mut env = TestEnv::new();
    env.set("connections", 4);
    env.target.knobs(|k| {
        k.max_connections = 2;
        k.round_trip = Duration::from_millis(20);
    });
    env.mails(40);
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.err.contains("fewer connections"), "{}", ran.err);
    env.assert_complete();
}
