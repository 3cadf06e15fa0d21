//! Figures that were read one after the other, while a run went on.
#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn failures_that_are_tried_again_meanwhile_are_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("l.db");
    let ledger = Ledger::open_or_create(&path, true).unwrap();
    let asked = Asked {
        state_file: &path,
        with_failed: false,
        files: "",
        upload_limit: None,
    };
    let mut report = Report::new(&ledger, &asked, Utc::now()).unwrap();
    let route = &mut report.routes[0];
    route.failed = 1;
    route.failures = vec![Failure::of(("refused".into(), 7))];
    route.failure_reasons = 2;
    let text = report.text(80);
    let told = "          7    refused\n                     0    for another reason\n";
    assert!(text.contains(told), "{text}");
}
