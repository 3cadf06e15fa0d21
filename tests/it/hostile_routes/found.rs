//! Circumstances that the users of other mail programs met and reported; each test names the report. What else was
//! tried, and with what verdict, stands in `tests/README.md` under "Circumstances tried".

use std::io::{Read as _, Write as _};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use super::oddity::Oddity;
use super::token_endpoint;
use crate::testkit::env::TestEnv;
use crate::testkit::eventually;

/// The program running; killed when dropped.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn new(child: Child) -> Running {
        Running(child)
    }

    /// Its exit status, once it has one.
    pub(crate) fn has_ended(&mut self) -> Option<i32> {
        self.0.try_wait().unwrap().and_then(|s| s.code())
    }

    /// SIGTERM where it runs, and what it wrote.
    pub(crate) fn end(mut self) -> String {
        if self.has_ended().is_none() {
            let kill = Command::new("kill").arg(self.0.id().to_string()).status();
            assert!(kill.unwrap().success());
        }
        let mut err = String::new();
        let mut stderr = self.0.stderr.take().unwrap();
        stderr.read_to_string(&mut err).unwrap();
        self.0.wait().unwrap();
        err
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
        let mut err = String::new();
        if let (true, Some(stderr)) = (std::thread::panicking(), &mut self.0.stderr) {
            let _ = stderr.read_to_string(&mut err);
            println!("{err}");
        }
    }
}

/// A route from this source into a server that takes whatever it is given.
pub(crate) fn from(odd: &Oddity) -> TestEnv {
    let mut env = super::into_any_server();
    env.set("source_port", odd.port);
    env
}

/// What the target holds, in no order.
pub(crate) fn held(env: &TestEnv) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = env.target.messages().into_iter().map(|m| m.bytes).collect();
    all.sort();
    all
}

#[track_caller]
pub(crate) fn assert_held(env: &TestEnv, mails: &[Vec<u8>]) {
    let mut mails = mails.to_vec();
    mails.sort();
    assert!(held(env) == mails, "{:?}\n{}", held(env), env.dump());
}

/// Does this command ask for whole messages?
pub(super) fn asks_for_bodies(command: &str) -> bool {
    command.contains("BODY.PEEK[])") || command.contains("BODY.PEEK[] ")
}

/// What stands before the bytes of a message in a response, and those bytes.
fn cut_at_body(told: &[u8]) -> Option<(&[u8], &[u8])> {
    let begin = told.windows(8).position(|w| w == b" BODY[] ")?;
    let line = told[begin..].iter().position(|&b| b == b'\n')? + begin + 1;
    Some((&told[..begin], &told[line..told.len() - 3]))
}

/// github.com/freescout-help-desk/freescout/issues/4202, github.com/jstedfast/MailKit/issues/1615: iCloud and Office 365
/// hand a message over with nothing in it, and some time later whole.
#[test]
fn a_message_handed_over_empty_is_waited_for() {
    let times = AtomicUsize::new(0);
    let odd = Oddity::new(move |talk, tag, command| {
        let empty = asks_for_bodies(command) && times.fetch_add(1, Ordering::SeqCst) < 4;
        if empty {
            talk.fetch(tag, command, |_, told| match cut_at_body(&told) {
                Some((before, _)) => [before, b" BODY[] \"\")\r\n"].concat(),
                None => told,
            });
        }
        empty
    });
    let mails = [odd.mail("one"), odd.mail("another")];
    let env = from(&odd);
    env.run_until_done(4);
    assert_held(&env, &mails);
}

/// github.com/roundcube/roundcubemail/issues/7702, github.com/hmailserver/hmailserver/issues/459: what comes of a message
/// is less than the server says that it has.
#[test]
fn a_message_that_comes_cut_short_is_asked_for_again() {
    let times = AtomicUsize::new(0);
    let odd = Oddity::new(move |talk, tag, command| {
        let short = asks_for_bodies(command) && times.fetch_add(1, Ordering::SeqCst) < 1;
        if short {
            talk.fetch(tag, command, |_, told| match cut_at_body(&told) {
                Some((before, body)) => {
                    let body = &body[..body.len() - 30];
                    let head = format!(" BODY[] {{{}}}\r\n", body.len());
                    [before, head.as_bytes(), body, b")\r\n"].concat()
                }
                None => told,
            });
        }
        short
    });
    let text = "a line that is long enough for its end to be missed\r\n".repeat(4);
    let mails = [odd.mail(&text), odd.mail(&text)];
    let env = from(&odd);
    env.run_until_done(2);
    assert_held(&env, &mails);
}

