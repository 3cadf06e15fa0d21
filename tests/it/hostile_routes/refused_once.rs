//! A password that is refused is not tried again and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::testkit::scripted_proxy::{Then, Twist};
use std::io::Write as _;

/// github.com/fail2ban/fail2ban/issues/779, github.com/docker-mailserver/docker-mailserver/issues/1135: after a password
/// was changed, clients that go on trying the old one get a whole household banned.
#[test]
fn a_refused_password_is_tried_once_not_by_each_worker() {
    let mut env = super::into_any_server();
    env.old_mails(40);
    let count = Arc::new(AtomicUsize::new(0));
    let tries = Arc::clone(&count);
    let twist = Twist::at(
        env.target.port(),
        "AUTHENTICATE",
        99,
        Arc::new(move |out, tag| {
            tries.fetch_add(1, Ordering::SeqCst);
            let _ = write!(
                out,
                "{tag} NO [AUTHENTICATIONFAILED] Authentication failed.\r\n"
            );
            Then::End
        }),
    );
    env.set("target_port", twist.port);
    assert_eq!(env.run().status, 4);
    assert_eq!(count.load(Ordering::SeqCst), 1);
}
