//! Where a sign-in is tried: a Google of its own, a folder with credentials and a configuration, a browser without a
//! screen, and the program as it waits.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use gmail_stand_in::{CLIENT_SECRET, Gmail, Options};
use imap_to_gmail::config::Intervals;
use serde_json::{Value, json};

use crate::testkit::{self, route::Route};

/// What `auth` is told in most cases.
pub(crate) const BOTH: &[&str] = &[
    "--credentials",
    "client_secret.json",
    "--config",
    "config.json",
];

/// Holds the arguments when this test binary is to be the program, with a sign-in that may take a second.
const CHILD: &str = "IMAP_TO_GMAIL_AUTH_ARGS";

#[test]
fn hurried_program() {
    let Ok(args) = std::env::var(CHILD) else {
        return;
    };
    let args: Vec<String> = serde_json::from_str(&args).unwrap();
    let times = Intervals {
        consent: Duration::from_secs(1),
        ..Intervals::default()
    };
    let status = imap_to_gmail::cli::main(args.into_iter().map(OsString::from), times);
    std::process::exit(status.into());
}

pub(crate) struct AuthEnv {
    pub(crate) google: Gmail,
    pub(crate) route: Route,
}

impl AuthEnv {
    /// With client_secret.json, and config.json that names token.json.
    pub(crate) fn new() -> AuthEnv {
        AuthEnv::with(Options::default())
    }

    pub(crate) fn with(options: Options) -> AuthEnv {
        let google = Gmail::start(options);
        let mut route = Route::new(json!({
            "source_server": "localhost",
            "source_user": "user@example.org",
            // It is never read.
            "source_pass_file": "/nowhere",
            "target_server": "localhost",
            "target_port": google.port(),
            "target_ca_file": google.ca_file(),
            "target_user": google.account(),
        }));
        let token = route.dir.path().join("token.json");
        route.set("target_token_file", token.to_str().unwrap());
        let env = AuthEnv { google, route };
        env.write("client_secret.json", &env.google.client_secret_json());
        env
    }

    /// Without config.json, which would be taken though nobody named it.
    pub(crate) fn without_config(self) -> AuthEnv {
        fs::remove_file(self.path("config.json")).unwrap();
        self
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.route.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &Value) {
        fs::write(self.path(name), content.to_string()).unwrap();
    }

    pub(crate) fn token(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("token.json")).unwrap()).unwrap()
    }

    /// `auth` with these options, its standard input open.
    pub(crate) fn auth(&self, args: &[&str]) -> Signing {
        let binary = env!("CARGO_BIN_EXE_imap-to-gmail");
        self.start(Command::new(binary).arg("auth").args(args))
    }

    /// As [`auth`](Self::auth), where a sign-in may take a second.
    pub(crate) fn hurried(&self, args: &[&str]) -> Signing {
        let args = [&["imap-to-gmail", "auth"], args].concat();
        self.start(
            testkit::again("auth::sign_in::hurried_program").env(CHILD, json!(args).to_string()),
        )
    }

    pub(crate) fn start(&self, command: &mut Command) -> Signing {
        let child = command
            .current_dir(self.route.dir.path())
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        for name in ["DISPLAY", "WAYLAND_DISPLAY"] {
            if !child.get_envs().any(|(n, _)| n == name) {
                child.env_remove(name);
            }
        }
        Signing::new(child.spawn().unwrap())
    }

    /// It fails before anybody signs in.
    #[track_caller]
    pub(crate) fn refuses(&self, args: &[&str], status: i32, sentence: &str, hint: &str) {
        let ended = self.auth(args).end();
        ended.says(status, sentence, hint);
        assert_eq!(ended.out, "");
    }
}

