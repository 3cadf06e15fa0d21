//! A whole session with a server that says what it likes.
//!
//! The first line of the input says how we sign in, what we do, and in pieces of how many bytes the server speaks:
//! `pEFAN 3`. The rest is all that the server says, from its greeting on; our tags are known beforehand (a1, a2 ...),
//! so what fits them can be said ahead of time. Then it hangs up.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use imap_to_gmail::config::{Endpoint, Intervals, Origin, Secret, Tls};
use imap_to_gmail::error::{Error, Fault};
use imap_to_gmail::message::{Flags, Time, UidValidity};
use imap_to_gmail::session::{Appended, Asked, Login, Session, View};

use super::{assert_printable, assert_same};

const PASSWORD: &str = "correct horse \"battery\" staple";
const TOKEN: &str = "ya29.a-token-that-is-shown-nowhere";
const BODY: &[u8] = b"Message-ID: <a@b>\r\n\r\na9 LOGOUT\r\n";
/// What we sign in with just now.
static WITH_TOKEN: AtomicBool = AtomicBool::new(false);
const STEPS_MAX: usize = 12;

struct Server {
    port: u16,
    says: &'static Mutex<(Vec<u8>, usize)>,
}

static SERVER: LazyLock<Server> = LazyLock::new(|| {
    static SAYS: Mutex<(Vec<u8>, usize)> = Mutex::new((Vec::new(), 0));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let (text, piece) = SAYS.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let _ = stream.set_nodelay(true);
            for piece in text.chunks(piece.max(1)) {
                let _ = stream.write_all(piece);
            }
            let _ = stream.shutdown(Shutdown::Write);
            while matches!(stream.read(&mut [0; 4096]), Ok(1..)) {}
        }
    });
    Server { port, says: &SAYS }
});

/// Every line that is logged, at every level, is one line and holds no secret.
struct Watchful;

impl log::Log for Watchful {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.target().starts_with("imap_to_gmail") {
            assert_shown(&record.args().to_string());
        }
    }

    fn flush(&self) {}
}

static LOGGER: LazyLock<()> = LazyLock::new(|| {
    log::set_logger(&Watchful).unwrap();
    log::set_max_level(log::LevelFilter::Debug);
});

fn assert_shown(text: &str) {
    assert_printable(text, 700);
    let secret = if WITH_TOKEN.load(Ordering::Relaxed) {
        TOKEN
    } else {
        PASSWORD
    };
    assert!(!text.contains(secret), "a secret is shown: {text}");
}

pub(super) fn session(data: &[u8]) {
    *LOGGER;
    let (plan, says) = match data.iter().position(|&b| b == b'\n') {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &b""[..]),
    };
    let plan = String::from_utf8_lossy(plan);
    let (steps, piece) = plan.split_once(' ').unwrap_or((&plan, ""));
    let piece = piece.parse().unwrap_or(0).clamp(1, 100);
    let whole = play(steps, says, usize::MAX);
    // How the network cuts it changes nothing.
    assert_same("in pieces", &play(steps, says, piece), &whole);
}

/// What came of each step, in words.
fn play(steps: &str, says: &[u8], piece: usize) -> String {
    *SERVER.says.lock().unwrap_or_else(PoisonError::into_inner) = (says.to_vec(), piece);
    let limit = Duration::from_secs(15);
    let times = Intervals {
        connect: limit,
        command: limit,
        append: limit,
        ..Intervals::default()
    };
    let endpoint = Endpoint {
        host: "127.0.0.1".into(),
        port: SERVER.port,
        tls: Tls::None,
        ca_file: None,
        origin: Origin::default(),
    };
    let user = "user@example.org".to_string();
    let with_token = steps.starts_with('t');
    WITH_TOKEN.store(with_token, Ordering::Relaxed);
    let login = if with_token {
        Login::Token {
            user,
            token: Secret::new(TOKEN.into()),
        }
    } else {
        Login::Password {
            user,
            password: Secret::new(PASSWORD.into()),
        }
    };
    let port = SERVER.port.to_string();
    let mut out = String::new();
    let mut session = match Session::open(&endpoint, &login, &times) {
        Ok(session) => session,
        Err(e) => {
            note(&mut out, Err::<(), _>(e));
            return out;
        }
    };
    let _ = writeln!(
        out,
        "{:?} {:?}",
        session.append_limit(),
        session.offers("IDLE")
    );
    for step in steps.chars().skip(1).take(STEPS_MAX) {
        let usable = session.usable();
        let worked = take(&mut session, step, says, &mut out);
        assert!(
            usable || !worked,
            "{step} worked in a session that was of no use: {out}"
        );
    }
    session.logout();
    out.replace(&port, "")
}

/// True when it did what it was to do.
fn take(session: &mut Session, step: char, says: &[u8], out: &mut String) -> bool {
    let view = View {
        uid_validity: UidValidity(1),
        uid_next: 9,
        uid_next_stated: true,
        exists: 3,
    };
    let mut fetched = |(found, end): (Vec<imap_to_gmail::response::Fetched>, Result<(), Error>)| {
        for f in &found {
            for literal in [&f.body, &f.header].into_iter().flatten() {
                let is_said =
                    literal.is_empty() || says.windows(literal.len()).any(|w| w == literal);
                // A quoted string may have had escapes.
                assert!(is_said || says.contains(&b'\\'), "nobody said {literal:?}");
            }
        }
        let _ = writeln!(out, "{found:?}");
        note(out, end)
    };
    match step {
        'E' => note(out, session.examine("INBOX")),
        'F' => fetched(session.uid_fetch("1:*", "(UID)", 4096)),
        'Q' => {
            let (found, _, end) = session.uid_fetch_now("1:*", "(UID)", 4096);
            fetched((found, end))
        }
        'L' => {
            let look = session.look(
                "INBOX",
                &[Asked::new("1:*", "(UID)", 4096)],
                &["Spam".to_string()],
            );
            note(out, look.map(|l| format!("{l:?}")))
        }
        'S' => note(out, session.uids_since(&view, Some(Time::UNIX_EPOCH))),
        'U' => note(out, session.list(&view, false).map(|l| format!("{l:?}"))),
        'M' => {
            let found = session.special_use(&["\\All", "\\Junk", "\\Trash"]);
            for name in found.iter().flatten().flatten() {
                assert_printable(name, 1000);
            }
            note(out, found)
        }
        'I' => note(out, session.idle(Duration::from_secs(15), None)),
        'A' => {
            let outcome = session.append("INBOX", Flags::default(), None, Arc::new(BODY.to_vec()));
            let _ = writeln!(out, "{outcome:?}");
            match outcome {
                Appended::Done(_) => {
                    let text = says.to_ascii_lowercase();
                    assert!(
                        text.windows(3).any(|w| w == b" ok"),
                        "delivered without an OK"
                    );
                    true
                }
                Appended::Refused(e, _) | Appended::Lost(e, _) => {
                    assert_shown(&e.message);
                    // For good only by a refusal that came in step.
                    assert!(e.fault != Fault::Permanent || session.usable(), "{e:?}");
                    false
                }
            }
        }
        _ => note(out, session.noop()),
    }
}

fn note<T: std::fmt::Debug>(out: &mut String, result: Result<T, Error>) -> bool {
    if let Err(e) = &result {
        assert_shown(&e.message);
        assert!(e.fault != Fault::Fatal, "a server ends the process: {e:?}");
    }
    let _ = writeln!(out, "{result:?}");
    result.is_ok()
}
