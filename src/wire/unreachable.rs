//! Words for a server that cannot be reached: which side's, what was tried, and what to look at.

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
    let mut groups: Vec<(Kind, &io::Error, Vec<IpAddr>)> = Vec::new();
    for (ip, e) in failed {
        match groups.iter_mut().find(|(known, ..)| *known == kind(e)) {
            Some((_, _, ips)) if ips.contains(ip) => {}
            Some((_, _, ips)) => ips.push(*ip),
            None => groups.push((kind(e), e, vec![*ip])),
        }
    }
    groups.sort_by_key(|(kind, ..)| *kind);
    let several = groups.iter().map(|(_, _, ips)| ips.len()).sum::<usize>() > 1;
    let reasons: Vec<String> = groups
        .iter()
        .map(|(kind, e, ips)| {
            let what = reason(*kind, e, endpoint.port);
            match several {
                true => format!("{what} (at {})", listed(ips)),
                false => what,
            }
        })
        .collect();
    let reasons = match reasons.is_empty() {
        true => "its name has no address".into(),
        false => reasons.join("; "),
    };
    let worst = groups.first().map_or(Kind::Other, |(kind, ..)| *kind);
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

fn listed(ips: &[IpAddr]) -> String {
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
    .hint(format!(
        "is `{}` spelled right in {}? If it is: `getent hosts {}` shows an address as soon as this machine finds one",
        origin.key("server"),
        origin.file(),
        shell_word(&host)
    ))
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
                "the target imap.example.org:993 cannot be reached: no answer came from port 993 in time (connection timed out) (at 2001:db8::1 and 192.0.2.1)",
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
                "is `source_server` spelled right in config.json? If it is: `getent hosts imap.example.org` shows an address as soon as this machine finds one"
            )
        );
        let away = said("Temporary failure in name resolution");
        assert_eq!(
            away.message,
            "the source imap.example.org:993 cannot be reached: the name lookup (DNS) of this machine gives no answer for imap.example.org"
        );
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
