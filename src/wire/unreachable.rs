//! Words for a server that cannot be reached: which side's, what was tried, and what to look at.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use super::port;
use crate::config::Endpoint;
use crate::error::{Error, shown};
use crate::text::shell_word;

/// Addresses that are named.
const NAMED_MAX: usize = 4;

/// What kept a connection from coming about, in the order in which a person's attention is due: what was
/// heard from the machine itself says most.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Refused,
    NoAnswer,
    NoHost,
    NoWay,
    Other,
}

fn kind(e: &io::Error) -> Kind {
    match e.kind() {
        io::ErrorKind::ConnectionRefused => Kind::Refused,
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Kind::NoAnswer,
        io::ErrorKind::HostUnreachable => Kind::NoHost,
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable => Kind::NoWay,
        _ => Kind::Other,
    }
}

pub(super) fn unreachable(endpoint: &Endpoint, failed: &[(IpAddr, io::Error)]) -> Error {
    let called = endpoint.called();
    // A resolver tells the addresses in another order each time, and the same trouble is to have the same
    // words: other words are news.
    let mut groups: BTreeMap<(Kind, String), BTreeSet<IpAddr>> = BTreeMap::new();
    for (ip, e) in failed {
        let what = reason(kind(e), e, endpoint.port);
        groups.entry((kind(e), what)).or_default().insert(*ip);
    }
    let several = groups.values().map(BTreeSet::len).sum::<usize>() > 1;
    let reasons: Vec<String> = groups
        .iter()
        .map(|((_, what), ips)| {
            if several {
                format!("{what} (at {})", listed(ips))
            } else {
                what.clone()
            }
        })
        .collect();
    let reasons = if reasons.is_empty() {
        "its name has no address".into()
    } else {
        reasons.join("; ")
    };
    let worst = groups.keys().next().map_or(Kind::Other, |(kind, _)| *kind);
    Error::connection(format!("{called} cannot be reached: {reasons}")).hint(hint(worst, endpoint))
}

fn reason(kind: Kind, e: &io::Error, port: u16) -> String {
    match kind {
        Kind::Refused => format!("nothing answers on port {port} (connection refused)"),
        Kind::NoAnswer => format!("no answer came from port {port} in time (connection timed out)"),
        Kind::NoHost => "that machine does not answer (host is unreachable)".into(),
        Kind::NoWay => "this machine has no way there (network is unreachable)".into(),
        Kind::Other => e.to_string(),
    }
}

/// Did somebody write down where it is?
fn is_of_the_configuration(endpoint: &Endpoint) -> bool {
    let origin = &endpoint.origin;
    endpoint.whose() != "Gmail" || origin.has("server") || origin.has("port")
}

fn hint(kind: Kind, endpoint: &Endpoint) -> String {
    let origin = &endpoint.origin;
    let (server, port, file) = (origin.key("server"), origin.key("port"), origin.file());
    if !is_of_the_configuration(endpoint) {
        return format!(
            "is the internet connection up (`ping -c 1 {}`), and do all firewalls on the way let port {} through?",
            shell_word(&endpoint.host),
            endpoint.port
        );
    }
    let (notice, usual) = (port::notice(endpoint), port::usual(endpoint));
    match kind {
        Kind::Refused => format!(
            "{notice}is `{port}` right in {file} ({usual}), and is the mail server running?"
        ),
        Kind::NoAnswer => format!(
            "{notice}are `{server}` and `{port}` right in {file} ({usual}), is that machine on, and do all firewalls on the way let port {} through?",
            endpoint.port
        ),
        Kind::NoHost => {
            format!("is that machine on and in the network, and is `{server}` right in {file}?")
        }
        Kind::NoWay | Kind::Other => {
            format!("is this machine online, and are `{server}` and `{port}` right in {file}?")
        }
    }
}

fn listed(ips: &BTreeSet<IpAddr>) -> String {
    let named: Vec<String> = ips
        .iter()
        .take(NAMED_MAX)
        .map(ToString::to_string)
        .collect();
    match ips.len().saturating_sub(NAMED_MAX) {
        0 => named.join(" and "),
        n => format!("{} and {n} more", named.join(", ")),
    }
}

/// The name of a server that the system's resolver has no address for.
pub(super) fn no_address(endpoint: &Endpoint, e: &io::Error) -> Error {
    let said = e.to_string();
    // EAI_AGAIN, in the words of glibc and of musl.
    if said.contains("Temporary failure") || said.ends_with(": Try again") {
        return no_name_server(endpoint);
    }
    if !is_of_the_configuration(endpoint) {
        return gmail_is_not_found(endpoint);
    }
    let said = said
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(&said);
    let (host, origin) = (shown(endpoint.host.as_bytes()), &endpoint.origin);
    Error::connection(format!(
        "{} cannot be reached: there is no server by the name {host} ({said})",
        endpoint.called()
    ))
    .hint(if is_an_example(&endpoint.host) {
        format!(
            "that name is only an example: change `{}` in {} to the name of your provider's mail server, which its help pages call \"IMAP server\" or \"incoming mail\"",
            origin.key("server"),
            origin.file()
        )
    } else {
        format!(
        "is `{}` spelled right in {}? If it is: `getent hosts {}` shows an address as soon as this machine finds one",
        origin.key("server"),
        origin.file(),
        shell_word(&host)
        )
    })
}

