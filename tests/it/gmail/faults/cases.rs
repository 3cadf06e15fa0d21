//! The table of what goes wrong, phase by phase, and what must come of it.

use std::time::Duration;

use gmail_stand_in::{
    Fault, OVERQUOTA, On, Refusal, SESSION_EXPIRED, SYSTEM_ERROR, UNABLE_TO_APPEND, UNAVAILABLE,
};

use super::{ALWAYS, Case, FINE, NEEDS_USER, THROTTLED};

pub(super) fn cases() -> Vec<Case> {
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
pub(super) fn left_open(case: &str) -> i64 {
    match case {
        "literal: bandwidth" => 2,
        "APPEND: label missing" | "APPEND: bandwidth, older form" => 1,
        _ => 0,
    }
}
