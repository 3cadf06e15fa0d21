//! The mail that is copied: made up, and the same at each run.

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use sha2::{Digest, Sha256};

/// In a mixed corpus: half of the messages have fewer bytes, and on average they have six times as many.
const MEDIAN: f64 = 8000.0;
const MEAN: f64 = 48_000.0;
const SMALLEST: f64 = 900.0;
const LARGEST: f64 = 5_000_000.0;
/// What a small message has.
const SMALL: usize = 2048;
/// Up to here a message is text; from there on most of it is an attachment.
const TEXT_MAX: usize = 30_000;

const WORDS: &str = "the of and to in is you that it for was on are with as his they at be this from have or by one had \
    not but what all were when we there can an your which their said if do will each about how up out them then she many \
    some so these would other into has more two like him see time could no make than first been its who now people made \
    over did down only way find use may water long little very after words called just where most know report meeting \
    invoice schedule attached project deadline review budget customer release server update please regards thanks forward \
    agenda minutes proposal contract shipment tracking question answer confirm cancel reschedule estimate quarterly";

pub(crate) struct Mail {
    pub(crate) bytes: Vec<u8>,
    pub(crate) flags: &'static str,
    pub(crate) date: DateTime<Utc>,
}

/// What must be the same on both sides.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Content {
    digest: [u8; 32],
    date: i64,
    flags: String,
}

impl Content {
    pub(crate) fn new(bytes: &[u8], date: i64, flags: &[&str]) -> Content {
        let mut flags = flags.to_vec();
        flags.retain(|flag| *flag != "\\Recent");
        flags.sort_unstable();
        Content {
            digest: Sha256::digest(bytes).into(),
            date,
            flags: flags.join(" "),
        }
    }
}

impl Mail {
    pub(crate) fn content(&self) -> Content {
        let flags: Vec<&str> = self.flags.split(' ').filter(|f| !f.is_empty()).collect();
        Content::new(&self.bytes, self.date.timestamp(), &flags)
    }

    /// As IMAP writes it.
    pub(crate) fn internal_date(&self) -> String {
        self.date.format("%d-%b-%Y %H:%M:%S +0000").to_string()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Small,
    Mixed,
}

pub(crate) fn corpus(kind: Kind, count: usize) -> impl Iterator<Item = Mail> {
    sizes(kind, count)
        .into_iter()
        .enumerate()
        .map(|(n, size)| mail(n, size))
}

/// Of a mixed corpus: the quantiles of a log-normal distribution, shuffled, so that each number of messages has the same
/// shape.
fn sizes(kind: Kind, count: usize) -> Vec<usize> {
    if kind == Kind::Small {
        return vec![SMALL; count];
    }
    let sigma = (2.0 * (MEAN / MEDIAN).ln()).sqrt();
    let quantile = |n: usize| normal_quantile((n as f64 + 0.5) / count as f64);
    let size = |n| (MEDIAN * (sigma * quantile(n)).exp()).clamp(SMALLEST, LARGEST) as usize;
    let mut sizes: Vec<usize> = (0..count).map(size).collect();
    Rng::with_seed(1).shuffle(&mut sizes);
    sizes
}

/// Which number a normal distribution stays below with this probability.
fn normal_quantile(probability: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..60 {
        let middle: f64 = (low + high) / 2.0;
        if normal(middle) < probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// With which probability it stays below this number (Abramowitz and Stegun 26.2.17).
fn normal(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * x.abs());
    let factors = [
        1.330_274_429,
        -1.821_255_978,
        1.781_477_937,
        -0.356_563_782,
        0.319_381_530,
    ];
    let polynomial = factors.iter().fold(0.0, |sum, factor| (sum + factor) * t);
    let above = polynomial * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
    if x < 0.0 { above } else { 1.0 - above }
}

fn mail(n: usize, size: usize) -> Mail {
    let mut rng = Rng::with_seed((n as u64) << 32 | size as u64);
    let begin = DateTime::from_timestamp(1_700_000_000, 0).unwrap();
    let date = begin + TimeDelta::seconds(127 * n as i64);
    let text = size <= TEXT_MAX;
    let mut bytes = header(n, &date, text, &mut rng);
    if text {
        words(&mut bytes, size, &mut rng);
    } else {
        words(&mut bytes, 3000, &mut rng);
        attachment(&mut bytes, size, &mut rng);
    }
    Mail {
        bytes,
        flags: match rng.u8(..100) {
            0..50 => "\\Seen",
            50..57 => "\\Answered \\Seen",
            57..60 => "\\Flagged",
            _ => "",
        },
        date,
    }
}

fn header(n: usize, date: &DateTime<Utc>, text: bool, rng: &mut Rng) -> Vec<u8> {
    let content_type = match text {
        true => "text/plain; charset=utf-8",
        false => "multipart/mixed; boundary=\"limit\"",
    };
    let mut subject = Vec::new();
    words(&mut subject, 40, rng);
    let mut header = format!(
        "Return-Path: <bounce-{n}@lists.example.org>\r\n\
         Received: from mx{}.example.org (mx.example.org [192.0.2.{}])\r\n\tby mx.example.com with ESMTPS id {:08X}\r\n\t\
         for <user@example.com>; {date}\r\n\
         From: Ann <ann{}@example.org>\r\nTo: user@example.com\r\nSubject: {}\r\nDate: {date}\r\n\
         Message-ID: <{:016x}.{n}@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: {content_type}\r\n\r\n",
        rng.u8(..9),
        rng.u8(..),
        rng.u32(..),
        rng.u8(..50),
        String::from_utf8_lossy(&subject).trim_end(),
        rng.u64(..),
        date = date.to_rfc2822(),
    );
    if !text {
        header += "--limit\r\nContent-Type: text/plain\r\n\r\n";
    }
    header.into_bytes()
}

/// Lines of words, until there are so many bytes in all.
fn words(out: &mut Vec<u8>, size: usize, rng: &mut Rng) {
    let words: Vec<&str> = WORDS.split_ascii_whitespace().collect();
    let mut line = 0;
    while out.len() + 2 < size {
        let word = words[rng.usize(..words.len())];
        if line + word.len() > 72 {
            out.extend_from_slice(b"\r\n");
            line = 0;
        }
        out.extend_from_slice(word.as_bytes());
        out.push(b' ');
        line += word.len() + 1;
    }
    // No line ends in the middle of its end.
    out.truncate(size - 2);
    if out.last() == Some(&b'\r') {
        out.pop();
        out.push(b'.');
    }
    out.extend_from_slice(b"\r\n");
}

/// Bytes that no program makes shorter, as in a picture or an archive, in BASE64.
fn attachment(out: &mut Vec<u8>, size: usize, rng: &mut Rng) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.extend_from_slice(
        b"--limit\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n",
    );
    while out.len() + 90 < size {
        let line: [u8; 76] = std::array::from_fn(|_| LETTERS[rng.usize(..64)]);
        out.extend_from_slice(&line);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"--limit--\r\n");
}
