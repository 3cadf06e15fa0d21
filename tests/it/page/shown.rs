//! What is shown of ledgers in every state, and what is not.

use chrono::{Days, Local, TimeDelta, Utc};
use imap_to_gmail::error::{Error, Fault};
use imap_to_gmail::ledger::{Change, Look, Proof};
use imap_to_gmail::page::{Route, Server};
use serde_json::Value;

use super::{get, served, watched};
use crate::words::WorkDir;
use crate::words::status::{book, everything};

/// Everything that can be asked for, of a page of these routes.
fn all_of(server: &Server, name: &str) -> String {
    let name = name.replace(' ', "+");
    [
        "/",
        &format!("/route?name={name}"),
        "/metrics",
        "/healthz",
        "/status.json",
    ]
    .map(|path| get(server.address(), path).body)
    .concat()
}

fn broken(name: &str) -> Route {
    let error =
        Error::usage("b.json: `source_sever` is not a key").hint("did you mean `source_server`?");
    Route {
        name: name.into(),
        ledger: Err(error),
    }
}

/// It runs, and was delivered to just now.
fn healthy() -> WorkDir {
    let (desk, mut b) = book();
    let now = Utc::now();
    b.ledger
        .run_begins(&["watch", "deliver"], now - TimeDelta::hours(1))
        .unwrap();
    b.ledger.beat(&["watch", "deliver"], now).unwrap();
    let look = Look {
        at: now,
        next_by: now + TimeDelta::hours(1),
    };
    b.ledger.note_look("watch", look).unwrap();
    desk
}

#[test]
fn what_a_person_wants_to_know() {
    let desk = everything();
    let ledger = desk.path("sync_state.db");
    let server = served(move || {
        let mut route = watched("you from user", &ledger);
        if let Ok(watched) = &mut route.ledger {
            watched.files = " --config 'my config.json'".into();
        }
        vec![route]
    });
    let page = get(server.address(), "/").body;
    for words in [
        "<title>you from user: Not running - imap-to-gmail</title>",
        "<h1 class=\"ill\">Not running</h1>",
        "user@example.org into you@gmail.com",
        "<p>no run of it goes on</p>",
        "<p>imap.gmail.com:993 refused the sign-in: no</p>",
        "<b>What to do:</b> sign in again",
        "<dt>Waiting</dt><dd><b>2</b> <span class=\"soft\">4.1 kB, 2 put off</span>",
        "<dt>Failed</dt><dd class=\"ill\"><b>2</b>",
        "<code>imap-to-gmail status --failed --config &#39;my config.json&#39;</code>",
        "<dt>Delivered in all</dt><dd><b>4</b>",
        "<time datetime=\"2024-11-03T10:01:00Z\"",
        "<td>the message has 40000000 bytes, the target takes at most 36700160</td>",
        "aria-label=\"Messages sent to Gmail on each day: no message in 30 days\"",
    ] {
        assert!(page.contains(words), "{words}\n{page}");
    }
    let health = get(server.address(), "/healthz");
    let line = "you from user: no run of it goes on\n";
    assert_eq!((health.status, &*health.body), (503, line));
}

#[test]
fn no_mail_is_shown() {
    let desk = everything();
    let ledger = desk.path("sync_state.db");
    let server = served(move || vec![watched("a", &ledger)]);
    let shown = all_of(&server, "a");
    for kept in [
        "Holiday pictures",
        "ann@example.org",
        "Ann",
        "@x>",
        "8@example.org",
    ] {
        assert!(!shown.contains(kept), "{kept}");
    }
}

#[test]
fn the_json_is_that_of_status() {
    let desk = everything();
    let ledger = desk.path("sync_state.db");
    let server = served(move || vec![watched("a", &ledger), broken("b")]);
    let json: Value = serde_json::from_str(&get(server.address(), "/status.json").body).unwrap();
    let file = desk.path("sync_state.db");
    let args = ["status", "--json", "--state-file", file.to_str().unwrap()];
    let status: Value = serde_json::from_str(desk.run(&args).out()).unwrap();
    // By name, those that need a person first: both do.
    assert_eq!(json["routes"][0], status["routes"][0]);
    let other = &json["routes"][1];
    assert_eq!(other["name"], "b");
    assert_eq!(other["running"], false);
    assert_eq!(other["unhealthy"], "b.json: `source_sever` is not a key");
    assert_eq!(other["trouble"]["hint"], "did you mean `source_server`?");
}