/// Where sizes are estimates (Exchange) a message that came with fewer bytes may be whole: that may not double the traffic.
#[test]
fn sizes_that_are_never_right_cost_one_message_twice() {
    let odd = Oddity::new(|talk, tag, command| {
        let about = command.contains("RFC822.SIZE");
        if about {
            talk.fetch(tag, command, |mail, told| {
                let told = String::from_utf8(told).unwrap();
                let size = |n: usize| format!("RFC822.SIZE {n} ");
                let n = mail.bytes.len();
                told.replace(&size(n), &size(n + 20)).into_bytes()
            });
        }
        about
    });
    let mails: Vec<Vec<u8>> = (0..20).map(|n| odd.mail(&format!("text {n}"))).collect();
    let env = from(&odd);
    env.run_until_done(1);
    assert_held(&env, &mails);
    let asked = odd.heard("UID FETCH") + odd.heard("FETCH");
    // Each message asked for once more would be twenty besides; the batches of four workers are seven.
    assert!(asked < 16, "{asked} commands");
}

/// github.com/Foundry376/Mailspring/issues/2038, github.com/OfflineIMAP/offlineimap/issues/62,
/// github.com/zammad/zammad-admin-documentation/issues/568: what Exchange cannot convert, and what its virus scanner still
/// has in hand, it replaces by a notice of its own.
#[test]
fn exchanges_notice_in_place_of_a_message_is_not_that_message() {
    let odd = Oddity::plain();
    let first = odd.mail("the first");
    let notice = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=\"us-ascii\"\r\nFrom: Microsoft Exchange Server\r\nTo: Ann <ann@example.org>\r\nSubject: Retrieval using the IMAP4 protocol failed for the following\r\n message: 2\r\n\r\nThe server couldn't retrieve the following message:\r\n";
    odd.put(2, notice.as_bytes(), "14-Nov-2023 22:13:20 +0000");
    let third = odd.mail("the third");
    let env = from(&odd);
    assert_eq!(env.run().status, 3);
    assert_held(&env, &[first.clone(), third.clone()]);
    let why: String = env.one("SELECT last_error FROM message WHERE source_uid = 2");
    assert!(why.contains("does not hand it over"), "{why}");
    // The scanner is done.
    let second =
        b"Message-ID: <2@odd>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\nthe second\r\n";
    odd.put(2, second, "14-Nov-2023 22:13:20 +0000");
    env.run_until_done(3);
    assert_held(&env, &[first, second.to_vec(), third]);
}

/// github.com/emersion/go-imap/issues/612, github.com/neomutt/neomutt/issues/3830: UIDVALIDITY in milliseconds.
#[test]
fn a_uidvalidity_of_more_than_32_bits_is_one_all_the_same() {
    let odd = Oddity::plain();
    odd.validity("1713632002544");
    let mut mails = vec![odd.mail("one"), odd.mail("another")];
    let env = from(&odd);
    env.run_until_done(1);
    mails.push(odd.mail("one more"));
    env.run_until_done(1);
    assert_held(&env, &mails);
    // And another one is another one.
    odd.validity("1713632002545");
    env.run_until_done(2);
    assert_held(&env, &mails);
    let known: i64 = env.one("SELECT count(*) FROM mailbox");
    assert_eq!(known, 2, "{}", env.dump());
}

/// github.com/modern-email/defects/issues/52, github.com/jstedfast/MailKit/issues/1010.
#[test]
fn a_uidvalidity_of_0_is_a_number_too() {
    let odd = Oddity::plain();
    odd.validity("0");
    let mails = [odd.mail("one")];
    let env = from(&odd);
    env.run_until_done(1);
    assert_held(&env, &mails);
}

