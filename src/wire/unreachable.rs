//! Words for a server that cannot be reached: which side's, what was tried, and what to look at.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

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
        .map(|((_, what), ips)| match several {
            true => format!("{what} (at {})", listed(ips)),
            false => what.clone(),
        })
        .collect();
    let reasons = match reasons.is_empty() {
        true => "its name has no address".into(),
        false => reasons.join("; "),
    };
    let worst = groups.keys().next().map_or(Kind::Other, |(kind, _)| *kind);
    Error::connection(format!("{called} cannot be reached: {reasons}")).hint(hint(worst, endpoint))
}

fn reason(kind: Kind, e: &io::Error, port: u16) -> String {
    match kind {
        Kind::Refused => format!("nothing listens on port {port} (connection refused)"),
        Kind::NoAnswer => format!("nobody answers on port {port} (connection timed out)"),
        Kind::NoHost => "that machine does not answer (host is unreachable)".into(),
        Kind::NoWay => "this machine has no way there (network is unreachable)".into(),
        Kind::Other => e.to_string(),
    }
}

fn hint(kind: Kind, endpoint: &Endpoint) -> String {
    let origin = &endpoint.origin;
    let (server, port, file) = (origin.key("server"), origin.key("port"), origin.file());
    match kind {
        Kind::Refused => format!(
            "is `{port}` right in {file} ({}), and does the mail server run?",
            ports(endpoint)
        ),
        Kind::NoAnswer => format!(
            "are `{server}` and `{port}` right in {file} ({}), is that machine on, and does every firewall on the way let port {} through?",
            ports(endpoint),
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

/// Which port goes with which encryption.
pub(super) fn ports(endpoint: &Endpoint) -> String {
    format!(
        "mostly 993, or 143 with `\"{}\": \"starttls\"`",
        endpoint.origin.key("tls")
    )
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
    // EAI_AGAIN, in the C library's words.
    if said.contains("Temporary failure") {
        return no_name_server(endpoint);
    }
    let said = said
        .strip_prefix("failed to lookup address information: ")
        .unwrap_or(&said);
    let (host, origin) = (shown(endpoint.host.as_bytes()), &endpoint.origin);
    Error::connection(format!(
        "{} cannot be reached: {host} has no address ({said})",
        endpoint.called()
    ))
    .hint(format!(
        "is the name right (`{}` in {})? If it is: `getent hosts {}` shows an address where this machine finds one",
        origin.key("server"),
        origin.file(),
        shell_word(&host)
    ))
}

pub(super) fn no_name_server(endpoint: &Endpoint) -> Error {
    let host = shown(endpoint.host.as_bytes());
    Error::connection(format!(
        "{} cannot be reached: no name server says what address {host} has",
        endpoint.called()
    ))
    .hint(format!(
        "is this machine online, and is its name server (DNS) the right one? `getent hosts {}` shows an address as soon as it works; the name is `{}` in {}",
        shell_word(&host),
        endpoint.origin.key("server"),
        endpoint.origin.file()
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
                "the source imap.example.org:993 cannot be reached: nothing listens on port 993 (connection refused)",
                "is `source_port` right in config.json (mostly 993, or 143 with `\"source_tls\": \"starttls\"`), and does the mail server run?",
            ),
            (
                Side::Target,
                vec![(v6, K::TimedOut), (v4, K::TimedOut)],
                "the target imap.example.org:993 cannot be reached: nobody answers on port 993 (connection timed out) (at 192.0.2.1 and 2001:db8::1)",
                "are `target_server` and `target_port` right in config.json (mostly 993, or 143 with `\"target_tls\": \"starttls\"`), is that machine on, and does every firewall on the way let port 993 through?",
            ),
            (
                Side::Source,
                vec![(v6, K::NetworkUnreachable), (v4, K::ConnectionRefused)],
                "the source imap.example.org:993 cannot be reached: nothing listens on port 993 (connection refused) (at 192.0.2.1); this machine has no way there (network is unreachable) (at 2001:db8::1)",
                "is `source_port` right in config.json (mostly 993, or 143 with `\"source_tls\": \"starttls\"`), and does the mail server run?",
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
            "the source imap.example.org:993 cannot be reached: nothing listens on port 993 (connection refused) (at 192.0.2.1, 192.0.2.3, 192.0.2.4, 192.0.2.10 and 1 more); nobody answers on port 993 (connection timed out) (at 192.0.2.2); connection reset (at 192.0.2.6 and 2001:db8::2); permission denied (at 192.0.2.7)"
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
            "the source imap.example.org:993 cannot be reached: imap.example.org has no address (Name or service not known)"
        );
        assert_eq!(
            unknown.hint.as_deref(),
            Some(
                "is the name right (`source_server` in config.json)? If it is: `getent hosts imap.example.org` shows an address where this machine finds one"
            )
        );
        let away = said("Temporary failure in name resolution");
        assert_eq!(
            away.message,
            "the source imap.example.org:993 cannot be reached: no name server says what address imap.example.org has"
        );
    }
}
