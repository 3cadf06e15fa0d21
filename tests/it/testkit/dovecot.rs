//! A private Dovecot 2.3 in a directory of its own: real IMAP, real TLS, real Maildirs, whose files tests put there and
//! read back. Every user name exists; its password is `pw`. Nothing outside the directory is touched, and nothing of
//! the program is used: what the program did is judged by another client (`imap.rs`) and by the files.
//!
//! Run as root, mail belongs to `nobody`; run by anybody else, to the caller.

mod configuration;

use std::collections::HashMap;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use tempfile::TempDir;

use super::imap::{self, Client};
use super::introspection::Introspection;
use super::maildir::{Maildir, Owner};
use super::rawlog;
use super::{eventually, free, free_port, unix_now};

pub(crate) use self::configuration::Builder;
pub(crate) use super::maildir::Poison;

/// Becomes Dovecot's master process in a process group of its own. Beside it waits a shell for the end of the test, in
/// whichever way that ends, and kills the group: Dovecot's children outlive a killed master by half a minute.
const LAUNCHER: &str =
    "exec 3<&0; (read -r _ <&3; kill -KILL 0) & exec \"$0\" -F -c \"$1\" </dev/null 3<&-";

/// Where Debian has those programs of Dovecot's that people do not call.
const LIBEXEC: &str = "/usr/lib/dovecot";

/// Whether Dovecot is here. Where it is not, says so, and panics in CI, where a test that did not run is a failure.
pub(crate) fn available() -> bool {
    let found = program("dovecot").is_some();
    if !found {
        assert!(
            !super::in_ci(),
            "dovecot is not installed: install dovecot-imapd"
        );
        eprintln!("dovecot is not installed: this test was not run");
    }
    found
}

/// A running Dovecot. Dropping it ends it and removes its directory.
#[derive(Debug)]
pub(crate) struct Dovecot {
    /// The certificate authority that signed the server's certificate (PEM).
    pub(crate) ca_file: PathBuf,
    /// Which access tokens are good, and whose they are (token, user). Only with `xoauth2`.
    pub(crate) tokens: Arc<Mutex<HashMap<String, String>>>,
    introspection: Introspection,
    dir: TempDir,
    owner: Owner,
    builder: Builder,
    ports: Ports,
    since: u64,
    master: Option<Child>,
}

/// A message as the server serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) uid: u32,
    /// Sorted, without `\Recent`.
    pub(crate) flags: Vec<String>,
    /// Unix time.
    pub(crate) internal_date: i64,
    pub(crate) bytes: Vec<u8>,
}

impl Builder {
    /// Starts it, and returns once it answers on both ports.
    pub(crate) fn start(self) -> Dovecot {
        let dir = tempfile::tempdir().unwrap();
        let owner = Owner::find();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        for sub in ["mail", "home", "raw"] {
            owner.create_dir(&dir.path().join(sub));
        }
        write_certificates(dir.path());
        let introspection = Introspection::start();
        let mut dovecot = Dovecot {
            ca_file: dir.path().join("ca.pem"),
            tokens: Arc::clone(&introspection.tokens),
            introspection,
            dir,
            owner,
            builder: self,
            ports: Ports::find(),
            since: unix_now(),
            master: None,
        };
        dovecot.launch_on_any_port();
        dovecot
    }
}

impl Dovecot {
    /// Begins a description; `.start()` ends it.
    pub(crate) fn build() -> Builder {
        Builder::default()
    }

    /// The port of plain IMAP, which offers STARTTLS.
    pub(crate) fn port(&self) -> u16 {
        self.ports.plain
    }

    /// The port of IMAP over TLS.
    pub(crate) fn tls_port(&self) -> u16 {
        self.ports.tls
    }

    /// Ends it, as a server goes down: sessions get a BYE. Takes up to a second; then nothing listens any more.
    pub(crate) fn stop(&mut self) {
        let Some(mut master) = self.master.take() else {
            return;
        };
        let _lifeline = master.stdin.take(); // wait() would close it, and the launcher's shell kill all
        signal_group(master.id(), "TERM");
        master.wait().unwrap();
        signal_group(master.id(), "KILL"); // login processes would stay for another second
        let ports = self.ports;
        eventually("dovecot's ports are free", || {
            free(ports.plain) && free(ports.tls)
        });
    }

