//! What a server's certificate says, and words for why it is not believed. Nothing but rustls reads
//! certificates here: it is asked questions to which what it refuses is the answer.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};

use crate::config::{Endpoint, Tls};
use crate::error::{Error, Fault, shown, shown_within};
use crate::message::{Time, sha256};
use crate::text::{minute, shell_word};

/// Names of a certificate that are shown, and how much of each.
const NAMES_MAX: usize = 5;
const NAME_MAX: usize = 80;
/// 2026-11-01. A clock that is behind it is wrong: this program is newer.
const WRITTEN: i64 = 1_793_491_200;

const BY_WHOM: &str = "by you or by its provider";

/// Why a certificate is refused: what is said of it, and what mends that.
struct Words {
    why: String,
    hint: String,
}

/// `leaf`: the certificate, where it is itself that is not believed.
pub(super) fn refused(
    why: &CertificateError,
    leaf: Option<&CertificateDer<'_>>,
    endpoint: &Endpoint,
) -> Error {
    let Words { why, hint } = words(why, leaf, endpoint, Utc::now());
    let called = endpoint.called();
    Error::new(
        Fault::NeedsUser,
        format!(
            "the certificate of {called} (the server's proof of identity) is not trusted: {why}"
        ),
    )
    .hint(hint)
}

fn words(
    why: &CertificateError,
    leaf: Option<&CertificateDer<'_>>,
    endpoint: &Endpoint,
    now: Time,
) -> Words {
    use CertificateError as C;
    match why {
        C::ExpiredContext { not_after, .. } => out_of_date(
            format!("it has expired (it was valid until {})", at(*not_after)),
            now,
            "renewed",
        ),
        C::Expired => out_of_date("it has expired".into(), now, "renewed"),
        C::NotValidYetContext { not_before, .. } => out_of_date(
            format!("it is not valid yet (it is valid from {})", at(*not_before)),
            now,
            "made anew",
        ),
        C::NotValidYet => out_of_date("it is not valid yet".into(), now, "made anew"),
        C::NotValidForNameContext { presented, .. } => misnamed(presented, leaf, endpoint),
        C::NotValidForName => misnamed(&[], leaf, endpoint),
        // The second: an authority that was made anew under its old name.
        C::UnknownIssuer | C::BadSignature => match leaf {
            Some(leaf) => unknown(is_signed_by_itself(leaf), leaf, endpoint),
            None => Words {
                why: "the server shows it and does not have its key".into(),
                hint: "if this is your own server, its certificate and its key do not belong together; if it is not, stop and ask the provider, since somebody may be intercepting the connection".into(),
            },
        },
        C::Revoked => Words {
            why: "its authority has revoked it".into(),
            hint: format!("it must be replaced on the server, {BY_WHOM}"),
        },
        C::Other(other) if is_of_an_authority(other) => match leaf {
            Some(leaf) => unknown(true, leaf, endpoint),
            None => made_anew("it is the certificate of an authority", endpoint),
        },
        C::Other(other) if matches!(other.0.downcast_ref(), Some(webpki::Error::UnsupportedCertVersion)) => {
            made_anew("it has an old form (X.509 version 1) that is no longer accepted", endpoint)
        }
        C::UnsupportedSignatureAlgorithmContext { .. }
        | C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            made_anew("it is signed in a way that is no longer accepted (SHA-1, or a key that is too short)", endpoint)
        }
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => {
            made_anew("it was made for something else than a server", endpoint)
        }
        C::BadEncoding => made_anew("it cannot be read", endpoint),
        other => made_anew(&shown(other.to_string().as_bytes()), endpoint),
    }
}

fn is_of_an_authority(other: &rustls::OtherError) -> bool {
    matches!(
        other.0.downcast_ref(),
        Some(webpki::Error::CaUsedAsEndEntity)
    )
}

fn at(moment: UnixTime) -> String {
    time(moment).map_or_else(|| "a moment that no clock knows".into(), minute)
}

fn time(moment: UnixTime) -> Option<Time> {
    Time::from_timestamp(i64::try_from(moment.as_secs()).ok()?, 0)
}

