//! Answers that do not come, or not in time: what may have arrived is told from what cannot have.

use std::time::{Duration, Instant};

use gmail_stand_in::{ApiFault, ApiRefusal, On};
use imap_to_gmail::error::Fault;
use imap_to_gmail::target::api::{Asked, Imported, Upload};

use super::{LARGE, Road, impatient, letter, road};

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
    let answer = |status, body: &str| ApiFault::Answer {
        status,
        body: body.into(),
        stored: true,
    };
    for (fault, stored) in [
        (ApiFault::CutAfter { stored: true }, 1),
        (ApiFault::CutAfter { stored: false }, 0),
        (ApiFault::CutInAnswer, 1),
        (ApiFault::RefuseAfter(ApiRefusal::Backend(500)), 1),
        (ApiFault::RefuseAfter(ApiRefusal::Backend(503)), 1),
        (ApiFault::RefuseAfter(ApiRefusal::Page(502)), 1),
        (ApiFault::RefuseAfter(ApiRefusal::Backend(504)), 1),
        (answer(200, "{}"), 1),
        (answer(302, ""), 1),
    ] {
        let road = road();
        road.gmail.api_fault(On::nth(1, "IMPORT"), fault.clone());
        let small = letter("1@x", "text", 10);
        assert!(unknown(road.import(&small)).is_none(), "{fault:?}");
        // The pool must not hand the request to another connection.
        assert_eq!(road.gmail.imports_received(), 1, "{fault:?}");
        assert_eq!(road.gmail.imports_stored(&small), stored, "{fault:?}");
    }
}

#[test]
fn an_answer_that_does_not_come_in_time_leaves_it_open() {
    std::thread::scope(|scope| {
        for fault in [
            ApiFault::Stall { stored: true },
            ApiFault::Delay(Duration::from_secs(600)),
        ] {
            scope.spawn(move || {
                let mut road = road();
                road.api = impatient(&road.gmail.api_url(), Some(&road.gmail));
                let start = Instant::now();
                road.gmail.api_fault(On::nth(1, "IMPORT"), fault);
                assert!(unknown(road.import(&letter("1@x", "text", 10))).is_none());
                assert_eq!(road.gmail.imports_received(), 1);
                assert!(start.elapsed() < Duration::from_secs(60));
            });
        }
    });
}

#[test]
fn a_refusal_that_is_cut_short_leaves_it_open_unless_its_status_says_enough() {
    use ApiRefusal as R;
    for (refusal, refused) in [
        (R::InvalidFrom, false),
        (R::Scopes, false),
        (R::NotFound, false),
        (R::Backend(503), false),
        (R::InvalidCredentials, true),
        (R::TooLarge, true),
        (R::Concurrent, true),
    ] {
        let road = road();
        let cut = || ApiFault::CutInRefusal(refusal.clone());
        for size in [10, LARGE] {
            let on = On::nth(1, "IMPORT").message_with("text");
            road.gmail.api_fault(on, cut());
            match road.import(&letter("1@x", "text", size)) {
                Imported::Refused(..) if refused => {}
                Imported::Unknown(error, upload) if !refused => {
                    assert_eq!(error.fault, Fault::Connection, "{error}");
                    assert_eq!(upload.is_some(), size == LARGE);
                }
                other => panic!("{refusal:?}: {other:?}"),
            }
        }
        // Where no message was in it, nothing is open.
        road.gmail.api_fault(On::nth(1, "START"), cut());
        let end = road.import(&letter("1@x", "text", LARGE));
        let closed = matches!(end, Imported::NotSent(_) | Imported::Refused(..));
        assert!(closed, "{refusal:?}: {end:?}");
        road.gmail.api_fault(On::nth(1, "LABELS.LIST"), cut());
        let error = road.api.labels(&road.token).unwrap_err();
        assert_eq!(error.fault == Fault::Connection, !refused, "{error}");
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
    let Asked::Unknown(error) = asked(&road, &upload) else {
        panic!("a session that is forgotten says nothing");
    };
    assert_eq!(error.fault, Fault::Connection);
    assert!(error.message.contains("has forgotten an upload"), "{error}");
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
    assert!(road.gmail.messages().is_empty());
}

#[test]
fn a_session_that_is_forgotten_may_have_brought_its_message() {
    let road = road();
    road.gmail.knobs(|knobs| knobs.api.forgets_sessions = true);
    let Imported::Unknown(error, upload) = road.import(&letter("1@x", "text", LARGE)) else {
        panic!("it was all there");
    };
    assert!(error.message.contains("has forgotten an upload"), "{error}");
    assert!(upload.is_some() && road.gmail.imports_received() == 1);
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
    road.gmail
        .api_fault(On::nth(1, "UPLOAD"), ApiFault::CommitOnCommand);
    let upload = unknown(road.import(&letter("1@x", "text", LARGE))).unwrap();
    assert!(matches!(asked(&road, &upload), Asked::Part(_)));
    assert_eq!(road.gmail.commit_held(), 1);
    assert!(matches!(asked(&road, &upload), Asked::Done(_)));
}
