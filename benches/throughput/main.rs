//! How quickly mail is copied, what that takes, and how near it comes to the least that any copier needs (`floor`):
//! `cargo bench --bench throughput`. docs/speed.md explains the table that it prints.
//!
//! The program is its release build, with four connections. Both servers are Dovecots of its own, or, where there is no
//! Dovecot, stand-ins alone; before them lies a link that takes its time (`relay`). After each run the target must hold what
//! the source holds, to the byte.
//!
//! Arguments: `--runs N`, of which the one with the median time is shown (3); `--slow`, over a line that carries little to
//! the target, and nothing else; `--long`, 200,000 small messages once (or another number), and nothing else.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

mod client;
mod dovecot;
mod floor;
mod long;
mod mail;
mod program;
mod relay;
mod route;
mod table;

use std::collections::BTreeMap;
use std::time::Duration;

use gmail_stand_in::{Gmail, Options};

use client::Client;
use dovecot::{Dovecot, LIKE_GMAIL, PASSWORD};
use floor::Account;
use mail::{Content, Kind, corpus};
use program::Took;
use relay::{Link, Passed, Relay};
use route::Route;
use table::Row;

/// To the target; the source is half as far.
const FAR: Link = Link {
    round_trip: Duration::from_millis(40),
    uplink: None,
};
const NEAR: Link = Link {
    round_trip: Duration::ZERO,
    uplink: None,
};
/// What many a house in the country has.
const SLOW: Link = Link {
    round_trip: Duration::from_millis(40),
    uplink: Some(1_000_000),
};
const RUNS: usize = 3;
const LONG: usize = 200_000;

/// What is copied, and over which link.
type Work = (Kind, usize, Link);

const WORK: [Work; 5] = [
    (Kind::Mixed, 1000, FAR),
    (Kind::Small, 500, FAR),
    (Kind::Mixed, 1000, NEAR),
    (Kind::Small, 500, NEAR),
    (Kind::Small, 5000, NEAR),
];
const SLOW_WORK: [Work; 2] = [(Kind::Small, 500, SLOW), (Kind::Mixed, 100, SLOW)];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = args.iter().position(|a| a == floor::WORD) {
        return floor::main(&args[at + 1]);
    }
    let number = args.iter().find_map(|a| a.parse().ok());
    if args.iter().any(|a| a == "--long") {
        return long::main(number.unwrap_or(LONG));
    }
    let runs = if args.iter().any(|a| a == "--runs") {
        number.unwrap()
    } else {
        RUNS
    };
    table::head();
    if args.iter().any(|a| a == "--slow") {
        between_dovecots(&SLOW_WORK, 1);
    } else {
        between_stand_ins(500, runs);
        between_dovecots(&WORK, runs);
    }
    println!("\n{}", chrono::Utc::now().format("%Y-%m-%d"));
}

fn between_dovecots(all: &[Work], runs: usize) {
    if !dovecot::is_installed() {
        println!("\nDovecot is not installed: nothing was copied between two of them.");
        return;
    }
    let source = Dovecot::start("");
    let target = Dovecot::start(LIKE_GMAIL);
    let mut filled = BTreeMap::new();
    for (kind, count, link) in all {
        let user = name(*kind, *count);
        let expected = filled
            .entry(user.clone())
            .or_insert_with(|| fill(&source, &user, *kind, *count));
        let copied = Copied {
            source: source.account(&user),
            expected,
        };
        copy(&target, &copied, &Row::new(&user, *link), runs);
    }
    if let Some((user, expected)) = filled.last_key_value() {
        let copied = Copied {
            source: source.account(user),
            expected,
        };
        nothing_new(&target, &copied);
    }
}

fn name(kind: Kind, count: usize) -> String {
    let kind = match kind {
        Kind::Small => "small",
        Kind::Mixed => "mixed",
    };
    format!("{kind}{count}")
}

/// A mailbox and what it holds.
struct Copied<'a> {
    source: Account,
    expected: &'a [Content],
}

fn fill(source: &Dovecot, user: &str, kind: Kind, count: usize) -> Vec<Content> {
    let mut expected = Vec::with_capacity(count);
    let mails = corpus(kind, count).inspect(|mail| expected.push(mail.content()));
    Client::open(source.plain, &None, user, PASSWORD).fill_mailbox(mails);
    expected.sort_unstable();
    expected
}

/// A copy was made with everything in it as it was.
fn check(expected: &[Content], found: &[Content], what: &str) {
    assert_eq!(
        expected.len(),
        found.len(),
        "{what}: messages at the target"
    );
    let same = expected.iter().zip(found).filter(|(a, b)| a == b).count();
    assert_eq!(
        same,
        expected.len(),
        "{what}: messages that are as they were"
    );
}

/// Both ends of a copy, as they are seen over a link.
struct Ends {
    source: Account,
    target: Account,
    relays: Option<(Relay, Relay)>,
}

impl Ends {
    /// Where the link takes no time and nothing is to be counted, there is none.
    fn new(source: &Account, target: &Account, link: Link, counted: bool) -> Ends {
        let mut ends = Ends {
            source: source.clone(),
            target: target.clone(),
            relays: None,
        };
        if counted || !link.round_trip.is_zero() {
            let half_as_far = Link {
                round_trip: link.round_trip / 2,
                uplink: None,
            };
            let to_source = Relay::start(source.port, half_as_far);
            let to_target = Relay::start(target.port, link);
            ends.source.port = to_source.port;
            ends.target.port = to_target.port;
            ends.relays = Some((to_source, to_target));
        }
        ends
    }

    fn passed(&self) -> Option<(Passed, Passed)> {
        let (source, target) = self.relays.as_ref()?;
        Some((source.passed(), target.passed()))
    }
}