/// `renewed`: what the server's own certificate needs where the clock is right.
fn out_of_date(what: String, now: Time, renewed: &str) -> Words {
    let clock = format!("this machine's clock says {}", minute(now));
    let correct =
        "correct this machine's clock (`sudo timedatectl set-ntp true`, or in the NAS's settings)";
    if now.timestamp() < WRITTEN {
        Words {
            why: format!("{what} by this machine's clock, which is wrong"),
            hint: format!("{clock}, and this program is newer than that: {correct}"),
        }
    } else {
        Words {
            // The moment is no part of the sentence: a trouble that lasts is known by its words.
            why: what,
            hint: format!(
                "{clock}: if that is wrong, {correct}; if it is right, the certificate must be {renewed} on the server, {BY_WHOM}"
            ),
        }
    }
}

/// The names of a certificate that anybody may have made are no advice: a provider's pages are.
fn misnamed(names: &[String], leaf: Option<&CertificateDer<'_>>, endpoint: &Endpoint) -> Words {
    let host = shown(endpoint.host.as_bytes());
    let origin = &endpoint.origin;
    let (key, file) = (origin.key("server"), origin.file());
    let names = plain_names(names);
    let (why, look_up) = match &names[..] {
        [] => (
            "it names no server, so it is not for".to_string(),
            format!("is `{key}` in {file} the name that your provider's help pages give?"),
        ),
        names => (
            format!("it is for {}, not for", listed(names)),
            format!(
                "look up the name of the IMAP server in your provider's help pages; if it is {}, change `{key}` in {file} to it",
                match names {
                    [name] if !name.contains('*') => "that one",
                    _ => "one of these",
                }
            ),
        ),
    };
    Words {
        why: format!("{why} {host} (`{key}`)"),
        hint: by_another(endpoint).unwrap_or_else(|| format!(
            "{look_up}. If this is your own server, {}; a certificate in that file is trusted whatever name it has",
            take_it_as_it_is(leaf, endpoint)
        )),
    }
}

fn unknown(by_itself: bool, leaf: &CertificateDer<'_>, endpoint: &Endpoint) -> Words {
    let origin = &endpoint.origin;
    let key = origin.key("ca_file");
    let mut why = if by_itself {
        "it is self-signed, so nobody but the server itself vouches for it".to_string()
    } else {
        "it is signed by an authority that this machine does not know".into()
    };
    if endpoint.ca_file.is_some() {
        why += &format!(", and it is not in the file of `{key}`");
    }
    let names = names(leaf);
    let whose = if names.is_empty() {
        "it names no server".into()
    } else {
        format!("it is for {}", listed(&names))
    };
    let day = |t: Option<Time>| t.map(|t| t.format("%Y-%m-%d").to_string());
    let valid = match (day(begins(leaf)), day(ends(leaf))) {
        (Some(from), Some(until)) => format!(", valid from {from} until {until}"),
        _ => String::new(),
    };
    let own = take_it_as_it_is(Some(leaf), endpoint);
    let hint = if by_itself {
        format!(
            "is this your own server? If not, stop and ask the provider, since somebody may be intercepting the connection. If it is, {own}"
        )
    } else {
        format!(
            "is this the server of a company or a provider? Then do not trust it yet: ask them for the file of their CA certificate (the authority's), put it beside {} and {}, once you have it. If this is your own server, name your own authority's certificate there, or {own}",
            origin.file(),
            origin.set("ca_file", "\"THEIR-FILE.pem\"")
        )
    };
    Words {
        why: format!("{why} ({whose}{valid})"),
        hint: by_another(endpoint).unwrap_or(hint),
    }
}

/// Google's certificates are of an authority that is built in, and for the name of its server.
fn by_another(endpoint: &Endpoint) -> Option<String> {
    (endpoint.whose() == "Gmail").then(|| format!(
        "this is not Google's certificate: something between this machine and Gmail shows one of its own (a firewall, an antivirus program, or an attacker); ask whoever runs this network. Only if it is a firewall that you trust with your mail, get its CA certificate from them, put it beside {} and {}",
        endpoint.origin.file(),
        endpoint.origin.set("ca_file", "\"THEIR-FILE.pem\"")
    ))
}

