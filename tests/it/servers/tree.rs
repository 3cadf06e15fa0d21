//! A server as the account that is read, with a tree of mailboxes and mail that lies in several of them: all of it is in
//! Gmail once, with the labels of all mailboxes that serve it, and new mail arrives also where nobody idles.

use std::time::Instant;

use gmail_stand_in::{Gmail, Options, Stored};
use serde_json::json;

use super::daemon::Daemon;
use super::filling::until;
use super::report::{Report, Row};
use super::server::Server;
use crate::testkit::imap::{self, Client};
use crate::testkit::labels::{Dues, Goes, same_name};
use crate::testkit::route::Route;
use crate::testkit::tree::{COURIER, NAMES, Names, SLASH, Tree};

const USER: &str = "alice";
const MAILS: usize = 400;
const SHARED: usize = 60;

/// What each row shows.
pub(crate) const COLUMNS: [&str; 4] = ["server", "mailboxes", "mails", "took"];

/// Tries one server.
pub(crate) fn whole(server: Box<dyn Server>) -> Report {
    let mut report = Report::default();
    let who = server.name();
    let Some(tree) = Tree::of(MAILS, SHARED) else {
        return report;
    };
    let names = if who.starts_with("Courier") {
        COURIER
    } else {
        SLASH
    };
    tree.append(&mut server.client(USER), names);
    // Servers change what they are given: what they hand over is what has to arrive.
    let dues = served(&mut server.client(USER), names);

    let target = Gmail::start(Options::default());
    let mut route = Route::new(json!({
        "source_server": "localhost",
        "source_user": USER,
        "source_pass": "pw",
        "target_server": "localhost",
        "target_port": target.port(),
        "target_ca_file": target.ca_file(),
        "target_user": target.account(),
        "target_pass": target.password(),
        "since": "all",
        "folders": ["*"],
        // Cyrus and Dovecot make these by themselves.
        "exclude": ["\\Sent", "\\Drafts", "\\Junk", "\\Trash", "\\Archive"],
    }));
    server.enter(&mut route, "source");
    let daemon = Daemon::start(&route, &[]);
    // Behind the start: before it the program is built.
    let begun = Instant::now();
    let done = until(|| dues.are_met(&target));
    let took = begun.elapsed();
    let mut fault = |text: String| report.faults.push(format!("{who} as source: {text}"));
    if !done {
        fault(format!("not done:\n{}", dues.findings(&target).told()));
    }
    let late = b"Subject: late\r\nMessage-ID: <late@example.org>\r\n\r\nlate\r\n";
    let date = i64::try_from(crate::testkit::unix_now()).unwrap();
    let reply = server
        .client(USER)
        .append(&names.wire("日本語/旅行"), late, "", date);
    assert!(reply.unwrap().is_ok());
    let bears =
        |m: &Stored| m.bytes.starts_with(b"Subject: late") && m.labels.contains("日本語/旅行");
    if !until(|| target.messages().iter().any(bears)) {
        fault("what came into a mailbox that nobody idles in never arrived".into());
    }
    let log = daemon.log();
    let ended = daemon.end();
    if ended != Some(0) {
        fault(format!("it ended with {ended:?}"));
    }
    report.rows.push(Row::of([
        who.to_owned(),
        NAMES.len().to_string(),
        MAILS.to_string(),
        format!("{:.1} s", took.as_secs_f64()),
    ]));
    report.finish(&format!("{who} as source"), &log, &*server);
    report
}

/// What the mailboxes of the tree hand over.
fn served(client: &mut Client, names: Names) -> Dues {
    let mut dues = Dues::default();
    for name in NAMES.into_iter().filter(|name| names.have(name)) {
        client.command(&format!("EXAMINE {}", imap::quoted(&names.wire(name))));
        if client
            .command("UID SEARCH ALL")
            .iter()
            .all(|found| found.line().trim() == "* SEARCH")
        {
            continue;
        }
        for answer in client.command("UID FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[])") {
            let Some(items) = answer
                .fetch_items()
                .filter(|items| items.contains_key("BODY[]"))
            else {
                continue;
            };
            let mut flags = items["FLAGS"].texts();
            flags.retain(|flag| ["\\Seen", "\\Answered", "\\Flagged"].contains(&&**flag));
            let date = imap::unix_time(&items["INTERNALDATE"].text());
            let goes: Goes = same_name(name).unwrap();
            dues.add(
                &items["BODY[]"].bytes(),
                date,
                flags.into_iter().collect(),
                goes,
            );
        }
    }
    dues
}