/// Copies by `floor` and by the program, `runs` times each, then once more to count.
fn copy(target: &Dovecot, copied: &Copied<'_>, row: &Row, runs: usize) {
    let count = copied.expected.len();
    let mut users = 0..;
    let mut user = |who: &str| {
        let (far, nth) = (row.link.round_trip.as_millis(), users.next().unwrap());
        format!("{}-{far}-{who}-{nth}", row.work)
    };
    let checked = |user: &str| {
        let found = Client::open(target.plain, &None, user, PASSWORD).contents();
        check(copied.expected, &found, user);
    };
    let (mut least, mut ours) = (Vec::new(), Vec::new());
    let mut least_passed = None;
    for _ in 0..runs {
        let to = user("floor");
        let ends = Ends::new(&copied.source, &target.account(&to), row.link, false);
        least.push(program::run(floor::command(&ends.source, &ends.target)));
        least_passed = ends.passed();
        checked(&to);
        let to = user("run");
        let ends = Ends::new(&copied.source, &target.account(&to), row.link, false);
        ours.push(program::run(
            Route::new(&ends.source, &ends.target).run_once(),
        ));
        checked(&to);
    }
    let to = user("counted");
    let before = target.commands();
    let ends = Ends::new(&copied.source, &target.account(&to), row.link, true);
    let route = Route::new(&ends.source, &ends.target);
    let fsyncs = program::fsyncs(&route.run_once(), &route.file("fsyncs"));
    let commands = since(&before, &target.commands());
    checked(&to);
    let least = median(least);
    row.floor(count, &least, least_passed);
    row.ours(count, &median(ours), &least, ends.passed(), fsyncs);
    row.commands(&commands);
}

fn since(before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let grown = |(name, n): (&String, &u64)| {
        let more = n - before.get(name).unwrap_or(&0);
        (more > 0).then(|| (name.clone(), more))
    };
    after.iter().filter_map(grown).collect()
}

fn median(mut runs: Vec<Took>) -> Took {
    runs.sort_by_key(|took| took.wall);
    runs[runs.len() / 2]
}

/// Copied near by, then run again from afar.
fn nothing_new(target: &Dovecot, copied: &Copied<'_>) {
    let account = target.account("again");
    let route = Route::new(&copied.source, &account);
    program::run(route.run_once());
    let ends = Ends::new(&copied.source, &account, FAR, false);
    route.configure(&ends.source, &ends.target);
    let took = program::run(route.run_once());
    let found = Client::open(target.plain, &None, "again", PASSWORD).contents();
    check(copied.expected, &found, "nothing new");
    table::nothing_new(copied.expected.len(), FAR, &took, ends.passed().unwrap());
}

/// Between a plain stand-in and one that plays Gmail.
fn between_stand_ins(count: usize, runs: usize) {
    let source = Gmail::start(Options::plain(
        "IMAP4rev1 LITERAL+ UIDPLUS IDLE SASL-IR AUTH=PLAIN NAMESPACE",
    ));
    let mut expected = Vec::new();
    for mail in corpus(Kind::Small, count) {
        expected.push(mail.content());
        let put = gmail_stand_in::Mail::new(&mail.bytes).at(mail.date.fixed_offset());
        let flags = mail.flags.split_ascii_whitespace();
        source.add(flags.fold(put, |put, flag| put.flag(flag)));
    }
    expected.sort_unstable();
    let row = Row::new(&format!("small{count}, stand-in"), FAR);
    let (mut least, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let target = Gmail::start(Options::default());
        let ends = Ends::new(&account(&source), &account(&target), FAR, false);
        least.push(program::run(floor::command(&ends.source, &ends.target)));
        check(&expected, &held(&target), "floor, stand-in");
        let target = Gmail::start(Options::default());
        let ends = Ends::new(&account(&source), &account(&target), FAR, false);
        ours.push(program::run(
            Route::new(&ends.source, &ends.target).run_once(),
        ));
        check(&expected, &held(&target), "stand-in");
    }
    let target = Gmail::start(Options::default());
    let ends = Ends::new(&account(&source), &account(&target), FAR, true);
    let route = Route::new(&ends.source, &ends.target);
    let fsyncs = program::fsyncs(&route.run_once(), &route.file("fsyncs"));
    check(&expected, &held(&target), "stand-in, counted");
    let least = median(least);
    row.floor(count, &least, None);
    row.ours(count, &median(ours), &least, ends.passed(), fsyncs);
    let mut commands: BTreeMap<String, u64> = BTreeMap::new();
    for line in target.transcript().client() {
        if !line.is_empty() && !line.starts_with('{') {
            let word = |n| line.split(' ').nth(n).unwrap_or_default();
            let name = match word(1) {
                "UID" => format!("UID {}", word(2)),
                other => other.to_string(),
            };
            *commands.entry(name).or_default() += 1;
        }
    }
    row.commands(&commands.into_iter().collect::<Vec<_>>());
}

fn account(stand_in: &Gmail) -> Account {
    Account {
        port: stand_in.port(),
        user: stand_in.account().into(),
        password: stand_in.password().into(),
        ca_file: stand_in.ca_file().display().to_string(),
    }
}

fn held(target: &Gmail) -> Vec<Content> {
    let content = |mail: &gmail_stand_in::Stored| {
        let flags: Vec<&str> = mail.flags.iter().map(String::as_str).collect();
        Content::new(&mail.bytes, mail.internal_date.timestamp(), &flags)
    };
    let mut held: Vec<Content> = target.messages().iter().map(content).collect();
    held.sort_unstable();
    held
}
