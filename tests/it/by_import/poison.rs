//! Messages that break whoever touches them, on this road: what the source does not hand over, and copies that Gmail does
//! not show.

use gmail_stand_in::{Fault, Harm, On, Reach};

use super::{comes, copies, copy, imports, is_imported, proved};

#[test]
fn one_that_the_source_does_not_hand_over_holds_up_no_other() {
    let env = imports();
    comes(&env, "poison", "x");
    let id = env.source.messages()[0].id;
    env.source.poison(id, Reach::Body, Harm::Cut);
    let others: Vec<Vec<u8>> = (0..12)
        .map(|n| comes(&env, &format!("m{n}"), &format!("text {n}")))
        .collect();
    env.run();
    for bytes in &others {
        assert!(is_imported(&copy(&env, bytes), bytes));
    }
    env.source.cure(id);
    env.run_until_done(3);
    assert_eq!(proved(&env, "imported_by_api"), 13, "{}", env.dump());
}

#[test]
fn a_copy_that_cannot_be_looked_at_holds_up_no_other() {
    let env = imports();
    let bytes = comes(&env, "one", "x");
    // The first look at the copy ends the connection, and so does each of its bytes.
    let looks = On::each("UID FETCH").line_with("BODY.PEEK[]").times(6);
    env.target.fault(looks, Fault::CutBefore);
    env.run();
    comes(&env, "two", "y");
    env.run_until_done(3);
    assert_eq!(proved(&env, "imported_by_api"), 2, "{}", env.dump());
    assert_eq!(copies(&env.target, &bytes).len(), 1);
    let id = copy(&env, &bytes).id;
    env.target.poison(id, Reach::Anything, Harm::Cut);
    comes(&env, "three", "z");
    env.run_until_done(3);
    assert_eq!(env.target.messages().len(), 3, "{}", env.dump());
}

/// Gmail has it, nobody saw that, and its bytes are not to be had: it is not sent again before that is known.
#[test]
fn one_of_unknown_end_that_cannot_be_read_is_not_sent_again() {
    let env = imports();
    env.target.api_fault(
        On::nth(1, "IMPORT"),
        gmail_stand_in::ApiFault::CutAfter { stored: true },
    );
    // Until it can be read, each look at its bytes ends the connection.
    let looks = On::each("UID FETCH").line_with("BODY.PEEK[]");
    env.target.fault(looks, Fault::CutBefore);
    let bytes = comes(&env, "", "x");
    env.run();
    env.run();
    env.target.clear_faults();
    env.run_until_done(3);
    assert_eq!(copies(&env.target, &bytes).len(), 1, "{}", env.dump());
    assert_eq!(env.target.messages().len(), 1);
}
