//! Refusals: each as it comes over the wire, for one message and for all, and by itself.

use std::time::{Duration, Instant};

use gmail_stand_in::{ApiFault, ApiRefusal, On};
use imap_to_gmail::config::{Address, Intervals, Secret};
use imap_to_gmail::error::{Error, Fault};
use imap_to_gmail::target::api::{Api, Imported, Mail, Means, Proof};

use super::{LARGE, letter, road};

fn refused(end: Imported) -> (Means, Error) {
    match end {
        Imported::Refused(means, error) => (means, error),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_refusal_is_heard_of_small_and_of_large_mail() {
    use ApiRefusal as R;
    use Fault::{Connection, NeedsUser, Permanent, Throttled, Transient};
    use Means::{Account, Label, Message};
    let road = road();
    let mails = [letter("1@x", "text", 10), letter("1@x", "text", LARGE)];
    for (refusal, means, fault) in [
        (R::SingleFrom, Message, Permanent),
        (R::InvalidFrom, Message, Permanent),
        (R::InvalidAttachment, Message, Permanent),
        (R::BadAttachment, Message, Permanent),
        (R::InvalidArgument, Message, Permanent),
        (R::BadRequest, Message, Transient),
        (R::BadRequestPage, Message, Transient),
        (R::RawRequired, Message, Permanent),
        (R::PayloadSize, Message, Permanent),
        (R::InvalidThread, Message, Permanent),
        (R::TooLarge, Message, Permanent),
        (R::InvalidLabel("CHAT".into()), Label, Connection),
        (R::MailServiceOff, Account, NeedsUser),
        (R::Precondition, Account, NeedsUser),
        (R::InvalidCredentials, Account, NeedsUser),
        (R::Scopes, Account, NeedsUser),
        (R::Permission, Account, NeedsUser),
        (R::NotEnabled, Account, NeedsUser),
        (R::DomainPolicy, Account, NeedsUser),
        (R::RateLimit, Account, Throttled),
        (R::UserRateLimit, Account, Throttled),
        (R::QueriesPerMinute, Account, Throttled),
        (R::DailyLimit, Account, Throttled),
        (R::Concurrent, Account, Throttled),
    ] {
        for body in &mails {
            let fault_at = On::nth(1, "IMPORT").message_with("text");
            road.gmail
                .api_fault(fault_at, ApiFault::Refuse(refusal.clone()));
            let (meant, error) = refused(road.import(body));
            assert_eq!((meant, error.fault), (means, fault), "{error}");
            assert_eq!(
                error.hint.is_some(),
                fault == NeedsUser || refusal == R::DailyLimit
            );
            road.gmail.clear_faults();
        }
    }
    // Said before anything of the message was sent.
    road.gmail
        .api_fault(On::nth(1, "START"), ApiFault::Refuse(R::NotEnabled));
    let (_, error) = refused(road.import(&mails[1]));
    assert!(error.hint.unwrap().contains("?project=407408718192, "));
    assert!(road.gmail.messages().is_empty());
}

#[test]
fn the_time_in_the_words_is_obeyed_to_the_second() {
    let road = road();
    // By the API's own clock, whatever ours says.
    road.gmail.clock().advance(Duration::from_secs(7 * 3600));
    let token = road.gmail.issue_token(Duration::from_secs(3599));
    let token = Secret::new(token);
    for status in [403, 429] {
        road.gmail.knobs(|knobs| {
            knobs.api.block_status = status;
            knobs.api.moves_out = Duration::ZERO;
        });
        let start = Instant::now();
        road.gmail.block_api(Duration::from_secs(5400));
        let mail = Mail {
            body: b"From: a@x\r\n\r\n",
            labels: &[],
            never_mark_spam: false,
        };
        let (means, error) = refused(road.api.import(&token, &mail));
        assert_eq!((means, error.fault), (Means::Account, Fault::Throttled));
        // The clock that it tells has whole seconds.
        let delay = error.delay.unwrap();
        let least = Duration::from_secs(5400) - start.elapsed();
        assert!(least <= delay && delay.as_secs() <= 5401, "{delay:?}");
        assert_eq!(road.api.labels(&token).unwrap_err().fault, Fault::Throttled);
    }
    assert_eq!(road.gmail.early_requests(), 4);
}

#[test]
fn what_the_stand_in_refuses_by_itself() {
    let road = road();
    let (means, error) = refused(road.import(b"Subject: s\r\n\r\nno From\r\n"));
    assert_eq!(means, Means::Message);
    assert!(
        error.message.ends_with("Expected a single 'From' header"),
        "{error}"
    );
    let labels = ["Label_99".to_string()];
    let mail = Mail {
        body: b"From: a@x\r\n\r\n",
        labels: &labels,
        never_mark_spam: false,
    };
    assert_eq!(refused(road.api.import(&road.token, &mail)).0, Means::Label);
    let (_, error) = refused(road.api.import(&Secret::new("ya29.other".into()), &mail));
    assert!(error.credentials_refused);
    road.gmail.knobs(|knobs| knobs.api.enabled = false);
    let error = road.api.labels(&road.token).unwrap_err();
    assert_eq!(error.fault, Fault::NeedsUser);
}

#[test]
fn the_road_is_proved_without_mail() {
    let road = road();
    assert!(matches!(road.api.prove(&road.token), Ok(Proof::Labels(_))));
    let hour = Duration::from_secs(3600);
    let issue = |scope: &str| {
        let token = road
            .gmail
            .issue_token_for(road.gmail.account(), scope, hour);
        Secret::new(token)
    };
    let insert = issue("https://www.googleapis.com/auth/gmail.insert");
    assert!(matches!(road.api.prove(&insert), Ok(Proof::Import)));
    let none = issue("openid");
    let error = road.api.prove(&none).unwrap_err();
    assert!(error.hint.unwrap().contains("ticked"));
    road.gmail.knobs(|knobs| knobs.api.enabled = false);
    assert!(
        road.api
            .prove(&road.token)
            .unwrap_err()
            .hint
            .unwrap()
            .contains("\"Enable\"")
    );
    // Then nothing else is asked.
    assert_eq!(road.gmail.api_log().last().unwrap().name, "LABELS.LIST");
    assert!(road.gmail.messages().is_empty());
}

#[test]
fn what_is_said_of_messages_counts_where_the_labels_are_out_of_reach() {
    use ApiRefusal as R;
    let road = road();
    let insert = road.gmail.issue_token_for(
        road.gmail.account(),
        "https://www.googleapis.com/auth/gmail.insert",
        Duration::from_secs(3600),
    );
    for (fault, kind, word) in [
        (ApiFault::CutBefore, Fault::Connection, "no answer"),
        (
            ApiFault::Refuse(R::Backend(503)),
            Fault::Connection,
            "failed",
        ),
        (
            ApiFault::Refuse(R::RateLimit),
            Fault::Throttled,
            "slow down",
        ),
        (
            ApiFault::Refuse(R::NotEnabled),
            Fault::NeedsUser,
            "is not enabled",
        ),
        (
            ApiFault::Refuse(R::Scopes),
            Fault::NeedsUser,
            "does not allow",
        ),
    ] {
        road.gmail.api_fault(On::nth(1, "IMPORT"), fault);
        let error = road.api.prove(&Secret::new(insert.clone())).unwrap_err();
        assert_eq!(error.fault, kind, "{error}");
        assert!(error.message.contains(word), "{error}");
    }
}

#[test]
fn a_file_of_authorities_that_holds_none_is_told_and_believes_nobody() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut target = super::endpoint(None);
    target.ca_file = Some(file.path().into());
    let made = Api::new(Address::google(), &target, &Intervals::default());
    let Err(error) = made else {
        panic!("there is nobody to believe");
    };
    assert_eq!(error.fault, Fault::Usage);
    assert!(error.message.contains("`target_ca_file`"), "{error}");
}

#[test]
fn a_certificate_that_nobody_vouches_for_lets_nothing_out() {
    let road = road();
    let api = super::client(&road.gmail.api_url(), None);
    let mail = Mail {
        body: b"From: a@x\r\n\r\n",
        labels: &[],
        never_mark_spam: false,
    };
    let Imported::NotSent(error) = api.import(&road.token, &mail) else {
        panic!("it was sent");
    };
    assert_eq!(error.fault, Fault::NeedsUser);
    assert!(error.message.contains("is not trusted"), "{error}");
    assert_eq!(road.gmail.api_requests(""), 0);
}
