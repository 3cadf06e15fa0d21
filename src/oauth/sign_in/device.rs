//! The sign-in on another device (RFC 8628): a person enters a code there, while we keep asking whether that is
//! done. Microsoft has it; Google does not have it for mail (docs/gmail.md 7.1).

use std::thread;
use std::time::Duration;

use oauth2::{DeviceAuthorizationUrl, Scope, StandardDeviceAuthorizationResponse};

use super::client_file::Client;
use super::grant::Grant;
use crate::config::Secret;
use crate::error::{Error, Result};
use crate::oauth::http::Http;
use crate::oauth::refusal::fit_to_show;

/// No real provider wants a longer pause between two questions, or lets a code live longer.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
const LIFE_MAX: Duration = Duration::from_secs(3600);

/// A sign-in that waits for a person.
pub struct Device {
    client: Client,
    http: Http,
    details: StandardDeviceAuthorizationResponse,
}

impl Device {
    /// Asks for a code.
    ///
    /// # Errors
    /// `Usage` when the provider has no such way, else as for [`Client::exchange`].
    pub fn begin(client: &Client, limit: Duration) -> Result<Device> {
        let uri = client
            .device_uri
            .clone()
            .and_then(|uri| DeviceAuthorizationUrl::new(uri).ok())
            .ok_or_else(|| {
                Error::usage(format!(
                    "`--device`: {} has no such sign-in for mail",
                    client.provider_name()
                ))
                .hint("use --no-browser: the sign-in is then done in a browser anywhere, and the address at which it ends is pasted here")
            })?;
        let http = Http::new(limit);
        let details: StandardDeviceAuthorizationResponse = client
            .oauth()?
            .set_device_authorization_url(uri)
            .exchange_device_code()
            .add_scopes(client.scopes.iter().cloned().map(Scope::new))
            .request(&|request| http.send(request))
            .map_err(|e| client.refused(&e, &http, &[]))?;
        if details.interval() > INTERVAL_MAX || details.expires_in() > LIFE_MAX {
            return Err(Error::connection(format!(
                "{} asks for too much patience: a question every {} s for {} s",
                client.provider_name(),
                details.interval().as_secs(),
                details.expires_in().as_secs()
            ))
            .hint("use --no-browser in place of --device"));
        }
        Ok(Device {
            client: client.clone(),
            http,
            details,
        })
    }

    /// What to open, and what to enter there.
    pub fn instructions(&self) -> (String, String) {
        let safe = |words: &str| fit_to_show(words, self.client.secrets(&[]));
        (
            safe(self.details.verification_uri().as_str()),
            safe(self.details.user_code().secret()),
        )
    }

    pub fn life(&self) -> Duration {
        self.details.expires_in()
    }

    /// Asks until the person has agreed or declined, or the code has run out.
    ///
    /// # Errors
    /// As for [`Client::exchange`].
    pub fn wait(self) -> Result<Grant> {
        let sent = [Secret::new(self.details.device_code().secret().clone())];
        let oauth = self.client.oauth()?;
        let reply = oauth
            .exchange_device_access_token(&self.details)
            .request(
                &|request| self.http.send(request),
                |time| thread::sleep(time.max(Duration::from_secs(1))),
                None,
            )
            .map_err(|e| self.client.refused(&e, &self.http, &sent))?;
        self.client.grant(&reply)
    }
}
