//! Where the page is served: what `--http` takes, and by which names it may be asked for. Not for what is answered.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};

use crate::error::{Error, Result, shown};

const EXPECTED: &str = "expected a port of this machine like 8080, or an address and a port like 192.168.1.5:8080, [::1]:8080 or 0.0.0.0:8080 (all addresses)";

/// An address and a port, or a name and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Address(IpAddr),
    /// What this machine is called by others.
    Name(String),
}

/// Reads what was typed. A port alone is one of 127.0.0.1.
///
/// # Errors
/// What was expected.
pub fn place(typed: &str) -> std::result::Result<Place, &'static str> {
    let (host, port) = match typed.rsplit_once(':') {
        None => (Host::Address(Ipv4Addr::LOCALHOST.into()), typed),
        Some((host, port)) => (Host::read(host).ok_or(EXPECTED)?, port),
    };
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    let port = port.parse().ok().filter(|port| digits && *port > 0);
    let port = port.ok_or(EXPECTED)?;
    Ok(Place { host, port })
}

impl Host {
    fn read(typed: &str) -> Option<Host> {
        let address = match typed.strip_prefix('[') {
            Some(rest) => rest
                .strip_suffix(']')?
                .parse::<Ipv6Addr>()
                .ok()
                .map(IpAddr::from),
            None => typed.parse::<Ipv4Addr>().ok().map(IpAddr::from),
        };
        if let Some(address) = address {
            return Some(Host::Address(address));
        }
        if typed.eq_ignore_ascii_case("localhost") {
            return Some(Host::Address(Ipv4Addr::LOCALHOST.into()));
        }
        let labels = || typed.split('.');
        let sound = |label: &str| {
            let bytes = || label.bytes();
            !label.is_empty()
                && bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        // 192.168.1.256 is no name.
        let number = labels().next_back()?.bytes().all(|b| b.is_ascii_digit());
        (labels().all(sound) && !number).then(|| Host::Name(typed.to_ascii_lowercase()))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(address) => SocketAddr::new(*address, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl Place {
    pub(super) fn listen(&self) -> Result<(TcpListener, SocketAddr)> {
        self.bind().map_err(|e| {
            let error = Error::fatal(format!(
                "the page cannot be served at {self} (`--http`): {}",
                shown(e.to_string().as_bytes())
            ));
            error.hint(match e.kind() {
                ErrorKind::AddrInUse => {
                    "another program listens there, perhaps another run: give `--http` another port"
                }
                ErrorKind::PermissionDenied => {
                    "ports below 1024 are for root: give `--http` a higher one"
                }
                _ => "`--http` takes an address of this machine: 127.0.0.1 for this machine alone, or 0.0.0.0 for all of its addresses",
            })
        })
    }

    fn bind(&self) -> io::Result<(TcpListener, SocketAddr)> {
        let listener = match &self.host {
            Host::Address(address) => TcpListener::bind((*address, self.port))?,
            Host::Name(name) => {
                let addresses: Vec<_> = (&**name, self.port).to_socket_addrs()?.collect();
                TcpListener::bind(&addresses[..])?
            }
        };
        let address = listener.local_addr()?;
        Ok((listener, address))
    }

    /// What a browser is given, of a place that is listened at there.
    pub(super) fn url(&self, address: SocketAddr) -> String {
        match &self.host {
            Host::Name(name) => format!("http://{name}:{}/", address.port()),
            Host::Address(_) => format!("http://{}/", reachable(address)),
        }
    }

    /// Is it meant by who names this host, in a connection that arrived at this address? By the address itself, the name that
    /// `--http` was given, or as this machine by itself. Where it listens at all addresses, any address is one that was named:
    /// a page of somebody else's can come here by a name alone. The port may be another one on a way that forwards.
    pub(super) fn is_named_by(&self, host: &str, arrived: IpAddr) -> bool {
        let Some(named) = without_port(host) else {
            return false;
        };
        if named.eq_ignore_ascii_case("localhost") {
            return true;
        }
        let bare = named.strip_prefix('[').and_then(|n| n.strip_suffix(']'));
        let address: Option<IpAddr> = bare.unwrap_or(named).parse().ok();
        match (&self.host, address) {
            (_, Some(address)) if address.is_loopback() || address == arrived => true,
            (Host::Address(ours), Some(_)) => ours.is_unspecified(),
            (Host::Name(ours), None) => named.eq_ignore_ascii_case(ours),
            _ => false,
        }
    }
}

fn without_port(host: &str) -> Option<&str> {
    // The colons of an address are in brackets (RFC 3986 3.2.2).
    let end = host.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = host[end..].find(':') else {
        return Some(host);
    };
    let (named, port) = host.split_at(end + colon);
    let digits = port[1..].bytes().all(|b| b.is_ascii_digit());
    digits.then_some(named)
}

/// An address by which this machine reaches itself.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_typed() {
        for (typed, meant) in [
            ("8080", "127.0.0.1:8080"),
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("0.0.0.0:1", "0.0.0.0:1"),
            ("[::1]:65535", "[::1]:65535"),
            ("[::]:8080", "[::]:8080"),
            ("NAS.local:8080", "nas.local:8080"),
        ] {
            assert_eq!(place(typed).unwrap().to_string(), meant);
        }
        for typed in [
            "",
            ":8080",
            "0",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:0",
            "127.0.0.1:65536",
            "127.0.0.1:+80",
            "192.168.1.256:8080",
            "::1:8080",
            "[::1]",
            "[127.0.0.1]:8080",
            "http://127.0.0.1:8080",
            "*:8080",
            "a b:8080",
        ] {
            assert!(place(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn by_which_names_it_may_be_asked_for() {
        let at = |typed: &str, host: &str, arrived: &str| {
            let place = place(typed).unwrap();
            place.is_named_by(host, arrived.parse().unwrap())
        };
        for (typed, host, arrived, may) in [
            ("8080", "127.0.0.1:8080", "127.0.0.1", true),
            ("8080", "127.0.0.1", "127.0.0.1", true),
            ("8080", "localhost:9000", "127.0.0.1", true),
            ("8080", "LocalHost:8080", "127.0.0.1", true),
            ("8080", "[::1]:8080", "127.0.0.1", true),
            ("8080", "evil.example:8080", "127.0.0.1", false),
            ("8080", "localhost.evil.example:8080", "127.0.0.1", false),
            ("8080", "127.0.0.1.evil.example", "127.0.0.1", false),
            ("8080", "192.168.1.5:8080", "127.0.0.1", false),
            ("8080", "127.0.0.1:8080@evil.example", "127.0.0.1", false),
            ("8080", "localhost:", "127.0.0.1", true),
            ("8080", "", "127.0.0.1", false),
            ("8080", "[::1", "127.0.0.1", false),
            ("192.168.1.5:8080", "192.168.1.5:8080", "192.168.1.5", true),
            ("192.168.1.5:8080", "192.168.1.6:8080", "192.168.1.5", false),
            ("192.168.1.5:8080", "nas.local:8080", "192.168.1.5", false),
            ("0.0.0.0:8080", "192.168.1.5", "172.17.0.2", true),
            ("0.0.0.0:8080", "[fe80::1]:8080", "172.17.0.2", true),
            ("0.0.0.0:8080", "nas.local:8080", "172.17.0.2", false),
            ("nas.local:8080", "NAS.local:8080", "192.168.1.5", true),
            ("nas.local:8080", "192.168.1.5:8080", "192.168.1.5", true),
            ("nas.local:8080", "192.168.1.6:8080", "192.168.1.5", false),
            ("nas.local:8080", "other.local:8080", "192.168.1.5", false),
        ] {
            assert_eq!(at(typed, host, arrived), may, "{typed} {host}");
        }
    }
}
