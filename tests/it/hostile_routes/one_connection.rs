//! A source that lets us in once at a time.

use std::collections::HashSet;
use std::sync::Mutex;

use super::found::{Running, from, held};
use super::oddity::Oddity;
use crate::testkit::eventually;

/// github.com/docker-mailserver/docker-mailserver/issues/1165, github.com/YunoHost/issues/issues/1157: the other programs
/// of the household hold all connections but one. The watcher has it, and what it finds is to be read all the same.
#[test]
fn one_connection_with_the_source_is_enough() {
    let inside: Mutex<HashSet<u16>> = Mutex::default();
    let odd = Oddity::new(move |talk, tag, command| {
        let mut inside = inside.lock().unwrap();
        let me = talk.peer();
        inside.retain(|port| *port == me || talk.is_connected(*port));
        if command.starts_with("AUTHENTICATE") {
            if !inside.is_empty() {
                talk.say(format!("{tag} NO [LIMIT] Maximum number of connections from user+IP exceeded (mail_max_userip_connections=10)\r\n"));
                return true;
            }
            inside.insert(me);
        }
        false
    });
    odd.mail("one");
    let env = from(&odd);
    let running = Running::new(env.spawn_for_good(&["--poll-interval", "1"]));
    eventually("it arrives", || held(&env).len() == 1);
    for n in 2..5 {
        odd.mail("another");
        eventually("so does what comes then", || held(&env).len() == n);
    }
    let log = running.end();
    assert_eq!(log.matches("lets us in once at a time").count(), 1, "{log}");
}
