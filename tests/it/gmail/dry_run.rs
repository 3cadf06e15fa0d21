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

fn dry(stage: &TestEnv) -> Said {
    let before = stage.target.messages().len();
    let ran = stage.run_with(&["--dry-run", "--debug"]);
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(stage.target.messages().len(), before);
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
fn ended(stage: &TestEnv) -> BTreeMap<String, i64> {
    let db = stage.sql();
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
fn agrees(said: &Said, stage: &TestEnv) {
    let ended = ended(stage);
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
    let stage = TestEnv::new();
    stage.target.knobs(|k| k.append_limit = 5_000);
    stage.mails(3);
    // By hand, in Spam, in Trash, and twice.
    for (id, place) in [("<hand@x>", "INBOX"), ("<spam@x>", ""), ("<trash@x>", "")] {
        let id = stage.target.add(Mail::new(stage.mail(id, "is there")));
        let moved = match place {
            "INBOX" => true,
            _ if stage.target.messages().len().is_multiple_of(2) => stage.target.spam(id),
            _ => stage.target.trash(id),
        };
        assert!(moved);
    }
    let twice = stage.mail("<twice@x>", "is there twice");
    stage.target.add(Mail::new(&twice));
    stage.target.add(Mail::new(&twice).in_mailbox("Work"));
    // Of the same name and another date: another message.
    stage.mail("<dated@x>", "another");
    let other = mail("<dated@x>", LATER, "another");
    stage.target.add(Mail::new(other));
    // Too big, and too big but there already.
    stage.mail("<big@x>", &"x".repeat(6_000));
    let big = stage.mail("<big.there@x>", &"x".repeat(7_000));
    stage.target.add(Mail::new(big));
    // Without a name: one that is there, one that only might be by what is told of it.
    let nameless = stage.mail("", "nameless, and there");
    stage.target.add(Mail::new(nameless));
    stage.mail("", "nameless, and not there");
    // The same bytes twice in the source, and two of one name with one copy.
    stage.mail("<same@x>", "the same");
    stage.mail("<same@x>", "the same");
    stage.mail("<rivals@x>", "one of two");
    let rival = stage.mail("<rivals@x>", "the other of two");
    stage.target.add(Mail::new(rival));
    let said = dry(&stage);
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
    let ran = stage.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    agrees(&said, &stage);
    // Another dry run has nothing to send, and says what failed.
    let said = dry(&stage);
    assert_eq!(said.plans.len(), 0, "{:?}", said.plans);
    said.says("would send nothing to user@gmail.com");
    said.says("2 messages failed in an earlier run and would not be tried again: `imap-to-gmail status --failed` says why");
}

#[test]
fn what_the_predecessor_copied_is_known_to_it() {
    let stage = TestEnv::new();
    stage.mails(2);
    stage.mail("<dup@x>", "the first of a name");
    stage.mail("<dup@x>", "the second of a name");
    std::fs::write(
        stage.dir.path().join("script.json"),
        r#"{"synced_message_ids": ["<0@example.org>", "<dup@x>", "<gone@x>"]}"#,
    )
    .unwrap();
    let ran = stage.command(&["import-state", "script.json", "--config", "config.json"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let said = dry(&stage);
    said.says("2 messages are known from the Python script: not sent again");
    stage.run_until_done(1);
    agrees(&said, &stage);
}

#[test]
fn what_an_earlier_run_left_behind_is_counted_as_it_ends() {
    let stage = TestEnv::new();
    stage.mail("<arrived@x>", "its answer was lost");
    stage.target.fault(
        On::nth(1, "APPEND"),
        Fault::CutAfterLiteral { stored: true },
    );
    let mut run = stage.spawn_for_good(&[]);
    crate::testkit::eventually("the message is in Gmail and nobody knows", || {
        stage.target.messages().len() == 1
    });
    run.kill().unwrap();
    run.wait().unwrap();
    // Left in flight, and refused for now.
    let db = stage.sql();
    db.execute_batch("UPDATE message SET status = 'in_flight', proof = NULL, delivered_at = NULL, gmail_uid = NULL, gmail_mailbox = NULL, gmail_uid_validity = NULL, gm_msgid = NULL, verified_at = NULL, in_flight_since = coalesce(in_flight_since, discovered_at), mark_id = NULL WHERE status <> 'in_flight'")
        .unwrap();
    drop(db);
    // Of the same name as what is in flight.
    stage
        .source
        .add(Mail::new(mail("<arrived@x>", LATER, "later")));
    let said = dry(&stage);
    said.says("1 message is left open by an earlier run: a run looks for that in the target first");
    assert_eq!(
        (said.count("found"), said.count("send")),
        (1, 1),
        "{:?}",
        said.plans
    );
    stage.run_until_done(3);
    agrees(&said, &stage);
    stage.assert_complete();
}

#[test]
fn what_is_put_off_is_tried_by_a_run_and_counted_by_a_dry_one() {
    let stage = TestEnv::new();
    stage.mails(1);
    stage.target.fault(
        On::each("APPEND"),
        Fault::Answer("NO [UNAVAILABLE] not now".into()),
    );
    stage.run();
    assert_eq!(stage.status()["pending"], 1, "{}", stage.dump());
    let said = dry(&stage);
    assert_eq!((said.count("send"), said.plans.len()), (1, 1));
}

#[test]
fn a_days_limit_holds_back_what_it_holds_back_in_a_run() {
    let mut stage = TestEnv::new();
    for i in 0..6 {
        stage.mail(&format!("<{i}@x>"), &"x".repeat(1_000));
    }
    let one = mail("<0@x>", DATE, &"x".repeat(1_000)).len();
    // There already: no byte of it counts.
    let there = stage.mail("<there@x>", &"x".repeat(1_000));
    stage.target.add(Mail::new(there));
    stage.set("upload_limit_per_day", (4 * one + one / 2).to_string());
    let said = dry(&stage);
    let text = said.summary.replace("\n  ", " ");
    assert!(
        text.contains("4 messages may go at once, the last of it goes after about a day"),
        "{text}"
    );
    assert_eq!(stage.run().status, 3);
    assert_eq!(ended(&stage)["appended"], 4, "{}", stage.dump());
    assert_eq!(ended(&stage)["found"], 1, "{}", stage.dump());
    let said = dry(&stage);
    assert!(
        said.summary.contains("0 messages may go"),
        "{}",
        said.summary
    );
}

#[test]
fn a_gmail_that_hides_where_copies_lie_is_asked_as_a_run_asks_it() {
    let stage = TestEnv::new();
    stage.target.knobs(|k| k.hidden = vec![Use::Trash]);
    let there = stage.mail("<trash@x>", "thrown away");
    let id = stage.target.add(Mail::new(there));
    assert!(stage.target.trash(id));
    let said = dry(&stage);
    assert_eq!(said.count("send"), 1, "{:?}", said.plans);
    stage.run_until_done(1);
    agrees(&said, &stage);
}
