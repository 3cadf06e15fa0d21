//! The HTTP listener to which the provider sends the browser back: 127.0.0.1 alone, one path, one use.
//!
//! Every other request is refused with a page that says why, and does not end the wait: browsers ask for
//! icons and load pages in advance, and any web page can make a browser send us a request. Not for what is
//! done with the provider's answer: that is for `browser`.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use oauth2::url::Url;

use crate::config::Secret;
use crate::error::{Error, shown};
use crate::http::listen::{self, Request, Response};

/// The answer that is awaited.
pub(super) struct Awaited {
    pub(super) redirect_uri: String,
    pub(super) state: Secret<String>,
    /// The answer has come, by the browser or pasted.
    pub(super) over: AtomicBool,
}

/// The connection to the browser that brought the answer: there a person is shown how the sign-in ended.
pub struct Page(TcpStream);

impl Page {
    pub fn show(self, end: Result<&str, &Error>) {
        let (status, title, words) = match end {
            Ok(words) => ("200 OK", "Signed in", words.to_string()),
            Err(e) => {
                let hint = e.hint.as_deref().unwrap_or_default();
                ("200 OK", "Not signed in", format!("{e}\n{hint}"))
            }
        };
        say(&self.0, status, title, &words);
    }
}

/// What may happen while we wait.
pub(super) enum Heard {
    Answered(Answer, Option<Page>),
    Pasted(Secret<String>),
    WrongHost(String),
    WrongState,
}

/// What the address says at which a browser ended.
pub(super) enum Answer {
    Code(Secret<String>),
    Refused {
        error: String,
        description: String,
    },
    WrongState,
    /// It is no answer at all.
    None,
}

impl Answer {
    pub(super) fn read(url: &Url, state: &Secret<String>) -> Answer {
        let field = |name: &str| {
            let mut pairs = url.query_pairs().filter(|(n, _)| n == name);
            pairs.next().map(|(_, value)| value.into_owned())
        };
        let (code, error) = (field("code").filter(|c| !c.is_empty()), field("error"));
        if code.is_none() && error.is_none() {
            return Answer::None;
        }
        if field("state").as_deref() != Some(state.reveal().as_str()) {
            return Answer::WrongState;
        }
        match (error, code) {
            (None, Some(code)) => Answer::Code(Secret::new(code)),
            (error, _) => Answer::Refused {
                error: error.unwrap_or_default(),
                description: field("error_description").unwrap_or_default(),
            },
        }
    }
}

/// Serves until the process ends.
pub(super) fn serve(listener: &TcpListener, awaited: Arc<Awaited>, inbox: Sender<Heard>) {
    let never = AtomicBool::new(false);
    listen::serve(listener, &never, move |stream| {
        answer(stream, &awaited, &inbox);
    });
}

/// Listens on 127.0.0.1; without a port, on one that is free.
pub(super) fn bind(port: Option<u16>) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0)))
}

fn answer(stream: TcpStream, awaited: &Awaited, inbox: &Sender<Heard>) {
    let request = match Request::read(&stream) {
        Ok(request) => request,
        Err(Some(status)) => {
            return refuse(&stream, status, "This is not a request that can be read.");
        }
        Err(None) => return,
    };
    let Ok(expected) = Url::parse(&awaited.redirect_uri) else {
        return;
    };
    let name = format!(
        "{}:{}",
        expected.host_str().unwrap_or_default(),
        expected.port_or_known_default().unwrap_or_default()
    );
    // Another name may point to 127.0.0.1 by now (DNS rebinding): its web pages could then read our answers.
    if !request.host.eq_ignore_ascii_case(&name) {
        let _ = inbox.send(Heard::WrongHost(shown(request.host.as_bytes())));
        return refuse(
            &stream,
            "421 Misdirected Request",
            "This address is for a sign-in on this machine, under its own name alone.",
        );
    }
    if request.method != "GET" {
        return refuse(
            &stream,
            "405 Method Not Allowed",
            "Only GET is answered here.",
        );
    }
    let Some(url) = url(&request, &expected) else {
        return refuse(&stream, "404 Not Found", "There is nothing here.");
    };
    if request.fetched_ahead {
        return refuse(&stream, "503 Service Unavailable", "Not in advance.");
    }
    match Answer::read(&url, &awaited.state) {
        Answer::None => refuse(&stream, "404 Not Found", "There is nothing here."),
        Answer::WrongState => {
            let _ = inbox.send(Heard::WrongState);
            refuse(
                &stream,
                "403 Forbidden",
                "This is the answer to another sign-in than the one that waits here. Open the address that imap-to-gmail shows now.",
            );
        }
        answer => {
            if awaited.over.swap(true, Ordering::SeqCst) {
                say(
                    &stream,
                    "200 OK",
                    "Already answered",
                    "The answer of this sign-in has been taken; imap-to-gmail says how it ended.",
                )
            } else {
                let _ = inbox.send(Heard::Answered(answer, Some(Page(stream))));
            }
        }
    }
}

/// The address of the request, if its path is the awaited one.
fn url(request: &Request, expected: &Url) -> Option<Url> {
    if !request.target.starts_with('/') {
        return None;
    }
    let origin = expected.origin().ascii_serialization();
    let url = Url::parse(&format!("{origin}{}", request.target)).ok()?;
    (url.path() == expected.path()).then_some(url)
}

fn refuse(stream: &TcpStream, status: &str, words: &str) {
    say(stream, status, "Not the sign-in", words);
}

/// Sends one page and closes the connection.
fn say(stream: &TcpStream, status: &str, title: &str, words: &str) {
    let paragraphs: String = words
        .lines()
        .map(|line| format!("<p>{}</p>\n", escaped(line)))
        .collect();
    let body = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} - imap-to-gmail</title>\n\
         <style>body {{ font: 1.1em sans-serif; max-width: 34em; margin: 4em auto; padding: 0 1em }}</style></head>\n\
         <body><h1>{title}</h1>\n{paragraphs}<p>You can close this window.</p></body></html>\n"
    );
    let response = Response {
        status,
        content_type: "text/html; charset=utf-8",
        headers: "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'\r\n",
        body: &body,
    };
    // The address of this page has the code in it, so browsers must neither send it on nor store the page: no answer of
    // ours lets them.
    response.send(stream, true);
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
