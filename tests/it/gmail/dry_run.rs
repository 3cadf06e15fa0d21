//! The dry run beside the run that follows it: what it said is what comes.

use std::collections::BTreeMap;

use gmail_stand_in::{Fault, Mail, On, Use};

use crate::testkit::env::{DATE, TestEnv, mail};

const LATER: &str = "Wed, 15 Nov 2023 22:13:20 +0000";

/// What a dry run said.
struct Said {
    /// What would become of each message, by Message-ID and size.
    plans: Vec<(String, String)>,
    summary: String,
}

impl Said {
    fn count(&self, plan: &str) -> i64 {
        self.plans.iter().filter(|(p, _)| p == plan).count() as i64
    }

    #[track_caller]
    fn says(&self, sentence: &str) {
        let unwrapped = self.summary.replace("\n  ", " ");
        assert!(unwrapped.lines().any(|l| l == sentence), "{unwrapped}");
    }
}

fn dry(env: &TestEnv) -> Said {
    let before = env.target.messages().len();
    let ran = env.run_with(&["--dry-run", "--debug"]);
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(env.target.messages().len(), before);
    let is_plan = |line: &&str| {
        ["send ", "send? ", "found ", "known ", "refuse "]
            .iter()
            .any(|word| line.starts_with(word))
    };
    let plans = ran.out.lines().filter(is_plan).map(|line| {
        let (plan, rest) = line.split_once(' ').unwrap();
        let id = rest.split_once("UTC").unwrap().1.trim_start();
        (plan.to_string(), id.to_string())
    });
    let plans = plans.collect();
    let begin = ran.out.find("would send").unwrap();
    Said {
        plans,
        summary: ran.out[begin..].to_string(),
    }
}