    /// Ends it, unless it is stopped, and starts it again: same ports, same mail.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.launch().unwrap();
    }

    /// Closes the connections of a user, with a BYE. Returns whether there were any.
    pub(crate) fn kick(&self, user: &str) -> bool {
        self.doveadm(&["kick", user]).status.success()
    }

    /// Runs `doveadm` on this instance.
    pub(crate) fn doveadm(&self, args: &[&str]) -> Output {
        let doveadm = program("doveadm").expect("doveadm beside dovecot");
        Command::new(doveadm)
            .arg("-c")
            .arg(self.conf())
            .args(args)
            .output()
            .unwrap()
    }

    /// Runs another program of Dovecot's on this instance, with these bytes as its input.
    pub(crate) fn feed(&self, name: &str, args: &[&str], input: &[u8]) -> Output {
        let mut command = Command::new(program(name).unwrap_or(Path::new(LIBEXEC).join(name)));
        command.arg("-c").arg(self.conf()).args(args);
        super::feed(&mut command, input)
    }

    /// Where the mail of this user is stored.
    pub(crate) fn mail_dir(&self, user: &str) -> PathBuf {
        self.dir.path().join("mail").join(user)
    }

    /// What Dovecot logged, for the message of a failing test.
    pub(crate) fn log(&self) -> String {
        ["stderr", "log"]
            .map(|name| fs::read_to_string(self.dir.path().join(name)).unwrap_or_default())
            .concat()
    }

    /// Puts a message into the user's INBOX as a file, so that Dovecot serves exactly these bytes (but LF as CRLF and
    /// NUL as 0x80). `flags` are Maildir's letters: D(raft) F(lagged) R(eplied) S(een). UIDs ascend in planting order.
    pub(crate) fn plant(
        &self,
        user: &str,
        bytes: &[u8],
        flags: &str,
        internal_date_unix: i64,
    ) -> PathBuf {
        self.maildir(user)
            .plant(bytes, "", flags, internal_date_unix)
    }

    /// As `plant`, into a mailbox of this name (UTF-8, `/` between its levels) that is there.
    pub(crate) fn plant_in(
        &self,
        user: &str,
        mailbox: &str,
        bytes: &[u8],
        flags: &str,
        internal_date_unix: i64,
    ) -> PathBuf {
        let mut maildir = self.maildir(user);
        if mailbox != "INBOX" {
            let levels: Vec<String> = mailbox.split('/').map(imap::utf7).collect();
            maildir.path.push(format!(".{}", levels.join(".")));
        }
        maildir.plant(bytes, "", flags, internal_date_unix)
    }

    /// Puts a message into the user's INBOX that cannot be fetched.
    pub(crate) fn plant_poison(&self, user: &str, kind: Poison) -> PathBuf {
        self.maildir(user).plant_poison(kind)
    }

    /// Makes the user's mailboxes lose their UIDVALIDITY, and the messages their UIDs. No session may be open.
    pub(crate) fn reset_uidvalidity(&self, user: &str) {
        let old = self.uid_validity(user, "INBOX");
        let maildir = self.maildir(user);
        let newest = maildir.newest_uid_validity();
        // Dovecot takes the current second, or one more than the newest.
        eventually("the second of the old UIDVALIDITY is over", || {
            unix_now() > newest
        });
        maildir.remove_indexes();
        assert_ne!(
            self.uid_validity(user, "INBOX"),
            old,
            "UIDVALIDITY did not change"
        );
    }

    /// The messages of a mailbox in the order of their UIDs. Panics where there is no such mailbox, and on poison.
    pub(crate) fn mailbox(&self, user: &str, name: &str) -> Vec<Stored> {
        let mut client = self.client(user);
        client.command(&format!("EXAMINE {}", imap::quoted(name)));
        let responses = client.command("UID FETCH 1:* (UID FLAGS INTERNALDATE BODY.PEEK[])");
        let mut mails: Vec<Stored> = responses.iter().filter_map(Stored::read).collect();
        mails.sort_by_key(|mail| mail.uid);
        mails
    }

    /// The UIDVALIDITY of a mailbox.
    pub(crate) fn uid_validity(&self, user: &str, name: &str) -> u32 {
        let responses = self
            .client(user)
            .command(&format!("EXAMINE {}", imap::quoted(name)));
        responses
            .iter()
            .find_map(|response| response.number_after("[UIDVALIDITY"))
            .expect("a UIDVALIDITY")
    }

    /// Appends a message by IMAP, with flags such as `\Seen $Forwarded`; makes the mailbox if need be. Returns the UID.
    pub(crate) fn append(
        &self,
        user: &str,
        name: &str,
        bytes: &[u8],
        flags: &str,
        internal_date: i64,
    ) -> u32 {
        let mut client = self.client(user);
        let mut reply = client.append(name, bytes, flags, internal_date).unwrap();
        if reply.status.contains("[TRYCREATE]") {
            client.command(&format!("CREATE {}", imap::quoted(name)));
            reply = client.append(name, bytes, flags, internal_date).unwrap();
        }
        reply
            .append_uid()
            .unwrap_or_else(|| panic!("APPEND to {name}: {}", reply.status))
    }

    /// Removes a message.
    pub(crate) fn expunge(&self, user: &str, name: &str, uid: u32) {
        let mut client = self.client(user);
        client.command(&format!("SELECT {}", imap::quoted(name)));
        client.command(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)"));
        client.command(&format!("UID EXPUNGE {uid}"));
    }

    /// A session of the fixture's own client. `commands` leaves it out.
    pub(crate) fn client(&self, user: &str) -> Client {
        Client::login(self.port(), user, "pw")
    }

    /// Every command line that clients sent after login since the start, session by session, without literals (but with
    /// their `{size}`) and without what the fixture itself sent.
    pub(crate) fn commands(&self) -> Vec<String> {
        assert!(self.builder.rawlog, "commands() needs rawlog(true)");
        let entries = fs::read_dir(self.dir.path().join("raw"))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let mut sessions: Vec<PathBuf> = entries
            .filter(|path| path.extension().is_some_and(|end| end == "in"))
            .collect();
        sessions.sort();
        sessions
            .iter()
            .flat_map(|path| rawlog::commands(&fs::read(path).unwrap(), self.since))
            .collect()
    }

    fn conf(&self) -> PathBuf {
        self.dir.path().join("dovecot.conf")
    }

    fn maildir(&self, user: &str) -> Maildir<'_> {
        assert_eq!(
            self.builder.store_name(),
            "maildir",
            "only a Maildir's files can be handled"
        );
        Maildir {
            path: self.mail_dir(user),
            owner: &self.owner,
        }
    }

    /// Starts it on the ports found; where somebody else was quicker to take one, on others.
    fn launch_on_any_port(&mut self) {
        for _ in 0..5 {
            match self.launch() {
                Ok(()) => return,
                Err(log) if log.contains("Address already in use") => self.ports = Ports::find(),
                Err(log) => panic!("{log}"),
            }
        }
        panic!("no free ports for dovecot");
    }

    /// Starts the master process and waits until both ports answer; otherwise returns what was logged.
    fn launch(&mut self) -> Result<(), String> {
        let pid_file = self.dir.path().join("run/master.pid");
        let _ = fs::remove_file(&pid_file);
        fs::write(self.conf(), self.configuration()).unwrap();
        let mut master = Command::new("sh")
            .args(["-c", LAUNCHER])
            .arg(program("dovecot").expect("dovecot, see available()"))
            .arg(self.conf())
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(self.dir.path().join("stderr")).unwrap())
            .spawn()
            .unwrap();
        let mut ended = None;
        eventually("dovecot answers", || {
            ended = master.try_wait().unwrap();
            ended.is_some()
                || (pid_file.exists() && greets(self.ports.plain) && !free(self.ports.tls))
        });
        match ended {
            Some(status) => Err(format!("dovecot ended, {status}: {}", self.log())),
            None => {
                self.master = Some(master);
                Ok(())
            }
        }
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        if let Some(mut master) = self.master.take() {
            drop(master.stdin.take());
            let _ = master.wait();
        }
    }
}

