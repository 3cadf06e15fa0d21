//! A UIDNEXT that does not keep up.

use super::found::{assert_held, from};
use super::oddity::Oddity;

/// A sibling of github.com/chatmail/core/issues/2188 and github.com/rustmailer/bichon/issues/342 (UIDNEXT goes back, runs
/// ahead): more messages are told of, and UIDNEXT stays as it was.
#[test]
fn mail_is_found_though_uidnext_stays_behind() {
    let odd = Oddity::new(|talk, tag, command| {
        let examine = command.starts_with("EXAMINE");
        if examine {
            let count = talk.mails().len();
            talk.say(format!(
                "* {count} EXISTS\r\n* OK [UIDVALIDITY 1] .\r\n* OK [UIDNEXT 2] .\r\n{tag} OK open\r\n"
            ));
        }
        examine
    });
    let mut mails = vec![odd.mail("one")];
    let env = from(&odd);
    env.run_until_done(1);
    mails.push(odd.mail("another"));
    env.run_until_done(1);
    assert_held(&env, &mails);
    let incarnations: i64 = env.one("SELECT count(*) FROM mailbox");
    assert_eq!(incarnations, 1, "{}", env.dump());
}
