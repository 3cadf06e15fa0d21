//! TLS: the handshake, and which certificates are believed. Words for why one is not: `certificate`.

use std::io::{self, Read as _};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    StreamOwned,
};

use super::socket::Socket;
use super::{certificate, unreachable};
use crate::config::Endpoint;
use crate::error::{Error, Fault, Result};
use crate::message::Time;

pub(super) type Protected = StreamOwned<ClientConnection, Socket>;

/// What is needed to begin TLS with one server.
pub(super) struct Client {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    refused: Refused,
}

/// The certificate that was not believed.
type Refused = Arc<Mutex<Option<CertificateDer<'static>>>>;

impl Client {
    pub(super) fn new(endpoint: &Endpoint) -> Result<Client> {
        let host = endpoint.host.trim_matches(['[', ']']).to_string();
        let name = ServerName::try_from(host)
            .map_err(|_| unreachable::not_a_name(endpoint).with_fault(Fault::Usage))?;
        let own = authorities(endpoint)?;
        let mut roots = RootCertStore::empty();
        match &own {
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            Some(own) => {
                for cert in own {
                    // A self-signed server certificate need not be good as a root.
                    let _ = roots.add(cert.clone());
                }
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = if roots.is_empty() {
            None
        } else {
            Some(
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                    .build()
                    .map_err(|e| {
                        Error::fatal(format!("the certificate verifier cannot be made: {e}"))
                    })?,
            )
        };
        let refused = Refused::default();
        let verifier = Verifier {
            roots,
            pinned: own.unwrap_or_default(),
            provider: Arc::clone(&provider),
            refused: Arc::clone(&refused),
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| Error::fatal(format!("TLS cannot be set up: {e}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        // It is for one connection: nothing that it could go on with is kept.
        config.resumption = Resumption::disabled();
        Ok(Client {
            config: Arc::new(config),
            name,
            refused,
        })
    }

    /// Shakes hands until the connection is protected, so that a refused certificate is told from
    /// a refused password. `await_answer` is called when our hello is out.
    pub(super) fn handshake(
        self,
        mut socket: Socket,
        endpoint: &Endpoint,
        await_answer: impl FnOnce(&mut Socket) -> Result<()>,
    ) -> Result<Protected> {
        let mut tls = ClientConnection::new(self.config, self.name)
            .map_err(|e| Error::fatal(format!("TLS cannot be set up: {e}")))?;
        let refused = |e: io::Error| {
            let leaf = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            refusal(&e, endpoint, leaf.as_ref())
        };
        while tls.wants_write() {
            tls.write_tls(&mut socket).map_err(refused)?;
        }
        await_answer(&mut socket)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).map_err(refused)?;
        }
        Ok(StreamOwned::new(tls, socket))
    }
}

/// What the configured file holds, at least one certificate. None: no file is configured.
///
/// # Errors
/// `Usage`: it cannot be read.
pub fn authorities(endpoint: &Endpoint) -> Result<Option<Vec<CertificateDer<'static>>>> {
    let Some(path) = &endpoint.ca_file else {
        return Ok(None);
    };
    let unreadable = |e| certificate::unreadable(path, endpoint, e);
    let all = CertificateDer::pem_file_iter(path).map_err(unreadable)?;
    let all: Vec<_> = all
        .collect::<std::result::Result<_, _>>()
        .map_err(unreadable)?;
    if all.is_empty() {
        return Err(unreadable(pem::Error::NoItemsFound));
    }
    Ok(Some(all))
}

/// The first bytes of a handshake with this server.
pub(super) fn hello(endpoint: &Endpoint) -> Option<Vec<u8>> {
    let client = Client::new(endpoint).ok()?;
    let mut tls = ClientConnection::new(client.config, client.name).ok()?;
    let mut bytes = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut bytes).ok()?;
    }
    Some(bytes)
}

/// Reads, also where nothing can be sent any more: rustls's own stream then gives up without
/// looking at what has come. An end without TLS's farewell is an end; whether the talk was
/// complete is known from IMAP.
pub(super) fn receive(tls: &mut Protected, buf: &mut [u8]) -> io::Result<usize> {
    loop {
        if tls.conn.wants_write() {
            let _ = tls.conn.write_tls(&mut tls.sock);
        }
        match tls.conn.reader().read(buf) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
            done => return done,
        }
        if tls.conn.read_tls(&mut tls.sock)? == 0 {
            return Ok(0);
        }
        tls.conn
            .process_new_packets()
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    }
}

/// Built-in or given roots, and certificates that are accepted because they are the very ones.
#[derive(Debug)]
struct Verifier {
    roots: Option<Arc<WebPkiServerVerifier>>,
    pinned: Vec<CertificateDer<'static>>,
    provider: Arc<rustls::crypto::CryptoProvider>,
    refused: Refused,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        if self
            .pinned
            .iter()
            .any(|p| p.as_ref() == end_entity.as_ref())
        {
            return Ok(ServerCertVerified::assertion());
        }
        let end = match &self.roots {
            Some(roots) => roots.verify_server_cert(end_entity, intermediates, name, ocsp, now),
            None => Err(rustls::CertificateError::UnknownIssuer.into()),
        };
        if end.is_err() {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            *refused = Some(end_entity.clone().into_owned());
        }
        end
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug)]
pub struct Protection {
    /// `TLS 1.3`
    pub version: &'static str,
    pub voucher: Voucher,
    /// When the server's certificate ends.
    pub ends: Option<Time>,
}

/// Why a server's certificate is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Voucher {
    /// A public authority.
    Public,
    /// An authority of the configured file.
    Own,
    /// The configured file holds the very certificate: its dates and names do not count.
    Itself,
}

pub(super) fn protection(tls: &Protected, endpoint: &Endpoint) -> Protection {
    let leaf = tls.conn.peer_certificates().and_then(|chain| chain.first());
    let is_leaf = |cert: CertificateDer<'_>| leaf.is_some_and(|l| l.as_ref() == cert.as_ref());
    let voucher = match &endpoint.ca_file {
        None => Voucher::Public,
        Some(path) => {
            let certs = CertificateDer::pem_file_iter(path);
            if certs.is_ok_and(|mut all| all.any(|c| c.is_ok_and(is_leaf))) {
                Voucher::Itself
            } else {
                Voucher::Own
            }
        }
    };
    Protection {
        version: match tls.conn.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
            _ => "TLS 1.2",
        },
        voucher,
        ends: leaf.and_then(certificate::ends),
    }
}

fn refusal(e: &io::Error, endpoint: &Endpoint, leaf: Option<&CertificateDer<'_>>) -> Error {
    let called = endpoint.called();
    let inner = e
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => certificate::refused(why, leaf, endpoint),
        Some(
            rustls::Error::PeerIncompatible(_)
            | rustls::Error::AlertReceived(rustls::AlertDescription::ProtocolVersion),
        ) => Error::new(
            Fault::NeedsUser,
            format!("{called} offers only encryption that is too old (older than TLS 1.2)"),
        )
        .hint("TLS 1.2 or 1.3 must be switched on at the server: by you, or by its provider"),
        Some(rustls::Error::InvalidMessage(_)) => {
            let (key, file) = (endpoint.origin.key("tls"), endpoint.origin.file());
            Error::connection(format!("{called} does not speak TLS where encryption should begin")).hint(format!(
                "`{key}` in {file} is usually \"starttls\" for port 143, and \"implicit\" (or not there) for port 993"
            ))
        }
        _ => Error::connection(format!("TLS with {called} broke off: {e}")),
    }
}
