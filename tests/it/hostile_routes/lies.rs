//! Servers that answer in good form and do not tell the truth.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::measured::run_and_measure;
use crate::testkit::env::TestEnv;
use crate::testkit::scripted_proxy;

/// Runs until all is done; a run may have to be called again, and what a lie made `failed` to be tried again.
fn until_complete(env: &TestEnv, name: &str) {
    for _ in 0..3 {
        let took = run_and_measure(env, name);
        took.assert_bounded(name);
        if took.ran.status == 0 {
            return;
        }
        assert_eq!(took.ran.status, 3, "{name}: {}", took.ran.err);
        env.command(&["retry-failed"]);
    }
    panic!("{name}: {}", env.dump());
}

#[test]
fn a_false_appenduid_loses_and_doubles_nothing() {
    // UIDVALIDITY and UID as they are, and as they are told.
    type Lie = fn(u32, u32) -> String;
    let lies: [(&str, Lie); 6] = [
        ("a UID that is not there", |v, u| {
            format!("{v} {}", u + 1000)
        }),
        ("another UIDVALIDITY", |v, u| format!("{} {u}", v ^ 1)),
        ("the message before", |v, u| {
            format!("{v} {}", u.saturating_sub(1).max(1))
        }),
        ("always the first message", |v, _| format!("{v} 1")),
        ("the last UID there can be", |v, _| {
            format!("{v} 4294967295")
        }),
        ("no numbers", |_, _| "x y".into()),
    ];
    for (name, lie) in lies {
        for gmail in [true, false] {
            let mut env = if gmail {
                super::into_gmail()
            } else {
                super::into_any_server()
            };
            env.old_mails(5);
            let port = scripted_proxy::changed(env.target.port(), move |line| {
                let (before, rest) = line.split_once("[APPENDUID ")?;
                let (numbers, rest) = rest.split_once(']')?;
                let (validity, uid) = numbers.split_once(' ')?;
                let told = lie(validity.parse().ok()?, uid.parse().ok()?);
                Some(format!("{before}[APPENDUID {told}]{rest}"))
            });
            env.set("target_port", port);
            let name = format!(
                "APPENDUID, {name}, {}",
                if gmail { "Gmail" } else { "another server" }
            );
            until_complete(&env, &name);
            env.assert_complete();
            // Nor does a later run, with the truth.
            let port = env.target.port();
            env.set("target_port", port);
            env.run_until_done(1);
            env.assert_complete();
        }
    }
}

#[test]
fn a_mailbox_whose_name_is_no_name_is_done_without() {
    for (name, listed) in [
        ("a line break", "{15}\r\n[Gmail]/All\r\nMai".to_string()),
        ("an escape", "\"[Gmail]/\x1b[2JAll\"".to_string()),
        ("2 MB", format!("\"[Gmail]/{}\"", "x".repeat(2 << 20))),
        ("nothing", "\"\"".to_string()),
    ] {
        let mut env = super::into_gmail();
        env.old_mails(3);
        let port = scripted_proxy::changed(env.target.port(), move |line| {
            line.contains("\\All")
                .then(|| format!("* LIST (\\HasNoChildren \\All) \"/\" {listed}\r\n"))
        });
        env.set("target_port", port);
        let name = format!("All Mail is called: {name}");
        let took = run_and_measure(&env, &name);
        assert_eq!(took.ran.status, 0, "{name}: {}", took.ran.err);
        took.assert_bounded(&name);
        assert!(!took.ran.err.contains('\x1b'), "{name}");
        env.assert_complete();
    }
}

#[test]
fn a_count_beyond_reason_is_told_and_not_believed() {
    for (from, to) in [
        (" EXISTS", "* 4294967295 EXISTS\r\n"),
        ("[UIDNEXT ", "* OK [UIDNEXT 4294967295] x\r\n"),
        ("[UIDVALIDITY ", "* OK [UIDVALIDITY 0] x\r\n"),
    ] {
        for side in ["source", "target"] {
            let mut env = super::into_any_server();
            env.old_mails(3);
            let port = scripted_proxy::changed(env.port(side), move |line| {
                (line.starts_with("* ") && line.contains(from)).then(|| to.to_string())
            });
            env.set(&format!("{side}_port"), port);
            let name = format!("{side}: {to:?}");
            let took = run_and_measure(&env, &name);
            took.assert_bounded(&name);
            assert!(
                [0, 1].contains(&took.ran.status),
                "{name}: {}",
                took.ran.err
            );
            // Whatever it led to: with the truth all is there once, and new mail too.
            env.source.add(gmail_stand_in::Mail::new(
                "Message-ID: <new@example.org>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\nnew\r\n",
            ));
            let port = env.port(side);
            env.set(&format!("{side}_port"), port);
            env.run_until_done(3);
            env.assert_complete();
        }
    }
}

#[test]
fn dates_and_sizes_that_no_message_has_stop_nothing() {
    for (name, from, to) in [
        ("a date before all time", "14-Nov-2023", "01-Jan--262143"),
        ("a date of the year 10,000", "14-Nov-2023", "01-Jan-+10000"),
        ("a date after all time", "14-Nov-2023", "31-Dec-+262142"),
        ("a date before the script's", "14-Nov-2023", "01-Jan-0000"),
    ] {
        let mut env = super::into_gmail();
        env.mails_of("2023-11-14T22:13:20+00:00", 3);
        let changes = std::sync::Arc::new(AtomicUsize::new(0));
        let count = std::sync::Arc::clone(&changes);
        let port = scripted_proxy::changed(env.source.port(), move |line| {
            let line = line
                .contains("INTERNALDATE")
                .then(|| line.replace(from, to))?;
            count.fetch_add(usize::from(line.contains(to)), Ordering::SeqCst);
            Some(line)
        });
        env.set("source_port", port);
        let took = run_and_measure(&env, name);
        assert!(changes.load(Ordering::SeqCst) > 0, "{name}");
        assert_eq!(took.ran.status, 0, "{name}: {}", took.ran.err);
        took.assert_bounded(name);
        env.assert_complete();
        // The ledger can be read, by us and by whoever sorts its dates.
        let odd: i64 = env.one(
            "SELECT count(*) FROM message WHERE internal_date NOT GLOB '[0-9][0-9][0-9][0-9]-*Z'",
        );
        assert_eq!(
            odd,
            0,
            "{name}: {}",
            env.one::<String>("SELECT group_concat(internal_date) FROM message")
        );
    }
}

#[test]
#[ignore = "150 MB through a debug build take more than a minute"]
fn a_size_told_too_small_does_not_gather_more_than_one_message_may_have() {
    let mut env = super::into_any_server();
    for i in 0..6 {
        // Together far more than the 100 MB that one message may have.
        let body = format!("{i}{}\r\n", "x".repeat(998)).repeat(25 << 10);
        env.source.add(gmail_stand_in::Mail::new(format!(
            "Message-ID: <{i}@example.org>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\n{body}"
        )));
    }
    let port = scripted_proxy::changed(env.source.port(), move |line| {
        let (before, rest) = line.split_once("RFC822.SIZE ")?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        Some(format!("{before}RFC822.SIZE 100{}", &rest[digits..]))
    });
    env.set("source_port", port);
    let took = run_and_measure(&env, "six messages of 25 MB that say they have 100 bytes");
    took.assert_bounded("six messages of 25 MB that say they have 100 bytes");
    assert_eq!(took.ran.status, 0, "{}", took.ran.err);
    env.assert_complete();
}