impl Stored {
    /// A message from a FETCH response that has its body.
    fn read(response: &imap::Response) -> Option<Stored> {
        let items = response.fetch_items()?;
        let bytes = items.get("BODY[]")?.bytes();
        let mut flags = items["FLAGS"].texts();
        flags.retain(|flag| flag != "\\Recent");
        flags.sort();
        let uid = items["UID"].text().parse().unwrap();
        Some(Stored {
            uid,
            flags,
            internal_date: imap::unix_time(&items["INTERNALDATE"].text()),
            bytes,
        })
    }
}

/// Signals all processes of a group; none left is fine.
fn signal_group(leader: u32, signal: &str) {
    let kill = format!("kill -{signal} -{leader} 2>/dev/null");
    Command::new("sh").args(["-c", &kill]).status().unwrap();
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    plain: u16,
    tls: u16,
}

impl Ports {
    fn find() -> Ports {
        Ports {
            plain: free_port(),
            tls: free_port(),
        }
    }
}

/// Whether an IMAP server greets on this port.
fn greets(port: u16) -> bool {
    Client::connect(port).is_ok()
}

/// Where a program of Dovecot's is; /usr/sbin is not on everybody's PATH.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    dirs.find_map(|dir: PathBuf| Some(dir.join(name)).filter(|file| file.is_file()))
}

/// A certificate authority (`ca.pem`) and what it signed for the server (`leaf.pem`, `key.pem`).
pub(crate) fn write_certificates(dir: &Path) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.distinguished_name.push(DnType::CommonName, "fixture CA");
    fs::write(dir.join("ca.pem"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();

    let leaf_key = KeyPair::generate().unwrap();
    let mut leaf =
        CertificateParams::new(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    leaf.distinguished_name
        .push(DnType::CommonName, "localhost");
    let leaf = leaf.signed_by(&leaf_key, &Issuer::new(ca, ca_key)).unwrap();
    fs::write(dir.join("leaf.pem"), leaf.pem()).unwrap();
    fs::write(dir.join("key.pem"), leaf_key.serialize_pem()).unwrap();
}
