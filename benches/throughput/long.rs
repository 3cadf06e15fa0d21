//! Very many small messages in one go, all of it in memory: is the last of them as cheap as the first, and does the program
//! need no more memory for them?

use std::fs;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::dovecot::{Dovecot, LIKE_GMAIL, PASSWORD, in_memory, is_installed};
use crate::mail::Kind;
use crate::program::{cpu, memory};
use crate::route::Route;

/// How often it is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// The part of all messages that is compared, at the beginning and at the end.
const PART: usize = 10;

/// How far it was at a moment.
#[derive(Clone, Copy, Default)]
struct Look {
    at: Duration,
    copied: usize,
    cpu: Duration,
    resident: u64,
}

pub(crate) fn main(count: usize) {
    if !is_installed() {
        println!("Dovecot is not installed: nothing was measured.");
        return;
    }
    let source = Dovecot::start("");
    let target = Dovecot::start(LIKE_GMAIL);
    let expected = crate::fill(&source, "long", Kind::Small, count);
    let (from, to) = (source.account("long"), target.account("long"));
    let route = Route::in_folder(&from, &to, in_memory());
    let mut child = route.run_once().stdin(Stdio::null()).spawn().unwrap();
    let mut client = Client::open(target.plain, &None, "long", PASSWORD);
    let (looks, peak) = watch(&mut child, &mut client);
    let ledger = fs::metadata(route.file("sync_state.db")).unwrap().len();
    tell(count, &looks, peak, ledger);
    drop(client);
    let found = Client::open(target.plain, &None, "long", PASSWORD).contents();
    crate::check(&expected, &found, "long");
}

fn watch(child: &mut Child, client: &mut Client) -> (Vec<Look>, u64) {
    let begun = Instant::now();
    let (mut looks, mut peak) = (Vec::new(), 0);
    loop {
        let copied = client.count();
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "{status}");
            return (looks, peak);
        }
        peak = memory(child.id(), "VmHWM:").max(peak);
        // One that is about to end has none any more.
        let resident = match memory(child.id(), "VmRSS:") {
            0 => looks.last().map_or(0, |look: &Look| look.resident),
            some => some,
        };
        looks.push(Look {
            at: begun.elapsed(),
            copied,
            cpu: cpu(child.id()),
            resident,
        });
        thread::sleep(LOOK);
    }
}

fn tell(count: usize, looks: &[Look], peak: u64, ledger: u64) {
    let part = count / PART;
    let first = looks
        .iter()
        .rfind(|look| look.copied == 0)
        .copied()
        .unwrap_or_default();
    let last = looks.last().unwrap();
    println!(
        "{count} small messages in {:.0} s, {:.0} messages/s; peak {:.1} MB; ledger {:.1} MB, {} bytes a message",
        last.at.as_secs_f64(),
        count as f64 / last.at.as_secs_f64(),
        peak as f64 / 1e6,
        ledger as f64 / 1e6,
        ledger / count as u64,
    );
    println!(
        "before the first was there: {:.1} s, {:.1} s of the processor",
        first.at.as_secs_f64(),
        first.cpu.as_secs_f64()
    );
    println!("| copied | after s | CPU ms a message since | memory MB |");
    println!("|---|---|---|---|");
    let mut before = first;
    let mut costs = Vec::new();
    for nth in 1..=PART {
        let Some(look) = looks.iter().find(|look| look.copied >= nth * part) else {
            break;
        };
        let messages = (look.copied - before.copied) as f64;
        let cost = (look.cpu - before.cpu).as_secs_f64() * 1000.0 / messages;
        println!(
            "| {} | {:.0} | {cost:.3} | {:.1} |",
            look.copied,
            look.at.as_secs_f64(),
            look.resident as f64 / 1e6
        );
        costs.push(cost);
        before = *look;
    }
    println!(
        "after the last of these: {:.1} s, {:.1} s of the processor",
        (last.at - before.at).as_secs_f64(),
        (last.cpu - before.cpu).as_secs_f64()
    );
    if let (Some(begin), Some(end)) = (costs.first(), costs.last()) {
        println!(
            "a message at the end costs {:.2} of one at the beginning",
            end / begin
        );
    }
}
