//! New mail of a server is in Gmail at once: within seconds of its delivery where the server tells of it, and within the
//! interval where it is asked.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gmail_stand_in::{Gmail, Options};
use serde_json::json;

use super::daemon::Daemon;
use super::pulse::Pulse;
use super::report::{Report, Row};
use super::server::{Server, Way};
use crate::testkit::route::Route;

/// How new mail is heard of.
struct Mode {
    name: &'static str,
    user: &'static str,
    args: &'static [&'static str],
    within: Duration,
}

const MODES: [Mode; 2] = [
    Mode {
        name: "IDLE",
        user: "alice",
        args: &[],
        within: Duration::from_secs(3),
    },
    Mode {
        name: "each 5 s",
        user: "bert",
        args: &["--no-idle", "--poll-interval", "5"],
        within: Duration::from_secs(5 + 3),
    },
];

/// Messages before the restart of the server, and as many after it.
const HALF: usize = 10;
/// A server that went away is asked again after 5 s; a connection that it had accepted and took along into its end is
/// given up after 30.
const RECONNECT: Duration = Duration::from_secs(35);
/// How long beyond its bound a message is waited for, so that a late one is told from a lost one.
const PATIENCE: Duration = Duration::from_secs(20);

/// One account, the program that watches it, and the Gmail account it fills.
struct Account {
    mode: &'static Mode,
    gmail: Gmail,
    route: Route,
    delivered: Mutex<HashMap<String, Delivered>>,
    arrived: Mutex<HashMap<String, Instant>>,
}

#[derive(Clone, Copy)]
struct Delivered {
    at: Instant,
    way: Way,
    phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Phase {
    /// Was there when the program began.
    First,
    Calm,
    /// Was brought as soon as the server was back.
    Restart,
}

/// Tries one server.
pub(crate) fn at_once(mut server: Box<dyn Server>) -> Report {
    let pulse = Pulse::start();
    let accounts = MODES.each_ref().map(|mode| Account::new(&*server, mode));
    let over = AtomicBool::new(false);
    let mut report = Report::default();
    thread::scope(|scope| {
        let _watched_to_the_end = Over(&over);
        for account in &accounts {
            scope.spawn(|| account.watch(&over));
        }
        let daemons = accounts.each_ref().map(|account| {
            account.bring(&*server, server.ways()[0], Phase::First);
            Daemon::start(&account.route, account.mode.args)
        });
        for phase in [Phase::First, Phase::Calm, Phase::Restart, Phase::Calm] {
            if phase == Phase::Restart {
                server.restart();
            }
            thread::scope(|scope| {
                for account in &accounts {
                    scope.spawn(|| account.go_through(&*server, phase));
                }
            });
        }
        for (account, daemon) in accounts.iter().zip(daemons) {
            account.judge(&*server, daemon, &pulse, &mut report);
        }
    });
    report
}

/// Ends the watching, however the trial ends.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Account {
    fn new(server: &dyn Server, mode: &'static Mode) -> Account {
        let gmail = Gmail::start(Options::default());
        let mut route = Route::new(json!({
            "source_server": "localhost",
            "source_user": mode.user,
            "source_pass": "pw",
            "target_server": "localhost",
            "target_port": gmail.port(),
            "target_ca_file": gmail.ca_file(),
            "target_user": gmail.account(),
            "target_pass": gmail.password(),
            "since": "all",
        }));
        server.enter(&mut route, "source");
        Account {
            mode,
            gmail,
            route,
            delivered: Mutex::default(),
            arrived: Mutex::default(),
        }
    }