/// Names that nobody can have (RFC 2606), as `config.json.example` has one.
fn is_an_example(host: &str) -> bool {
    let reserved = [
        "example.com",
        "example.net",
        "example.org",
        "example",
        "invalid",
    ];
    reserved
        .iter()
        .any(|name| host == *name || host.ends_with(&format!(".{name}")))
}

/// One that no name server can know either.
pub(super) fn not_a_name(endpoint: &Endpoint) -> Error {
    let (host, origin) = (shown(endpoint.host.as_bytes()), &endpoint.origin);
    Error::connection(format!(
        "{} cannot be reached: {host} is not a name that a server can have",
        endpoint.called()
    ))
    .hint(format!(
        "is `{}` spelled right in {}? It is a name like imap.example.org, of letters, digits, - and dots, with at most 63 letters between two dots",
        origin.key("server"),
        origin.file()
    ))
}

pub(super) fn no_name_server(endpoint: &Endpoint) -> Error {
    if !is_of_the_configuration(endpoint) {
        return gmail_is_not_found(endpoint);
    }
    let host = shown(endpoint.host.as_bytes());
    Error::connection(format!(
        "{} cannot be reached: the name lookup (DNS) of this machine gives no answer for {host}",
        endpoint.called()
    ))
    .hint(format!(
        "{} `getent hosts {}` shows an address as soon as it works; the name is `{}` in {}",
        LOOK_AT_DNS,
        shell_word(&host),
        endpoint.origin.key("server"),
        endpoint.origin.file()
    ))
}

// By number: `ping` of a name needs the name lookup itself.
const LOOK_AT_DNS: &str = "is the internet connection up (`ping -c 1 8.8.8.8`)? If it is, check the DNS server in this machine's network settings:";