/// Whoever writes into a ledger, a server or a configuration writes no page of ours.
#[test]
fn what_anybody_wrote_is_shown_as_it_was_written() {
    const EVIL: &str =
        "<script>alert(1)</script>\"'`&amp;<img src=x onerror=alert(1)>\u{202e}\u{1b}[31m";
    let (desk, mut b) = book();
    b.failed(Utc::now() - TimeDelta::hours(2), EVIL);
    b.ledger.run_begins(&["run"], Utc::now()).unwrap();
    let error = Error::new(Fault::NeedsUser, EVIL).hint(EVIL);
    b.ledger.trouble("run", Some(&error), Utc::now()).unwrap();
    drop(b);
    let db = rusqlite::Connection::open(desk.path("sync_state.db")).unwrap();
    let evil = format!("{EVIL}@example.org");
    db.execute(
        "UPDATE route SET source_user = ?1, target_user = ?1",
        [&evil],
    )
    .unwrap();
    drop(db);
    let ledger = desk.path("sync_state.db");
    let names = ["plain", EVIL, "a\\\"\n} 1"];
    let server = served(move || {
        let bad = Error::usage(EVIL).hint(EVIL);
        let mut routes: Vec<Route> = names.iter().map(|name| watched(name, &ledger)).collect();
        routes.push(Route {
            name: "wrong".into(),
            ledger: Err(bad),
        });
        // One line each where there are many.
        routes.extend((0..9).map(|n| watched(&format!("{EVIL}{n}"), &ledger)));
        routes
    });
    for path in [
        "/",
        "/route?name=plain",
        "/route?name=%3Cscript%3Ealert(1)",
        "/route?name=wrong",
    ] {
        let page = get(server.address(), path).body;
        only_our_tags(&page);
        assert!(
            path.contains("%3C") || page.contains("&#60;script&#62;alert(1)"),
            "{page}"
        );
        assert!(!page.contains(['\u{1b}', '\u{202e}']), "{page}");
    }
    // Each line of the metrics is one value.
    let metrics = get(server.address(), "/metrics").body;
    super::figures::must_be_metrics(&metrics, false);
}

/// Tags and attributes are those of the templates.
fn only_our_tags(page: &str) {
    const TAGS: &str = "a article b body caption code dd details div dl dt figcaption figure footer h1 h2 h3 head header html link main meta p path rect section span style summary svg table tbody td th thead time title tr";
    const ATTRIBUTES: &str = "aria-hidden aria-label aria-labelledby charset class content d datetime height href id lang name preserveAspectRatio rel role scope title viewBox width x y";
    let (before, rest) = page.split_once("<style>").unwrap();
    let (_, after) = rest.split_once("</style>").unwrap();
    let mut tags = 0;
    for piece in [before, after]
        .iter()
        .flat_map(|part| part.split('<').skip(1))
    {
        if piece.starts_with("!DOCTYPE") {
            continue;
        }
        // No `>` stands in a value of an attribute unescaped, but for those of the templates.
        let (tag, _) = piece.split_once('>').unwrap();
        let mut words = tag.trim_matches('/').splitn(2, ' ');
        let name = words.next().unwrap();
        assert!(TAGS.split(' ').any(|known| known == name), "<{tag}>");
        let values: Vec<&str> = words.next().unwrap_or_default().split('"').collect();
        for attribute in values
            .iter()
            .step_by(2)
            .map(|a| a.trim().trim_end_matches('='))
        {
            let known =
                attribute.is_empty() || ATTRIBUTES.split(' ').any(|known| known == attribute);
            assert!(known, "{attribute}: <{tag}>");
        }
        tags += 1;
    }
    assert!(tags > 10, "{tags}");
}

