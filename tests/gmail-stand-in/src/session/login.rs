//! Greeting, capabilities and the ways to sign in (docs/gmail.md 1.1 to 1.5, 2).

use std::net::Ipv4Addr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{BAD, Session};
use crate::Kind;
use crate::clock::delta;
use crate::faults::Fault;
use crate::knobs::OverquotaForm;
use crate::refusal::Refusal;
use crate::syntax::Token;
use crate::wire::{Gone, Step};

const BEFORE_LOGIN: &str = "IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID XLIST CHILDREN X-GM-EXT-1 XYZZY SASL-IR \
                            AUTH=XOAUTH2 AUTH=PLAIN AUTH=PLAIN-CLIENTTOKEN AUTH=OAUTHBEARER";

/// Without APPENDLIMIT, which is a knob.
pub(super) const AFTER_LOGIN: &str = "IMAP4rev1 UNSELECT IDLE NAMESPACE QUOTA ID XLIST CHILDREN X-GM-EXT-1 UIDPLUS \
                                      COMPRESS=DEFLATE ENABLE MOVE CONDSTORE ESEARCH UTF8=ACCEPT LIST-EXTENDED \
                                      LIST-STATUS LITERAL- SPECIAL-USE";

/// `{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}` (docs/gmail.md 2.2)
const CHALLENGE: &str = "+ eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29vZ2xlLmNvbS8ifQ==";

/// What somebody signs in with.
enum Proof {
    Password(String),
    Token { token: String, bearer: bool },
}

impl Session {
    pub(super) fn greet(&mut self) -> Step<()> {
        let mut greeting = match &self.shared.options.kind {
            Kind::Gmail => format!(
                "* OK Gimap ready for requests from {} {}",
                Ipv4Addr::LOCALHOST,
                self.noise()
            ),
            Kind::Plain { capabilities } => format!("* OK [CAPABILITY {capabilities}] ready"),
        };
        match self.shared.faults.at_line(self.number, "CONNECT", "") {
            None => {}
            Some(Fault::Answer(text)) => greeting = format!("* {text}"),
            Some(Fault::Bye(text)) => return self.bye(&text),
            Some(Fault::Stall) => return self.stall(),
            Some(Fault::Delay(time)) => self.wire.rest(time)?,
            Some(_) => return Err(Gone),
        }
        self.wire.say(&greeting);
        self.flush()
    }

    pub(super) fn capability(&mut self, tag: &str) {
        let line = self.capability_line();
        self.wire.say(&line);
        match (self.shared.gmail(), self.signed_in) {
            (true, false) => {
                let noise = self.noise();
                self.answer(tag, &format!("OK Thats all she wrote! {noise}"));
            }
            _ => self.ok(tag, "OK Success"),
        }
    }

    fn capability_line(&self) -> String {
        match &self.shared.options.kind {
            Kind::Gmail if self.signed_in => {
                let limit = self.knobs().append_limit;
                format!("* CAPABILITY {AFTER_LOGIN} APPENDLIMIT={limit}")
            }
            Kind::Gmail => format!("* CAPABILITY {BEFORE_LOGIN}"),
            Kind::Plain { capabilities } => format!("* CAPABILITY {capabilities}"),
        }
    }

    pub(super) fn id(&mut self, tag: &str) {
        let noise = self.noise();
        let version = if self.signed_in {
            "\"version\" \"gmail_imap_200428.12_p0\"".to_string()
        } else {
            format!("\"connection-token\" \"{noise}\"")
        };
        self.wire.say(&format!(
            "* ID (\"name\" \"GImap\" \"vendor\" \"Google, Inc.\" \"support-url\" \
             \"https://support.google.com/mail\" {version} \"remote-host\" \"127.0.0.1\")"
        ));
        if self.signed_in {
            self.ok(tag, "OK Success")
        } else {
            self.answer(tag, &format!("OK Success {noise}"))
        }
    }

    pub(super) fn login(&mut self, tag: &str, args: &[Token]) -> Step<()> {
        let [user, password] = args else {
            self.answer(tag, BAD);
            return Ok(());
        };
        let (Some(user), Some(password)) = (user.text(), password.text()) else {
            self.answer(tag, BAD);
            return Ok(());
        };
        self.sign_in(tag, &user, Proof::Password(password))
    }

    pub(super) fn authenticate(&mut self, tag: &str, args: &[Token]) -> Step<()> {
        let mechanism = args.first().and_then(Token::text).unwrap_or_default();
        let mechanism = mechanism.to_ascii_uppercase();
        let offered = self.shared.gmail() || self.offers(&format!("AUTH={mechanism}"));
        let known = matches!(mechanism.as_str(), "PLAIN" | "XOAUTH2" | "OAUTHBEARER");
        if !(known && offered) || args.len() > 2 {
            self.answer(tag, BAD);
            return Ok(());
        }
        let response = match args.get(1).and_then(Token::text) {
            Some(initial) => initial,
            None => {
                self.wire.say("+ ");
                self.flush()?;
                String::from_utf8_lossy(&self.read_line()?).into_owned()
            }
        };
        match credentials(&mechanism, &response) {
            Some((user, proof)) => self.sign_in(tag, &user, proof),
            None => {
                self.invalid_argument(tag);
                Ok(())
            }
        }
    }

