//! HTTP as it is spoken with a sign-in's provider and with Gmail's API: where mail and secrets may go, and the client that
//! carries them there; and in `listen` a listener for what is asked of us. Not for what is said (`oauth`, `target`, `page`).

use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

pub mod listen;

/// Bytes that the headers of a reply may have.
const HEAD_MAX: usize = 64 << 10;

/// How long is waited for what. None: as long as the others let it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// All of an exchange.
    pub whole: Option<Duration>,
    /// Until a connection is there.
    pub connect: Option<Duration>,
    /// Each later step: the request's head, one piece of its body, the reply's head, the reply's body.
    pub step: Option<Duration>,
}

/// A client that follows no redirect: what it carries is for one place. `by_proxy`: through that of the environment, where
/// it names one.
pub fn agent(limits: Limits, authorities: RootCerts, by_proxy: bool) -> Agent {
    let mut config = Agent::config_builder()
        // What a refusal says must be read.
        .http_status_as_error(false)
        .max_redirects(0)
        .max_response_header_size(HEAD_MAX)
        .timeout_global(limits.whole)
        .timeout_resolve(limits.connect)
        .timeout_connect(limits.connect)
        .timeout_send_request(limits.step)
        .timeout_per_write(limits.step)
        .timeout_recv_response(limits.step)
        .timeout_recv_body(limits.step)
        .tls_config(TlsConfig::builder().root_certs(authorities).build());
    if !by_proxy {
        config = config.proxy(None);
    }
    config.build().into()
}

/// Clients for many places, each made when it is first needed: one for this machine, and one for all others, which goes
/// through the proxy of the environment.
pub struct Agents {
    limit: Duration,
    here: OnceLock<Agent>,
    elsewhere: OnceLock<Agent>,
}

impl Agents {
    /// `limit`: for all of an exchange.
    pub fn new(limit: Duration) -> Agents {
        Agents {
            limit,
            here: OnceLock::new(),
            elsewhere: OnceLock::new(),
        }
    }

    pub fn get(&self, local: bool) -> &Agent {
        let limits = Limits {
            whole: Some(self.limit),
            ..Limits::default()
        };
        let place = if local { &self.here } else { &self.elsewhere };
        place.get_or_init(|| agent(limits, RootCerts::WebPki, !local))
    }
}

/// May mail and secrets be sent there? Over https, or by http within this machine.
pub fn is_safe(scheme: &str, host: &str) -> bool {
    scheme == "https" || scheme == "http" && is_this_machine(host)
}

pub fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_over_https_or_stay_on_this_machine() {
        for host in [
            "127.0.0.1",
            "127.9.9.9",
            "[::1]",
            "::1",
            "localhost",
            "LocalHost",
        ] {
            assert!(is_safe("http", host), "{host}");
        }
        for host in [
            "example.org",
            "localhost.example.org",
            "[::2]",
            "10.0.0.1",
            "",
        ] {
            assert!(is_safe("https", host) && !is_safe("http", host), "{host}");
        }
        assert!(!is_safe("ftp", "127.0.0.1") && !is_safe("file", ""));
    }
}
