//! Names, ports, encryption and certificates.

use std::process::{Child, Command, Stdio};

use chrono::NaiveDate;
use gmail_stand_in::{Gmail, Options};

use super::user::{Said, User};
use crate::testkit::{eventually, free_port, says};

const CHECK: &str = "imap-to-gmail check";
const SOURCE: &str = "IMAP4rev1 LITERAL+ UIDPLUS IDLE SASL-IR AUTH=PLAIN STARTTLS";

pub(crate) fn all() -> Vec<Said> {
    let mut out = Vec::new();
    let mut user = User::new();
    // No name server is asked for a label of more than 63 letters.
    let name = format!("\"imap.{}.org\"", "exampel".repeat(10));
    user.set("source_server", &name);
    out.push(user.types("A server's name misspelt", CHECK));
    out.push(user.watches("The same, without a check", "imap-to-gmail run", "next try"));
    let mut user = User::new();
    user.port("source_port", free_port(), 9930);
    out.push(user.types("A port on which nobody listens", CHECK));

    let mut user = User::new();
    user.port("source_port", says(b""), 443);
    out.push(user.types("The port of a web server", CHECK));
    let mut user = User::new();
    user.port(
        "source_port",
        says(b"220 mail.example.org ESMTP Postfix\r\n"),
        25,
    );
    user.set("source_tls", "\"none\"").without("source_ca_file");
    out.push(user.types("The port for sending mail", CHECK));

    let plain = Gmail::start(Options {
        tls: false,
        account: "ann@example.org".into(),
        ..Options::plain(SOURCE)
    });
    let mut user = User::new();
    user.port("source_port", plain.port(), 143);
    out.push(user.types("Port 143 with the encryption of 993", CHECK));
    let mut user = User::new();
    user.set("source_tls", "\"starttls\"");
    out.push(user.types("Port 993 with the encryption of 143", CHECK));
    let mut user = User::new();
    user.set("source_tls", "\"none\"").without("source_ca_file");
    out.push(user.types("Port 993 without encryption", CHECK));
    out.extend(certificates());
    out
}

fn certificates() -> Vec<Said> {
    let served = |mistake, change: &dyn Fn(&mut Options)| {
        let mut options = Options::plain(SOURCE);
        options.account = "ann@example.org".into();
        options.password = "green tea".into();
        change(&mut options);
        User::between(
            options,
            Options {
                account: "ann@gmail.com".into(),
                ..Options::default()
            },
        )
        .types(mistake, CHECK)
    };
    let mut home = User::new();
    let server = SelfSigned::start(&home);
    home.port("source_port", server.port, 9931)
        .without("source_ca_file");
    let mut unknown = User::new();
    unknown.without("source_ca_file");
    vec![
        home.types("A home server with a certificate of its own", CHECK),
        unknown.types("A provider with an authority of its own", CHECK),
        served("A certificate that has ended", &|o| {
            o.certificate_ends = NaiveDate::from_ymd_opt(2024, 5, 1);
        }),
        served("A name that the certificate does not have", &|o| {
            o.names = vec!["mail.example.org".into(), "imap.example.org".into()];
        }),
    ]
}

/// What the commonest recipe makes: `openssl req -x509`.
struct SelfSigned {
    child: Child,
    port: u16,
}

impl SelfSigned {
    fn start(user: &User) -> SelfSigned {
        let (key, pem) = (user.path("own.key"), user.path("own.pem"));
        let made = Command::new("openssl")
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650",
            ])
            .args([
                "-subj",
                "/CN=localhost",
                "-addext",
                "subjectAltName=DNS:localhost",
            ])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&pem)
            .output()
            .unwrap_or_else(|e| panic!("openssl cannot be run: {e}"));
        assert!(made.status.success(), "{made:?}");
        let port = free_port();
        let child = Command::new("openssl")
            .args(["s_server", "-quiet", "-accept", &port.to_string()])
            .arg("-key")
            .arg(&key)
            .arg("-cert")
            .arg(&pem)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("openssl listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        SelfSigned { child, port }
    }
}

impl Drop for SelfSigned {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