    fn invalid_argument(&mut self, tag: &str) {
        let noise = self.noise();
        self.answer(tag, &format!("BAD Invalid SASL argument. {noise}"));
    }

    fn sign_in(&mut self, tag: &str, user: &str, proof: Proof) -> Step<()> {
        let now = self.shared.clock.now();
        let knobs = self.knobs();
        let mut expires = now + delta(knobs.session_life);
        let good = match &proof {
            Proof::Password(password) => self.is_password(user, password),
            Proof::Token { token, .. } => {
                let tokens = self.shared.tokens.lock().unwrap();
                let access = tokens
                    .check(token, user, &knobs.scope, now)
                    .filter(|access| self.is_account(&access.account));
                expires = access.map_or(expires, |access| expires.min(access.expires));
                access.is_some()
            }
        };
        let blocked = {
            let mut upload = self.shared.upload.lock().unwrap();
            upload.blocked(knobs.upload_budget, now, knobs.blocked_for)
        };
        let refusal = match self.shared.next_refusal() {
            Some(refusal) => Some(refusal),
            None if !good && !self.shared.gmail() && matches!(proof, Proof::Token { .. }) => {
                Some(Refusal::Other("NO AUTHENTICATE failed.".into()))
            }
            None if !good => Some(Refusal::InvalidCredentials),
            None if blocked && knobs.overquota == OverquotaForm::Bye => Some(Refusal::OverquotaBye),
            None if blocked => Some(Refusal::OverquotaAlert),
            None if !self.shared.sign_in(self.number) => Some(Refusal::TooManyConnections),
            None => None,
        };
        if let Some(refusal) = refusal {
            return self.refuse(tag, &refusal, &proof);
        }
        self.signed_in = true;
        let line = self.capability_line();
        if self.shared.gmail() || matches!(proof, Proof::Token { .. }) {
            self.expires = Some(expires);
        }
        if self.shared.gmail() {
            self.wire.say(&line);
            let name = knobs.display_name.map(|name| format!(" {name}"));
            let name = name.unwrap_or_default();
            self.ok(tag, &format!("OK {user}{name} authenticated (Success)"));
        } else {
            let capabilities = line.trim_start_matches("* ");
            self.ok(tag, &format!("OK [{capabilities}] Logged in"));
        }
        Ok(())
    }

    fn refuse(&mut self, tag: &str, refusal: &Refusal, proof: &Proof) -> Step<()> {
        let (before, tagged) = refusal.words(&self.noise());
        let Some(tagged) = tagged else {
            self.wire.say(&before.unwrap_or_default());
            self.flush()?;
            self.wire.close();
            return Err(Gone);
        };
        if let Proof::Token { bearer, .. } = proof
            && self.shared.gmail()
            && *refusal != Refusal::WebLoginRequired
        {
            self.wire.say(CHALLENGE);
            self.flush()?;
            let line = self.read_line()?;
            let dummy = *bearer && line == b"AQ==";
            if !line.is_empty() && !dummy {
                self.invalid_argument(tag);
                return Ok(());
            }
        }
        if let Some(before) = before {
            self.wire.say(&before);
        }
        self.answer(tag, &tagged);
        Ok(())
    }

    fn is_account(&self, user: &str) -> bool {
        user.eq_ignore_ascii_case(&self.shared.options.account)
    }

    fn is_password(&self, user: &str, password: &str) -> bool {
        let known = &self.shared.options.password;
        // An app password is shown in groups, and taken with or without the blanks (docs/gmail.md 8.1).
        let blankless = |text: &str| text.replace(' ', "");
        let equal = if self.shared.gmail() {
            blankless(known) == blankless(password)
        } else {
            known == password
        };
        equal && self.is_account(user)
    }
}

/// What the base64 of a SASL response says.
fn credentials(mechanism: &str, response: &str) -> Option<(String, Proof)> {
    let text = match response {
        "=" => String::new(),
        coded => String::from_utf8(STANDARD.decode(coded).ok()?).ok()?,
    };
    if mechanism == "PLAIN" {
        let [_, user, password] = text.split('\0').collect::<Vec<_>>()[..] else {
            return None;
        };
        return Some((user.to_string(), Proof::Password(password.to_string())));
    }
    let bearer = mechanism == "OAUTHBEARER";
    let fields: Vec<&str> = text.split('\x01').collect();
    let user = if bearer {
        fields[0].strip_prefix("n,a=")?.strip_suffix(',')?
    } else {
        fields[0].strip_prefix("user=")?
    };
    let token = fields
        .iter()
        .find_map(|field| field.strip_prefix("auth=Bearer "))?
        .to_string();
    Some((user.to_string(), Proof::Token { token, bearer }))
}
