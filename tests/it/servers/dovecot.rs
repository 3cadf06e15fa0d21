//! Dovecot 2.3, where it is installed, and 2.4 in a folder of its own.

use std::path::PathBuf;

use super::chroot::Root;
use super::server::{self, Server, USERS, Way};
use crate::testkit::dovecot::{self, Dovecot, write_certificates};
use crate::testkit::{free_port, maildir::Owner};

const NOBODY: (u32, u32) = (65534, 65534);

/// Dovecot 2.3 with Maildirs or with sdbox.
pub(crate) struct Installed {
    dovecot: Dovecot,
    store: &'static str,
}

impl Installed {
    /// None where it is not installed.
    pub(crate) fn start(store: &'static str) -> Option<Box<dyn Server>> {
        if !dovecot::available() {
            return None;
        }
        let dovecot = Dovecot::build().store(store).start();
        let installed = Installed { dovecot, store };
        if store == "maildir" {
            let owner = Owner::find();
            for user in USERS {
                let maildir = installed.dovecot.mail_dir(user);
                server::make_maildir(&maildir, (owner.uid, owner.gid));
            }
        }
        Some(Box::new(installed))
    }
}

impl Server for Installed {
    fn name(&self) -> &'static str {
        if self.store == "maildir" {
            "Dovecot 2.3, Maildir"
        } else {
            "Dovecot 2.3, sdbox"
        }
    }

    fn port(&self) -> u16 {
        self.dovecot.port()
    }

    fn tls(&self) -> Option<(u16, PathBuf)> {
        Some((self.dovecot.tls_port(), self.dovecot.ca_file.clone()))
    }

    fn ways(&self) -> &'static [Way] {
        if self.store == "maildir" {
            &[Way::New, Way::Cur, Way::Save, Way::Deliver, Way::Append]
        } else {
            &[Way::Save, Way::Deliver, Way::Append]
        }
    }

    fn deliver(&self, user: &str, way: Way, mail: &[u8]) {
        let output = match way {
            Way::New | Way::Cur => {
                let owner = Owner::find();
                let maildir = self.dovecot.mail_dir(user);
                return server::drop_file(&maildir, way, mail, (owner.uid, owner.gid));
            }
            Way::Save => self
                .dovecot
                .feed("doveadm", &["save", "-u", user, "-m", "INBOX"], mail),
            Way::Deliver => self.dovecot.feed("dovecot-lda", &["-d", user], mail),
            Way::Append => return server::append(self, user, mail),
            Way::Lmtp => unreachable!("Debian has that in another package"),
        };
        assert!(output.status.success(), "{output:?}");
    }

    fn restart(&mut self) {
        self.dovecot.restart();
    }

    fn log(&self) -> String {
        self.dovecot.log()
    }
}

/// Dovecot 2.4 with Maildirs.
pub(crate) struct Newer {
    root: Root,
    port: u16,
    tls_port: u16,
    lmtp_port: u16,
}

impl Newer {
    /// None where there is no folder with it.
    pub(crate) fn start() -> Option<Box<dyn Server>> {
        let root = Root::copy("dovecot-2.4")?;
        let mut newer = Newer {
            root,
            port: free_port(),
            tls_port: free_port(),
            lmtp_port: free_port(),
        };
        newer.root.create_dir("/srv/mail", NOBODY);
        newer.root.create_dir("/srv/home", NOBODY);
        for user in USERS {
            server::make_maildir(&newer.maildir(user), NOBODY);
        }
        write_certificates(&newer.root.outside("/srv"));
        newer
            .root
            .write("/etc/dovecot/dovecot.conf", newer.configuration());
        newer.launch();
        Some(Box::new(newer))
    }

    fn launch(&mut self) {
        self.root.start(&["/usr/sbin/dovecot", "-F"], &[]);
        server::await_greeting(self.port, || self.root.log());
    }

    fn maildir(&self, user: &str) -> PathBuf {
        self.root.outside("/srv/mail").join(user)
    }

    fn configuration(&self) -> String {
        let Newer {
            port,
            tls_port,
            lmtp_port,
            ..
        } = self;
        let (uid, gid) = NOBODY;
        format!(
            "dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
log_path = /log
protocols = imap lmtp
listen = 127.0.0.1
ssl_server_cert_file = /srv/leaf.pem
ssl_server_key_file = /srv/key.pem
auth_allow_cleartext = yes
auth_failure_delay = 0
first_valid_uid = 0
mail_fsync = never
mail_driver = maildir
mail_path = /srv/mail/%{{user}}
mail_max_userip_connections = 100
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp_port}
  }}
}}
service anvil {{
  chroot =
}}
passdb static {{
  password = pw
}}
userdb static {{
  fields {{
    uid = {uid}
    gid = {gid}
    home = /srv/home/%{{user}}
  }}
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
"
        )
    }
}

impl Server for Newer {
    fn name(&self) -> &'static str {
        "Dovecot 2.4, Maildir"
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn tls(&self) -> Option<(u16, PathBuf)> {
        Some((self.tls_port, self.root.outside("/srv/ca.pem")))
    }

    fn ways(&self) -> &'static [Way] {
        &[
            Way::New,
            Way::Cur,
            Way::Save,
            Way::Deliver,
            Way::Lmtp,
            Way::Append,
        ]
    }

    fn deliver(&self, user: &str, way: Way, mail: &[u8]) {
        match way {
            Way::New | Way::Cur => server::drop_file(&self.maildir(user), way, mail, NOBODY),
            Way::Save => self.root.feed(
                "root",
                &["/usr/bin/doveadm", "save", "-u", user, "-m", "INBOX"],
                mail,
            ),
            Way::Deliver => {
                self.root
                    .feed("root", &["/usr/lib/dovecot/dovecot-lda", "-d", user], mail);
            }
            Way::Lmtp => server::lmtp(self.lmtp_port, user, mail),
            Way::Append => server::append(self, user, mail),
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
