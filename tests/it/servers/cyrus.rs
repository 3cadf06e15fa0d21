//! Cyrus IMAP with its own mail store, idled, and LMTP.

use std::os::unix::fs::chown;
use std::path::PathBuf;

use super::chroot::Root;
use super::server::{self, Server, USERS, Way};
use crate::testkit::dovecot::write_certificates;
use crate::testkit::free_port;

/// `cyrus:mail` in the folder's passwd and group.
const CYRUS: (u32, u32) = (901, 8);

pub(crate) struct Cyrus {
    root: Root,
    port: u16,
    tls_port: u16,
    lmtp_port: u16,
}

impl Cyrus {
    /// None where there is no folder with it.
    pub(crate) fn start() -> Option<Box<dyn Server>> {
        let mut cyrus = Cyrus {
            root: Root::copy("cyrus")?,
            port: free_port(),
            tls_port: free_port(),
            lmtp_port: free_port(),
        };
        let root = &cyrus.root;
        for dir in ["", "/socket", "/proc", "/lock"] {
            root.create_dir(&format!("/run/cyrus{dir}"), CYRUS);
        }
        for dir in [
            "/var/lib/cyrus",
            // Without it idled can tell nobody of anything, and IDLE hears of new mail once a minute.
            "/var/lib/cyrus/socket",
            "/var/spool/cyrus",
            "/var/spool/cyrus/mail",
            "/srv",
        ] {
            root.create_dir(dir, CYRUS);
        }
        write_certificates(&root.outside("/srv"));
        chown(root.outside("/srv/key.pem"), Some(CYRUS.0), Some(CYRUS.1)).unwrap();
        root.write("/etc/imapd.conf", CONFIGURATION);
        root.write("/etc/cyrus.conf", cyrus.services());
        cyrus.launch();
        for user in USERS {
            // A user's first sign-in makes the mailboxes.
            drop(cyrus.client(user));
        }
        Some(Box::new(cyrus))
    }

    fn launch(&mut self) {
        self.root
            .start(&["/usr/lib/cyrus/bin/master", "-D", "-L", "/log"], &[]);
        server::await_greeting(self.port, || self.root.log());
    }

    fn services(&self) -> String {
        let Cyrus {
            port,
            tls_port,
            lmtp_port,
            ..
        } = self;
        format!(
            "START {{
  recover cmd=\"ctl_cyrusdb -r\"
  idled cmd=\"idled\"
}}
SERVICES {{
  imap cmd=\"imapd\" listen=\"127.0.0.1:{port}\"
  imaps cmd=\"imapd -s\" listen=\"127.0.0.1:{tls_port}\"
  lmtp cmd=\"lmtpd -a\" listen=\"127.0.0.1:{lmtp_port}\"
  lmtpunix cmd=\"lmtpd\" listen=\"/run/cyrus/socket/lmtp\"
}}
EVENTS {{
}}
"
        )
    }
}

const CONFIGURATION: &str = "configdirectory: /var/lib/cyrus
defaultpartition: default
partition-default: /var/spool/cyrus/mail
proc_path: /run/cyrus/proc
mboxname_lockpath: /run/cyrus/lock
lmtpsocket: /run/cyrus/socket/lmtp
idlesocket: /run/cyrus/socket/idle
notifysocket: /run/cyrus/socket/notify
tls_server_cert: /srv/leaf.pem
tls_server_key: /srv/key.pem
altnamespace: yes
unixhierarchysep: yes
allowplaintext: yes
sasl_mech_list: PLAIN LOGIN
sasl_pwcheck_method: alwaystrue
autocreate_quota: 0
autocreate_post: yes
";

impl Server for Cyrus {
    fn name(&self) -> &'static str {
        "Cyrus 3.10"
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn tls(&self) -> Option<(u16, PathBuf)> {
        Some((self.tls_port, self.root.outside("/srv/ca.pem")))
    }

    fn ways(&self) -> &'static [Way] {
        &[Way::Lmtp, Way::Deliver, Way::Append]
    }

    fn deliver(&self, user: &str, way: Way, mail: &[u8]) {
        match way {
            Way::Lmtp => server::lmtp(self.lmtp_port, user, mail),
            Way::Deliver => {
                self.root
                    .feed("cyrus:mail", &["/usr/lib/cyrus/bin/deliver", user], mail);
            }
            Way::Append => server::append(self, user, mail),
            Way::New | Way::Cur | Way::Save => unreachable!("{way:?}"),
        }
    }

    fn restart(&mut self) {
        self.root.stop();
        self.launch();
    }

    fn log(&self) -> String {
        self.root.log()
    }
}
