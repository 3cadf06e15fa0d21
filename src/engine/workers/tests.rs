//! What becomes of the number of workers with servers of each kind, in a time that is only counted.

use super::*;
use crate::error::Fault;

const A_WHILE: Duration = Duration::from_secs(600);
const SIGN_IN: Duration = Duration::from_millis(300);

/// A server that does so many messages at a time, each in this time.
struct Server {
    at_a_time: usize,
    each: Duration,
}

/// A pass, and the time that has passed in it.
struct Pass {
    plan: Plan,
    now: Instant,
    most_there: usize,
}

impl Pass {
    fn begin(pending: u64, connections: usize) -> Pass {
        let mut pass = Pass {
            plan: Plan::new(A_WHILE),
            now: Instant::now(),
            most_there: 0,
        };
        pass.plan.begin(pending, 2_000, connections, pass.now);
        pass.start_others();
        pass
    }

    fn start_others(&mut self) {
        while self.plan.take() {}
        self.most_there = self.most_there.max(self.plan.there);
    }

    /// So many messages are done.
    fn go_on(&mut self, messages: u64, server: &Server) {
        for _ in 0..messages {
            let busy = self.plan.there.min(server.at_a_time);
            self.now += server.each / busy as u32;
            self.plan.left = self.plan.left.saturating_sub(1);
            if self.plan.note_done(self.plan.there, self.now) {
                self.start_others();
                self.now += SIGN_IN;
            }
            self.plan.there = self.plan.there.min(self.plan.wanted);
        }
    }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn as_many_as_help_and_no_more() {
    // How many the server does at a time, how long it takes for each, `connections`; how many are there in the end, and
    // at most.
    for (at_a_time, each, connections, end, most) in [
        (99, 500, 10, 10, 10),
        (99, 500, 7, 7, 7),
        (99, 500, 4, 4, 4),
        (99, 500, 2, 2, 2),
        (99, 60_000, 10, 10, 10),
        (99, 20, 10, 10, 10),
        (1, 500, 10, 4, 6),
        (1, 10, 10, 4, 6),
        (4, 500, 10, 4, 6),
        (6, 500, 10, 6, 9),
    ] {
        let server = Server {
            at_a_time,
            each: ms(each),
        };
        let mut pass = Pass::begin(10_000, connections);
        assert_eq!(pass.plan.there, connections.min(FEW));
        // Of the pause after which others are tried, this sees nothing.
        pass.plan.a_while = Duration::from_secs(100_000_000);
        pass.go_on(2_000, &server);
        let case = format!("{at_a_time} at a time in {each} ms, {connections} connections");
        assert_eq!((pass.plan.there, pass.most_there), (end, most), "{case}");
    }
}

#[test]
fn ten_are_there_within_seconds() {
    let server = Server {
        at_a_time: 99,
        each: ms(500),
    };
    let mut pass = Pass::begin(10_000, 10);
    let begun = pass.now;
    while pass.plan.there < 10 {
        pass.go_on(1, &server);
    }
    assert!(pass.now - begun < Duration::from_secs(7));
}

#[test]
fn for_little_nobody_else_signs_in() {
    let server = Server {
        at_a_time: 99,
        each: ms(500),
    };
    for (pending, there) in [(1, 1), (4, 1), (5, 2), (12, 3), (16, 4), (30, 4)] {
        let mut pass = Pass::begin(pending, 10);
        pass.go_on(pending, &server);
        assert_eq!(pass.most_there, there, "{pending}");
    }
}

#[test]
fn what_brought_nothing_is_tried_again_after_a_while() {
    let one = Server {
        at_a_time: 1,
        each: ms(500),
    };
    let all = Server {
        at_a_time: 99,
        each: ms(500),
    };
    let mut pass = Pass::begin(10_000, 10);
    pass.go_on(200, &one);
    assert_eq!((pass.plan.there, pass.most_there), (4, 6));
    let held_since = pass.now;
    while pass.plan.there == 4 {
        pass.go_on(1, &all);
    }
    assert!(pass.now - held_since > A_WHILE - Duration::from_secs(100));
    pass.go_on(500, &all);
    assert_eq!(pass.plan.there, 10);
}

#[test]
fn who_is_refused_makes_do_with_fewer_and_tries_one_more_after_each_while() {
    let server = Server {
        at_a_time: 99,
        each: ms(500),
    };
    let mut pass = Pass::begin(1_000_000, 6);
    let plan = &mut pass.plan;
    // Two of four are not let in, and it is told once.
    assert!(plan.note_enough(3, pass.now));
    assert!(!plan.note_enough(2, pass.now));
    (plan.there, pass.most_there) = (2, 2);
    let begun = pass.now;
    for (there, whiles) in [(3, 1), (4, 2), (5, 3), (6, 4)] {
        while pass.plan.there < there {
            pass.go_on(1, &server);
        }
        let (least, most) = (A_WHILE * whiles, A_WHILE * whiles + ms(60_000));
        assert!((least..most).contains(&(pass.now - begun)), "{there}");
    }
    assert!(pass.plan.note_enough(5, pass.now), "it is told again");
    // Another pass does not begin with more than were let in.
    for _ in 0..4 {
        pass.plan.note_enough(pass.plan.wanted - 1, pass.now);
    }
    assert!(!pass.plan.note_enough(0, pass.now), "one there always is");
    pass.plan.begin(1000, 2_000, 6, pass.now);
    assert_eq!(pass.plan.wanted, 1);
    pass.plan.begin(1000, 2_000, 6, pass.now + A_WHILE);
    assert_eq!(pass.plan.wanted, 2);
}

#[test]
fn after_trouble_none_are_added() {
    let server = Server {
        at_a_time: 99,
        each: ms(500),
    };
    let mut pass = Pass::begin(10_000, 10);
    pass.plan.troubled = true;
    pass.go_on(500, &server);
    assert_eq!(pass.most_there, FEW);
}

#[test]
fn a_worker_that_ends_is_not_replaced_and_one_too_many_goes() {
    let workers = Workers::new(A_WHILE);
    workers.begin(100, 2_000, 4);
    let mut seats: Vec<Seat<'_>> = (0..4)
        .map(|_| workers.take())
        .map(|_| workers.seat())
        .collect();
    assert!(!workers.take());
    for seat in &mut seats {
        seat.well = true;
        assert!(!seat.is_one_too_many());
    }
    drop(seats.pop());
    assert!(!workers.take(), "nothing was left for it");
    assert!(workers.note_throttled());
    let gone: Vec<bool> = seats.iter_mut().map(Seat::is_one_too_many).collect();
    assert_eq!(gone, [true, false, false]);
    drop(seats);
    assert!(!workers.any() && !workers.take());
}

#[test]
fn too_many_sessions_are_told_from_too_many_bytes() {
    let said = |fault, words: &str| is_about_sessions(&Error::new(fault, words));
    let throttled = Fault::Throttled;
    assert!(said(
        throttled,
        "asks us to slow down: [ALERT] Too many simultaneous connections. (Failure)"
    ));
    assert!(!said(
        throttled,
        "asks us to slow down: Account exceeded command or bandwidth limits."
    ));
    assert!(!said(Fault::Transient, "Too many simultaneous connections"));
}
