//! Numbers that change, jump and begin anew.

use gmail_stand_in::{Fault, Mail, On, Use};

use crate::testkit::env::{DATE, TestEnv, mail};

/// Deletes in Gmail what was delivered first: it must not come back.
fn owner_deletes_one(env: &TestEnv) {
    let gone = env.held()[0].id;
    env.target.delete(gone);
}

fn held(env: &TestEnv, count: usize) {
    assert_eq!(env.held().len(), count, "{}", env.dump());
}

#[test]
fn another_uidvalidity_also_a_smaller_one() {
    for validity in [70_000, 3] {
        let env = TestEnv::new();
        env.source.number_from("INBOX", 500, 90);
        env.mails(6);
        env.source.add(Mail::new(mail("", DATE, "without a name")));
        env.run_until_done(1);
        owner_deletes_one(&env);
        env.source.renumber("INBOX", validity);
        env.mail("<new@x>", "comes with the new numbers");
        env.run_until_done(1);
        held(&env, 7);
        assert_eq!(env.target.transcript().commands("APPEND"), 8);
        let rows: i64 = env.one(
            "SELECT count(*) FROM message WHERE superseded_by IS NULL AND status = 'delivered'",
        );
        assert_eq!(rows, 8, "{}", env.dump());
    }
}

#[test]
fn again_and_again_and_back_to_the_first() {
    let env = TestEnv::new();
    env.mails(4);
    for (n, validity) in [9, 4, 9, 1].into_iter().enumerate() {
        env.source.renumber("INBOX", validity);
        env.mail(&format!("<new{n}@x>"), "one more each time");
        env.run_until_done(1);
        held(&env, 5 + n);
    }
    env.assert_complete_but_superseded();
}

impl TestEnv {
    fn assert_complete_but_superseded(&self) {
        let open: i64 = self.one(
            "SELECT count(*) FROM message WHERE status <> 'delivered' AND superseded_by IS NULL",
        );
        assert_eq!(open, 0, "{}", self.dump());
    }
}

#[test]
fn a_mailbox_that_was_emptied_or_made_anew() {
    for remade in [true, false] {
        let env = TestEnv::new();
        env.mails(5);
        env.run_until_done(1);
        owner_deletes_one(&env);
        let kept: Vec<Vec<u8>> = env.source.messages().into_iter().map(|m| m.bytes).collect();
        if remade {
            env.source.delete_mailbox("INBOX");
            assert_eq!(env.run().status, 4, "there is no INBOX");
            env.source.create("INBOX");
        } else {
            for message in env.source.messages() {
                env.source.delete(message.id);
            }
        }
        assert_eq!(env.run().status, 0);
        held(&env, 4);
        // Some come back, as from a backup: the same bytes, of another day.
        for bytes in &kept[..3] {
            env.source.add(Mail::new(bytes));
        }
        env.mail("<new@x>", "new");
        env.run_until_done(1);
        held(&env, 5);
        assert_eq!(env.target.transcript().commands("APPEND"), 6);
        env.assert_complete_but_superseded();
    }
}

#[test]
fn a_mailbox_made_anew_under_its_old_uidvalidity() {
    let env = TestEnv::new();
    env.mails(5);
    env.run_until_done(1);
    let (validity, _) = env.source.uids("INBOX");
    for message in env.source.messages() {
        env.source.delete(message.id);
    }
    env.source.number_from("INBOX", validity, 1);
    env.mail("<new@x>", "under the number of another one");
    env.run_until_done(1);
    held(&env, 6);
    env.assert_complete_but_superseded();
}

#[test]
fn numbers_that_jump_by_a_billion_up_to_the_end() {
    let env = TestEnv::new();
    let add = |uid: u32| {
        let bytes = mail(&format!("<{uid}@x>"), DATE, "text");
        env.source.add(Mail::new(bytes).uid(uid));
    };
    add(1);
    add(1_000_000_000);
    add(1_000_000_001);
    env.run_until_done(1);
    held(&env, 3);
    for (n, uid) in [2_000_000_000, 3_000_000_000, 4_294_967_293, 4_294_967_294]
        .into_iter()
        .enumerate()
    {
        add(uid);
        env.run_until_done(1);
        held(&env, 4 + n);
    }
    env.assert_complete();
    let lines = env.source.transcript().client().len();
    assert!(lines < 200, "{lines} commands");
}

#[test]
fn flags_are_those_of_the_moment_of_the_fetch() {
    let env = TestEnv::new();
    env.mail("<0@x>", "read meanwhile");
    let no = "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)";
    env.target
        .fault(On::nth(1, "AUTHENTICATE"), Fault::Answer(no.into()));
    assert_eq!(env.run().status, 4);
    let flags: String = env.one("SELECT flags FROM message");
    assert_eq!(flags, "");
    let id = env.source.messages()[0].id;
    env.source.set_flags(id, &["\\Seen", "\\Flagged"]);
    env.run_until_done(1);
    let there: Vec<String> = env.held()[0].flags.iter().cloned().collect();
    assert_eq!(there, ["\\Flagged", "\\Seen"]);
    let flags: String = env.one("SELECT flags FROM message");
    assert_eq!(flags, "\\Seen \\Flagged");
}

#[test]
fn a_target_renumbered_with_rows_in_flight() {
    for (stored, named) in [(true, true), (true, false), (false, true), (false, false)] {
        let env = TestEnv::new();
        let all = env.target.name_of(Use::All);
        for i in 0..30 {
            let other = mail(&format!("<{i}@gmail>"), DATE, "of other origin");
            env.target.add(Mail::new(other));
        }
        env.mails(3);
        env.run_until_done(1);
        let id = if named { "<open@x>" } else { "" };
        env.mail(id, "its end is not seen");
        env.target
            .fault(On::nth(1, "APPEND"), Fault::CutAfterLiteral { stored });
        let no = "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)";
        let locked = On::nth(2, "AUTHENTICATE").times(99);
        env.target.fault(locked, Fault::Answer(no.into()));
        assert_eq!(env.run().status, 4);
        assert_eq!(env.status()["in_flight"], 1);
        env.target.clear_faults();
        // Lower numbers than before the mark.
        let others = env.target.messages();
        for other in others
            .iter()
            .filter(|m| m.bytes.windows(15).any(|w| w == b"of other origin"))
        {
            env.target.delete(other.id);
        }
        env.target.renumber(&all, 4_000);
        env.target.renumber("INBOX", 4_001);
        let ran = env.run();
        assert_eq!(ran.status, 0, "{stored} {named}: {}", ran.err);
        env.assert_complete();
    }
}