/// Its name is ours, so it is right.
fn gmail_is_not_found(endpoint: &Endpoint) -> Error {
    let host = &endpoint.host;
    Error::connection(format!(
        "Gmail cannot be reached: this machine cannot find {host}"
    ))
    .hint(format!(
        "{LOOK_AT_DNS} `getent hosts {host}` shows an address as soon as the name lookup works"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Origin, Side, Tls};

    fn endpoint(side: Side) -> Endpoint {
        Endpoint {
            host: "imap.example.org".into(),
            port: 993,
            tls: Tls::Implicit,
            ca_file: None,
            origin: Origin {
                side,
                ..Origin::default()
            },
        }
    }

    #[test]
    fn each_way_to_be_out_of_reach_has_its_words() {
        use io::ErrorKind as K;
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let (v4, v6) = (ip("192.0.2.1"), ip("2001:db8::1"));
        for (side, failed, message, hint) in [
            (
                Side::Source,
                vec![(v4, K::ConnectionRefused)],
                "the source imap.example.org:993 cannot be reached: nothing answers on port 993 (connection refused)",
                "is `source_port` right in config.json (usually 993, or 143 where `source_tls` is \"starttls\"), and is the mail server running?",
            ),
            (
                Side::Target,
                vec![(v6, K::TimedOut), (v4, K::TimedOut)],
                "the target imap.example.org:993 cannot be reached: no answer came from port 993 in time (connection timed out) (at 192.0.2.1 and 2001:db8::1)",
                "are `target_server` and `target_port` right in config.json (usually 993, or 143 where `target_tls` is \"starttls\"), is that machine on, and do all firewalls on the way let port 993 through?",
            ),
            (
                Side::Source,
                vec![(v6, K::NetworkUnreachable), (v4, K::ConnectionRefused)],
                "the source imap.example.org:993 cannot be reached: nothing answers on port 993 (connection refused) (at 192.0.2.1); this machine has no way there (network is unreachable) (at 2001:db8::1)",
                "is `source_port` right in config.json (usually 993, or 143 where `source_tls` is \"starttls\"), and is the mail server running?",
            ),
            (
                Side::Source,
                vec![(v4, K::HostUnreachable)],
                "the source imap.example.org:993 cannot be reached: that machine does not answer (host is unreachable)",
                "is that machine on and in the network, and is `source_server` right in config.json?",
            ),
            (
                Side::Source,
                vec![(v4, K::NetworkUnreachable)],
                "the source imap.example.org:993 cannot be reached: this machine has no way there (network is unreachable)",
                "is this machine online, and are `source_server` and `source_port` right in config.json?",
            ),
        ] {
            let failed: Vec<_> = failed.into_iter().map(|(ip, k)| (ip, k.into())).collect();
            let error = unreachable(&endpoint(side), &failed);
            assert_eq!(error.message, message);
            assert_eq!(error.hint.as_deref(), Some(hint));
        }
    }

    /// Resolvers tell a server's addresses in another order each time, and only what is new is said.
    #[test]
    fn the_same_trouble_has_the_same_words_each_time() {
        use io::ErrorKind as K;
        let failed = [
            ("192.0.2.1", K::ConnectionRefused),
            ("192.0.2.2", K::TimedOut),
            ("192.0.2.10", K::ConnectionRefused),
            ("192.0.2.3", K::ConnectionRefused),
            ("192.0.2.4", K::ConnectionRefused),
            ("2001:db8::1", K::ConnectionRefused),
            ("192.0.2.6", K::ConnectionReset),
            ("192.0.2.7", K::PermissionDenied),
            ("2001:db8::2", K::ConnectionReset),
        ];
        let said = |order: Vec<&(&str, K)>| {
            let failed = order
                .iter()
                .map(|(ip, k)| (ip.parse::<IpAddr>().expect("an address"), (*k).into()));
            unreachable(&endpoint(Side::Source), &failed.collect::<Vec<_>>()).message
        };
        let first = said(failed.iter().collect());
        assert_eq!(
            first,
            "the source imap.example.org:993 cannot be reached: nothing answers on port 993 (connection refused) (at 192.0.2.1, 192.0.2.3, 192.0.2.4, 192.0.2.10 and 1 more); no answer came from port 993 in time (connection timed out) (at 192.0.2.2); connection reset (at 192.0.2.6 and 2001:db8::2); permission denied (at 192.0.2.7)"
        );
        assert_eq!(said(failed.iter().rev().collect()), first);
        for n in 1..failed.len() {
            let (a, b) = failed.split_at(n);
            assert_eq!(said(b.iter().chain(a).collect()), first);
        }
    }

    #[test]
    fn a_name_that_is_not_known_is_told_from_a_name_server_that_is_away() {
        let said = |words: &str| {
            let words = format!("failed to lookup address information: {words}");
            no_address(&endpoint(Side::Source), &io::Error::other(words))
        };
        let unknown = said("Name or service not known");
        assert_eq!(
            unknown.message,
            "the source imap.example.org:993 cannot be reached: there is no server by the name imap.example.org (Name or service not known)"
        );
        assert_eq!(
            unknown.hint.as_deref(),
            Some(
                "that name is only an example: change `source_server` in config.json to the name of your provider's mail server, which its help pages call \"IMAP server\" or \"incoming mail\""
            )
        );
        let mut mistyped = endpoint(Side::Source);
        mistyped.host = "imap.exampel.test".into();
        let e = io::Error::other("Name or service not known");
        assert_eq!(
            no_address(&mistyped, &e).hint.as_deref(),
            Some(
                "is `source_server` spelled right in config.json? If it is: `getent hosts imap.exampel.test` shows an address as soon as this machine finds one"
            )
        );
        for words in ["Temporary failure in name resolution", "Try again"] {
            assert_eq!(
                said(words).message,
                "the source imap.example.org:993 cannot be reached: the name lookup (DNS) of this machine gives no answer for imap.example.org"
            );
        }
    }

    #[test]
    fn where_gmail_is_nobody_is_asked() {
        let mut gmail = endpoint(Side::Target);
        gmail.host = "imap.gmail.com".into();
        for words in [
            "Name or service not known",
            "Temporary failure in name resolution",
        ] {
            let words = format!("failed to lookup address information: {words}");
            let error = no_address(&gmail, &io::Error::other(words));
            assert_eq!(
                error.message,
                "Gmail cannot be reached: this machine cannot find imap.gmail.com"
            );
            assert_eq!(
                error.hint.as_deref(),
                Some(
                    "is the internet connection up (`ping -c 1 8.8.8.8`)? If it is, check the DNS server in this machine's network settings: `getent hosts imap.gmail.com` shows an address as soon as the name lookup works"
                )
            );
        }
        let away = unreachable(
            &gmail,
            &[([192, 0, 2, 1].into(), io::ErrorKind::TimedOut.into())],
        );
        assert_eq!(
            away.hint.as_deref(),
            Some(
                "is the internet connection up (`ping -c 1 imap.gmail.com`), and do all firewalls on the way let port 993 through?"
            )
        );
        gmail.origin.given.push("target_server".into());
        let away = unreachable(&gmail, &[]);
        assert!(away.hint.is_some_and(|h| h.contains("`target_server`")));
    }
}