/// The program while it waits.
pub(crate) struct Signing {
    pub(crate) child: Child,
    lines: Receiver<String>,
    err: Option<thread::JoinHandle<String>>,
    out: String,
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Signing {
    fn new(mut child: Child) -> Signing {
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            out.lines()
                .map_while(Result::ok)
                .try_for_each(|line| sender.send(line))
        });
        let mut err = child.stderr.take().unwrap();
        let err = thread::spawn(move || {
            let mut text = String::new();
            err.read_to_string(&mut text).unwrap();
            text
        });
        Signing {
            child,
            lines,
            err: Some(err),
            out: String::new(),
        }
    }

    /// The next line that holds this.
    #[track_caller]
    pub(crate) fn line(&mut self, with: &str) -> String {
        loop {
            match self.lines.recv_timeout(Duration::from_secs(60)) {
                Ok(line) => {
                    self.out.push_str(&format!("{line}\n"));
                    if line.contains(with) {
                        return line.trim().to_string();
                    }
                }
                Err(e) => panic!("no line with {with:?} ({e}) in\n{}", self.out),
            }
        }
    }

    /// The address to open.
    #[track_caller]
    pub(crate) fn url(&mut self) -> String {
        let url = self.line("/auth?");
        // Only then does it listen to what is typed.
        self.line("paste its whole address");
        url
    }

    pub(crate) fn types(&mut self, line: &str) {
        let mut stdin = self.child.stdin.as_ref().unwrap();
        stdin.write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    pub(crate) fn end(mut self) -> Ended {
        drop(self.child.stdin.take());
        let status = self.child.wait().unwrap();
        self.out.extend(self.lines.iter().map(|l| l + "\n"));
        let ended = Ended {
            status,
            out: self.out,
            err: self.err.take().unwrap().join().unwrap(),
        };
        let said = format!("{}{}", ended.out, ended.err);
        for secret in [
            "ya29.",
            "1//0",
            "code-0",
            CLIENT_SECRET,
            "code_verifier",
            "4/0stand",
            "4%2F0stand",
        ] {
            assert!(!said.contains(secret), "{secret} is said: {ended:?}");
        }
        ended
    }
}

impl Ended {
    #[track_caller]
    pub(crate) fn says(&self, status: i32, sentence: &str, hint: &str) {
        let expected = format!("error: {sentence}\n\nhint: {hint}\n");
        assert!(
            self.status.code() == Some(status) && self.err == expected,
            "--- expected {status}\n{expected}--- got {}\n{}",
            self.status,
            self.err
        );
    }

    #[track_caller]
    pub(crate) fn is_well(&self) {
        assert!(self.status.success() && self.err.is_empty(), "{self:?}");
    }
}

/// A browser without a screen.
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) body: String,
}

/// Host, port and the rest of an address of this machine.
fn parts(url: &str) -> (&str, u16, &str) {
    let rest = url.strip_prefix("http://").unwrap();
    let (name, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let port = name.rsplit_once(':').unwrap().1.parse().unwrap();
    (name, port, path)
}

pub(crate) fn get(url: &str) -> Page {
    let (name, _, path) = parts(url);
    let request = format!("GET {path} HTTP/1.1\r\nHost: {name}\r\nUser-Agent: nobody\r\n\r\n");
    send(url, request.as_bytes()).unwrap()
}

/// These bytes to the host of an address; None if it says nothing.
pub(crate) fn send(url: &str, request: &[u8]) -> Option<Page> {
    let mut stream = TcpStream::connect(("127.0.0.1", parts(url).1)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let location = head.lines().find_map(|l| l.strip_prefix("Location: "));
    Some(Page {
        status: head.split(' ').nth(1).unwrap().parse().unwrap(),
        location: location.map(str::to_string),
        body: body.to_string(),
    })
}

/// Opens the consent page and clicks there: the address to which the browser is sent.
pub(crate) fn click(google: &Gmail, url: &str, answer: &str) -> String {
    let page = get(url);
    assert_eq!(page.status, 200, "{}", page.body);
    let mut links = page.body.split("href=\"").skip(1);
    let link = links.find(|l| l.contains(&format!("answer={answer}")));
    let link = link.unwrap().split('"').next().unwrap();
    let page = get(&google.web(link));
    assert_eq!(page.status, 302);
    page.location.unwrap()
}

pub(crate) fn agree(google: &Gmail, url: &str) -> String {
    click(google, url, "allow")
}

/// A field of an address' query, as it is on the wire.
pub(crate) fn field<'a>(url: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = url.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    Some(pairs.find(|(n, _)| *n == name)?.1)
}

pub(crate) fn mode(path: PathBuf) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
