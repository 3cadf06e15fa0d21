//! What a port is known for, and which one IMAP is usually at.

use crate::config::{Endpoint, Tls};

/// What else than IMAP is behind a port as a rule (IANA's register).
fn known(port: u16) -> Option<&'static str> {
    Some(match port {
        25 | 465 | 587 => "for sending mail (SMTP), not for reading it (IMAP)",
        110 | 995 => "for POP3, an older way of fetching mail, not for IMAP",
        80 | 443 => "for web pages",
        21 => "for files (FTP)",
        22 => "for remote logins (SSH)",
        4190 => "for mail filters (ManageSieve)",
        _ => return None,
    })
}

/// `port 443 is for web pages; `, or nothing.
pub(super) fn notice(endpoint: &Endpoint) -> String {
    let port = endpoint.port;
    known(port).map_or_else(String::new, |what| format!("port {port} is {what}; "))
}

/// Which port goes with which encryption.
pub(super) fn usual(endpoint: &Endpoint) -> String {
    format!(
        "usually 993, or 143 where `{}` is \"starttls\"",
        endpoint.origin.key("tls")
    )
}

/// What mends a port that is another server's.
pub(super) fn another(endpoint: &Endpoint) -> String {
    let (notice, origin) = (notice(endpoint), &endpoint.origin);
    let (usual, with) = match endpoint.tls {
        Tls::Implicit => (993, String::new()),
        Tls::StartTls => (143, format!(" with `{}` \"starttls\"", origin.key("tls"))),
        Tls::None => (143, format!(" with `{}` \"none\"", origin.key("tls"))),
    };
    if endpoint.port == usual {
        format!(
            "are `{}` and `{}` in {} those that your provider's help pages give for IMAP?",
            origin.key("server"),
            origin.key("port"),
            origin.file()
        )
    } else {
        format!(
            "{notice}{}, the usual port for IMAP{with}; your provider's help pages say whether it has another",
            origin.set("port", &usual.to_string())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    #[test]
    fn a_known_port_is_called_what_it_is_for() {
        for (port, hint) in [
            (
                443,
                "port 443 is for web pages; change `source_port` in config.json to `993`, the usual port for IMAP; your provider's help pages say whether it has another",
            ),
            (
                25,
                "port 25 is for sending mail (SMTP), not for reading it (IMAP); change `source_port` in config.json to `993`, the usual port for IMAP; your provider's help pages say whether it has another",
            ),
            (
                1993,
                "change `source_port` in config.json to `993`, the usual port for IMAP; your provider's help pages say whether it has another",
            ),
            (
                993,
                "are `source_server` and `source_port` in config.json those that your provider's help pages give for IMAP?",
            ),
        ] {
            let endpoint = Endpoint {
                host: "imap.example.org".into(),
                port,
                tls: Tls::Implicit,
                ca_file: None,
                origin: Origin {
                    given: vec!["source_port".into()],
                    ..Origin::default()
                },
            };
            assert_eq!(another(&endpoint), hint);
        }
    }
}