/// Who owns the server can have the very certificate believed, whatever it says.
fn take_it_as_it_is(leaf: Option<&CertificateDer<'_>>, endpoint: &Endpoint) -> String {
    let origin = &endpoint.origin;
    let pem = format!("{}.pem", origin.side.name());
    // Beside the configuration, as its keys are read.
    let beside = origin.file.with_file_name(&pem);
    let starttls = match endpoint.tls {
        Tls::StartTls => " -starttls imap",
        Tls::Implicit | Tls::None => "",
    };
    let saved = shell_word(&beside.display().to_string());
    let fingerprint = leaf.map_or_else(String::new, |leaf| {
        format!(
            "; `openssl x509 -in {saved} -noout -fingerprint -sha256` must then show {}, and so must the same command on the server itself with its own certificate file: if not, stop, since somebody may be intercepting the connection",
            fingerprint(leaf)
        )
    });
    format!(
        "save its certificate with `openssl s_client -connect {}{starttls} </dev/null | openssl x509 -out {}`{fingerprint}. Only then {}",
        shell_word(&endpoint.name()),
        saved,
        origin.set("ca_file", &format!("\"{pem}\""))
    )
}

/// `source_ca_file` is of no use.
pub(super) fn unreadable(path: &Path, endpoint: &Endpoint, e: pem::Error) -> Error {
    let (key, file) = (endpoint.origin.key("ca_file"), endpoint.origin.file());
    let shown_path = path.display();
    let missing = matches!(&e, pem::Error::Io(e) if e.kind() == ErrorKind::NotFound);
    if missing {
        return Error::usage(format!("{shown_path}: there is no such file (`{key}`)")).hint(format!(
            "put the certificate file there, or change `{key}` in {file}; where a public authority has signed the server's certificate, delete that line"
        ));
    }
    let why = match e {
        pem::Error::NoItemsFound => "it holds no PEM certificate".to_string(),
        // Without the crate's "I/O error" before it.
        pem::Error::Io(e) => e.to_string(),
        other => other.to_string(),
    };
    Error::usage(format!(
        "{shown_path}: no certificates can be read from it (`{key}`; {why})"
    ))
    .hint(format!(
        "`{key}` is for a PEM file: text that begins with -----BEGIN CERTIFICATE-----"
    ))
}

/// Nothing here mends it.
fn made_anew(why: &str, endpoint: &Endpoint) -> Words {
    let host = shown(endpoint.host.trim_matches(['[', ']']).as_bytes());
    let kind = match host.parse::<std::net::IpAddr>() {
        Ok(_) => "IP",
        Err(_) => "DNS",
    };
    Words {
        why: why.into(),
        hint: format!(
            "it must be made anew on the server, {BY_WHOM}; on your own server: `openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -keyout key.pem -out cert.pem -subj {} -addext {}`",
            shell_word(&format!("/CN={host}")),
            shell_word(&format!("subjectAltName={kind}:{host}"))
        ),
    }
}

/// `AB:CD:...`, as openssl shows it.
fn fingerprint(leaf: &CertificateDer<'_>) -> String {
    let pairs: Vec<String> = sha256(leaf.as_ref())
        .0
        .iter()
        .map(|b| format!("{b:02X}"))
        .collect();
    pairs.join(":")
}

/// rustls tells them as `DnsName("mail.example.org")` and `IpAddress(192.0.2.1)`.
fn plain_names(told: &[String]) -> Vec<String> {
    let name = |told: &String| {
        let inner = told
            .strip_prefix("DnsName(\"")
            .and_then(|rest| rest.strip_suffix("\")"))
            .or_else(|| {
                told.strip_prefix("IpAddress(")
                    .and_then(|rest| rest.strip_suffix(')'))
            })?;
        Some(shown_within(inner.as_bytes(), NAME_MAX))
    };
    told.iter().filter_map(name).collect()
}

fn listed(names: &[String]) -> String {
    let first: Vec<&str> = names.iter().take(NAMES_MAX).map(String::as_str).collect();
    match (names.len().saturating_sub(NAMES_MAX), &first[..]) {
        (0, [before @ .., last]) if !before.is_empty() => {
            format!("{} and {last}", before.join(", "))
        }
        (0, _) => first.join(", "),
        (more, _) => format!("{} and {more} more", first.join(", ")),
    }
}