    /// Notes when each message is in Gmail.
    fn watch(&self, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            for message in self.gmail.messages() {
                let mut arrived = self.arrived.lock().unwrap();
                arrived
                    .entry(id(&message.bytes))
                    .or_insert_with(Instant::now);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn go_through(&self, server: &dyn Server, phase: Phase) {
        match phase {
            Phase::First => {}
            Phase::Restart => self.bring(server, server.ways()[0], phase),
            Phase::Calm => {
                let mut ways = server.ways().iter().cycle();
                for _ in 0..HALF {
                    // At any moment between two looks, into a batch or after some rest: drawn, not awaited.
                    thread::sleep(Duration::from_millis(fastrand::u64(50..1_200)));
                    self.bring(server, *ways.next().unwrap(), phase);
                }
            }
        }
        self.wait();
    }

    fn bring(&self, server: &dyn Server, way: Way, phase: Phase) {
        let n = self.delivered.lock().unwrap().len();
        let id = format!("<{n}.{}@example.org>", self.mode.user);
        let mail = format!(
            "From: Ann <ann@example.org>\r\nTo: {}@example.org\r\nSubject: {way:?} {n}\r\nMessage-ID: {id}\r\n\
             Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\nThis is message {n}, brought by {way:?}.\r\n",
            self.mode.user
        );
        server.deliver(self.mode.user, way, mail.as_bytes());
        let at = Instant::now();
        self.delivered
            .lock()
            .unwrap()
            .insert(id, Delivered { at, way, phase });
    }

    /// Until all that was delivered has arrived, or will not.
    fn wait(&self) {
        let until = Instant::now() + self.mode.within + RECONNECT + PATIENCE;
        while self.arrived.lock().unwrap().len() < self.delivered.lock().unwrap().len()
            && Instant::now() < until
        {
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn judge(&self, server: &dyn Server, daemon: Daemon, pulse: &Pulse, report: &mut Report) {
        let who = format!("{}, {}", server.name(), self.mode.name);
        let mut fault = |text: String| report.faults.push(format!("{who}: {text}"));
        let log = daemon.log();
        if daemon.end() != Some(0) {
            fault("it did not end with 0".into());
        }

        let delivered = self.delivered.lock().unwrap();
        let arrived = self.arrived.lock().unwrap();
        let mut latencies: HashMap<Phase, Vec<Duration>> = HashMap::new();
        for (id, Delivered { at, way, phase }) in delivered.iter() {
            let Some(there) = arrived.get(id) else {
                fault(format!("{id}, brought by {way:?}, did not arrive"));
                continue;
            };
            let took = there.saturating_duration_since(*at);
            let lost = pulse.lost(*at, *there);
            let within = match phase {
                Phase::First => continue,
                Phase::Calm => self.mode.within,
                Phase::Restart => self.mode.within + RECONNECT,
            };
            if took > within + lost {
                fault(format!(
                    "{id}, brought by {way:?}, took {took:.1?}, not {within:.1?} (the machine lost {lost:.1?})"
                ));
            }
            latencies.entry(*phase).or_default().push(took);
        }
        for (phase, name) in [(Phase::Calm, ""), (Phase::Restart, ", after a restart")] {
            if let Some(latencies) = latencies.remove(&phase) {
                let mode = format!("{}{name}", self.mode.name);
                report
                    .rows
                    .push(Row::new(server.name(), mode, latencies, pulse.worst()));
            }
        }

        let mut there: Vec<Vec<u8>> = self.gmail.messages().into_iter().map(|m| m.bytes).collect();
        let mut served = server.served(self.mode.user);
        there.sort();
        served.sort();
        if there != served {
            fault(format!(
                "{} messages were brought, {} are served, {} are in Gmail, and not the same bytes",
                delivered.len(),
                served.len(),
                there.len()
            ));
        }
        let well = "status = 'delivered' AND first_failed_at IS NULL AND last_error IS NULL";
        let rows: usize = self.route.one("SELECT count(*) FROM message");
        let good: usize = self
            .route
            .one(&format!("SELECT count(*) FROM message WHERE {well}"));
        if (rows, good) != (delivered.len(), delivered.len()) {
            fault(format!(
                "{rows} rows for {} messages, {good} of them without a charge:\n{}",
                delivered.len(),
                self.route.dump()
            ));
        }
        report.finish(&who, &log, server);
    }
}

/// A message's Message-ID.
fn id(mail: &[u8]) -> String {
    let text = String::from_utf8_lossy(mail);
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Message-ID: "));
    line.unwrap_or_default().to_owned()
}
