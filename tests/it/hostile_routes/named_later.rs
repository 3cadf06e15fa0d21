//! A message whose name was not there when it was listed.

use super::found::{assert_held, from};
use super::oddity::Oddity;

/// github.com/zammad/zammad-admin-documentation/issues/568: Exchange lists a message that its scanner has in hand without
/// a Message-ID, and later with one. That is the same message, and no sign that the mailbox has new UIDs.
#[test]
fn a_message_that_gets_its_name_later_is_no_new_incarnation() {
    let odd = Oddity::plain();
    let first = odd.mail("the first");
    let notice = "From: Microsoft Exchange Server\r\nSubject: Retrieval using the IMAP4 protocol failed for the following message: 2\r\n\r\nno\r\n";
    odd.put(2, notice.as_bytes(), "14-Nov-2023 22:13:20 +0000");
    let env = from(&odd);
    assert_eq!(env.run().status, 3);
    let second =
        b"Message-ID: <2@odd>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\nthe second\r\n";
    odd.put(2, second, "14-Nov-2023 22:13:20 +0000");
    env.run_until_done(2);
    assert_held(&env, &[first, second.to_vec()]);
    let incarnations: i64 = env.one("SELECT count(*) FROM mailbox");
    assert_eq!(incarnations, 1, "{}", env.dump());
}