/// The names that a certificate is for: whoever asks whether it is for one that it cannot be for is told
/// them all.
fn names(leaf: &CertificateDer<'_>) -> Vec<String> {
    let told = || {
        let parsed = ParsedCertificate::try_from(leaf).ok()?;
        let nobody = ServerName::try_from("nobody.invalid").ok()?;
        match rustls::client::verify_server_name(&parsed, &nobody) {
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                presented,
                ..
            })) => Some(plain_names(&presented)),
            _ => None,
        }
    };
    told().unwrap_or_default()
}

/// When a certificate ends: whoever is asked to believe it at the end of time says so.
pub(super) fn ends(leaf: &CertificateDer<'_>) -> Option<Time> {
    match believed(leaf, None, u64::MAX) {
        Err(CertificateError::ExpiredContext { not_after, .. }) => time(not_after),
        _ => None,
    }
}

/// And when it begins: at the beginning of time.
fn begins(leaf: &CertificateDer<'_>) -> Option<Time> {
    match believed(leaf, None, 0) {
        Err(CertificateError::NotValidYetContext { not_before, .. }) => time(not_before),
        _ => None,
    }
}

/// Does it vouch for itself? It is looked at within its time, which is asked for first.
fn is_signed_by_itself(leaf: &CertificateDer<'_>) -> bool {
    let Some(end) = ends(leaf).and_then(|end| u64::try_from(end.timestamp()).ok()) else {
        return false;
    };
    !matches!(
        believed(leaf, Some(leaf), end),
        Err(CertificateError::UnknownIssuer | CertificateError::BadSignature)
    )
}

/// Is it believed at this moment, with this authority or else the public ones? Its dates are looked at
/// before anything else about it.
fn believed(
    leaf: &CertificateDer<'_>,
    authority: Option<&CertificateDer<'_>>,
    moment: u64,
) -> Result<(), CertificateError> {
    let mut roots = RootCertStore::empty();
    match authority {
        Some(authority) => roots
            .add(authority.clone().into_owned())
            .map_err(|_| CertificateError::UnknownIssuer)?,
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let asked = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|_| CertificateError::UnknownIssuer)?;
    let name = ServerName::try_from("localhost").map_err(|_| CertificateError::NotValidForName)?;
    let moment = UnixTime::since_unix_epoch(Duration::from_secs(moment));
    match asked.verify_server_cert(leaf, &[], &name, &[], moment) {
        Err(rustls::Error::InvalidCertificate(why)) => Err(why),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Origin, Side};

    #[test]
    fn a_clock_that_was_never_set_is_what_is_wrong() {
        let words = out_of_date("it is not valid yet".into(), Time::UNIX_EPOCH, "");
        let told = minute(Time::UNIX_EPOCH);
        assert_eq!(
            words.why,
            "it is not valid yet by this machine's clock, which is wrong"
        );
        assert_eq!(
            words.hint,
            format!(
                "this machine's clock says {told}, and this program is newer than that: correct this machine's clock (`sudo timedatectl set-ntp true`, or in the NAS's settings)"
            )
        );
    }

    #[test]
    fn another_certificate_than_googles_is_somebodys_in_between() {
        let mut gmail = Endpoint {
            host: "imap.gmail.com".into(),
            port: 993,
            tls: Tls::Implicit,
            ca_file: None,
            origin: Origin {
                side: Side::Target,
                ..Origin::default()
            },
        };
        let told = ["DnsName(\"firewall.example.org\")".to_string()];
        let words = misnamed(&told, None, &gmail);
        assert_eq!(
            words.why,
            "it is for firewall.example.org, not for imap.gmail.com (`target_server`)"
        );
        assert_eq!(
            words.hint,
            "this is not Google's certificate: something between this machine and Gmail shows one of its own (a firewall, an antivirus program, or an attacker); ask whoever runs this network. Only if it is a firewall that you trust with your mail, get its CA certificate from them, put it beside config.json and after the first { in config.json add `\"target_ca_file\": \"THEIR-FILE.pem\",`"
        );
        gmail.host = "mail.example.org".into();
        let words = misnamed(&told, None, &gmail);
        assert!(words.hint.starts_with("look up the name"), "{}", words.hint);
    }
}
