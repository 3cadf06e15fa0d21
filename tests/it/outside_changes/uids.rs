//! Numbers that change, jump and begin anew.

use gmail_stand_in::{Fault, Mail, On, Use};

use crate::testkit::env::{DATE, TestEnv, mail};

/// Deletes in Gmail what was delivered first: it must not come back.
fn owner_deletes_one(stage: &TestEnv) {
    let gone = stage.held()[0].id;
    stage.target.delete(gone);
}

fn held(stage: &TestEnv, count: usize) {
    assert_eq!(stage.held().len(), count, "{}", stage.dump());
}

#[test]
fn another_uidvalidity_also_a_smaller_one() {
    for validity in [70_000, 3] {
        let stage = TestEnv::new();
        stage.source.number_from("INBOX", 500, 90);
        stage.mails(6);
        stage
            .source
            .add(Mail::new(mail("", DATE, "without a name")));
        stage.run_until_done(1);
        owner_deletes_one(&stage);
        stage.source.renumber("INBOX", validity);
        stage.mail("<new@x>", "comes with the new numbers");
        stage.run_until_done(1);
        held(&stage, 7);
        assert_eq!(stage.target.transcript().commands("APPEND"), 8);
        let rows: i64 = stage.one(
            "SELECT count(*) FROM message WHERE superseded_by IS NULL AND status = 'delivered'",
        );
        assert_eq!(rows, 8, "{}", stage.dump());
    }
}

#[test]
fn again_and_again_and_back_to_the_first() {
    let stage = TestEnv::new();
    stage.mails(4);
    for (n, validity) in [9, 4, 9, 1].into_iter().enumerate() {
        stage.source.renumber("INBOX", validity);
        stage.mail(&format!("<new{n}@x>"), "one more each time");
        stage.run_until_done(1);
        held(&stage, 5 + n);
    }
    stage.assert_complete_but_superseded();
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
        let stage = TestEnv::new();
        stage.mails(5);
        stage.run_until_done(1);
        owner_deletes_one(&stage);
        let kept: Vec<Vec<u8>> = stage
            .source
            .messages()
            .into_iter()
            .map(|m| m.bytes)
            .collect();
        if remade {
            stage.source.delete_mailbox("INBOX");
            assert_eq!(stage.run().status, 4, "there is no INBOX");
            stage.source.create("INBOX");
        } else {
            for message in stage.source.messages() {
                stage.source.delete(message.id);
            }
        }
        assert_eq!(stage.run().status, 0);
        held(&stage, 4);
        // Some come back, as from a backup: the same bytes, of another day.
        for bytes in &kept[..3] {
            stage.source.add(Mail::new(bytes));
        }
        stage.mail("<new@x>", "new");
        stage.run_until_done(1);
        held(&stage, 5);
        assert_eq!(stage.target.transcript().commands("APPEND"), 6);
        stage.assert_complete_but_superseded();
    }
}

#[test]
fn a_mailbox_made_anew_under_its_old_uidvalidity() {
    let stage = TestEnv::new();
    stage.mails(5);
    stage.run_until_done(1);
    let (validity, _) = stage.source.uids("INBOX");
    for message in stage.source.messages() {
        stage.source.delete(message.id);
    }
    stage.source.number_from("INBOX", validity, 1);
    stage.mail("<new@x>", "under the number of another one");
    stage.run_until_done(1);
    held(&stage, 6);
    stage.assert_complete_but_superseded();
}

#[test]
fn numbers_that_jump_by_a_billion_up_to_the_end() {
    let stage = TestEnv::new();
    let add = |uid: u32| {
        let bytes = mail(&format!("<{uid}@x>"), DATE, "text");
        stage.source.add(Mail::new(bytes).uid(uid));
    };
    add(1);
    add(1_000_000_000);
    add(1_000_000_001);
    stage.run_until_done(1);
    held(&stage, 3);
    for (n, uid) in [2_000_000_000, 3_000_000_000, 4_294_967_293, 4_294_967_294]
        .into_iter()
        .enumerate()
    {
        add(uid);
        stage.run_until_done(1);
        held(&stage, 4 + n);
    }
    stage.assert_complete();
    let lines = stage.source.transcript().client().len();
    assert!(lines < 200, "{lines} commands");
}

#[test]
fn flags_are_those_of_the_moment_of_the_fetch() {
    let stage = TestEnv::new();
    stage.mail("<0@x>", "read meanwhile");
    let no = "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)";
    stage
        .target
        .fault(On::nth(1, "AUTHENTICATE"), Fault::Answer(no.into()));
    assert_eq!(stage.run().status, 4);
    let flags: String = stage.one("SELECT flags FROM message");
    assert_eq!(flags, "");
    let id = stage.source.messages()[0].id;
    stage.source.set_flags(id, &["\\Seen", "\\Flagged"]);
    stage.run_until_done(1);
    let there: Vec<String> = stage.held()[0].flags.iter().cloned().collect();
    assert_eq!(there, ["\\Flagged", "\\Seen"]);
    let flags: String = stage.one("SELECT flags FROM message");
    assert_eq!(flags, "\\Seen \\Flagged");
}

#[test]
fn a_target_renumbered_with_rows_in_flight() {
    for (stored, named) in [(true, true), (true, false), (false, true), (false, false)] {
        let stage = TestEnv::new();
        let all = stage.target.name_of(Use::All);
        for i in 0..30 {
            let other = mail(&format!("<{i}@gmail>"), DATE, "of other origin");
            stage.target.add(Mail::new(other));
        }
        stage.mails(3);
        stage.run_until_done(1);
        let id = if named { "<open@x>" } else { "" };
        stage.mail(id, "its end is not seen");
        stage
            .target
            .fault(On::nth(1, "APPEND"), Fault::CutAfterLiteral { stored });
        let no = "NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)";
        let locked = On::nth(2, "AUTHENTICATE").times(99);
        stage.target.fault(locked, Fault::Answer(no.into()));
        assert_eq!(stage.run().status, 4);
        assert_eq!(stage.status()["in_flight"], 1);
        stage.target.clear_faults();
        // Lower numbers than before the mark.
        let others = stage.target.messages();
        for other in others
            .iter()
            .filter(|m| m.bytes.windows(15).any(|w| w == b"of other origin"))
        {
            stage.target.delete(other.id);
        }
        stage.target.renumber(&all, 4_000);
        stage.target.renumber("INBOX", 4_001);
        let ran = stage.run();
        assert_eq!(ran.status, 0, "{stored} {named}: {}", ran.err);
        stage.assert_complete();
    }
}
