//! A whole run with a server that is hostile, on either side: it ends in bounded time and memory, says in words what
//! was wrong, charges nobody who is not to blame, and everything else is delivered. And mail that no program wrote.
//!
//! What a session does with single answers is in `hostile_servers`.

mod audited;
mod echoes;
mod endless_answers;
mod found;
mod idle;
mod ledger_gone;
mod left_out;
mod lies;
mod mail;
mod measured;
mod named_later;
mod oddity;
mod one_connection;
mod refusals;
mod refused_once;
mod restored;
mod token_endpoint;
mod told_wrong;
mod truths;
mod uidnext_behind;
mod uids;

use crate::testkit::env::TestEnv;

/// From a source into Gmail, both without TLS, so that a proxy can play their part.
fn into_gmail() -> TestEnv {
    TestEnv::build().without_tls().start()
}

/// As [`into_gmail`], into a server that takes whatever it is given.
fn into_any_server() -> TestEnv {
    TestEnv::build().without_tls().plain_target().start()
}