#[test]
fn mail_per_day_is_what_was_sent_on_each() {
    let (desk, mut b) = book();
    let now = Utc::now();
    let today = now.with_timezone(&Local).date_naive();
    let noon = |back: u64| {
        let day = today.checked_sub_days(Days::new(back)).unwrap();
        let noon = day.and_hms_opt(12, 0, 0).unwrap();
        noon.and_local_timezone(Local).unwrap().to_utc()
    };
    let delivered = |proof| Change::Delivered {
        proof,
        place: None,
        altered: false,
    };
    for (back, proof, times) in [
        (29, Proof::Appended, 1),
        (30, Proof::Appended, 1),
        (5, Proof::Appended, 3),
        (5, Proof::ImportedByApi, 1),
        // Nothing of it was sent.
        (5, Proof::Found, 5),
        (5, Proof::Same, 5),
    ] {
        for n in 0..times {
            let id = format!("<{back}.{n}.{}@x>", proof.name());
            b.settled(&id, noon(back), &delivered(proof));
        }
    }
    drop(b);
    let ledger = desk.path("sync_state.db");
    let server = served(move || vec![watched("a", &ledger), watched("b", &ledger)]);
    let most = noon(5).with_timezone(&Local).format("%-d %B").to_string();
    let of_one = get(server.address(), "/route?name=a").body;
    let words = format!("5 messages in 30 days; most on {most}: 4; today: 0");
    assert!(of_one.contains(&words), "{words}\n{of_one}");
    assert!(
        of_one.contains(&format!("<title>{most}: 4</title>")),
        "{of_one}"
    );
    assert_eq!(of_one.matches("<rect").count(), 30);
    // Of all routes together.
    let of_all = get(server.address(), "/").body;
    let words = format!("10 messages in 30 days; most on {most}: 8; today: 0");
    assert!(of_all.contains(&words), "{words}\n{of_all}");
}

#[test]
fn those_that_need_a_person_come_first() {
    let (well, ill) = (healthy(), everything());
    let (good, bad) = (well.path("sync_state.db"), ill.path("sync_state.db"));
    let few = served({
        let (good, bad) = (good.clone(), bad.clone());
        move || {
            vec![
                watched("a", &good),
                watched("b", &good),
                watched("y", &bad),
                broken("z"),
            ]
        }
    });
    let page = get(few.address(), "/").body;
    assert!(
        page.contains("<h1 class=\"ill\">2 of 4 routes need you</h1>"),
        "{page}"
    );
    let at = |name: &str| page.find(&format!("\">{name}</h2>")).unwrap();
    assert!(at("y") < at("z") && at("z") < at("a") && at("a") < at("b"));
    let health = get(few.address(), "/healthz");
    let line = "y: no run of it goes on (and 1 more)\n";
    assert_eq!((health.status, &*health.body), (503, line));
    // Many: what is well has one line, and a page of its own.
    let many = served(move || {
        let mut routes: Vec<Route> = (0..40)
            .map(|n| watched(&format!("r{n:02}"), &good))
            .collect();
        routes.push(watched("y/1 & 2", &bad));
        routes
    });
    let page = get(many.address(), "/").body;
    assert_eq!(page.matches("<article").count(), 1, "{page}");
    assert_eq!(page.matches("<tr><th scope=\"row\"><a href").count(), 41);
    let first = page
        .split("<tr><th scope=\"row\"><a href=\"")
        .nth(1)
        .unwrap();
    let address = first.split('"').next().unwrap();
    assert_eq!(address, "/route?name=y%2F1+%26+2");
    let one = get(many.address(), address);
    assert!(
        one.body.contains("<title>y/1 &#38; 2: Not running"),
        "{}",
        one.body
    );
    let well = served({
        let good = well.path("sync_state.db");
        move || vec![watched("a", &good), watched("b", &good)]
    });
    let health = get(well.address(), "/healthz");
    assert_eq!(
        (health.status, &*health.body),
        (200, "all 2 routes are healthy\n")
    );
    let page = get(well.address(), "/").body;
    assert!(
        page.contains("<h1 class=\"well\">All 2 routes are healthy</h1>"),
        "{page}"
    );
}

/// Two of one name are told apart, in each address and each metric.
#[test]
fn no_two_routes_have_one_name() {
    let desk = healthy();
    let ledger = desk.path("sync_state.db");
    let server = served(move || vec![watched("a", &ledger), watched("a", &ledger)]);
    let metrics = get(server.address(), "/metrics").body;
    for name in ["a", "a (2)"] {
        let line = format!("imap_to_gmail_route_healthy{{route=\"{name}\"}} 1\n");
        assert!(metrics.contains(&line), "{metrics}");
    }
}

#[test]
fn no_route_at_all_is_not_well() {
    let server = served(Vec::new);
    let health = get(server.address(), "/healthz");
    assert_eq!((health.status, &*health.body), (503, "there is no route\n"));
    let page = get(server.address(), "/").body;
    assert!(page.contains("There is no route</h1>"), "{page}");
}
