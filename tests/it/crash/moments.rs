//! The process killed and connections cut at random moments, and at the worst ones. Each hole that absence and late
//! commits leave has a test of its own.

use std::process::Command;
use std::thread;
use std::time::Duration;

use imap_to_gmail::config::{Endpoint, Origin, Secret, Tls};
use imap_to_gmail::session::{Asked, Login, Session};

use super::fuse::{Deed, Fuse, When};
use crate::testkit::dovecot::Dovecot;
use crate::testkit::dovecot_env::{ALICE, BOB, DovecotEnv, TOKEN};
use crate::testkit::env::TestEnv;
use crate::testkit::proxy::{Proxy, Side};
use crate::testkit::route::{self};
use crate::testkit::{self, answering};

const T0: i64 = 1_700_000_000;
const ROUNDS: usize = 100;

/// Seven messages a round: plain, without Message-ID, two with one Message-ID and Date and other bytes, one with the
/// bytes of another, one of 40 kB, one with a folded Message-ID and no final newline.
pub(crate) fn plant_round(source: &Dovecot, round: usize) {
    let date = "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n";
    let plain = format!("Message-ID: <{round}@x>\r\n{date}\r\nplain {round}\r\n");
    let mails = [
        plain.clone(),
        format!("Subject: no id\r\n{date}\r\nnameless {round}\r\n"),
        format!("Message-ID: <list@x>\r\n{date}\r\nlist {round}\r\n"),
        format!("Message-ID: <list@x>\r\n{date}\r\nlist {round}, direct\r\n"),
        plain,
        format!(
            "Message-ID: <big{round}@x>\r\n{date}\r\n{}",
            "0123456789abcdef\r\n".repeat(2300)
        ),
        format!("Message-ID:\r\n <folded{round}@x>\r\n{date}\r\nno end of line"),
    ];
    for (i, mail) in mails.iter().enumerate() {
        source.plant(ALICE, mail.as_bytes(), "S", T0 + (round * 10 + i) as i64);
    }
}

#[test]
fn killed_at_random_moments() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    let mut killed = 0;
    for round in 0..ROUNDS {
        plant_round(&env.source, round);
        let mut child = env.spawn(&[]);
        // The moment is the point of the test: it is drawn, not awaited.
        thread::sleep(Duration::from_millis(fastrand::u64(20..250)));
        killed += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(
        killed > ROUNDS / 2,
        "{killed} of {ROUNDS} were killed before their end"
    );
    env.run_until_done(3);
    env.assert_complete();
    let claims: i64 = env.one("SELECT sum(attempt) FROM message");
    println!(
        "killed {killed} times, {claims} claims for {} rows",
        ROUNDS * 7
    );
}

/// Runs a round of mail per cut, with the connection to one side cut after a random number of bytes.
fn cut_at_random_bytes(side: &str, proxy_for: impl Fn(&DovecotEnv) -> u16) {
    let Some(mut env) = TestEnv::dovecot() else {
        return;
    };
    let proxy = Proxy::start(proxy_for(&env));
    env.through(side, proxy.port());
    for round in 0..ROUNDS {
        plant_round(&env.source, round);
        let direction = if round % 2 == 0 {
            Side::ToServer
        } else {
            Side::ToClient
        };
        // A round moves some 40 kB of mail; a session is set up with about 3 kB.
        let bytes = if fastrand::bool() {
            fastrand::u64(0..8_000)
        } else {
            fastrand::u64(0..60_000)
        };
        proxy.cut_after(direction, bytes);
        env.run();
    }
    env.run_until_done(5);
    env.assert_complete();
    assert!(proxy.cuts() > ROUNDS / 3, "{} cuts", proxy.cuts());
    println!("{side} cut {} times", proxy.cuts());
}

#[test]
fn the_target_cut_at_random_bytes() {
    cut_at_random_bytes("target", |w| w.target.tls_port());
}

#[test]
fn the_source_cut_at_random_bytes() {
    cut_at_random_bytes("source", |w| w.source.tls_port());
}

/// Two older messages, so that the two newest are claimed together, and one mark serves both.
fn plant_older(env: &DovecotEnv) {
    for i in 1..=2 {
        let mail = format!("Message-ID: <older{i}@x>\r\n\r\nolder");
        env.source.plant(ALICE, mail.as_bytes(), "", T0 - i);
    }
}

/// Two Dovecots whose target is reached in plain text through a proxy.
fn plain_target() -> Option<(DovecotEnv, Proxy)> {
    let mut env = TestEnv::dovecot()?;
    let proxy = Proxy::start(env.target.port());
    env.plain("target", proxy.port());
    Some((env, proxy))
}