/// github.com/python/cpython/issues/88574: a blank line behind a literal, before the rest of the response and behind it.
#[test]
fn blank_lines_between_and_within_responses_say_nothing() {
    let odd = Oddity::new(|talk, tag, command| {
        let fetch = command.contains("FETCH");
        if fetch {
            talk.fetch(tag, command, |mail, told| {
                let end = told.len() - 3;
                let literal = told.windows(3).any(|w| w == b"}\r\n");
                match mail.uid {
                    1 => [&told[..], b"\r\n\r\n"].concat(),
                    _ if !literal => told,
                    _ => [&told[..end], b"\r\n\r\n", &told[end..]].concat(),
                }
            });
        }
        fetch
    });
    let mails = [odd.mail("one"), odd.mail("another"), odd.mail("a third")];
    let env = from(&odd);
    env.run_until_done(1);
    assert_held(&env, &mails);
}

/// A moment that most programs cannot write down: github.com/bcgit/bc-csharp/issues/28,
/// github.com/ethlo/itu/issues/4. Gmail might refuse it for good.
#[test]
fn a_leap_second_is_sent_on_as_the_second_before_it() {
    let odd = Oddity::plain();
    let mails = [odd.mail_of("at midnight", "31-Dec-2016 23:59:60 +0000")];
    let env = from(&odd);
    env.run_until_done(1);
    assert_held(&env, &mails);
    let at: String = env.one("SELECT internal_date FROM message");
    assert_eq!(at, "2016-12-31T23:59:59Z");
    assert_eq!(
        env.target.messages()[0].internal_date.to_rfc3339(),
        "2016-12-31T23:59:59+00:00"
    );
}

/// github.com/modern-email/defects/issues/40, github.com/bkaankose/Wino-Mail/issues/575: Tencent refuses a set that
/// descends, and `3:*` does where the last message has 2.
#[test]
fn new_mail_that_went_at_once_is_no_trouble_where_sets_may_not_descend() {
    let came_and_went = Arc::new(AtomicBool::new(false));
    let third = Arc::clone(&came_and_went);
    let odd = Oddity::new(move |talk, tag, command| {
        let last = talk.mails().last().map_or(0, |m| m.uid);
        let first = command
            .strip_prefix("UID FETCH ")
            .and_then(|set| set.split_once(":*"))
            .and_then(|(n, _)| n.parse::<u32>().ok());
        let descends = first.is_some_and(|n| n > last);
        let without_the_third =
            command.starts_with("EXAMINE") && third.load(Ordering::SeqCst) && last == 2;
        if descends {
            talk.say(format!("{tag} BAD UID parameters!\r\n"));
        } else if without_the_third {
            talk.say(format!(
                "* 2 EXISTS\r\n* OK [UIDVALIDITY 1] .\r\n* OK [UIDNEXT 4] .\r\n{tag} OK open\r\n"
            ));
        }
        descends || without_the_third
    });
    let mut mails = vec![odd.mail("one"), odd.mail("another")];
    let env = from(&odd);
    env.run_until_done(1);
    came_and_went.store(true, Ordering::SeqCst);
    let ran = env.run();
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(!ran.err.contains("UID parameters"), "{}", ran.err);
    let fourth = b"Message-ID: <4@odd>\r\n\r\nthe fourth\r\n";
    odd.put(4, fourth, "14-Nov-2023 22:13:20 +0000");
    mails.push(fourth.to_vec());
    env.run_until_done(1);
    assert_held(&env, &mails);
}

/// github.com/cyrusimap/cyrus-imapd/issues/570: Cyrus says how full a mailbox is each time that it is opened.
#[test]
fn a_warning_is_told_once_in_a_session() {
    let odd = Oddity::new(|talk, _, command| {
        if command.starts_with("EXAMINE") {
            talk.say("* NO [ALERT] Mailbox is at 95% of quota\r\n");
        }
        false
    });
    odd.mail("one");
    let env = from(&odd);
    let running = Running::new(env.spawn_for_good(&["--no-idle", "--poll-interval", "1"]));
    eventually("it has looked again and again", || odd.heard("EXAMINE") > 4);
    let told = running.end().matches("95% of quota").count();
    // By the watcher and by the reader.
    assert!((1..3).contains(&told), "{told} times");
}

