//! A monitor that behaves badly is told of once and harms nothing, and its address is shown to nobody.

use std::fs;

use super::{TOKEN, watched};
use crate::gmail::told::Told;
use crate::testkit::env::TestEnv;
use crate::testkit::eventually;
use crate::testkit::monitor::{Answer, Monitor};

#[test]
fn the_address_is_asked_for_as_it_was_copied() {
    let mut env = TestEnv::new();
    let monitor = watched(&mut env);
    let run = Told::by(&env, &[]);
    eventually("it is pinged again and again", || monitor.pings() > 2);
    let want = format!("GET /api/push/{TOKEN}?status=up&msg=OK&ping= HTTP/1.1");
    assert!(
        monitor.heard().iter().all(|line| *line == want),
        "{:?}",
        monitor.heard()
    );
    run.end();
}

#[test]
fn each_kind_is_said_once_and_so_is_that_it_answers_again() {
    let cases: Vec<(Answer, &str)> = vec![
        (
            Answer::Says(
                500,
                "{\"ok\":false,\"msg\":\"Monitor not found or not active.\"}".into(),
            ),
            "HTTP 500: \"{\"ok\":false",
        ),
        (
            Answer::Says(200, "OK (not found)".into()),
            "HTTP 200: \"OK (not found)\"",
        ),
        (
            Answer::Redirects("SELF".into()),
            "it sends us elsewhere (HTTP 302)",
        ),
        (Answer::Hangs, "no answer in time"),
        (Answer::EndlessHead, "could not be told"),
        (Answer::Echoes, "HTTP 404: \"no such monitor"),
        (Answer::Gibberish, "could not be told"),
    ];
    crate::testkit::at_a_time(cases, |(answer, words)| {
        let mut env = TestEnv::new();
        let monitor = watched(&mut env);
        let elsewhere = Monitor::start();
        let answer = match answer {
            Answer::Redirects(_) => Answer::Redirects(elsewhere.url(&format!("/{TOKEN}"))),
            other => other,
        };
        monitor.answers(answer);
        let run = Told::by(&env, &["--debug"]);
        let said = run.says("could not be told that all is well");
        assert!(said.starts_with("WARN ") && said.contains(words), "{said}");
        env.mail("<1@x>", "new mail");
        eventually("it is delivered", || env.held().len() == 1);
        eventually("it is tried again", || monitor.pings() > 2);
        assert_eq!(elsewhere.pings(), 0);
        monitor.answers(Answer::Says(200, "{\"ok\":true}".into()));
        run.says("answers again after");
        let (status, lines) = run.end();
        assert_eq!(status, Some(0));
        let once = |what: &str| lines.iter().filter(|l| l.contains(what)).count();
        assert_eq!(once("could not be told that all is well"), 1);
        assert_eq!(once("answers again after"), 1);
        assert_hushed(&lines.join("\n"));
    });
}

/// No piece of the token that is worth anything.
#[track_caller]
fn assert_hushed(text: &str) {
    for n in 0..TOKEN.len() - 5 {
        let piece = &TOKEN[n..n + 6];
        assert!(!text.contains(piece), "{piece} in {text}");
    }
}

#[test]
fn a_body_without_end_is_not_read_to_its_end() {
    let mut env = TestEnv::new();
    let monitor = watched(&mut env);
    monitor.answers(Answer::Endless);
    let run = Told::by(&env, &[]);
    // It said 200 before all that.
    eventually("it is pinged as often as any", || monitor.pings() > 3);
    // What the system takes on the way may be some megabytes.
    let each = monitor.poured() / monitor.pings();
    assert!(each < 32 << 20, "{each} bytes");
    let (_, lines) = run.end();
    assert!(
        !lines.iter().any(|l| l.contains("could not be told")),
        "{lines:?}"
    );
}

#[test]
fn the_address_is_in_no_output() {
    let mut env = TestEnv::new();
    let monitor = watched(&mut env);
    monitor.answers(Answer::Echoes);
    // Something to tell besides.
    let good = env.target.password().to_string();
    env.set("target_pass", "wrong");
    let run = Told::by(&env, &["--debug"]);
    eventually("it is told", || super::told(env.dir.path()).len() == 1);
    env.set("target_pass", good);
    run.says("could not be told that all is well");
    for args in [
        &["status", "--json"][..],
        &["status"],
        &["check"],
        &["check", "--json"],
    ] {
        let ran = env.command(args);
        assert_hushed(&format!("{}{}", ran.out, ran.err));
    }
    let found = env.command(&["check"]).out;
    let found = found.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(found.contains("ping url: while all is well"), "{found}");
    assert!(monitor.pings() > 0);
    let (_, lines) = run.end();
    assert_hushed(&lines.join("\n"));
    assert_hushed(&fs::read_to_string(env.dir.path().join("told.json")).unwrap());
    // Nor where it is wrong.
    for url in [
        format!("http://192.0.2.1/api/push/{TOKEN}"),
        format!("https://you:{TOKEN}@kuma.example.org/"),
        format!("kuma.example.org/{TOKEN}"),
    ] {
        env.set("ping_url", url);
        for args in [&["run"][..], &["check"], &["status"], &["check", "--json"]] {
            let ran = env.command(args);
            assert!(
                format!("{}{}", ran.out, ran.err).contains("ping_url"),
                "{ran:?}"
            );
            assert_hushed(&format!("{}{}", ran.out, ran.err));
        }
    }
}

#[test]
fn check_pings_nobody_and_runs_nothing() {
    let mut env = TestEnv::new();
    let monitor = watched(&mut env);
    let ran = env.command(&["check"]);
    assert_eq!(ran.status, 0, "{ran:?}");
    let text = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    let place = monitor.url("/...");
    assert!(
        text.contains(&format!("calls {place} every 5 minutes")),
        "{text}"
    );
    assert!(text.contains("tell.sh; `check` does not"), "{text}");
    assert_eq!(monitor.pings(), 0);
    assert!(super::told(env.dir.path()).is_empty());
    env.set("notify_command", vec!["./no-such-program"]);
    let ran = env.command(&["check"]);
    assert!(ran.out.contains("warning  notify command"), "{}", ran.out);
}
