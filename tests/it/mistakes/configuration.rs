//! What is typed, and what is written into the configuration.

use super::user::{Said, User};

pub(crate) fn all() -> Vec<Said> {
    let mut out = typed();
    out.extend(not_json());
    out.extend(values());
    out
}

fn typed() -> Vec<Said> {
    let user = User::new();
    let elsewhere = User::new();
    std::fs::remove_file(elsewhere.path("config.json")).unwrap();
    vec![
        elsewhere.types("Started where no configuration is", "imap-to-gmail run"),
        user.types(
            "The configuration without its option",
            "imap-to-gmail run config.json",
        ),
        user.types("A command that there is not", "imap-to-gmail start"),
        user.types(
            "An option that there is not",
            "imap-to-gmail check --conf config.json",
        ),
        user.types(
            "An interval in words",
            "imap-to-gmail run --poll-interval 1minute30",
        ),
        user.types(
            "A log size that is none",
            "imap-to-gmail run --log sync.log --log-max-size 10MB/day",
        ),
    ]
}

fn not_json() -> Vec<Said> {
    let check = |mistake, from: &str, to: &str| {
        let user = User::new();
        user.edit(from, to);
        user.types(mistake, "imap-to-gmail check")
    };
    let whole = |mistake, text: &[u8]| {
        let user = User::new();
        user.file("config.json", text);
        user.types(mistake, "imap-to-gmail check")
    };
    let wide: Vec<u8> = "{\"source_server\": \"imap.example.org\"}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    vec![
        whole("An empty configuration", b""),
        whole(
            "A configuration in YAML",
            b"source_server: imap.example.org\nsource_user: ann@example.org\n",
        ),
        whole(
            "A configuration that a Windows editor saved as UTF-16",
            &[b"\xff\xfe", &wide[..]].concat(),
        ),
        check("A comma too many", "mnop\"\n", "mnop\",\n"),
        check("A comma too few", "\"green tea\",", "\"green tea\""),
        check(
            "A comment",
            "  \"source_server\"",
            "  // my old provider\n  \"source_server\"",
        ),
        check(
            "Quotation marks of a word processor",
            "\"source_user\"",
            "\u{201c}source_user\u{201d}",
        ),
        check(
            "A backslash in a password",
            "\"green tea\"",
            "\"green\\tea\\q\"",
        ),
        check(
            "A key twice",
            "  \"source_user\"",
            "  \"source_user\": \"bob@example.org\",\n  \"source_user\"",
        ),
    ]
}

fn values() -> Vec<Said> {
    let check = |mistake, key: &str, json: &str| {
        let mut user = User::new();
        user.set(key, json);
        user.types(mistake, "imap-to-gmail check")
    };
    let mut none = User::new();
    none.without("target_pass");
    let mut gmail = User::new();
    gmail
        .without("target_server")
        .without("target_port")
        .without("target_ca_file")
        .set("target_user", "\"ann\"");
    let mut remote = User::new();
    remote
        .without("source_ca_file")
        .without("source_port")
        .set("source_server", "\"imap.example.invalid\"")
        .set("source_tls", "\"none\"");
    vec![
        check("A key misspelt", "source_passwd", "\"green tea\""),
        check("TLS switched on, one thinks", "source_tls", "true"),
        check("A port in quotation marks", "source_port", "\"993\""),
        check("A value left out", "source_user", "null"),
        check("A number of days without a unit", "since", "\"7\""),
        none.types("No way into Gmail", "imap-to-gmail check"),
        check(
            "Two forms of one password",
            "source_pass_file",
            "\"pass.txt\"",
        ),
        gmail.types(
            "A Gmail address without its domain",
            "imap-to-gmail run --once",
        ),
        remote.types(
            "A password that would cross the net in the clear",
            "imap-to-gmail check",
        ),
    ]
}
