//! What a person is told of a certificate that is not trusted, to the letter; and that doing it mends it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use imap_to_gmail::config::Tls;
use imap_to_gmail::error::{Error, Fault};
use imap_to_gmail::message::sha256;
use imap_to_gmail::session::Session;
use imap_to_gmail::text::minute;
use rcgen::{CertificateParams, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::script::{PLAIN, Server, password, times};
use super::tls::{Authority, leaf};
use super::words::{endpoint, error_at, many, says};

/// A certificate, its key, and what openssl says of it.
struct Made {
    config: Arc<ServerConfig>,
    fingerprint: String,
}

fn made(cert: CertificateDer<'static>, key: PrivateKeyDer<'static>) -> Made {
    let pairs: Vec<String> = sha256(&cert).0.iter().map(|b| format!("{b:02X}")).collect();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .unwrap();
    Made {
        config: Arc::new(config),
        fingerprint: pairs.join(":"),
    }
}

/// As most manuals say to make one.
fn by_openssl(dir: &Path) -> Made {
    let done = Command::new("openssl")
        .args("req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=nas.local -keyout key.pem -out cert.pem".split(' '))
        .current_dir(dir)
        .output()
        .unwrap_or_else(|e| panic!("openssl cannot be run: {e}"));
    assert!(done.status.success(), "{done:?}");
    made(
        CertificateDer::from_pem_file(dir.join("cert.pem")).unwrap(),
        PrivateKeyDer::from_pem_file(dir.join("key.pem")).unwrap(),
    )
}

fn of(authority: &Authority, params: CertificateParams) -> Made {
    let (cert, key) = authority.sign(params);
    made(cert, key)
}

fn refused(made: &Made, ca_file: Option<PathBuf>) -> (u16, Error) {
    let port = many(Arc::clone(&made.config));
    let error = error_at(&endpoint(port, Tls::Implicit, ca_file), &times());
    assert_eq!(error.fault, Fault::NeedsUser, "{error}");
    (port, error)
}

/// What is said to do with a server of one's own.
fn take_it(made: &Made) -> String {
    format!(
        "save its certificate with `openssl s_client -connect 127.0.0.1:PORT </dev/null | openssl x509 -out /etc/mail/source.pem`; `openssl x509 -in /etc/mail/source.pem -noout -fingerprint -sha256` must then show {}, and so must the same command on the server itself with its own certificate file: if not, stop, since somebody may be intercepting the connection. Only then after the first {{ in '/etc/mail/my config.json' add `\"source_ca_file\": \"source.pem\",`",
        made.fingerprint
    )
}

#[test]
fn the_commonest_self_signed_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let made = by_openssl(dir.path());
    let today = chrono::Utc::now().date_naive();
    let (port, error) = refused(&made, None);
    let message = format!(
        "the certificate of the source 127.0.0.1:PORT (the server's proof of identity) is not trusted: it is self-signed, so nobody but the server itself vouches for it (it names no server, valid from {today} until {})",
        today + chrono::TimeDelta::days(30)
    );
    let hint = format!(
        "is this your own server? If not, stop and ask the provider, since somebody may be intercepting the connection. If it is, {}",
        take_it(&made)
    );
    says(&error, port, &message, &hint);

    // What the hint says to type mends it.
    let hint = error.hint.unwrap();
    let command = hint.split('`').nth(1).unwrap();
    let pem = dir.path().join("fetched.pem");
    let command = command.replace("/etc/mail/source.pem", pem.to_str().unwrap());
    let done = Command::new("sh").args(["-c", &command]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    let server = Server::start_with(Some(made.config), |peer| peer.welcome(PLAIN));
    Session::open(
        &endpoint(server.port, Tls::Implicit, Some(pem)),
        &password(),
        &times(),
    )
    .unwrap();
}

#[test]
fn a_certificate_of_nobody_that_is_known() {
    let (authority, other) = (Authority::new("a CA"), Authority::new("another CA"));
    let mut params = leaf("mail.example.org");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2040, 1, 1);
    let made = of(&authority, params);
    for (ca_file, more) in [
        (None, ""),
        (
            Some(other.file()),
            ", and it is not in the file of `source_ca_file`",
        ),
    ] {
        let (port, error) = refused(&made, ca_file);
        let message = format!(
            "the certificate of the source 127.0.0.1:PORT (the server's proof of identity) is not trusted: it is signed by an authority that this machine does not know{more} (it is for mail.example.org, valid from 2020-01-01 until 2040-01-01)"
        );
        let hint = format!(
            "is this the server of a company or a provider? Then do not trust it yet: ask them for the file of their CA certificate (the authority's), put it beside '/etc/mail/my config.json' and after the first {{ in '/etc/mail/my config.json' add `\"source_ca_file\": \"THEIR-FILE.pem\",`, once you have it. If this is your own server, name your own authority's certificate there, or {}",
            take_it(&made)
        );
        says(&error, port, &message, &hint);
    }
}

