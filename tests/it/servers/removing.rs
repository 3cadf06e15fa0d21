//! A server as the account that is read, with `after_delivery`: what was delivered is deleted there, or moved, in the way that
//! the server offers; what is flagged stays, and nothing is sent twice afterwards.

use std::time::Instant;

use gmail_stand_in::{Gmail, Options};
use serde_json::json;

use super::report::{Report, Row};
use super::server::Server;
use crate::testkit::env::{DATE, mail};
use crate::testkit::route::Route;
use crate::testkit::unix_now;

const USER: &str = "alice";
const MAILS: usize = 40;

/// What each row shows.
pub(crate) const COLUMNS: [&str; 5] = ["server", "mails", "MOVE", "UIDPLUS", "took"];

/// Tries one server.
pub(crate) fn removed(server: Box<dyn Server>) -> Report {
    let mut report = Report::default();
    let who = server.name();
    let mut faults = Vec::new();
    let mut fault = |text: String| faults.push(format!("{who} as source: {text}"));
    let mut offered = server.client(USER).command("CAPABILITY");
    let offered: String = offered
        .drain(..)
        .map(|line| line.line().to_string())
        .collect();
    let offers = |capability: &str| offered.split_whitespace().any(|word| word == capability);
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
    }));
    server.enter(&mut route, "source");
    let begun = Instant::now();
    let date = i64::try_from(unix_now()).unwrap();
    for (round, wish) in [json!("delete"), json!({"move_to": "Copied"})]
        .iter()
        .enumerate()
    {
        for n in 0..MAILS {
            let id = format!("<{round}.{n}@example.org>");
            let bytes = mail(&id, DATE, &"a line of text\r\n".repeat(n));
            let flags = if n == 7 { "\\Flagged" } else { "" };
            let added = server.client(USER).append("INBOX", &bytes, flags, date);
            assert!(added.unwrap().is_ok());
        }
        route.set("after_delivery", wish.clone());
        let ran = route.run();
        let (left, held) = (server.served(USER).len(), target.messages().len());
        // One flagged one of each round.
        if (ran.status, left, held) != (0, round + 1, (round + 1) * MAILS) {
            fault(format!(
                "status {}, {left} left, {held} in Gmail after {wish}\n{}\n{}",
                ran.status,
                ran.err,
                route.dump()
            ));
        }
    }
    let name = if who.starts_with("Courier") {
        "INBOX.Copied"
    } else {
        "Copied"
    };
    let status = server
        .client(USER)
        .command(&format!("STATUS {name} (MESSAGES)"));
    let told: String = status.iter().map(|line| line.line().to_string()).collect();
    if !told.contains(&format!("MESSAGES {}", MAILS - 1)) {
        fault(format!("moved: {told}"));
    }
    let again = route.run();
    let incarnations: i64 = route.one("SELECT count(*) FROM mailbox");
    if (again.status, target.messages().len(), incarnations) != (0, 2 * MAILS, 1) {
        fault(format!("sent again, or another mailbox: {}", again.err));
    }
    let yes = |offered| if offered { "yes" } else { "no" }.to_string();
    report.rows.push(Row::of([
        who.to_owned(),
        (2 * MAILS).to_string(),
        yes(offers("MOVE")),
        yes(offers("UIDPLUS")),
        format!("{:.1} s", begun.elapsed().as_secs_f64()),
    ]));
    report.faults.extend(faults);
    report.finish(&format!("{who} as source"), &again.err, &*server);
    report
}
