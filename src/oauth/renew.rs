//! One exchange with the token endpoint: a refresh token for an access token (RFC 6749 6). Not for when that is
//! done nor for where the new token is kept (`tokens`); what a refusal means is for `refusal`.

use chrono::TimeDelta;
use oauth2::basic::{BasicClient, BasicTokenResponse};
use oauth2::{AuthType, ClientId, ClientSecret, RefreshToken, Scope, TokenResponse as _, TokenUrl};

use super::contents::{Contents, time_text};
use super::http::{Http, is_safe, is_token};
use super::provider::{Provider, same_scope};
use super::refusal::Refusal;
use super::token_file::TokenFile;
use crate::config::Secret;
use crate::error::{Error, Fault, Result, shown};
use crate::message::Time;

/// A token is renewed this long before its end, or a quarter of its life if that is less.
pub(super) const MARGIN: TimeDelta = TimeDelta::seconds(60);
/// A token that is said to last longer is renewed after this time all the same: Google's last an hour.
const LIFE_MAX: TimeDelta = TimeDelta::days(365);

/// An access token, good for now as far as we know.
#[derive(Clone, Debug)]
pub struct Access {
    pub token: Secret<String>,
    /// When it is to be replaced; None: only once it is refused.
    pub renew_at: Option<Time>,
    /// It comes straight from the token endpoint, or cannot be renewed: if it is refused, a person must act.
    pub fresh: bool,
}

/// What a renewal gave.
pub(super) struct Granted {
    pub(super) access: Result<Access>,
    /// There is another refresh token now.
    pub(super) rotated: bool,
}

/// Renews the token of this file. Afterwards the new tokens are in `contents`, but not yet in the file. An
/// error with `credentials_refused` says that this refresh token is dead.
pub(super) fn renew(
    file: &TokenFile,
    contents: &mut Contents,
    http: &Http,
    now: Time,
) -> Result<Granted> {
    let reply = exchange(file, contents, http)?;
    Ok(granted(file, contents, &reply, now))
}

fn exchange(file: &TokenFile, contents: &Contents, http: &Http) -> Result<BasicTokenResponse> {
    let (Some(refresh), Some(id)) = (contents.text("refresh_token"), contents.text("client_id"))
    else {
        return Err(cannot_renew(file, contents));
    };
    let sign_in = || file.sign_in(Some(contents.provider()));
    let uri = contents.token_uri();
    let url = TokenUrl::new(uri.clone())
        .ok()
        .filter(is_safe)
        .ok_or_else(|| {
            file.error(
                Fault::NeedsUser,
                format!("`token_uri` is {}, expected https", shown(uri.as_bytes())),
            )
            .hint(sign_in())
        })?;
    let mut client = BasicClient::new(ClientId::new(id))
        .set_auth_type(AuthType::RequestBody)
        .set_token_uri(url);
    if let Some(secret) = contents.text("client_secret") {
        client = client.set_client_secret(ClientSecret::new(secret));
    }
    let refused =
        |refusal: Refusal| refusal.for_renewal(file.path(), contents.provider(), &sign_in());
    let reply = client
        .exchange_refresh_token(&RefreshToken::new(refresh))
        .add_scopes(scopes_to_name(contents).into_iter().map(Scope::new))
        .request(&|request| http.send(request))
        .map_err(|e| {
            let sent = ["refresh_token", "client_secret"].map(|key| contents.text(key));
            let sent: Vec<_> = sent.into_iter().flatten().map(Secret::new).collect();
            refused(Refusal::of_endpoint(&e, http.status(), &sent))
        })?;
    if is_token(reply.access_token().secret()) {
        Ok(reply)
    } else {
        Err(refused(Refusal::no_token(http.status())))
    }
}

/// Puts what the endpoint gave into the contents. A new refresh token is taken even if the access token that
/// came with it is useless: the old refresh token may be dead.
fn granted(
    file: &TokenFile,
    contents: &mut Contents,
    reply: &BasicTokenResponse,
    now: Time,
) -> Granted {
    let mail = grants_mail(file, contents, reply);
    let old = contents.text("refresh_token");
    let rotated = reply
        .refresh_token()
        .map(|r| r.secret().clone())
        .filter(|r| !r.is_empty() && Some(r) != old.as_ref());
    let life = reply
        .expires_in()
        .map(|d| TimeDelta::from_std(d).map_or(LIFE_MAX, |life| life.min(LIFE_MAX)));
    let access = mail.map(|()| Access {
        token: Secret::new(reply.access_token().secret().clone()),
        renew_at: life.map(|life| now + life - MARGIN.min(life / 4)),
        fresh: true,
    });
    let map = &mut contents.map;
    if let Some(rotated) = &rotated {
        map.insert("refresh_token".into(), rotated.clone().into());
    }
    if let Ok(access) = &access {
        map.insert("token".into(), access.token.reveal().clone().into());
        match life {
            // As google-auth writes it: naive UTC and a Z.
            Some(life) => map.insert("expiry".into(), time_text(now + life).into()),
            None => map.remove("expiry"),
        };
    }
    Granted {
        access,
        rotated: rotated.is_some(),
    }
}

pub(super) fn cannot_renew(file: &TokenFile, contents: &Contents) -> Error {
    let lacks = contents.lacks().unwrap_or("refresh_token");
    file.error(
        Fault::NeedsUser,
        format!("its `token` is no longer accepted and there is no `{lacks}` in it"),
    )
    .hint(file.sign_in(Some(contents.provider())))
}

/// Does the reply, where it names scopes, grant mail?
fn grants_mail(file: &TokenFile, contents: &Contents, reply: &BasicTokenResponse) -> Result<()> {
    let wanted = contents.wanted();
    let granted: Vec<&str> = reply
        .scopes()
        .into_iter()
        .flatten()
        .map(|s| s.as_str())
        .filter(|s| !s.is_empty())
        .collect();
    let has = |w: &String| granted.iter().any(|g| same_scope(w, g));
    if granted.is_empty() || wanted.is_empty() || wanted.iter().any(has) {
        return Ok(());
    }
    let how = match contents.provider() {
        Provider::Google => "leave the box for mail ticked there",
        Provider::Microsoft | Provider::Other => "let it read mail by IMAP there",
    };
    let hint = format!("{}; {how}", file.sign_in(Some(contents.provider())));
    Err(file
        .error(
            Fault::NeedsUser,
            format!(
                "its token does not allow mail: the scope {} was not granted",
                shown(wanted.join(" or ").as_bytes())
            ),
        )
        .hint(hint))
}

/// Microsoft refuses some renewals that name no scopes (AADSTS900144, AADSTS90009). `offline_access` is
/// added, without which no refresh token comes: Microsoft's replies leave it out, and so does the file.
fn scopes_to_name(contents: &Contents) -> Vec<String> {
    const REFRESH: &str = "offline_access";
    let mut scopes = match contents.provider() {
        Provider::Microsoft => contents.scopes(),
        Provider::Google | Provider::Other => Vec::new(),
    };
    if !scopes.is_empty() && !scopes.iter().any(|s| s == REFRESH) {
        scopes.push(REFRESH.into());
    }
    scopes
}