#[test]
fn an_append_that_was_done_but_not_answered_is_found_again() {
    let Some((env, proxy)) = plain_target() else {
        return;
    };
    for round in 0..20 {
        plant_round(&env.source, round);
        proxy.cut_before_reply(b"APPENDUID");
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(ran.err.contains("did arrive"), "{}", ran.err);
        assert_eq!(proxy.cuts(), round + 1);
    }
    env.assert_complete();
}

#[test]
fn a_delivery_that_could_not_be_written_down_is_found_again() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    env.source
        .plant(ALICE, b"Subject: none\r\n\r\nfirst", "", T0);
    env.run_until_done(1);
    env.source
        .plant(ALICE, b"Subject: x\r\n\r\nhas no name", "", T0);
    // As a full disk or a lock would that passes: this one change cannot be written, the next can.
    env.sql()
        .execute_batch(
            "CREATE TRIGGER full BEFORE UPDATE OF status ON message WHEN NEW.status = 'delivered'
             BEGIN SELECT RAISE(ABORT, 'no room'); END",
        )
        .unwrap();
    let ran = env.run();
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert_eq!(env.delivered().len(), 2, "it was sent: {}", ran.err);
    env.sql().execute_batch("DROP TRIGGER full").unwrap();
    env.run_until_done(1);
    env.assert_complete();
}

#[test]
fn a_message_sent_with_mended_line_ends_is_found_again_too() {
    // Without LITERAL+ the refusal comes in place of the server's `+`.
    let target = Dovecot::build()
        .xoauth2(true)
        .capability("IMAP4rev1 SASL-IR AUTH=XOAUTH2 UIDPLUS");
    let Some(mut env) = TestEnv::dovecot_with(Dovecot::build(), target) else {
        return;
    };
    // As Cyrus does; once mended there is a CRLF for each.
    let port = answering::start(env.target.port(), |command| {
        let as_it_is = command.starts_with("APPEND") && command.ends_with("{29}");
        as_it_is.then(|| "NO Message contains bare newlines".into())
    });
    let proxy = Proxy::start(port);
    env.plain("target", proxy.port());
    let bare = b"Subject: x\r\n\r\na\rb\rc\rd\re\rfgh\r\n";
    assert_eq!(bare.len(), 29);
    env.source.plant(ALICE, bare, "", T0);
    proxy.cut_before_reply(b"APPENDUID");
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(proxy.cuts(), 1);
    assert_eq!(env.delivered().len(), 1, "{}\n{}", ran.err, env.dump());
    let altered: i64 = env.one("SELECT altered FROM message");
    assert_eq!(altered, 1);
}

#[test]
fn an_append_that_commits_after_its_connection_died_is_waited_for() {
    let Some((mut env, proxy)) = plain_target() else {
        return;
    };
    env.set("connections", 1);
    // Intervals in tests believe in absence after 300 ms; the server commits after 150.
    for (i, mail) in [
        "Message-ID: <late@x>\r\n\r\nlate one, ends here",
        "Subject: x\r\n\r\nlate two, ends here",
    ]
    .iter()
    .enumerate()
    {
        env.source.plant(ALICE, mail.as_bytes(), "", T0 + i as i64);
        proxy.commit_late(b"ends here", Duration::from_millis(150));
        let ran = env.run();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(
            ran.err.contains("has not arrived") || ran.err.contains("did arrive"),
            "{}",
            ran.err
        );
        assert_eq!(proxy.cuts(), i + 1);
    }
    env.assert_complete();
}

#[test]
fn a_target_renumbered_while_an_append_was_open_is_searched_from_the_start() {
    let Some((mut env, proxy)) = plain_target() else {
        return;
    };
    env.set("connections", 1);
    // Mail of other origin, which goes again, so that the new numbers are lower than the old ones.
    let others: Vec<u32> = (0..20)
        .map(|i| {
            env.target.append(
                BOB,
                "INBOX",
                format!("Subject: {i}\r\n\r\nother").as_bytes(),
                "",
                T0,
            )
        })
        .collect();
    plant_round(&env.source, 0);
    env.run_until_done(1);
    for uid in others {
        env.target.expunge(BOB, "INBOX", uid);
    }
    // The one without a name first: only its place tells that it arrived.
    for mail in [
        "Subject: no id\r\n\r\nleft open",
        "Message-ID: <open@x>\r\n\r\nleft open too",
    ] {
        env.source.plant(ALICE, mail.as_bytes(), "", T0 - 1_000_000);
        proxy.refuse_after_cut();
        proxy.cut_before_reply(b"APPENDUID");
        let cuts = proxy.cuts();
        let mut child = env.spawn(&[]);
        testkit::eventually("the connection is cut", || proxy.cuts() > cuts);
        child.kill().unwrap();
        child.wait().unwrap();
        env.target.reset_uidvalidity(BOB);
        proxy.refuse(false);
        env.run_until_done(1);
    }
    env.assert_complete();
}

