//! Servers that lie, break off or let nobody in: nothing is believed that was not counted, and nothing is called lost that was
//! not looked for.

use gmail_stand_in::{Fault, Harm, Mail, On, Reach, Refusal};

use super::{audit, copy_of, let_an_hour_pass, put, stored};
use crate::testkit::env::{SOURCE, TestEnv};
use crate::testkit::eventually;

fn said(env: &TestEnv) -> (i32, String) {
    let ran = env.command(&["audit", "--config", "config.json"]);
    (ran.status, format!("{}{}", ran.out, ran.err))
}

/// Of the source, `hostile_routes::audited` has the same.
#[test]
fn a_list_of_the_target_that_leaves_out_messages_is_not_believed() {
    let env = TestEnv::new();
    for name in ["a", "b", "c"] {
        put(&env, name);
    }
    env.run_until_done(1);
    let_an_hour_pass(&env);
    env.target
        .poison(copy_of(&env, "b"), Reach::Anything, Harm::Silence);
    let (status, said) = said(&env);
    assert_eq!(status, 1, "{said}");
    assert!(
        said.contains("the target tells of 2 of 3 messages"),
        "{said}"
    );
    env.target.cure(copy_of(&env, "b"));
    assert_eq!(audit(&env).status, 0);
}

/// A message that does not tell its size is there all the same; one that does not tell its date too.
#[test]
fn what_tells_nothing_but_its_uid_is_there() {
    let mut env = TestEnv::new();
    env.set("since", "30d");
    for name in ["a", "b"] {
        put(&env, name);
    }
    env.run_until_done(1);
    env.source
        .poison(stored(&env.source, "b"), Reach::Anything, Harm::Silence);
    let found = audit(&env);
    found.has(&[("delivered", 2)]);
    assert_eq!(found.status, 0);
}

#[test]
fn connections_that_break_off_are_begun_anew() {
    let env = TestEnv::new();
    env.mails(30);
    env.run_until_done(1);
    for server in [&env.source, &env.target] {
        for line in [3, 8, 20] {
            server.cut_at_line(line);
            let found = audit(&env);
            found.has(&[("delivered", 30)]);
            server.clear_faults();
        }
    }
    // One that always breaks off is said to.
    env.source.fault(On::each("FETCH"), Fault::CutBefore);
    let found = audit(&env);
    assert_eq!(found.status, 1, "{:#}", found.route);
    env.source.clear_faults();
    env.target.fault(On::each("FETCH"), Fault::CutBefore);
    assert_eq!(said(&env).0, 1);
}

#[test]
fn whoever_is_not_let_in_is_told_so() {
    let env = TestEnv::new();
    env.mails(1);
    env.run_until_done(1);
    env.target.refuse_login(Refusal::InvalidCredentials, 9);
    let (status, words) = said(&env);
    assert_eq!(status, 4, "{words}");
    env.target.clear_faults();
    env.target.refuse_login(Refusal::TooManyConnections, 9);
    let (status, words) = said(&env);
    assert_eq!(status, 1, "{words}");
    env.target.clear_faults();
    assert_eq!(audit(&env).status, 0);
}

/// A message whose name nobody can read may be the one that is missing.
#[test]
fn what_cannot_be_read_may_be_what_is_missing() {
    let env = TestEnv::new();
    for name in ["aa", "bb"] {
        put(&env, name);
    }
    put(&env, "of-another-size");
    env.run_until_done(1);
    let_an_hour_pass(&env);
    for name in ["aa", "of-another-size"] {
        env.target.delete(copy_of(&env, name));
    }
    // Somebody brought it back.
    let bytes = env.source.message(stored(&env.source, "aa")).unwrap().bytes;
    let back = env.target.add(Mail::new(bytes));
    audit(&env).has(&[("delivered", 2), ("deleted", 1)]);
    for harm in [
        Harm::Cut,
        Harm::Silence,
        Harm::Answer("NO [CANNOT] broken".into()),
    ] {
        env.target.poison(back, Reach::Header, harm.clone());
        let found = audit(&env);
        found.has(&[("delivered", 1), ("deleted", 1), ("out_of_sight", 1)]);
        assert_eq!(found.listed()["aa"], "out_of_sight", "{harm:?}");
    }
}

/// What is moved while we look is looked for once more.
#[test]
fn what_is_taken_out_of_trash_meanwhile_is_not_called_lost() {
    let env = TestEnv::new();
    put(&env, "moved");
    env.run_until_done(1);
    let_an_hour_pass(&env);
    let id = copy_of(&env, "moved");
    env.target.trash(id);
    // All Mail has been listed, and Trash is about to be: signing in once more takes longer than moving it.
    env.target
        .knobs(|k| k.round_trip = std::time::Duration::from_millis(200));
    let trash = On::nth(1, "EXAMINE").line_with("Trash");
    let hits = env.target.fault(trash, Fault::CutBefore);
    let found = std::thread::scope(|scope| {
        let look = scope.spawn(|| audit(&env));
        eventually("Trash is about to be listed", || hits.count() > 0);
        env.target.restore(id);
        look.join().unwrap()
    });
    found.has(&[("delivered", 1)]);
}

/// More messages than one command lists, and no UIDNEXT.
#[test]
fn a_long_list_is_asked_for_in_pieces() {
    let env = TestEnv::build()
        .source(gmail_stand_in::Options::plain(SOURCE))
        .start();
    env.mails(50);
    env.run_until_done(1);
    let n = 6000;
    for i in 0..n {
        env.source
            .add(Mail::new(format!("Message-ID: <{i}@long>\r\n\r\n{i}\r\n")));
    }
    audit(&env).has(&[("delivered", 50), ("unrecorded", n)]);
    let text = env.command(&["audit", "--config", "config.json"]).out;
    assert!(
        text.contains("and 5,950 more: `--all` lists each"),
        "{text}"
    );
    assert_eq!(text.lines().filter(|l| l.contains("@long>")).count(), 50);
    let all = env
        .command(&["audit", "--config", "config.json", "--all"])
        .out;
    assert_eq!(
        all.lines().filter(|l| l.contains("  unrecorded  ")).count(),
        n as usize
    );
}
