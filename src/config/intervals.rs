//! How long the program waits for what. Not for people to set: tests shorten them.

use std::time::Duration;

/// Every interval of the program, in one place, so that tests can shorten them.
#[derive(Clone, Debug)]
pub struct Intervals {
    /// To connect, shake hands and be greeted.
    pub connect: Duration,
    /// For TLS and the greeting alone, counted from the connection: a server that is under load or has just
    /// been started takes its time, and a person who tries a setting does not wait so long.
    pub greeting: Duration,
    /// How long a server that should greet in plain text may be silent before it is asked whether it speaks
    /// TLS.
    pub hush: Duration,
    /// For the answer to a command that moves little; failed sign-ins can be slow (docs/servers.md 3.14).
    pub command: Duration,
    /// For the answer to an APPEND, counted from its last byte (docs/gmail.md 3.9).
    pub append: Duration,
    /// For the answer of Gmail's API to a message, counted from its last byte: some seconds are usual, and whoever gives
    /// up after less than a minute does not know what became of many (docs/gmail-import.md 5).
    pub api: Duration,
    /// How long Gmail's API may be out of reach until new mail goes by APPEND instead.
    pub api_patience: Duration,
    /// For All Mail of a Gmail account to open (docs/gmail.md 6).
    pub all_mail: Duration,
    /// How long All Mail is left alone after it did not open.
    pub all_mail_again: Duration,
    /// Between messages while a server says [THROTTLED]: the first wait, doubling up to the second.
    pub throttled: (Duration, Duration),
    /// Between reconnects: the first wait, doubling up to the second figure.
    pub reconnect: (Duration, Duration),
    /// How long `--once` retries a server that is out of reach.
    pub once_patience: Duration,
    /// How long after the last byte of an APPEND whose answer was never seen its message's absence is believed.
    pub late_commit: Duration,
    /// The same on Gmail, for a message without Message-ID or Date.
    pub late_commit_anonymous: Duration,
    /// Between the two empty looks before a message is `gone`.
    pub second_look: Duration,
    /// Between attempts at one message: the first wait, doubling up to the second figure.
    pub backoff: (Duration, Duration),
    /// From the first charge until a message is `failed`.
    pub give_up: Duration,
    /// Between two looks at a mailbox whose server promised to tell of new mail (RFC 2177).
    pub look: Duration,
    /// Between two comparisons of all that the source's mailbox holds with the ledger.
    pub reconcile: Duration,
    /// How long a trouble that only a person can mend is left alone while nothing changes.
    pub needs_user: Duration,
    /// Between attempts at an account that asked us to slow down: the first wait, doubling up to
    /// the second figure.
    pub pause: (Duration, Duration),
    /// How long the target is believed to let us in while no delivery shows it: then a sign-in is tried.
    pub sign_in: Duration,
    /// How long before a lasting trouble is logged again: as long as it has lasted so far, at least the first
    /// figure and at most the second.
    pub remind: (Duration, Duration),
    /// How long fewer sessions with the target are made do with, where it had enough of us or more of them got no more done,
    /// before others are tried: what people's own programs take of an account's sessions changes by the hour, and each try
    /// may be the one that keeps such a program out.
    pub fewer: Duration,
    /// How long a session waits for the next mail before it is let go.
    pub keep: Duration,
    /// How long one step of a batch may take, without the transfer of its bytes, before the watchdog is no
    /// longer told that all is well.
    pub batch: Duration,
    /// From when `after_delivery` is first read until the first message is removed by it: it may have been a slip of the hand.
    pub first_removal: Duration,
    /// Between two passes over what may be removed at the source; and at least so long after the first mail that was
    /// delivered since, where that need not wait for days.
    pub removal: (Duration, Duration),
    /// How long ago the copy of a message may have been looked at when the message is removed.
    pub removal_look: Duration,
    /// How long the failures of a day that have no mail of their own are gathered for the one that tells of all of them.
    pub gather: Duration,
    /// Between two signs of life in the ledger.
    pub heartbeat: Duration,
    /// Between two lines about how far a run has come, where there is no terminal to show it.
    pub report: Duration,
    /// Between two looks for configurations that came, changed or went, where there are several.
    pub configurations: Duration,
    /// Until a route that could not begin, or ended as it should not, is tried again: the first wait, doubling up to the
    /// second figure.
    pub route_rest: (Duration, Duration),
    /// Between two looks at whether a route is healthy and what a person is to be told.
    pub alarm: Duration,
    /// Between two calls of `ping_url`.
    pub ping: Duration,
    /// For all of such a call.
    pub ping_limit: Duration,
    /// How long a trouble that may pass by itself lasts before a person is told of it.
    pub lasting: Duration,
    /// How long `notify_command` may run.
    pub notify: Duration,
    /// Until it is run again where it failed: the first wait, doubling up to the second figure.
    pub notify_again: (Duration, Duration),
    /// How long an APPEND under way may go on after a person has ended the program.
    pub farewell: Duration,
    /// How long a person may take to sign in with a browser.
    pub consent: Duration,
}

impl Default for Intervals {
    fn default() -> Intervals {
        let s = Duration::from_secs;
        Intervals {
            connect: s(30),
            greeting: s(30),
            hush: s(4),
            command: s(90),
            append: s(300),
            api: s(120),
            api_patience: s(900),
            all_mail: s(300),
            all_mail_again: s(3600),
            throttled: (s(2), s(60)),
            reconnect: (s(5), s(300)),
            once_patience: s(120),
            late_commit: s(30),
            late_commit_anonymous: s(300),
            second_look: s(60),
            backoff: (s(60), s(6 * 3600)),
            give_up: s(2 * 24 * 3600),
            look: s(90),
            reconcile: s(24 * 3600),
            needs_user: s(300),
            pause: (s(900), s(6 * 3600)),
            sign_in: s(6 * 3600),
            remind: (s(60), s(3600)),
            fewer: s(600),
            keep: s(300),
            batch: s(1800),
            first_removal: s(24 * 3600),
            removal: (s(3600), s(60)),
            removal_look: s(45),
            gather: s(3600),
            heartbeat: s(15),
            report: s(60),
            configurations: s(10),
            route_rest: (s(30), s(600)),
            alarm: s(30),
            ping: s(300),
            ping_limit: s(20),
            lasting: s(1800),
            notify: s(60),
            notify_again: (s(60), s(3600)),
            farewell: s(5),
            consent: s(600),
        }
    }
}
