//! The file of a token that rotates: what cannot be written is outlived, and those who share it renew it once.

use std::fs;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use gmail_stand_in::TokenTrouble;
use imap_to_gmail::oauth::Tokens;

use super::{HOUR, LIMIT, Running, arrives, expired, file, prepared, read, shown};
use crate::testkit::env::TestEnv;
use crate::testkit::eventually;

/// A file without a name can be read through its descriptor, but nothing can be put in its place, not even by root.
fn nameless(env: &TestEnv) -> (fs::File, String) {
    let mut file = tempfile::tempfile().unwrap();
    let token = expired(&env.source).to_string();
    file.write_all(token.as_bytes()).unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    (file, path)
}

#[test]
fn a_file_that_cannot_be_written_is_outlived_by_the_newest_refresh_token() {
    let env = prepared();
    let (open, path) = nameless(&env);
    let link = env.dir.path().join("link.json");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let tokens = Tokens::new(&link, LIMIT);
    let mut access = tokens.access(Utc::now()).unwrap();
    for _ in 0..3 {
        access = tokens.instead_of(&access, Utc::now()).unwrap();
    }
    let used = shown(&env.source);
    assert_eq!(used.len(), 4, "each of them with the one that came last");
    assert!(used.windows(2).all(|t| t[0] != t[1]), "{used:?}");
    // Now it can be written: what was kept goes there, and the next process needs no new sign-in.
    fs::remove_file(&link).unwrap();
    fs::write(&link, expired(&env.source).to_string()).unwrap();
    tokens.access(Utc::now()).unwrap();
    let next = Tokens::new(&link, LIMIT).access(Utc::now()).unwrap();
    assert_eq!(next.token.reveal(), access.token.reveal());
    let next = Tokens::new(&link, LIMIT)
        .instead_of(&next, Utc::now())
        .unwrap();
    assert!(next.fresh);
    assert_eq!(env.source.token_requests().len(), 5);
    drop(open);
}

#[test]
fn it_is_said_that_a_restart_will_need_a_new_sign_in() {
    let mut env = prepared();
    let (_open, path) = nameless(&env);
    env.set("source_token_file", path);
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    env.assert_complete();
    let said = "the next restart, that will need a new sign-in";
    assert_eq!(ran.err.matches(said).count(), 1, "{}", ran.err);
}

#[test]
fn a_changed_configuration_does_not_forget_what_the_file_could_not_take() {
    let mut env = prepared();
    let (_open, path) = nameless(&env);
    env.set("source_token_file", path);
    let _running = Running(env.spawn_for_good(&[]));
    arrives(&env, 3);
    let signed_in = env.source.transcript().commands("AUTHENTICATE");
    env.set("connections", 2);
    eventually("it is taken over", || {
        env.source.transcript().commands("AUTHENTICATE") > signed_in
    });
    env.source.clock().advance(2 * HOUR);
    env.mail("<later@x>", "text");
    arrives(&env, 4);
    let used = shown(&env.source);
    assert!(used.windows(2).all(|t| t[0] != t[1]), "{used:?}");
}

#[test]
fn those_who_share_a_file_that_rotates_renew_it_once() {
    let env = prepared();
    env.source
        .token_trouble(TokenTrouble::Slow(Duration::from_millis(300)), 1);
    let path = file(&env);
    let took: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            // As processes of their own would: each with a lock and a memory of its own.
            .map(|_| scope.spawn(|| Tokens::new(&path, LIMIT).access(Utc::now())))
            .collect();
        threads
            .into_iter()
            .map(|t| t.join().unwrap().unwrap().token.reveal().clone())
            .collect()
    });
    assert_eq!(env.source.token_requests().len(), 1);
    assert!(took.iter().all(|t| *t == took[0]), "{took:?}");
}

#[test]
fn another_program_that_was_faster_costs_nothing() {
    let env = prepared();
    let path = file(&env);
    let theirs = env.dir.path().join("theirs.json");
    fs::copy(&path, &theirs).unwrap();
    let newest = Tokens::new(&theirs, LIMIT).access(Utc::now()).unwrap();
    env.source
        .token_trouble(TokenTrouble::Slow(Duration::from_millis(500)), 1);
    let ours = std::thread::scope(|scope| {
        let ours = scope.spawn(|| Tokens::new(&path, LIMIT).access(Utc::now()));
        // While our request with the dead refresh token is on its way, they put the file in place.
        eventually("the request is there", || {
            env.source.token_requests().len() == 2
        });
        fs::rename(&theirs, &path).unwrap();
        ours.join().unwrap()
    });
    assert_eq!(ours.unwrap().token.reveal(), newest.token.reveal());
    // Where nothing has changed, once is enough.
    write_dead(&path);
    let error = Tokens::new(&path, LIMIT).access(Utc::now()).unwrap_err();
    assert!(error.message.contains("invalid_grant"), "{error}");
    assert_eq!(env.source.token_requests().len(), 3);
}

fn write_dead(path: &Path) {
    let mut token = read(path);
    token["refresh_token"] = "1//dead".into();
    token["expiry"] = "2020-01-02T03:04:05Z".into();
    fs::write(path, token.to_string()).unwrap();
}

#[test]
fn only_what_others_write_is_news() {
    let env = prepared();
    let tokens = Tokens::new(&file(&env), LIMIT);
    let first = tokens.edition();
    let access = tokens.access(Utc::now()).unwrap();
    tokens.instead_of(&access, Utc::now()).unwrap();
    assert_eq!(tokens.edition(), first);
    Tokens::new(&file(&env), LIMIT)
        .instead_of(&tokens.access(Utc::now()).unwrap(), Utc::now())
        .unwrap();
    assert_ne!(tokens.edition(), first);
    let second = tokens.edition();
    fs::remove_file(file(&env)).unwrap();
    assert_ne!(tokens.edition(), second);
}