#[test]
fn a_certificate_at_the_wrong_time() {
    let authority = Authority::new("a CA");
    let (mut expired, mut early) = (leaf("127.0.0.1"), leaf("127.0.0.1"));
    expired.not_before = date_time_ymd(2019, 1, 1);
    expired.not_after = date_time_ymd(2020, 1, 1);
    early.not_before = date_time_ymd(2200, 1, 1);
    early.not_after = date_time_ymd(2201, 1, 1);
    let day = |text: &str| minute(text.parse().unwrap());
    for (params, what, otherwise) in [
        (
            expired,
            format!(
                "it has expired (it was valid until {})",
                day("2020-01-01T00:00:00Z")
            ),
            "renewed",
        ),
        (
            early,
            format!(
                "it is not valid yet (it is valid from {})",
                day("2200-01-01T00:00:00Z")
            ),
            "made anew",
        ),
    ] {
        let made = of(&authority, params);
        let (port, error) = refused(&made, Some(authority.file()));
        says(
            &error,
            port,
            &format!(
                "the certificate of the source 127.0.0.1:PORT (the server's proof of identity) is not trusted: {what}"
            ),
            &format!(
                "this machine's clock says NOW: if that is wrong, correct this machine's clock (`sudo timedatectl set-ntp true`, or in the NAS's settings); if it is right, the certificate must be {otherwise} on the server, by you or by its provider"
            ),
        );
    }
}

#[test]
fn a_certificate_for_another_name() {
    let authority = Authority::new("a CA");
    let seven: Vec<String> = (1..=7).map(|n| format!("m{n}.example.org")).collect();
    for (names, told, other) in [
        (
            vec!["nas.local".to_string()],
            "it is for nas.local,",
            Some("that one"),
        ),
        (
            vec!["*.example.org".to_string(), "192.0.2.1".to_string()],
            "it is for *.example.org and 192.0.2.1,",
            Some("one of these"),
        ),
        (
            seven,
            "it is for m1.example.org, m2.example.org, m3.example.org, m4.example.org, m5.example.org and 2 more,",
            Some("one of these"),
        ),
        (vec![], "it names no server, so it is", None),
    ] {
        let mut params = leaf("x");
        params.subject_alt_names = CertificateParams::new(names).unwrap().subject_alt_names;
        let made = of(&authority, params);
        let (port, error) = refused(&made, Some(authority.file()));
        let other = other.map_or_else(
            || "is `source_server` in '/etc/mail/my config.json' the name that your provider's help pages give?".into(),
            |which| format!("look up the name of the IMAP server in your provider's help pages; if it is {which}, change `source_server` in '/etc/mail/my config.json' to it"),
        );
        says(
            &error,
            port,
            &format!(
                "the certificate of the source 127.0.0.1:PORT (the server's proof of identity) is not trusted: {told} not for 127.0.0.1 (`source_server`)"
            ),
            &format!(
                "{other}. If this is your own server, {}; a certificate in that file is trusted whatever name it has",
                take_it(&made)
            ),
        );
    }
}
