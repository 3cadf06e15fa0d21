//! What it costs to watch many mailboxes in which nothing happens: a few round trips for each look, however many there
//! are, and no session but two at the source.

use gmail_stand_in::{Gmail, Transcript};

use super::{comes_with, put, quiet};
use crate::testkit::env::TestEnv;
use crate::testkit::eventually;
use crate::testkit::tree_env::{MANY, Running, source_with};

/// So many looks are counted together.
const LOOKS: usize = 3;
/// Round trips of one look: LIST with STATUS, what ends the IDLE before it and what begins the next one, and something
/// to spare.
const FEW: usize = 6;

struct Watched {
    _running: Running,
    env: TestEnv,
}

/// The name of one of them.
fn name(n: usize) -> String {
    format!("Ordner {}/Nummer {n}", n % 10)
}

/// The program watches so many mailboxes, some of them with a message, in which nothing happens any more.
fn watched(capabilities: &str, count: usize) -> Watched {
    let env = TestEnv::of_all(source_with(capabilities));
    put(&env.source, "in-inbox", &["INBOX"]);
    for n in 1..count {
        env.source.create(&name(n));
    }
    let filled: Vec<usize> = (1..count).step_by(20).collect();
    for n in &filled {
        put(&env.source, &format!("in-{n}"), &[&name(*n)]);
    }
    let running = Running::start(&env);
    quiet(&env, 1 + filled.len() as u64);
    // The first look at so many takes a while.
    let known = "SELECT count(*) FROM mailbox WHERE history_done";
    eventually("all were looked at", || env.one::<usize>(known) >= count);
    Watched {
        _running: running,
        env,
    }
}

/// How often the source was asked about all of its mailboxes.
fn looks(said: &Transcript) -> usize {
    let all = said.client();
    all.iter().filter(|line| line.contains(" LIST ")).count()
}

/// What was said in some looks, from the beginning of one to the beginning of another.
fn some_looks(source: &Gmail) -> Transcript {
    let begun = looks(&source.transcript());
    eventually("it looks once more", || looks(&source.transcript()) > begun);
    let from = source.lines();
    eventually("and again", || {
        looks(&source.transcript().after(from)) >= LOOKS
    });
    source.transcript().after(from)
}

fn costs_little(capabilities: &str, count: usize) {
    let watched = watched(capabilities, count);
    let said = some_looks(&watched.env.source);
    let trips = said.flights();
    // More of them where this thread was held up.
    let looks = looks(&said);
    println!("{count} mailboxes, `{capabilities}`: {trips} round trips in {looks} looks");
    assert!(looks >= LOOKS, "{said}");
    // Five hundred STATUS are not sent in one go.
    let few = FEW + count / 100;
    // On a busy machine the transcript begins within one look and ends within another.
    assert!(
        trips <= few * (looks + 1),
        "{trips} round trips for {looks} looks\n{said}"
    );
    let opened = said.commands("EXAMINE");
    assert!(
        opened <= looks * 2,
        "{opened} mailboxes were opened\n{said}"
    );
    assert!(watched.env.source.signed_in() <= 2);
    // And it does not miss what happens.
    let name = name(count - 7);
    let mail = put(&watched.env.source, "new", &[&name]);
    comes_with(&watched.env.target, &mail, &[&name]);
}

#[test]
fn forty_mailboxes_that_are_listed_with_their_status() {
    costs_little(MANY, 40);
}

#[test]
fn five_hundred_mailboxes_that_are_listed_with_their_status() {
    costs_little(MANY, 500);
}

#[test]
fn forty_mailboxes_that_are_asked_for_one_by_one() {
    costs_little("", 40);
}

#[test]
fn five_hundred_mailboxes_that_are_asked_for_one_by_one() {
    costs_little("", 500);
}

#[test]
fn five_hundred_mailboxes_of_a_server_that_tells_by_itself() {
    costs_little(&format!("{MANY} NOTIFY"), 500);
}