#[test]
fn a_message_that_never_arrived_is_not_mistaken_for_one_almost_the_same() {
    let Some((mut env, proxy)) = plain_target() else {
        return;
    };
    env.set("connections", 1);
    plant_older(&env);
    // Servers rewrite line ends, so a look for the second would take the first for it.
    env.source.plant(ALICE, b"Subject: x\r\n\r\ntwin", "", T0);
    env.source
        .plant(ALICE, b"Subject: x\r\n\r\ntwin\r\n", "", T0 + 1);
    proxy.cut_before_command(b"{18");
    env.run_until_done(1);
    assert_eq!(proxy.cuts(), 1);
    env.assert_complete();
}

#[test]
fn a_copy_that_the_target_altered_vouches_for_one_message_only() {
    let Some((mut env, proxy)) = plain_target() else {
        return;
    };
    env.set("connections", 1);
    plant_older(&env);
    // Dovecot drops the second CR: what arrives has the bytes of neither, and is like both.
    env.source.plant(ALICE, b"Subject: x\r\n\r\ntwin", "", T0);
    env.source
        .plant(ALICE, b"Subject: x\r\n\r\ntwin\r\r\n", "", T0 + 1);
    proxy.cut_before_command(b"{18");
    env.run_until_done(1);
    assert_eq!(proxy.cuts(), 1);
    env.assert_complete();
}

/// Two messages that are like each other, planted in this order, are left open together: the newer one has arrived, the
/// older one was not begun.
fn two_left_open(mails: [(&str, i64); 2]) {
    let Some(mut env) = TestEnv::dovecot() else {
        return;
    };
    let fuse = Fuse::start(env.target.port());
    env.plain("target", fuse.port());
    env.set("connections", 1);
    plant_older(&env);
    for (mail, date) in mails {
        env.source.plant(ALICE, mail.as_bytes(), "", date);
    }
    fuse.arm(Side::ToClient, When::Says("APPENDUID"), Deed::Hold);
    let mut child = env.spawn(&[]);
    assert!(fuse.wait(Duration::from_secs(20)));
    child.kill().unwrap();
    child.wait().unwrap();
    fuse.release();
    let open: i64 = env.one("SELECT count(*) FROM message WHERE mark_id IS NOT NULL");
    assert_eq!(open, 2, "{}", env.dump());
    env.run_until_done(1);
    env.assert_complete();
}

#[test]
fn nor_for_two_that_were_left_open_together() {
    two_left_open([
        ("Subject: x\r\n\r\ntwin\r\r\n", T0 + 1),
        ("Subject: x\r\n\r\ntwin", T0),
    ]);
}

#[test]
fn of_two_left_open_the_one_with_its_very_bytes_has_arrived() {
    two_left_open([
        ("Subject: x\r\n\r\ntwin", T0),
        ("Subject: x\r\n\r\ntwin\r\n", T0 + 1),
    ]);
}

#[test]
fn nor_is_it_found_for_another_message_of_that_name() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    let mail = |end: &str| {
        format!("Message-ID: <one@x>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\ntwin{end}")
    };
    env.source.plant(ALICE, mail("\r\r\n").as_bytes(), "", T0);
    env.run_until_done(1);
    env.source.plant(ALICE, mail("").as_bytes(), "", T0 + 1);
    env.run_until_done(1);
    env.assert_complete();
}

#[test]
fn a_person_who_ends_it_waits_for_one_farewell_only() {
    let Some((mut env, target)) = plain_target() else {
        return;
    };
    let source = Proxy::start(env.source.tls_port());
    env.through("source", source.port());
    env.source.plant(ALICE, b"Subject: x\r\n\r\nopen", "", T0);
    target.refuse_after_cut();
    target.cut_before_reply(b"APPENDUID");
    let mut child = env.spawn(&[]);
    testkit::eventually("the connection is cut", || target.cuts() > 0);
    child.kill().unwrap();
    child.wait().unwrap();
    // The look for what was left open gets no answer, and the source is not asked for more after that.
    let (from_source, to_target) = (source.connections(), target.connections());
    target.refuse(false);
    target.stall_after(Side::ToClient, 0);
    let child = env.spawn(&[]);
    testkit::eventually("it looks for it", || target.connections() > to_target);
    let told = Command::new("kill").arg(child.id().to_string()).status();
    assert!(told.unwrap().success());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(source.connections(), from_source);
    env.run_until_done(1);
    env.assert_complete();
}

