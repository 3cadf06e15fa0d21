//! Courier IMAP with Maildirs. It keeps UIDs in a file that only SELECT writes: of a mailbox that was never opened but
//! by EXAMINE it tells another UIDVALIDITY each time.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::chroot::Root;
use super::server::{self, Server, USERS, Way};
use crate::testkit::free_port;

const NOBODY: (u32, u32) = (65534, 65534);
/// `courier` in the folder's passwd.
const COURIER: (u32, u32) = (902, 902);
/// `pw`, as crypt(3) has it.
const PASSWORD: &str = "$1$7jByu722$96wQ130zyIgsUBFnZc9CW/";

pub(crate) struct Courier {
    root: Root,
    port: u16,
    selected: bool,
}

impl Courier {
    /// With mailboxes that another mail program has opened before. None where there is no folder with it.
    pub(crate) fn start() -> Option<Box<dyn Server>> {
        let mut courier = Courier::never_selected()?;
        for user in USERS {
            server::select_once(&courier, user);
        }
        courier.selected = true;
        Some(Box::new(courier))
    }

    /// With mailboxes of people who fetch their mail by POP.
    pub(crate) fn start_never_selected() -> Option<Box<dyn Server>> {
        Some(Box::new(Courier::never_selected()?))
    }

    fn never_selected() -> Option<Courier> {
        let mut courier = Courier {
            root: Root::copy("courier")?,
            port: free_port(),
            selected: false,
        };
        let root = &courier.root;
        root.create_dir("/run/courier/authdaemon", COURIER);
        root.create_dir("/srv", NOBODY);
        let (uid, gid) = NOBODY;
        let mut users = String::new();
        for user in USERS {
            server::make_maildir(&courier.maildir(user), NOBODY);
            users += &format!("{user}\tuid={uid}|gid={gid}|home=/srv/{user}|systempw={PASSWORD}\n");
        }
        root.write("/etc/courier/userdb", users);
        let userdb = root.outside("/etc/courier/userdb");
        fs::set_permissions(userdb, Permissions::from_mode(0o600)).unwrap();
        root.feed("root", &["/usr/sbin/makeuserdb"], b"");
        root.write(
            "/etc/courier/authdaemonrc",
            "authmodulelist=\"authuserdb\"\ndaemons=5\nauthdaemonvar=/run/courier/authdaemon\n",
        );
        courier.launch();
        Some(courier)
    }

    fn launch(&mut self) {
        self.root
            .start(&["/usr/lib/courier/courier-authlib/authdaemond"], &[]);
        let port = self.port.to_string();
        let server = [
            "/usr/sbin/couriertcpd",
            "-address=127.0.0.1",
            "-maxprocs=100",
            "-maxperip=100",
            "-nodnslookup",
            &port,
            "/usr/lib/courier/courier/imaplogin",
            "/usr/bin/imapd",
            "Maildir",
        ];
        // As Debian's /etc/courier/imapd has it.
        let settings = [
            (
                "IMAP_CAPABILITY",
                "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA IDLE",
            ),
            ("IMAP_KEYWORDS", "1"),
            ("IMAP_ACL", "1"),
            ("IMAP_IDLE_TIMEOUT", "60"),
            ("IMAP_MAILBOX_SANITY_CHECK", "1"),
            ("IMAP_USELOCKS", "1"),
            ("IMAP_EMPTYTRASH", "Trash:7"),
        ];
        self.root.start(&server, &settings);
        server::await_greeting(self.port, || self.root.log());
        let socket = self.root.outside("/run/courier/authdaemon/socket");
        crate::testkit::eventually("sign-ins are answered", || socket.exists());
    }

    fn maildir(&self, user: &str) -> PathBuf {
        self.root.outside("/srv").join(user).join("Maildir")
    }
}

impl Server for Courier {
    fn name(&self) -> &'static str {
        if self.selected {
            "Courier 5.2"
        } else {
            "Courier, never SELECTed"
        }
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn tls(&self) -> Option<(u16, PathBuf)> {
        None
    }

    fn ways(&self) -> &'static [Way] {
        if self.selected {
            &[Way::New, Way::Cur, Way::Deliver, Way::Append]
        } else {
            &[Way::New, Way::Deliver]
        }
    }

    fn deliver(&self, user: &str, way: Way, mail: &[u8]) {
        match way {
            Way::New | Way::Cur => server::drop_file(&self.maildir(user), way, mail, NOBODY),
            Way::Deliver => {
                let maildir = format!("/srv/{user}/Maildir");
                self.root.feed(
                    "nobody:nogroup",
                    &["/usr/bin/deliverquota.courier", &maildir],
                    &server::with_lf(mail),
                );
            }
            Way::Append => server::append(self, user, mail),
            Way::Save | Way::Lmtp => unreachable!("{way:?}"),
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
