//! Whether the source tells of new mail, judged by more than one mail.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::found::{Running, from, held};
use super::oddity::Oddity;
use crate::testkit::eventually;

/// github.com/jonhoo/rust-imap/issues/263: a mail comes between the end of one IDLE and the next look. That is no sign
/// that the server does not tell of mail.
#[test]
fn mail_between_two_idles_does_not_end_their_use() {
    let odd = Arc::new(Oddity::plain());
    let (itself, idles) = (Arc::downgrade(&odd), AtomicUsize::new(0));
    odd.is_now(move |talk, tag, command| {
        let first = command == "IDLE" && idles.fetch_add(1, Ordering::SeqCst) == 0;
        if first {
            talk.say("+ idling\r\n");
            while talk.line().is_some_and(|line| line != "DONE") {}
            itself.upgrade().unwrap().mail("comes just now");
            talk.say(format!("{tag} OK idled\r\n"));
        }
        first
    });
    odd.mail("one");
    let env = from(&odd);
    let running = Running::new(env.spawn_for_good(&["--poll-interval", "3600"]));
    eventually("the two", || held(&env).len() == 2);
    odd.mail("a third");
    eventually("the third", || held(&env).len() == 3);
    assert!(!running.end().contains("did not tell of new mail"));
}
