//! A target that changes what it is sent: Dovecot drops the CRs before a CRLF.

use gmail_stand_in::{Gmail, Mail, Options};

use crate::testkit::dovecot::{self, Dovecot};
use crate::testkit::dovecot_env::BOB;
use crate::testkit::env::SOURCE;
use crate::testkit::route::{Account, Route};

#[test]
fn line_ends_that_dovecot_changes_are_told_of_once() {
    if !dovecot::available() {
        return;
    }
    let source = Gmail::start(Options::plain(SOURCE));
    let target = Dovecot::build().start();
    let route = Route::between(Account::on(&source), Account::on_dovecot(&target, BOB));
    for (n, end) in ["\r\r\n", "\r\n", "\r\r\n"].into_iter().enumerate() {
        source.add(Mail::new(format!(
            "Message-ID: <{n}@example.org>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\none{end}two\r\n"
        )));
    }
    let ran = route.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(target.mailbox(BOB, "INBOX").len(), 3);
    let sent: Vec<Vec<u8>> = source.messages().into_iter().map(|m| m.bytes).collect();
    let held = target.mailbox(BOB, "INBOX");
    let changed = held.iter().filter(|m| !sent.contains(&m.bytes)).count();
    assert_eq!(changed, 2, "Dovecot keeps them");
    let altered: i64 = route.one("SELECT sum(altered) FROM message WHERE status = 'delivered'");
    assert_eq!(altered, 2, "{}", route.dump());
    let told = ran.err.matches("does not keep line ends as sent").count();
    assert_eq!(told, 1, "{}", ran.err);
}
