//! STARTTLS and TLS: who is believed, and what is sent before that is known.

use std::path::PathBuf;
use std::sync::Arc;

use imap_to_gmail::config::{Endpoint, Origin, Tls};
use imap_to_gmail::error::{Error, Fault, Result};
use imap_to_gmail::message::Flags;
use imap_to_gmail::session::{Appended, Session};
use imap_to_gmail::wire::Sent;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::script::{PLAIN, Peer, Server, assert_says, password, short_times, times};

/// A certificate authority of a test, and its file.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    dir: tempfile::TempDir,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Authority {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let dir = tempfile::tempdir().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        std::fs::write(dir.path().join("ca.pem"), pem).unwrap();
        Authority {
            issuer: Issuer::new(params, key),
            dir,
        }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// A server with a certificate of this authority for this name.
    pub(crate) fn server(&self, name: &str) -> Arc<ServerConfig> {
        self.server_with(leaf(name))
    }

    /// A certificate of this authority, and its key.
    pub(crate) fn sign(
        &self,
        params: CertificateParams,
    ) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        (cert.der().clone(), PrivateKeyDer::from(key))
    }

    fn server_with(&self, params: CertificateParams) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap();
        config(cert.der().clone(), &key)
    }
}

pub(crate) fn leaf(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new([name.to_string()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// A server that shows this certificate and signs with this key, whether they belong together or
/// not.
fn config(cert: CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = provider.key_provider.load_private_key(key).unwrap();
    let shows = Shows(Arc::new(CertifiedKey::new(vec![cert], key)));
    Arc::new(
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shows)),
    )
}

fn at(port: u16, tls: Tls, ca_file: Option<PathBuf>) -> Endpoint {
    Endpoint {
        host: "127.0.0.1".into(),
        port,
        tls,
        ca_file,
        origin: Origin::default(),
    }
}

/// Opens a session over TLS with a server that shows this certificate.
fn open(config: Arc<ServerConfig>, ca_file: Option<PathBuf>) -> Result<Session> {
    let server = Server::start_with(Some(config), |peer| {
        if peer.try_say(format!("* OK [CAPABILITY {PLAIN}] hello\r\n"))
            && peer.line_or_end().is_some()
        {
            peer.say(format!("a1 OK [CAPABILITY {PLAIN}] welcome\r\n"));
        }
    });
    let result = Session::open(
        &at(server.port, Tls::Implicit, ca_file),
        &password(),
        &times(),
    );
    if result.is_err() {
        server.finish();
    } else {
        std::mem::forget(server);
    }
    result
}

#[test]
fn a_certificate_of_the_given_authority_is_accepted() {
    let authority = Authority::new("a CA");
    open(authority.server("127.0.0.1"), Some(authority.file())).unwrap();
}

#[test]
fn a_refused_certificate_needs_a_person_and_names_the_cause() {
    let (authority, other) = (Authority::new("a CA"), Authority::new("another CA"));
    let anew = Authority::new("a CA");
    let mut expired = leaf("127.0.0.1");
    expired.not_before = date_time_ymd(2019, 1, 1);
    expired.not_after = date_time_ymd(2020, 1, 1);
    let mut early = leaf("127.0.0.1");
    early.not_before = date_time_ymd(2200, 1, 1);
    early.not_after = date_time_ymd(2201, 1, 1);
    for (config, ca_file, cause) in [
        (
            authority.server("127.0.0.1"),
            Some(other.file()),
            "signed by an authority that this machine does not know",
        ),
        (
            authority.server("127.0.0.1"),
            Some(anew.file()),
            "signed by an authority that this machine does not know",
        ),
        (
            authority.server("127.0.0.1"),
            None,
            "signed by an authority that this machine does not know",
        ),
        (
            authority.server_with(expired),
            Some(authority.file()),
            "has expired",
        ),
        (
            authority.server_with(early),
            Some(authority.file()),
            "not valid yet",
        ),
        (
            authority.server("elsewhere.example"),
            Some(authority.file()),
            "not for 127.0.0.1 (`source_server`)",
        ),
    ] {
        let error = open(config, ca_file).err().unwrap();
        assert_says(&error, Fault::NeedsUser, cause);
        assert!(error.hint.is_some());
    }
}

#[test]
fn a_self_signed_certificate_is_accepted_when_it_is_the_very_one_and_its_key_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let pinned = dir.path().join("server.pem");
    let (key, stranger) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    // For another name, and expired: neither matters for the very certificate.
    let mut params = leaf("nas.local");
    params.not_before = date_time_ymd(2019, 1, 1);
    params.not_after = date_time_ymd(2020, 1, 1);
    let cert = params.self_signed(&key).unwrap();
    let impostor = params.self_signed(&stranger).unwrap();
    std::fs::write(&pinned, cert.pem()).unwrap();

    open(config(cert.der().clone(), &key), Some(pinned.clone())).unwrap();

    let error = open(
        config(impostor.der().clone(), &stranger),
        Some(pinned.clone()),
    );
    assert_says(&error.err().unwrap(), Fault::NeedsUser, "is not trusted");
    // The certificate is public: showing it proves nothing.
    let error = open(config(cert.der().clone(), &stranger), Some(pinned)).err();
    assert_says(&error.unwrap(), Fault::NeedsUser, "is not trusted");
}

