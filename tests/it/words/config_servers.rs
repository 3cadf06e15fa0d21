//! Mistakes in what a configuration says of servers: names, ports, encryption, and files of certificates.

use imap_to_gmail::config::Tls;
use serde_json::json;

use super::WorkDir;
use super::config::{TLS_HINT, accepted, refused, run, with};

#[test]
fn servers_are_names_and_ports_are_numbers() {
    for side in ["source", "target"] {
        for name in [
            "imap.example.org:993",
            "imaps://imap.example.org",
            "user@example.org",
            "imap example.org",
        ] {
            refused(
                with(&format!("{side}_server"), name),
                &format!(
                    "`{side}_server`: got `{name}`, expected a host name like imap.example.org"
                ),
                &if name.contains("://") {
                    "write the name alone, without what stands before and behind it in an address"
                        .to_string()
                } else {
                    format!(
                        "a port has a key of its own, `{side}_port`; so has the user name, `{side}_user`"
                    )
                },
            );
        }
        for name in [
            "imap.example.org",
            "localhost",
            "192.0.2.1",
            "2001:db8::1",
            "[2001:db8::1]",
        ] {
            accepted(with(&format!("{side}_server"), name));
        }
        let key = format!("{side}_port");
        for (value, got) in [
            (json!(0), "0"),
            (json!(65536), "65536"),
            (json!(-1), "-1"),
            (json!(993.5), "993.5"),
            (json!("imaps"), "the text \"imaps\""),
            (json!(null), "null"),
            (json!([993]), "a list"),
        ] {
            refused(
                with(&key, value),
                &format!("`{key}`: got {got}, expected a number from 1 to 65535"),
                &format!("without `{key}` it is 993, or 143 with \"starttls\" or \"none\""),
            );
        }
        refused(
            with(&key, "993"),
            &format!("`{key}`: got the text \"993\", expected a number from 1 to 65535"),
            "write numbers without quotation marks: 993",
        );
        for port in [1, 65535] {
            let config = accepted(with(&key, port));
            let endpoint = if side == "source" {
                config.source
            } else {
                config.target
            };
            assert_eq!(endpoint.port, port);
        }
    }
}

#[test]
fn only_this_machine_is_spoken_to_in_clear() {
    for side in ["source", "target"] {
        let key = format!("{side}_tls");
        for (value, got) in [
            (json!("ssl"), "the text \"ssl\""),
            (json!("TLS"), "the text \"TLS\""),
            (json!("Implicit"), "the text \"Implicit\""),
            (json!(""), "the text \"\""),
            (json!(true), "true"),
            (json!(false), "false"),
            (json!(null), "null"),
            (json!(1), "1"),
            (json!(["none"]), "a list"),
        ] {
            refused(
                with(&key, value),
                &format!("`{key}`: got {got}, expected \"implicit\", \"starttls\" or \"none\""),
                TLS_HINT,
            );
        }
        for (word, tls, port) in [
            ("implicit", Tls::Implicit, 993),
            ("starttls", Tls::StartTls, 143),
        ] {
            let config = accepted(with(&key, word));
            let endpoint = if side == "source" {
                config.source
            } else {
                config.target
            };
            assert_eq!((endpoint.tls, endpoint.port), (tls, port));
        }
        let none = |host: &str| {
            let mut config = with(&key, "none");
            config[format!("{side}_server")] = json!(host);
            config
        };
        for host in [
            "imap.example.org",
            "192.168.1.2",
            "128.0.0.1",
            "localhost.example.org",
            "::2",
        ] {
            refused(
                none(host),
                &format!("`{key}`: \"none\" would send the password unencrypted to {host}"),
                "delete the whole line: the connection is then encrypted from the start (port 993); for port 143 write \"starttls\"; \"none\" is only for a server on this machine (localhost, 127.x.x.x, ::1)",
            );
        }
        for host in [
            "localhost",
            "LocalHost",
            "127.0.0.1",
            "127.0.0.2",
            "::1",
            "[::1]",
        ] {
            let config = accepted(none(host));
            let endpoint = if side == "source" {
                config.source
            } else {
                config.target
            };
            assert_eq!((endpoint.tls, endpoint.port), (Tls::None, 143));
        }
    }
}

/// They are read only when the connection is made, and are a mistake of the configuration all the same.
#[test]
fn a_certificate_file_without_certificates_is_wrong() {
    let desk = WorkDir::new();
    desk.file("empty.pem", "no certificate");
    for (name, what, hint) in [
        (
            "missing.pem",
            "there is no such file (`source_ca_file`)",
            "put the certificate file there, or change `source_ca_file` in config.json; where a public authority has signed the server's certificate, delete that line",
        ),
        (
            "empty.pem",
            "no certificates can be read from it (`source_ca_file`; it holds no PEM certificate)",
            "`source_ca_file` is for a PEM file: text that begins with -----BEGIN CERTIFICATE-----",
        ),
    ] {
        let mut config = with("source_ca_file", name);
        config["source_server"] = json!("localhost");
        config["source_port"] = json!(1);
        let ran = run(&desk, config).begun();
        ran.fails(2, &format!("{name}: {what}"), hint);
    }
}