/// How the rows ended: status or proof, and how many.
fn ended(env: &TestEnv) -> BTreeMap<String, i64> {
    let db = env.sql();
    let mut query = db
        .prepare("SELECT coalesce(proof, status), count(*) FROM message GROUP BY 1")
        .unwrap();
    query
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

/// What the dry run said of each message is what became of it, but for those of which only the bytes tell.
#[track_caller]
fn agrees(said: &Said, env: &TestEnv) {
    let ended = ended(env);
    let count = |proof: &str| ended.get(proof).copied().unwrap_or(0);
    // Found by its bytes, or put together by Gmail with another message of its name.
    let by_bytes = count("found") + count("same") - said.count("found");
    let merged = count("failed") - said.count("refuse");
    assert!(
        by_bytes >= 0 && merged >= 0 && by_bytes + merged <= said.count("send?"),
        "{ended:?}, {:?}",
        said.plans
    );
    assert_eq!(
        count("appended"),
        said.count("send") + said.count("send?") - by_bytes - merged,
        "{ended:?}, {:?}",
        said.plans
    );
    assert_eq!(count("imported"), said.count("known"), "{ended:?}");
}

#[test]
fn what_the_target_has_is_recognised_as_a_run_does() {
    let env = TestEnv::new();
    env.target.knobs(|k| k.append_limit = 5_000);
    env.mails(3);
    // By hand, in Spam, in Trash, and twice.
    for (id, place) in [("<hand@x>", "INBOX"), ("<spam@x>", ""), ("<trash@x>", "")] {
        let id = env.target.add(Mail::new(env.mail(id, "is there")));
        let moved = match place {
            "INBOX" => true,
            _ if env.target.messages().len().is_multiple_of(2) => env.target.spam(id),
            _ => env.target.trash(id),
        };
        assert!(moved);
    }
    let twice = env.mail("<twice@x>", "is there twice");
    env.target.add(Mail::new(&twice));
    env.target.add(Mail::new(&twice).in_mailbox("Work"));
    // Of the same name and another date: another message.
    env.mail("<dated@x>", "another");
    let other = mail("<dated@x>", LATER, "another");
    env.target.add(Mail::new(other));
    // Too big, and too big but there already.
    env.mail("<big@x>", &"x".repeat(6_000));
    let big = env.mail("<big.there@x>", &"x".repeat(7_000));
    env.target.add(Mail::new(big));
    // Without a name: one that is there, one that only might be by what is told of it.
    let nameless = env.mail("", "nameless, and there");
    env.target.add(Mail::new(nameless));
    env.mail("", "nameless, and not there");
    // The same bytes twice in the source, and two of one name with one copy.
    env.mail("<same@x>", "the same");
    env.mail("<same@x>", "the same");
    env.mail("<rivals@x>", "one of two");
    let rival = env.mail("<rivals@x>", "the other of two");
    env.target.add(Mail::new(rival));
    let said = dry(&env);
    assert_eq!(said.count("send"), 5, "{:?}", said.plans);
    assert_eq!(said.count("send?"), 5, "{:?}", said.plans);
    assert_eq!(said.count("found"), 5, "{:?}", said.plans);
    assert_eq!(said.count("refuse"), 1, "{:?}", said.plans);
    for (plan, id) in [
        ("found", "<hand@x>"),
        ("found", "<spam@x>"),
        ("found", "<trash@x>"),
        ("found", "<twice@x>"),
        ("found", "<big.there@x>"),
        ("send", "<dated@x>"),
        ("refuse", "6.1 kB  <big@x>: the message has 6"),
        ("send?", "no Message-ID"),
        ("send?", "<rivals@x>"),
        ("send?", "<same@x>"),
    ] {
        assert!(
            said.plans.iter().any(|(p, i)| p == plan && i.contains(id)),
            "{plan} {id}: {:?}",
            said.plans
        );
    }
    let text = &said.summary;
    assert!(text.starts_with("would send 5 to 10 messages ("), "{text}");
    said.says("5 messages are in the target already");
    said.says("1 message is bigger than the target takes, and would fail");
    let ran = env.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    agrees(&said, &env);
    // Another dry run has nothing to send, and says what failed.
    let said = dry(&env);
    assert_eq!(said.plans.len(), 0, "{:?}", said.plans);
    said.says("would send nothing to user@gmail.com");
    said.says("2 messages failed in an earlier run and would not be tried again: `imap-to-gmail status --failed` says why");
}

#[test]
fn what_the_predecessor_copied_is_known_to_it() {
    let env = TestEnv::new();
    env.mails(2);
    env.mail("<dup@x>", "the first of a name");
    env.mail("<dup@x>", "the second of a name");
    std::fs::write(
        env.dir.path().join("script.json"),
        r#"{"synced_message_ids": ["<0@example.org>", "<dup@x>", "<gone@x>"]}"#,
    )
    .unwrap();
    let ran = env.command(&["import-state", "script.json", "--config", "config.json"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let said = dry(&env);
    said.says("2 messages are known from the Python script: not sent again");
    env.run_until_done(1);
    agrees(&said, &env);
}

#[test]
fn what_an_earlier_run_left_behind_is_counted_as_it_ends() {
    let env = TestEnv::new();
    env.mail("<arrived@x>", "its answer was lost");
    env.target.fault(
        On::nth(1, "APPEND"),
        Fault::CutAfterLiteral { stored: true },
    );
    let mut run = env.spawn_for_good(&[]);
    crate::testkit::eventually("the message is in Gmail and nobody knows", || {
        env.target.messages().len() == 1
    });
    run.kill().unwrap();
    run.wait().unwrap();
    // Left in flight, and refused for now.
    let db = env.sql();
    db.execute_batch("UPDATE message SET status = 'in_flight', proof = NULL, delivered_at = NULL, gmail_uid = NULL, gmail_mailbox = NULL, gmail_uid_validity = NULL, gm_msgid = NULL, verified_at = NULL, in_flight_since = coalesce(in_flight_since, discovered_at), mark_id = NULL WHERE status <> 'in_flight'")
        .unwrap();
    drop(db);
    // Of the same name as what is in flight.
    env.source
        .add(Mail::new(mail("<arrived@x>", LATER, "later")));
    let said = dry(&env);
    said.says("1 message is left open by an earlier run: a run looks for that in the target first");
    assert_eq!(
        (said.count("found"), said.count("send")),
        (1, 1),
        "{:?}",
        said.plans
    );
    env.run_until_done(3);
    agrees(&said, &env);
    env.assert_complete();
}

#[test]
fn what_is_put_off_is_tried_by_a_run_and_counted_by_a_dry_one() {
    let env = TestEnv::new();
    env.mails(1);
    env.target.fault(
        On::each("APPEND"),
        Fault::Answer("NO [UNAVAILABLE] not now".into()),
    );
    env.run();
    assert_eq!(env.status()["pending"], 1, "{}", env.dump());
    let said = dry(&env);
    assert_eq!((said.count("send"), said.plans.len()), (1, 1));
}

#[test]
fn a_days_limit_holds_back_what_it_holds_back_in_a_run() {
    let mut env = TestEnv::new();
    for i in 0..6 {
        env.mail(&format!("<{i}@x>"), &"x".repeat(1_000));
    }
    let one = mail("<0@x>", DATE, &"x".repeat(1_000)).len();
    // There already: no byte of it counts.
    let there = env.mail("<there@x>", &"x".repeat(1_000));
    env.target.add(Mail::new(there));
    env.set("upload_limit_per_day", (4 * one + one / 2).to_string());
    let said = dry(&env);
    let text = said.summary.replace("\n  ", " ");
    assert!(
        text.contains("4 messages may go at once, the last of it goes after about a day"),
        "{text}"
    );
    assert_eq!(env.run().status, 3);
    assert_eq!(ended(&env)["appended"], 4, "{}", env.dump());
    assert_eq!(ended(&env)["found"], 1, "{}", env.dump());
    let said = dry(&env);
    assert!(
        said.summary.contains("0 messages may go"),
        "{}",
        said.summary
    );
}

#[test]
fn a_gmail_that_hides_where_copies_lie_is_asked_as_a_run_asks_it() {
    let env = TestEnv::new();
    env.target.knobs(|k| k.hidden = vec![Use::Trash]);
    let there = env.mail("<trash@x>", "thrown away");
    let id = env.target.add(Mail::new(there));
    assert!(env.target.trash(id));
    let said = dry(&env);
    assert_eq!(said.count("send"), 1, "{:?}", said.plans);
    env.run_until_done(1);
    agrees(&said, &env);
}
