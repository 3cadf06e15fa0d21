//! Answers that do not come, or not in time: what may have arrived is told from what cannot have.

use std::time::{Duration, Instant};

use gmail_stand_in::{ApiFault, ApiRefusal, On};
use imap_to_gmail::error::Fault;
use imap_to_gmail::target::api::{Asked, Imported, Upload};

use super::{LARGE, Road, letter, road};

/// What nobody knows, and the session that can be asked.
fn unknown(end: Imported) -> Option<Upload> {
    match end {
        Imported::Unknown(error, upload) => {
            assert!(matches!(error.fault, Fault::Connection), "{error}");
            upload
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_that_is_lost_after_the_message_leaves_it_open() {
    for (n, fault) in [
        ApiFault::CutAfter { stored: true },
        ApiFault::CutAfter { stored: false },
        ApiFault::CutInAnswer,
        ApiFault::RefuseAfter(ApiRefusal::Backend(500)),
        ApiFault::RefuseAfter(ApiRefusal::Backend(503)),
        ApiFault::RefuseAfter(ApiRefusal::Page(502)),
        ApiFault::RefuseAfter(ApiRefusal::Backend(504)),
        ApiFault::Answer {
            status: 200,
            body: "{}".into(),
            stored: true,
        },
        ApiFault::Answer {
            status: 302,
            body: String::new(),
            stored: true,
        },
        ApiFault::Stall { stored: true },
        ApiFault::Delay(Duration::from_secs(60)),
    ]
    .into_iter()
    .enumerate()
    {
        let road = road();
        let start = Instant::now();
        road.gmail.api_fault(On::nth(1, "IMPORT"), fault.clone());
        let small = letter("1@x", "text", 10);
        assert!(unknown(road.import(&small)).is_none(), "{fault:?}");
        // The pool must not hand the request to another connection.
        assert_eq!(
            road.gmail.api_requests("uploadType=multipart"),
            1,
            "{fault:?}"
        );
        if n < 8 {
            let stored = !matches!(fault, ApiFault::CutAfter { stored: false });
            assert_eq!(
                road.gmail.messages().len(),
                usize::from(stored),
                "{fault:?}"
            );
        }
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}

fn asked(road: &Road, upload: &Upload) -> Asked {
    road.api.ask(&road.token, upload)
}

#[test]
fn a_session_is_asked_what_became_of_its_message() {
    let road = road();
    let body = letter("1@x", "text", LARGE);
    for fault in [
        ApiFault::CutAfter { stored: true },
        ApiFault::CutInAnswer,
        ApiFault::RefuseAfter(ApiRefusal::Backend(503)),
    ] {
        road.gmail.api_fault(On::nth(1, "UPLOAD"), fault.clone());
        let upload = unknown(road.import(&body)).unwrap();
        let Asked::Done(receipt) = asked(&road, &upload) else {
            panic!("{fault:?}");
        };
        assert_eq!(receipt.msgid, road.gmail.messages()[0].id);
    }
    assert_eq!(road.gmail.messages().len(), 1);
    road.gmail
        .api_fault(On::nth(1, "UPLOAD"), ApiFault::CutAfter { stored: false });
    let upload = unknown(road.import(&body)).unwrap();
    assert!(matches!(asked(&road, &upload), Asked::Part(0)));
    road.gmail.knobs(|knobs| knobs.api.forgets_sessions = true);
    assert!(matches!(asked(&road, &upload), Asked::Unknown(_)));
    road.gmail.cut_connections();
    road.gmail
        .api_fault(On::nth(1, "STATUS"), ApiFault::CutBefore);
    assert!(matches!(asked(&road, &upload), Asked::Unknown(_)));
}

#[test]
fn what_did_not_go_out_whole_cannot_have_arrived() {
    let road = road();
    let large = letter("1@x", "text", 8 * LARGE);
    for fault in [ApiFault::CutBefore, ApiFault::CutInBody(100_000)] {
        road.gmail.api_fault(On::nth(1, "UPLOAD"), fault.clone());
        let end = road.import(&large);
        assert!(matches!(end, Imported::NotSent(_)), "{fault:?}: {end:?}");
    }
    assert!(road.gmail.half_uploaded() > 0);
    for fault in [
        ApiFault::CutBefore,
        ApiFault::CutAfter { stored: true },
        ApiFault::Refuse(ApiRefusal::Backend(503)),
    ] {
        road.gmail.api_fault(On::nth(1, "START"), fault.clone());
        let end = road.import(&large);
        assert!(matches!(end, Imported::NotSent(_)), "{fault:?}: {end:?}");
    }
    road.gmail.knobs(|knobs| knobs.api.forgets_sessions = true);
    assert!(matches!(road.import(&large), Imported::NotSent(_)));
    assert!(road.gmail.messages().is_empty());
}

#[test]
fn nobody_there() {
    let road = road();
    // A port on which nobody listens.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", port.local_addr().unwrap());
    drop(port);
    let api = super::client(&url, Some(&road.gmail));
    let error = api.labels(&road.token).unwrap_err();
    assert_eq!(error.fault, Fault::Connection);
}

#[test]
fn a_message_that_is_stored_late_is_open_until_then() {
    let road = road();
    let late = ApiFault::CommitLate(Duration::from_millis(300));
    road.gmail.api_fault(On::nth(1, "UPLOAD"), late);
    let upload = unknown(road.import(&letter("1@x", "text", LARGE))).unwrap();
    assert!(matches!(asked(&road, &upload), Asked::Part(_)));
    let start = Instant::now();
    while road.gmail.messages().is_empty() && start.elapsed() < Duration::from_secs(5) {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(matches!(asked(&road, &upload), Asked::Done(_)));
}
