//! Passwords, sign-ins, and what an account does not take.

use gmail_stand_in::{Fault, On, Refusal, TokenTrouble};

use super::session::{Person, Said};

const CHECK: &str = "imap-to-gmail check";
const RUN: &str = "imap-to-gmail run --once";
/// docs/gmail.md 6.
const FULL: &str = "NO [OVERQUOTA] Account is out of storage (Failure)";

pub(crate) fn all() -> Vec<Said> {
    let mut out = Vec::new();
    let mut person = Person::new();
    person.set("source_pass", "\"grean tea\"");
    out.push(person.types("The source's password mistyped", RUN));
    let mut person = Person::new();
    person.set("target_pass", "\"abcd efgh ijkl mnoq\"");
    out.push(person.types("The app password mistyped", RUN));
    for (mistake, refusal) in [
        (
            "The password of the account instead of an app password",
            Refusal::AppPasswordRequired,
        ),
        ("IMAP is switched off in the account", Refusal::ImapDisabled),
        (
            "Google wants to see a person first",
            Refusal::WebLoginRequired,
        ),
    ] {
        let person = Person::new();
        person.gmail.refuse_login(refusal, 9);
        out.push(person.types(mistake, CHECK));
    }
    let mut person = Person::new();
    person.with_token();
    person
        .gmail
        .token_trouble(TokenTrouble::ExpiredOrRevoked, 9);
    person.gmail.refuse_login(Refusal::InvalidCredentials, 9);
    out.push(person.types("The sign-in was taken back", RUN));
    let person = Person::new();
    person
        .gmail
        .fault(On::each("APPEND"), Fault::Answer(FULL.into()));
    person.mail();
    out.push(person.types("The Gmail account is full", RUN));
    out
}
