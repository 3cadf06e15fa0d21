//! imap-to-gmail copies the mail of another account into Gmail: complete, once each, on its owner's
//! own machine. This page is the bird's-eye view; the modules are listed in reading order below. For
//! those who use the program there are README.md and docs/, which tests/it/readme.rs holds to the truth.
//!
//! **Promises, in order:** nothing lost, nothing twice, nothing altered, nothing leaked; then fast;
//! then pleasant.
//!
//! # One message's life
//!
//! 1. *Watch.* INBOX, or each mailbox that the configuration wants (`engine::folders`), is EXAMINEd; every message
//!    gets a row before anything is done with it, which says where it is to go. New mail is everything from the cursor on, whatever its date; history is what was there at
//!    the first look and came since the configured start (`engine::watch`).
//! 2. *Claim.* Newest first, a batch becomes `in_flight`: never two rows of one Message-ID at a time.
//! 3. *Recognise.* The target index, a mirror of what the target holds, says which of them are there
//!    already; a hit is confirmed by looking at the message itself (`engine::dedup`).
//!    For what it does not have, a Message-ID imported from the old script may prove that it was copied
//!    (`ledger::imported`). What follows is one pure rule, which the dry run asks as well (`engine::decide`).
//! 4. *Fetch.* One FETCH for the batch. Equal bytes are delivered once; messages that share a name
//!    with others are told apart by their bytes. Hashes and a *mark* (where each index mailbox
//!    stands) are on disk before anything is sent, on either road.
//! 5. *Choose the road.* APPEND, or for new mail Gmail's API, where the configuration says so and nothing of the message is
//!    lost by it (`engine::road`). What one road refuses takes the other (`engine::by_import`).
//! 6. *Append.* Into the mailbox of the target that the row says, with the source's INTERNALDATE and flags
//!    (`engine::mark`, `engine::send`); several are on their way through a session at a time (`engine::pipeline`), and with
//!    the last of them the look for the next batch (`engine::glance`).
//! 7. *Settle.* One total function turns an outcome into a ledger change (`engine::settle`).
//! 8. *Verify, resolve.* What was answered OK is looked at once (`engine::verify`). What ended unseen is
//!    looked for at and above its mark. Only when it is not there, and the server has had so long that it
//!    will not store it any more, does the row go back to be sent (`engine::resolve`). Whose copy a message
//!    of the target is, is one rule for all three looks (`engine::whose`). Where the target was put back to
//!    an earlier state, no place that it gave since means anything, and each look minds that
//!    (`engine::put_back`).
//!
//! # What never happens
//!
//! - No message loses its row, and nothing but that row's status decides what is left to do. When UIDs
//!   change their meaning the row moves with its message (`ledger::inherit`).
//! - A cursor moves only in the transaction that writes the rows it covers, and only past what was
//!   counted: as many messages told of as the mailbox holds. All of it is compared with the rows at the
//!   start and daily (`engine::watch`).
//! - A row leaves `in_flight` only by a tagged response about it, by resolution, or because its literal
//!   certainly was not wholly handed to the socket. NO and BAD are never success; a timeout, a lost
//!   connection or a "temporary" NO after the literal is unknown, never failed.
//! - Absence counts only in a view of this moment.
//! - Message-ID helps to recognise a message, never to drop one.
//! - The bytes and the date of a message are the source's: by APPEND exactly, by import behind lines that Gmail puts in front,
//!   with the date of its header. Nothing that would lose more by it is imported.
//! - Labels that a message is to get besides are in the ledger with its delivery, until they are there
//!   (`engine::labels`).
//! - No failure is silent: it is on record with the status, and told of by one mail in INBOX, which is never counted or
//!   recognised as a message (`engine::notices`).
//! - Nothing writes to the source: EXAMINE and BODY.PEEK only. The one exception is `after_delivery` (`engine::removal`): in a
//!   session of its own, and only for a message whose copy was looked at in the same minute.
//! - One message's fault holds up and charges no other; a connection's or an account's fault charges
//!   none (`engine::bisect` finds out whose it is).
//! - When the target stops letting us in, that is found out without waiting for mail (`engine::sign_in`).
//! - No secret reaches a log, an error or the ledger, not even when a server echoes it.
//!
//! After delivery, where a person wants it, what is certainly in the target is removed at the source, beside everything else
//! (`engine::removal`; whether a message may go is one rule, `ledger::removable`).
//!
//! Deliberately absent: async, an event bus, traits with one implementation, mocks, a clock trait.
//! Threads and blocking I/O: a supervisor that only coordinates, a watcher with a session of its own with
//! the source, and up to `connections` workers, each with a session of its own with the target, which
//! share a second session with the source (the reader, behind a lock). Watching and delivering do not wait
//! for each other (`engine::daemon`; `engine::once` ends when everything has been tried). Many routes in one process have
//! all of this each for itself (`service::routes`).
//! docs/ARCHITECTURE.md shows threads, locks, the states of a row, and this way function by function.
//!
//! # Reading order
//!
//! Each module imports only modules that are listed before it; `tests/it/layers.rs` holds them to that.
//! ```text
//! text       counts and moments for people; what editors make of a text file
//! threads    which route a thread works for
//! mount      is a file mounted by itself?
//! error      what went wrong, whom it concerns, the words for it
//! http       where mail and secrets may be sent over HTTP, and the client that does it
//! folder     a mailbox of the source, and where its messages go
//! place      why a file cannot be made, read or written
//! message    what a message is
//! config     config.json -> checked values, Secret<T>, Masks, Intervals
//! ledger     every SQL statement there is, behind verbs
//! oauth      the token file, its renewal, and the sign-in that makes it
//! response   one response of a server, cut into tokens
//! wire       a connection: TLS, deadlines, bounds, literals, commands by their tags
//! session    a signed-in IMAP session; refusals classified
//! credentials  what a side is entered with; a refused token renewed once
//! mailbox    an open mailbox, asked about its messages
//! source     the mailbox we read
//! target     the account we fill: what it is like, the roads into it, what it holds
//! engine     watch, deliver, recognise, settle, and the supervisor of a route
//! survey     which mailboxes the source has, and what becomes of each
//! import_state  what the predecessor, a Python script, had copied
//! status     what `status` says
//! audit      is everything there: each message of the source accounted for, by looking
//! alarm      whom a run tells that all is well, and that it is not
//! page       what a browser, a monitor and Prometheus are shown of the routes
//! check      each setting tried for real, nothing changed
//! service    the process around its routes: which there are, signals, and what the system is told
//! logging    where the log goes
//! cli        the command line, what is printed, exit statuses
//! ```

pub mod text;

pub mod threads;

pub mod mount;

pub mod error;

pub mod http;

pub mod folder;

pub mod place;

pub mod message;

pub mod config;

pub mod ledger;

pub mod oauth;

pub mod response;

pub mod wire;

pub mod session;

pub mod credentials;

pub mod mailbox;

pub mod source;

pub mod target;

pub mod engine;

pub mod survey;

pub mod import_state;

pub mod status;

pub mod audit;

pub mod alarm;

pub mod page;

pub mod check;

pub mod service;

pub mod logging;

pub mod cli;
