//! How well the sessions with a target are used that takes its time for each APPEND, as Gmail does (0.3 to 60 s):
//! `cargo bench --bench slow_target`. The stand-in answers each 500 ms after it was asked, one after the other in each session; so
//! that 4 sessions can have 8 messages a second taken, and 10 of them 20. A target that does one APPEND at a time, whoever asks, comes last.
//!
//! The program is its release build, with its real intervals; both servers are stand-ins in this process. One other
//! argument than `--bench` is for how many seconds the target is busy in each case, were no session ever idle.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use gmail_stand_in::{Fault, Gmail, Mail, On, Options};
use serde_json::json;

const EACH: Duration = Duration::from_millis(500);
const SECONDS: usize = 60;

fn main() {
    let seconds = std::env::args()
        .skip(1)
        .find_map(|a| a.parse().ok())
        .unwrap_or(SECONDS);
    for (connections, in_all) in [(1, 1), (3, 3), (4, 4), (10, 10), (10, 1)] {
        let messages = in_all * seconds * 1000 / EACH.as_millis() as usize;
        run(connections, messages, in_all == 1 && connections > 1);
    }
}

/// So many small messages, which the target takes one at a time in each session, or one at a time of all together.
fn run(connections: usize, messages: usize, one_at_a_time: bool) {
    let source = Gmail::start(Options::plain(
        "IMAP4rev1 LITERAL+ UIDPLUS IDLE SASL-IR AUTH=PLAIN NAMESPACE",
    ));
    let target = Gmail::start(Options::default());
    if one_at_a_time {
        target.knobs(|knobs| knobs.one_append_at_a_time = Some(EACH));
    } else {
        target.fault(On::each("APPEND"), Fault::Delay(EACH));
    }
    for n in 0..messages {
        source.add(Mail::new(format!(
            "From: Ann <ann@example.org>\r\nSubject: message {n}\r\nMessage-ID: <{n}@example.org>\r\n\
             Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\n{}\r\n",
            "It was a dark and stormy night. ".repeat(30)
        )));
    }
    let dir = tempfile::tempdir().unwrap();
    let config = json!({
        "source_server": "localhost", "source_port": source.port(), "source_ca_file": source.ca_file(),
        "source_user": source.account(), "source_pass": source.password(),
        "target_server": "localhost", "target_port": target.port(), "target_ca_file": target.ca_file(),
        "target_user": target.account(), "target_pass": target.password(),
        "since": "all", "connections": connections,
    });
    let file = dir.path().join("config.json");
    fs::write(&file, config.to_string()).unwrap();
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_imap-to-gmail"))
        .args(["run", "--once", "--log"])
        .arg(dir.path().join("log"))
        .arg("--config")
        .arg(&file)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // When a tenth, and when nine tenths were there.
    let mut tenths = [None; 2];
    let status = loop {
        let there = target.messages().len();
        for (at, share) in tenths.iter_mut().zip([1, 9]) {
            if there >= messages * share / 10 {
                at.get_or_insert((Instant::now(), there));
            }
        }
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        thread::sleep(Duration::from_millis(20));
    };
    let whole = messages as f64 / begun.elapsed().as_secs_f64();
    assert!(status.success());
    assert_eq!(target.messages().len(), messages);
    let [Some((from, first)), Some((to, last))] = tenths else {
        panic!("it was never seen")
    };
    let steady = (last - first) as f64 / (to - from).as_secs_f64();
    let servers = if one_at_a_time { 1 } else { connections };
    let ideal = servers as f64 / EACH.as_secs_f64();
    println!(
        "connections: {connections}{}: {messages} messages, at most {} sessions; {whole:.2} messages/s, {:.1} % of {ideal}; \
         from one tenth to nine tenths {steady:.2}, {:.1} %",
        if one_at_a_time {
            ", a target that does one at a time"
        } else {
            ""
        },
        target.most_signed_in(),
        whole / ideal * 100.0,
        steady / ideal * 100.0,
    );
}
