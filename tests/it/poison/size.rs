//! Sizes that are not so.

use gmail_stand_in::Mail;

use crate::testkit::env::{DATE, TestEnv, mail};

#[test]
fn a_size_that_is_not_so_decides_nothing() {
    let env = TestEnv::new();
    env.target.knobs(|k| k.append_limit = 100_000);
    let add = |id: &str, bytes: usize, claimed: u64| {
        let bytes = mail(id, DATE, &"x".repeat(bytes));
        let size = bytes.len();
        let id = env.source.add(Mail::new(bytes));
        env.source.lie_about_size(id, claimed);
        size
    };
    add("<just-under@x>", 99_000, 100_001);
    add("<small@x>", 10, 40_000_000);
    add("<empty@x>", 5_000, 0);
    add("<one@x>", 5_000, 1);
    add("<at-the-batch@x>", 5_000, 8 << 20);
    add("<over-the-batch@x>", 5_000, (8 << 20) + 1);
    let size = add("<over@x>", 150_000, 10);
    let ran = env.run();
    assert_eq!(ran.status, 3, "{}", ran.err);
    assert_eq!(env.held().len(), 6, "{}", env.dump());
    let reason: String = env.one("SELECT last_error FROM message WHERE status = 'failed'");
    assert!(
        reason.contains(&format!("has {size} bytes")) && reason.contains("100000"),
        "the true ones: {reason}"
    );
    assert_eq!(env.status()["failed"], 1);
}