#[test]
fn nor_is_it_where_the_target_has_new_uids() {
    let Some((mut env, proxy)) = plain_target() else {
        return;
    };
    env.set("connections", 1);
    env.source.plant(ALICE, b"Subject: x\r\n\r\ntwin", "", T0);
    env.run_until_done(1);
    env.source
        .plant(ALICE, b"Subject: x\r\n\r\ntwin\r\n", "", T0 + 1);
    proxy.refuse_after_cut();
    proxy.cut_before_command(b"{20");
    let mut child = env.spawn(&[]);
    testkit::eventually("the connection is cut", || proxy.cuts() > 0);
    child.kill().unwrap();
    child.wait().unwrap();
    env.target.reset_uidvalidity(BOB);
    proxy.refuse(false);
    env.run_until_done(1);
    env.assert_complete();
}

#[test]
fn a_message_that_cannot_have_arrived_is_sent_again_at_once() {
    let Some((env, proxy)) = plain_target() else {
        return;
    };
    let big = format!(
        "Message-ID: <big@x>\r\n\r\n{}",
        "0123456789abcdef\r\n".repeat(1_500_000)
    );
    env.source.plant(ALICE, big.as_bytes(), "", T0);
    // More than the socket buffers on the way hold, so that the last byte cannot have left us.
    proxy.cut_after(Side::ToServer, 1_000_000);
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(proxy.cuts(), 1);
    assert!(
        !ran.err.contains("arrive"),
        "nothing to look for: {}",
        ran.err
    );
    env.assert_complete();
}

#[test]
fn a_target_that_stops_answering_is_given_up_and_resolved() {
    let Some((env, proxy)) = plain_target() else {
        return;
    };
    plant_round(&env.source, 0);
    proxy.stall_after(Side::ToClient, 3_000);
    env.run_until_done(2);
    env.assert_complete();
}

#[test]
fn a_session_sees_what_came_since_it_was_opened() {
    let Some(env) = TestEnv::dovecot() else {
        return;
    };
    let endpoint = Endpoint {
        host: "127.0.0.1".into(),
        port: env.target.port(),
        tls: Tls::None,
        ca_file: None,
        origin: Origin::default(),
    };
    let login = Login::Token {
        user: BOB.into(),
        token: Secret::new(TOKEN.into()),
    };
    env.target
        .append(BOB, "INBOX", b"Subject: a\r\n\r\na", "", T0);
    let mut session = Session::open(&endpoint, &login, &route::quick()).unwrap();
    session.examine("INBOX").unwrap();
    env.target
        .append(BOB, "INBOX", b"Subject: b\r\n\r\nb", "", T0);
    let (old, end) = session.uid_fetch("1:*", "(UID)", 0);
    end.unwrap();
    assert_eq!(old.len(), 1, "the hole: the old view is answered");
    // Opened anew, since the look above has told this session of the second message.
    session.examine("INBOX").unwrap();
    env.target
        .append(BOB, "INBOX", b"Subject: c\r\n\r\nc", "", T0);
    let look = session
        .look("INBOX", &[Asked::new("1:*", "(UID)", 0)], &[])
        .unwrap();
    assert_eq!(look.found.len(), 3);
}

#[test]
fn many_of_one_message_id_arrive_once_each_whatever_answers_are_lost() {
    let Some((mut env, proxy)) = plain_target() else {
        return;
    };
    env.set("connections", 5);
    for i in 0..10 {
        let mail =
            format!("Message-ID: <one@x>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\ntext {i}");
        env.source.plant(ALICE, mail.as_bytes(), "", T0 + i);
        let nameless = format!("Subject: x\r\n\r\nnameless {i}");
        env.source.plant(ALICE, nameless.as_bytes(), "", T0 + i);
    }
    // Each lost answer leaves one of them open while its likes wait.
    for _ in 0..10 {
        proxy.cut_before_reply(b"APPENDUID");
        if env.run().status == 0 && proxy.cuts() == 0 {
            break;
        }
    }
    env.run_until_done(2);
    env.assert_complete();
}
