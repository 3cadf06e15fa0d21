//! What Gmail takes for spam is delivered, wherever it puts it and whenever.

use gmail_stand_in::Place;

use super::{assert_all_once, comes, copy, imports, proved};

#[test]
fn spam_is_delivered_and_counted_for_as_long_as_it_lies_there() {
    let env = imports();
    env.target.knobs(|k| k.api.spam.push("buy now".into()));
    let spam = comes(&env, "spam", "buy now");
    comes(&env, "ham", "hello");
    env.run_until_done(1);
    assert_all_once(&env);
    assert_eq!(proved(&env, "imported_by_api"), 2);
    let copy = copy(&env, &spam);
    assert_eq!(copy.place, Place::Spam);
    assert_eq!(env.status()["in_spam"], 1);
    let told = env.command(&[
        "status",
        "--state-file",
        env.ledger_file().to_str().unwrap(),
    ]);
    assert!(told.out.contains("in Spam"), "{}", told.out);
    // Its owner takes it out; that is seen with the next mail.
    env.target.restore(copy.id);
    comes(&env, "more", "more");
    env.run_until_done(1);
    assert_all_once(&env);
    assert_eq!(env.status()["in_spam"], 0);
}

#[test]
fn what_is_classified_later_is_seen_with_the_next_mail() {
    let env = imports();
    env.target.knobs(|k| {
        k.api.spam.push("buy now".into());
        k.api.classified_on_command = true;
        k.api.reply_tells_spam = false;
    });
    let spam = comes(&env, "spam", "buy now");
    env.run_until_done(1);
    assert_eq!(copy(&env, &spam).place, Place::Live);
    assert_eq!(env.target.classify(), 1);
    comes(&env, "ham", "hello");
    env.run_until_done(1);
    assert_all_once(&env);
    assert_eq!(env.status()["in_spam"], 1);
}