#[test]
fn a_plain_server_on_the_tls_port_is_told_as_such() {
    for (greeting, said) in [
        (
            "* OK [CAPABILITY IMAP4rev1] hello\r\n",
            "begins unencrypted",
        ),
        ("220 smtp\r\n", "is an SMTP server"),
    ] {
        let server = Server::start(move |peer| {
            peer.say(greeting);
            peer.wait_for_end();
        });
        let error = Session::open(&at(server.port, Tls::Implicit, None), &password(), &times())
            .err()
            .unwrap();
        assert_says(&error, Fault::Connection, said);
        assert!(error.hint.is_some());
        server.finish();
    }
}

#[test]
fn a_server_that_knows_only_tls_1_1_is_refused_and_told_as_such() {
    // It says so itself (alert 70), or goes on with its own version (a ServerHello of 1.1).
    let mut hello = vec![22, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
    hello.extend_from_slice(&[7; 32]);
    hello.extend_from_slice(&[0, 0, 0x2f, 0]);
    for answer in [vec![21, 3, 1, 0, 2, 2, 70], hello] {
        let server = Server::start(move |peer| {
            peer.say(answer);
            peer.wait_for_end();
        });
        let error = Session::open(&at(server.port, Tls::Implicit, None), &password(), &times())
            .err()
            .unwrap();
        assert_says(&error, Fault::NeedsUser, "older than TLS 1.2");
        assert!(error.hint.is_some());
        server.finish();
    }
}

#[test]
fn a_handshake_that_never_ends_or_is_cut_is_left() {
    for silent in [true, false] {
        let server = Server::start(move |peer| {
            if silent {
                peer.wait_for_end();
            } else {
                peer.cut();
            }
        });
        let error = Session::open(
            &at(server.port, Tls::Implicit, None),
            &password(),
            &short_times(),
        )
        .err()
        .unwrap();
        let words = if silent {
            "it said nothing for 1 s"
        } else {
            "TLS with the source"
        };
        assert_says(&error, Fault::Connection, words);
        server.finish();
    }
}

#[test]
fn a_cut_without_the_farewell_of_tls_is_a_lost_connection_in_plain_words() {
    let authority = Authority::new("a CA");
    let server = Server::start_with(Some(authority.server("127.0.0.1")), |peer| {
        peer.welcome(PLAIN);
        peer.answer("UID FETCH", "* 1 FETCH (UID 1)\r\n* 2 FETCH (UI");
        peer.cut();
    });
    let mut session = Session::open(
        &at(server.port, Tls::Implicit, Some(authority.file())),
        &password(),
        &times(),
    )
    .unwrap();
    let (fetched, end) = session.uid_fetch("1:2", "(UID)", 0);
    assert_eq!(fetched.len(), 1);
    let error = end.unwrap_err();
    assert_says(
        &error,
        Fault::Connection,
        "the server closed the connection",
    );
    assert!(!error.message.contains("http"), "{error}");
    server.finish();
}

#[test]
fn a_bye_within_a_literal_is_heard_through_tls_too() {
    let authority = Authority::new("a CA");
    let server = Server::start_with(Some(authority.server("127.0.0.1")), |peer| {
        peer.welcome(PLAIN);
        let tag = peer.command("APPEND");
        peer.say("+ go ahead\r\n");
        peer.literal(1000);
        peer.say(format!(
            "* BYE [OVERQUOTA] Account exceeded command or bandwidth limits.\r\n{tag} OK and yet\r\n"
        ));
        peer.cut();
    });
    let mut session = Session::open(
        &at(server.port, Tls::Implicit, Some(authority.file())),
        &password(),
        &times(),
    )
    .unwrap();
    let body = Arc::new(vec![b'x'; 48 << 20]);
    match session.append("INBOX", Flags::default(), None, body) {
        Appended::Lost(error, sent) => {
            assert_says(&error, Fault::Throttled, "bandwidth limits");
            assert_eq!(sent, Sent::Part);
        }
        other => panic!("expected a lost end, got {other:?}"),
    }
    server.finish();
}

/// The error with which STARTTLS with this server ends.
fn starttls_refusal(script: impl FnOnce(&mut Peer) + Send + 'static) -> Error {
    let server = Server::start(script);
    let error = Session::open(&at(server.port, Tls::StartTls, None), &password(), &times()).err();
    server.finish();
    error.expect("no session was to come")
}

#[test]
fn capabilities_are_asked_anew_behind_starttls() {
    let authority = Authority::new("a CA");
    let config = authority.server("127.0.0.1");
    // Dovecot's greeting on port 143: what it says there does not hold behind TLS.
    let greeting = "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] Dovecot ready.\r\n";
    let server = Server::start(move |peer| {
        peer.say(greeting);
        peer.answer(
            "CAPABILITY",
            "* CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED\r\nTAG OK done\r\n",
        );
        peer.answer("STARTTLS", "TAG OK begin\r\n");
        peer.protect(config);
        peer.answer(
            "CAPABILITY",
            "* CAPABILITY IMAP4rev1 AUTH=PLAIN SASL-IR\r\nTAG OK done\r\n",
        );
        peer.answer(
            "AUTHENTICATE PLAIN ",
            "TAG OK [CAPABILITY IMAP4rev1 UIDPLUS] in\r\n",
        );
        peer.next_command_works();
    });
    let mut session = Session::open(
        &at(server.port, Tls::StartTls, Some(authority.file())),
        &password(),
        &times(),
    )
    .unwrap();
    assert!(session.offers("UIDPLUS") && !session.offers("LOGINDISABLED"));
    session.noop().unwrap();
    server.finish();
}

#[test]
fn no_password_is_sent_without_starttls() {
    for (answer, words) in [
        (
            "* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\nTAG OK done\r\n",
            "does not offer STARTTLS",
        ),
        ("TAG BAD what\r\n", "does not offer STARTTLS"),
        (
            "* CAPABILITY IMAP4rev1 XSTARTTLS STARTTLSX\r\nTAG OK done\r\n",
            "does not offer STARTTLS",
        ),
    ] {
        let error = starttls_refusal(move |peer| {
            peer.say("* OK hello\r\n");
            peer.answer("CAPABILITY", answer);
            peer.hears_nothing_more();
        });
        assert_says(&error, Fault::NeedsUser, words);
    }
    for answer in ["TAG NO not today\r\n", "TAG BAD not today\r\n"] {
        let error = starttls_refusal(move |peer| {
            peer.say("* OK hello\r\n");
            peer.answer("CAPABILITY", "* CAPABILITY STARTTLS\r\nTAG OK done\r\n");
            peer.answer("STARTTLS", answer);
            peer.hears_nothing_more();
        });
        assert_says(&error, Fault::NeedsUser, "not today");
    }
}

#[test]
fn what_is_injected_behind_the_ok_is_never_believed() {
    let authority = Authority::new("a CA");
    for injected in [
        "* CAPABILITY IMAP4rev1 LOGINDISABLED\r\n",
        "* PREAUTH you are in\r\n",
        "a1 OK [CAPABILITY IMAP4rev1] in\r\n",
    ] {
        let config = authority.server("127.0.0.1");
        let server = Server::start(move |peer| {
            peer.say("* OK hello\r\n");
            peer.answer("CAPABILITY", "* CAPABILITY STARTTLS\r\nTAG OK done\r\n");
            peer.answer("STARTTLS", format!("TAG OK begin\r\n{injected}"));
            peer.protect(config);
            assert_eq!(peer.line_or_end(), None);
        });
        let error = Session::open(
            &at(server.port, Tls::StartTls, Some(authority.file())),
            &password(),
            &times(),
        )
        .err()
        .unwrap();
        assert_says(&error, Fault::Connection, "does not speak TLS");
        server.finish();
    }
}

#[test]
fn a_greeting_before_starttls_that_is_none_keeps_its_meaning() {
    let error = starttls_refusal(|peer| {
        peer.say("* PREAUTH welcome\r\n");
        peer.hears_nothing_more();
    });
    assert_says(&error, Fault::NeedsUser, "before we said who we are");
    let error = starttls_refusal(|peer| {
        peer.say("* BYE too many connections\r\n");
        peer.hears_nothing_more();
    });
    assert_says(&error, Fault::Throttled, "too many connections");
    let error = starttls_refusal(|peer| peer.say("220 smtp\r\n"));
    assert_says(&error, Fault::Connection, "220 smtp");
}

#[test]
fn talk_without_end_before_starttls_ends_at_the_deadline() {
    for endless in ["* OK wait\r\n", "x"] {
        let server = Server::start(move |peer| {
            peer.say("* OK hello\r\n");
            peer.command("CAPABILITY");
            peer.say_for_ever(endless);
        });
        let error = Session::open(
            &at(server.port, Tls::StartTls, None),
            &password(),
            &short_times(),
        )
        .err()
        .unwrap();
        assert_says(&error, Fault::Connection, "before encryption began");
        server.finish();
    }
}
