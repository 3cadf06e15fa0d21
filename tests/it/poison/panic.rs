//! A worker of ours that breaks down over a message, each time.
//!
//! It is made to panic from outside: the program tells a logger each line of the protocol on the thread that says it, and
//! the logger of this test panics at the line that speaks of the message. So nothing in the program knows of the test,
//! and the panic strikes in the middle of a command, with every lock held that is held there.

use chrono::Utc;
use gmail_stand_in::Mail;
use imap_to_gmail::config::Config;
use imap_to_gmail::engine::{Ended, Engine};
use imap_to_gmail::ledger::Ledger;

use super::others_charged;
use crate::testkit::env::{DATE, TestEnv, mail};
use crate::testkit::{self, eventually, route};

const POISON: &str = "<poison@example.org>";
/// Its UID and its size, which nothing else has.
const UID: u32 = 777_777;
const SIZE: usize = 7_654;

/// Panics at these lines.
struct Panics;

impl log::Log for Panics {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = record.args().to_string();
        let fetch = line.contains(&UID.to_string()) && line.ends_with("BODY.PEEK[])");
        let append = line.contains("APPEND") && line.ends_with(&format!("{{{SIZE}}}"));
        if line.contains(" C: ") && (fetch || append) {
            std::panic::resume_unwind(Box::new("as the test wants it"));
        }
    }

    fn flush(&self) {}
}

fn with_panics() {
    log::set_logger(&Panics).unwrap();
    log::set_max_level(log::LevelFilter::Debug);
}

/// `run --once` in this process.
fn run(env: &TestEnv) -> Ended {
    let config = Config::load(&env.config_file(), Utc::now()).unwrap();
    let ledger = Ledger::open_or_create(&env.ledger_file(), true).unwrap();
    let engine = Engine::new(config, route::quick(), ledger).unwrap();
    engine.run_once().unwrap()
}

/// A process of its own: there is but one logger in each.
#[test]
fn it_is_found_out_and_given_up_and_the_rest_is_delivered() {
    testkit::alone(
        "poison::panic::it_is_found_out_and_given_up_and_the_rest_is_delivered",
        break_down_over_a_message,
    );
}

fn break_down_over_a_message() {
    with_panics();
    for at_fetch in [true, false] {
        let env = TestEnv::new();
        env.mails(30);
        let bare = mail(POISON, DATE, "").len();
        let text = "x".repeat(if at_fetch { 10 } else { SIZE - bare });
        let poison = Mail::new(mail(POISON, DATE, &text));
        let poison = if at_fetch { poison.uid(UID) } else { poison };
        env.source.add(poison);
        let left = Ended::Left {
            pending: 1,
            failed: 0,
        };
        assert_eq!(run(&env), left, "{}", env.dump());
        assert_eq!(env.held().len(), 30, "{}", env.dump());
        assert_eq!(others_charged(&env, POISON), 0, "{}", env.dump());
        let unseen: i64 = env.one("SELECT count(*) FROM message WHERE unseen > 0");
        assert_eq!(unseen, 0, "{}", env.dump());
        eventually("it is given up", || {
            run(&env);
            env.status()["failed"] == 1
        });
        let reason: String = env.one("SELECT last_error FROM message WHERE status = 'failed'");
        assert!(reason.contains("itself broke down"), "{reason}");
        assert_eq!(env.held().len(), 30, "{}", env.dump());
    }
}
