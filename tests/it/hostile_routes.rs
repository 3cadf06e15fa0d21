//! A whole run with a server that is hostile, on either side: it ends in bounded time and memory, says in words what
//! was wrong, charges nobody who is not to blame, and everything else is delivered. And mail that no program wrote.
//!
//! What a session does with single answers is in `hostile_servers`.

mod echoes;
mod endless_answers;
mod found;
mod idle_once;
mod ledger_gone;
mod lies;
mod mail;
mod named_later;
mod oddity;
mod one_connection;
mod plain_env;
mod refusals;
mod refused_once;
mod restored;
mod token_endpoint;
mod truths;
mod uidnext_behind;
mod uids;
