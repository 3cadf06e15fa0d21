//! Mail that no mail program wrote. Bodies are never taken apart: MIME may nest as deep as it likes.

use std::time::Duration;

use gmail_stand_in::Mail;

use super::measured::run_and_measure;

const DATE: &str = "Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n";

fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let text = |s: String| s.into_bytes();
    let mut nested = format!("Message-ID: <nested@x>\r\n{DATE}");
    for i in 0..5_000 {
        nested.push_str(&format!(
            "Content-Type: multipart/mixed; boundary=\"b{i}\"\r\n\r\n--b{i}\r\n"
        ));
    }
    vec![
        (
            "100,000 header lines",
            text(format!(
                "{}Message-ID: <lines@x>\r\n{DATE}\r\nx\r\n",
                "X-Spam: yes\r\n".repeat(100_000)
            )),
        ),
        (
            "a header line of 10 MB",
            text(format!(
                "Message-ID: <long@x>\r\n{DATE}Subject: {}\r\n\r\nx\r\n",
                "x".repeat(10 << 20)
            )),
        ),
        (
            "a Message-ID of 1 MB",
            text(format!(
                "Message-ID: <{}@x>\r\n{DATE}\r\nx\r\n",
                "i".repeat(1 << 20)
            )),
        ),
        (
            "a Message-ID of 10 MB",
            text(format!(
                "Message-ID: <{}@x>\r\n{DATE}\r\nx\r\n",
                "i".repeat(10 << 20)
            )),
        ),
        (
            "10,000 Message-IDs",
            text(format!(
                "{}{DATE}\r\nx\r\n",
                "Message-ID: <many@x>\r\n".repeat(10_000)
            )),
        ),
        (
            "a Date that is none",
            b"Message-ID: <date@x>\r\nDate: \xff\xfe (((((( 99999999999999999999\r\n\r\nx\r\n"
                .to_vec(),
        ),
        (
            "a Date of the year 4,294,967,295",
            text(
                "Message-ID: <far@x>\r\nDate: Mon, 1 Jan 4294967295 00:00:00 +0000\r\n\r\nx\r\n"
                    .into(),
            ),
        ),
        (
            "8-bit in the header",
            b"Message-ID: <\xe4\xf6\xfc@x>\r\nDate: \xc4\r\nSubject: Gr\xfc\xdfe\r\n\r\nx\r\n"
                .to_vec(),
        ),
        (
            "encoded words without end",
            text(format!(
                "Message-ID: <words@x>\r\n{DATE}Subject: {}\r\n\r\nx\r\n",
                "=?a?b?".repeat(200_000)
            )),
        ),
        ("MIME, 5,000 deep", text(nested)),
        ("only CRs", b"\r\r\r\r\r\r\r\r".to_vec()),
        ("only LFs", b"\n\n\n\n".to_vec()),
        ("no body", text(format!("Message-ID: <nobody@x>\r\n{DATE}"))),
        ("no header", b"\r\nbody alone\r\n".to_vec()),
        ("one byte", b"x".to_vec()),
        (
            "escapes",
            text(format!(
                "Message-ID: <\x1b[2J\u{202e}@x>\r\n{DATE}Subject: \x1b]0;x\x07\r\n\r\nx\r\n"
            )),
        ),
        (
            "protocol",
            b"Message-ID: <imap@x>\r\n\r\n)\r\na5 OK done\r\n* BYE\r\n{99999}\r\n".to_vec(),
        ),
    ]
}

#[test]
fn each_arrives_as_it_is() {
    for (name, bytes) in hostile() {
        let env = super::into_any_server();
        // Neighbours that must not wait for it.
        env.old_mails(2);
        env.source.add(Mail::new(&bytes));
        env.mails_of("2023-11-15T00:00:00+00:00", 0);
        let took = run_and_measure(&env, name);
        assert_eq!(took.ran.status, 0, "{name}: {}", took.ran.err);
        took.assert_bounded(name);
        assert!(
            took.time < Duration::from_secs(60),
            "{name}: {:?}",
            took.time
        );
        assert!(!took.ran.err.contains('\x1b'), "{name}");
        env.assert_complete();
        let long: i64 = env.one("SELECT coalesce(max(length(message_id)), 0) FROM message");
        assert!(long <= 251, "{name}: {long}");
    }
}

#[test]
fn all_of_them_together_and_into_gmail() {
    let env = super::into_gmail();
    env.old_mails(2);
    let mut count = 2;
    for (_, bytes) in hostile() {
        env.source.add(Mail::new(&bytes));
        count += 1;
    }
    // A NUL Gmail does not take; an empty message no server keeps.
    env.source.add(Mail::new(
        b"Message-ID: <nul\0@x>\r\nDate: \0\r\n\r\nx\0y\r\n",
    ));
    env.source.add(Mail::new(b""));
    count += 2;
    let took = run_and_measure(&env, "all of them into Gmail");
    took.assert_bounded("all of them into Gmail");
    assert!([0, 3].contains(&took.ran.status), "{}", took.ran.err);
    let rows = |what: &str| env.one::<i64>(&format!("SELECT count(*) FROM message WHERE {what}"));
    assert_eq!(rows("true"), count, "{}", env.dump());
    assert_eq!(
        rows("status IN ('delivered', 'failed')"),
        count,
        "{}",
        env.dump()
    );
    println!(
        "into Gmail: {} delivered, {} failed",
        rows("status = 'delivered'"),
        rows("status = 'failed'")
    );
    // What failed says why; what Gmail has is what it was sent.
    assert_eq!(rows("status = 'failed' AND last_error IS NULL"), 0);
    let sources: Vec<Vec<u8>> = env.source.messages().into_iter().map(|m| m.bytes).collect();
    let held = env.target.messages();
    assert_eq!(
        held.len() as i64,
        // A slow machine may lose a session over the big ones; what was on its way there is found.
        rows("status = 'delivered' AND proof IN ('appended', 'found')"),
        "{}\n{}",
        took.ran.err,
        env.dump()
    );
    let mended: i64 = rows("altered");
    let foreign = held.iter().filter(|m| !sources.contains(&m.bytes)).count() as i64;
    assert!(
        foreign <= mended,
        "{foreign} altered in silence, {mended} said so\n{}",
        env.dump()
    );
}
