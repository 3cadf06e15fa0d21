#![allow(clippy::print_stdout, clippy::unwrap_used)]
use gmail_stand_in::{Gmail, Mail, Options, Refusal};
use serde_json::json;
use std::io::BufRead;
use std::time::Duration;
fn main() {
    let dir = std::path::PathBuf::from(std::env::args().nth(1).unwrap());
    let source = Gmail::start(Options::plain(
        "IMAP4rev1 LITERAL+ UIDPLUS IDLE SASL-IR AUTH=PLAIN",
    ));
    let gmail = Gmail::start(Options::default());
    gmail.knobs(|k| k.round_trip = Duration::from_millis(20));
    std::fs::copy(source.ca_file(), dir.join("source.pem")).unwrap();
    std::fs::copy(gmail.ca_file(), dir.join("gmail.pem")).unwrap();
    let config = json!({"source_server": "localhost","source_port": source.port(),"source_ca_file": "source.pem","source_user": source.account(),"source_pass": source.password(),
        "target_server": "localhost","target_port": gmail.port(),"target_ca_file": "gmail.pem","target_user": gmail.account(),"target_pass": gmail.password()});
    std::fs::write(dir.join("config.json"), format!("{config:#}\n")).unwrap();
    let mut n = 0;
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let mut w = line.split(' ');
        match w.next().unwrap() {
            "mail" => {
                let count: usize = w.next().unwrap().parse().unwrap();
                let size: usize = w.next().unwrap().parse().unwrap();
                for _ in 0..count {
                    n += 1;
                    source.add(Mail::new(format!("From: a@x\r\nSubject: s{n}\r\nMessage-ID: <{n}@example.org>\r\nDate: Tue, 14 Nov 2023 22:13:20 +0000\r\n\r\n{}\r\n", "0123456789 ".repeat(size/11))));
                }
            }
            "refuse" => gmail.refuse_login(Refusal::InvalidCredentials, 99),
            "clear" => {
                gmail.clear_faults();
                source.clear_faults()
            }
            "cut" => gmail.cut_connections(),
            "slow" => gmail.knobs(|k| k.round_trip = Duration::from_millis(400)),
            _ => return,
        }
        println!("ok {line}");
    }
}
