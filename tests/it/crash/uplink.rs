//! Ended while a message is on a slow line: what the system still has of it must not arrive after the next run has
//! looked for it in vain.

use std::process::{Child, Command};

use gmail_stand_in::{Gmail, Mail, Options};

use crate::testkit::env::SOURCE;
use crate::testkit::eventually;
use crate::testkit::proxy::{Proxy, Side};
use crate::testkit::route::{Account, Route};

/// So slow that what a system takes of a connection is on its way far longer than absence is waited for.
const LINE: u64 = 1 << 20;
/// The same for what it may hold of ours.
const SLOW_LINE: u64 = 50 << 10;

struct Line {
    route: Route,
    _source: Gmail,
    target: Gmail,
    proxy: Proxy,
}

/// One message in the source, and a target that takes each for a new one.
fn line(tls: bool, size: u64) -> Line {
    let plain = |capabilities| Options {
        tls,
        password: "secret".into(),
        ..Options::plain(capabilities)
    };
    let source = Gmail::start(plain(SOURCE));
    let target = Gmail::start(plain("IMAP4rev1 UIDPLUS IDLE SASL-IR AUTH=PLAIN"));
    let proxy = Proxy::start(target.port());
    let accounts = [
        Account::on(&source),
        Account::on(&target).through(proxy.port()),
    ];
    let [from, to] = accounts.map(|a| if tls { a } else { a.without_tls() });
    let route = Route::between(from, to);
    let text = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n";
    source.add(Mail::new(format!(
        "Message-ID: <big@x>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\n{}",
        text.repeat(size as usize / text.len())
    )));
    Line {
        route,
        _source: source,
        target,
        proxy,
    }
}

impl Line {
    fn passes(&self, bytes: u64) {
        eventually("it is on the line", || {
            self.proxy.bytes(Side::ToServer) >= bytes
        });
    }

    /// The next run has a line of its own, and the old one comes to its end.
    fn once_in_the_end(mut self, case: &str) {
        self.route.through("target", self.target.port());
        let ran = self.route.run();
        assert_eq!(ran.status, 0, "{case}: {}\n{}", ran.err, self.route.dump());
        eventually("the first connection is at its end", || {
            self.proxy.open() == 0
        });
        let copies = self.target.messages().len();
        assert_eq!(copies, 1, "{case}\n{}\n{}", ran.err, self.route.dump());
    }
}

fn kill(child: &mut Child) {
    child.kill().unwrap();
}

fn terminate(child: &mut Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
}

#[test]
fn a_message_on_a_slow_line_is_not_there_twice_afterwards() {
    for tls in [false, true] {
        for end in [kill as fn(&mut Child), terminate] {
            let line = line(tls, 2_600_000);
            line.proxy.slow_down(Side::ToServer, LINE);
            let mut child = line.route.spawn(&[]);
            line.passes(700_000);
            end(&mut child);
            child.wait().unwrap();
            line.once_in_the_end(&format!("tls {tls}"));
        }
    }
}

#[test]
fn nor_one_whose_last_byte_the_system_had() {
    let size = 600_000;
    for tls in [false, true] {
        for end in [kill as fn(&mut Child), terminate] {
            let line = line(tls, size);
            line.proxy.slow_down(Side::ToServer, LINE);
            let mut child = line.route.spawn(&[]);
            // What is left then fits into what the system takes of us.
            line.passes(size - 200_000);
            line.proxy.slow_down(Side::ToServer, SLOW_LINE);
            line.passes(size - 100_000);
            end(&mut child);
            child.wait().unwrap();
            line.once_in_the_end(&format!("tls {tls}"));
        }
    }
}
