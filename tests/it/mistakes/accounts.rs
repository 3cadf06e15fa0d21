//! Passwords, sign-ins, and what an account does not take.

use gmail_stand_in::{Fault, On, Refusal, TokenTrouble};

use super::user::{Said, User};

const CHECK: &str = "imap-to-gmail check";
const RUN: &str = "imap-to-gmail run --once";
/// docs/gmail.md 6.
const FULL: &str = "NO [OVERQUOTA] Account is out of storage (Failure)";

pub(crate) fn all() -> Vec<Said> {
    let mut out = Vec::new();
    let mut user = User::new();
    user.set("source_pass", "\"grean tea\"");
    out.push(user.types("The source's password mistyped", RUN));
    let mut user = User::new();
    user.set("target_pass", "\"abcd efgh ijkl mnoq\"");
    out.push(user.types("The app password mistyped", RUN));
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
        let user = User::new();
        user.gmail.refuse_login(refusal, 9);
        out.push(user.types(mistake, CHECK));
    }
    let mut user = User::new();
    user.with_token();
    user.gmail.token_trouble(TokenTrouble::ExpiredOrRevoked, 9);
    user.gmail.refuse_login(Refusal::InvalidCredentials, 9);
    out.push(user.types("The sign-in was taken back", RUN));
    let user = User::new();
    user.gmail
        .fault(On::each("APPEND"), Fault::Answer(FULL.into()));
    user.mail();
    out.push(user.types("The Gmail account is full", RUN));
    out
}
