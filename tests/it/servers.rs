//! The program as people have it against the servers that people have: its release build with its real intervals, as a
//! daemon; Dovecot 2.3 and 2.4, Cyrus and Courier, on ports of their own. `tests/chroots.sh` makes the folders for those that
//! are not installed.
//!
//! Which servers are tried, and whether the protocol is kept, the environment says: see tests/README.md.

mod arriving;
mod chroot;
mod courier;
mod cyrus;
mod daemon;
mod dovecot;
mod filling;
mod pulse;
mod removing;
mod report;
mod server;
mod tree;

use std::thread;

use report::Report;
use server::Server;

type Start = fn() -> Option<Box<dyn Server>>;

/// Each server with the words it is chosen by.
const SERVERS: [(&str, Start); 6] = [
    ("dovecot 2.3 maildir", || {
        dovecot::Installed::start("maildir")
    }),
    ("dovecot 2.3 sdbox", || dovecot::Installed::start("sdbox")),
    ("dovecot 2.4", dovecot::Newer::start),
    ("cyrus", cyrus::Cyrus::start),
    ("courier", courier::Courier::start),
    ("courier-pop", courier::Courier::start_never_selected),
];

#[test]
#[ignore = "six servers with the program's real intervals: a minute"]
fn new_mail_is_at_once_from_every_server() {
    let report = try_each(|_| true, arriving::at_once);
    report.print(&report::LATENCIES);
    assert!(report.faults.is_empty(), "{}", report.faults.join("\n"));
}

#[test]
#[ignore = "four servers, and half a minute until what a kill left open is believed absent"]
fn every_server_takes_each_message_once() {
    let wanted = |name: &str| !["dovecot 2.3 sdbox", "courier-pop"].contains(&name);
    let report = try_each(wanted, filling::once_each);
    report.print(&filling::COLUMNS);
    assert!(report.faults.is_empty(), "{}", report.faults.join("\n"));
}

#[test]
#[ignore = "five servers, each with forty mailboxes: a minute"]
fn every_mailbox_of_every_server_is_copied() {
    let report = try_each(|name| name != "courier-pop", tree::whole);
    report.print(&tree::COLUMNS);
    assert!(report.faults.is_empty(), "{}", report.faults.join("\n"));
}

#[test]
#[ignore = "five servers: half a minute"]
fn what_was_delivered_is_removed_at_every_server() {
    let report = try_each(|name| name != "courier-pop", removing::removed);
    report.print(&removing::COLUMNS);
    assert!(report.faults.is_empty(), "{}", report.faults.join("\n"));
}

/// All servers together: most of the time is waited.
fn try_each(wanted: fn(&str) -> bool, trial: fn(Box<dyn Server>) -> Report) -> Report {
    let chosen = std::env::var("SERVERS").unwrap_or_default();
    let chosen = |name: &str| chosen.split(',').any(|word| name.contains(word));
    let mut all = Report::default();
    thread::scope(|scope| {
        let trials: Vec<_> = SERVERS
            .iter()
            .filter(|(name, _)| chosen(name) && wanted(name))
            .map(|(name, start)| (name, scope.spawn(|| start().map(trial))))
            .collect();
        for (name, trial) in trials {
            match trial.join() {
                Ok(Some(report)) => all.add(report),
                Ok(None) => {}
                Err(_) => all
                    .faults
                    .push(format!("{name}: the trial broke off, see above")),
            }
        }
    });
    all
}
