//! `gmail_api`: where Gmail's API is, over https, or by http within this machine. Not for what is said there (`target`).

use ureq::http::Uri;

use super::mask::without_credentials;
use crate::error::shown;
use crate::http::{is_safe, is_this_machine};

const GOOGLE: &str = "gmail.googleapis.com";

/// The hosts of Google's API: a resumable upload may go on at another one of them.
const FAMILY: &str = ".googleapis.com";

/// The base address of an API, to which mail and tokens may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    scheme: String,
    /// Host and port.
    authority: String,
    host: String,
}

impl Address {
    /// Google's own.
    pub fn google() -> Address {
        Address {
            scheme: "https".into(),
            authority: GOOGLE.into(),
            host: GOOGLE.into(),
        }
    }

    /// # Errors
    /// What is wrong with it: it is neither https nor within this machine, or more than a scheme, a host and a port.
    pub fn parse(text: &str) -> Result<Address, String> {
        match split(text) {
            Some((address, rest)) if rest.is_empty() || rest == "/" => Ok(address),
            // A password may stand before an @.
            _ => Err(format!(
                "got `{}`, expected https:// and a host, or http:// to this machine",
                shown(without_credentials(text).as_bytes())
            )),
        }
    }

    /// Does everything stay on this machine?
    pub fn is_local(&self) -> bool {
        is_this_machine(&self.host)
    }

    pub fn to(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.authority)
    }

    /// May a server send us on to there? Only to itself: our token and the mail go along.
    pub fn leads_to(&self, text: &str) -> bool {
        let of_google = |host: &str| host.ends_with(FAMILY);
        split(text).is_some_and(|(other, _)| {
            let both_google = other.scheme == "https" && of_google(&other.host);
            other == *self || both_google && of_google(&self.host) && other.authority == other.host
        })
    }
}

/// The address, and what stands behind the authority.
fn split(text: &str) -> Option<(Address, String)> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority()?;
    let host = authority.host().trim_matches(['[', ']']).to_lowercase();
    let scheme = uri.scheme_str()?.to_string();
    if !is_safe(&scheme, &host) || host.is_empty() || authority.as_str().contains('@') {
        return None;
    }
    let rest = uri.path_and_query().map_or("", |rest| rest.as_str());
    let address = Address {
        scheme,
        authority: authority.as_str().to_lowercase(),
        host,
    };
    Some((address, rest.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_goes_over_https_or_stays_on_this_machine() {
        for text in [
            "https://gmail.googleapis.com/",
            "http://127.0.0.1:8080",
            "http://[::1]:8080",
            "http://localhost",
        ] {
            assert!(Address::parse(text).is_ok(), "{text}");
        }
        for text in [
            "http://gmail.googleapis.com",
            "http://localhost.example.org",
            "https://user:secret@gmail.googleapis.com",
            "https://gmail.googleapis.com/gmail/v1",
            "https://gmail.googleapis.com?x=y",
            "ftp://127.0.0.1",
            "gmail.googleapis.com",
            "https://",
            "",
        ] {
            let error = Address::parse(text).expect_err(text);
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn an_upload_goes_on_where_it_began() {
        let google = Address::google();
        assert_eq!(
            Ok(google.clone()),
            Address::parse("https://gmail.googleapis.com")
        );
        assert!(google.leads_to("https://gmail.googleapis.com/upload/x?upload_id=1"));
        assert!(google.leads_to("https://www.googleapis.com/upload/x"));
        for elsewhere in [
            "https://googleapis.com.example.org/",
            "https://evilgoogleapis.com/",
            "https://www.googleapis.com:8443/",
            "http://127.0.0.1/",
            "http://gmail.googleapis.com/",
            "https://a:b@gmail.googleapis.com/",
            "/upload/x",
        ] {
            assert!(!google.leads_to(elsewhere), "{elsewhere}");
        }
        let local = Address::parse("http://127.0.0.1:80").expect("an address");
        assert!(local.leads_to("http://127.0.0.1:80/x") && !local.leads_to("http://127.0.0.1:81/"));
    }
}