/// github.com/imapsync/imapsync/issues/272, github.com/imapsync/imapsync/issues/422: lists of large mailboxes for which a
/// slow server takes minutes, and a limit of time that is met again and again.
#[test]
fn a_long_list_is_asked_for_in_pieces_that_a_slow_server_can_answer_in_time() {
    let odd = Oddity::new(|_, _, command| {
        let piece = command
            .strip_prefix("FETCH ")
            .and_then(|set| set.split_once(' '));
        if let Some((first, last)) = piece.and_then(|(set, _)| set.split_once(':')) {
            let (first, last): (u32, u32) = (first.parse().unwrap(), last.parse().unwrap());
            // Exchange by a gateway of its users' own: some hundred a second.
            assert!(last - first < 5_000, "{command}");
        }
        false
    });
    for n in 0..6_000 {
        odd.put(
            n + 1,
            b"Message-ID: <old@x>\r\n\r\nold\r\n",
            "14-Nov-2003 22:13:20 +0000",
        );
    }
    let mut env = from(&odd);
    env.set("since", "1d");
    env.run_until_done(1);
    assert_eq!(odd.heard("FETCH 1:"), 1);
    assert!(odd.heard("FETCH ") > 1);
    assert_held(&env, &[]);
}

/// github.com/n24q02m/better-email-mcp/pull/62: a secret in the wrong place of a configuration, and an error that
/// repeats what it found there.
#[test]
fn a_secret_in_the_wrong_place_of_the_configuration_is_not_repeated() {
    let secret = "hunter2-correct-horse";
    for (key, value) in [
        ("source_pass_file", json!(secret)),
        ("source_pass", json!([secret])),
        (
            "source_pass_command",
            json!([format!("no-such-program --password {secret}")]),
        ),
        (
            "source_server",
            json!(format!("imaps://user:{secret}@mail.example.org")),
        ),
        (
            "source_server",
            json!(format!("user:{secret}@mail.example.org")),
        ),
    ] {
        let mut env = super::into_gmail();
        if key != "source_server" {
            env.set("source_pass", serde_json::Value::Null);
        }
        env.set(key, value);
        let config = env.config_file();
        let config = config.to_str().unwrap();
        for command in [
            ["run", "--config", config],
            ["check", "--config", config],
            ["status", "--config", config],
        ] {
            let ran = env.command(&command);
            assert!(
                !format!("{}{}", ran.out, ran.err).contains(secret),
                "{key}: {ran:?}"
            );
        }
        let ran = env.command(&["check", "--config", config]);
        assert!(
            format!("{}{}", ran.out, ran.err).contains(key),
            "{key}: {ran:?}"
        );
    }
}

/// github.com/ramosbugs/oauth2-rs/issues/151, github.com/SecureAuthCorp/oauth2c/pull/119: Microsoft's older endpoint tells
/// the life of a token in quotation marks.
#[test]
fn a_token_whose_life_is_told_as_a_string_is_a_token() {
    let reply = json!({"access_token": "ya29.new", "token_type": "Bearer", "expires_in": "3599"})
        .to_string();
    let (port, came) = token_endpoint::endpoint(move |stream, _| {
        let _ = stream.write_all(token_endpoint::ok(&reply).as_bytes());
    });
    let env = token_endpoint::prepared(port);
    let ran = env.run();
    assert!(came.load(Ordering::SeqCst) > 0);
    assert!(
        !ran.err.contains("something else than a token"),
        "{}",
        ran.err
    );
    let file = std::fs::read_to_string(env.dir.path().join("token.json")).unwrap();
    let file: serde_json::Value = serde_json::from_str(&file).unwrap();
    assert_eq!(file["token"], "ya29.new", "{}", ran.err);
    let expiry = chrono::NaiveDateTime::parse_from_str(
        file["expiry"].as_str().unwrap().trim_end_matches('Z'),
        "%Y-%m-%dT%H:%M:%S%.f",
    );
    let left = expiry.unwrap() - chrono::Utc::now().naive_utc();
    assert!((3_000..3_700).contains(&left.num_seconds()), "{left}");
}
