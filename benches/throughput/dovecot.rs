//! A private Dovecot 2.3 whose files lie in memory. Each user name is one of its users, with an empty mailbox.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tempfile::TempDir;

use crate::floor::Account;

/// What Gmail tells whoever is signed in, as far as Dovecot can do it (docs/gmail.md 1.3): small literals need no question,
/// there is one message for each APPEND, and nothing tells what was removed meanwhile.
pub(crate) const LIKE_GMAIL: &str = "IMAP4rev1 SASL-IR UNSELECT IDLE NAMESPACE ID CHILDREN UIDPLUS ENABLE MOVE CONDSTORE ESEARCH LIST-EXTENDED LIST-STATUS LITERAL- SPECIAL-USE APPENDLIMIT=35651584";
pub(crate) const PASSWORD: &str = "pw";
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Dovecot {
    dir: TempDir,
    master: Child,
    pub(crate) plain: u16,
    tls: u16,
}

pub(crate) fn is_installed() -> bool {
    program("dovecot").is_some()
}

impl Dovecot {
    /// Starts one that offers this (nothing: what it always offers).
    pub(crate) fn start(capabilities: &str) -> Dovecot {
        let dir = tempfile::tempdir_in(in_memory()).unwrap();
        let (plain, tls) = (free_port(), free_port());
        write_certificates(dir.path());
        let conf = dir.path().join("dovecot.conf");
        let text = configuration(dir.path(), plain, tls, capabilities);
        fs::write(&conf, text).unwrap();
        if geteuid().is_root() {
            // Mail is nobody's.
            let mut chown = Command::new("chown");
            let status = chown.args(["-R", "nobody"]).arg(dir.path()).status();
            assert!(status.unwrap().success());
        }
        let master = Command::new(program("dovecot").unwrap())
            .arg("-F")
            .arg("-c")
            .arg(&conf)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let dovecot = Dovecot {
            dir,
            master,
            plain,
            tls,
        };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", tls)).is_err() {
            assert!(
                begun.elapsed() < PATIENCE,
                "Dovecot does not answer; {} may say why",
                dovecot.dir.path().join("log").display()
            );
            thread::sleep(Duration::from_millis(20));
        }
        dovecot
    }

    /// A user, over TLS.
    pub(crate) fn account(&self, user: &str) -> Account {
        Account {
            port: self.tls,
            user: user.into(),
            password: PASSWORD.into(),
            ca_file: self.dir.path().join("ca.pem").display().to_string(),
        }
    }

    /// How often each command was given so far.
    pub(crate) fn commands(&self) -> BTreeMap<String, u64> {
        let mut last = BTreeMap::new();
        loop {
            // What sessions tell of themselves takes its time.
            thread::sleep(Duration::from_millis(200));
            let now = self.counted();
            if now == last {
                return now;
            }
            last = now;
        }
    }

    fn counted(&self) -> BTreeMap<String, u64> {
        let output = Command::new(program("doveadm").unwrap())
            .arg("-c")
            .arg(self.dir.path().join("dovecot.conf"))
            .args(["stats", "dump"])
            .output()
            .unwrap();
        let table = String::from_utf8(output.stdout).unwrap();
        let lines = table.lines().filter_map(|line| {
            let mut fields = line.split('\t');
            let name = fields.next()?.strip_prefix("command_")?;
            let is_count = fields.next()? == "duration";
            let count = fields.next()?.parse().ok();
            Some((name.to_string(), count.filter(|_| is_count)?))
        });
        lines.collect()
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.master), Signal::TERM);
        let _ = self.master.wait();
    }
}

fn configuration(dir: &Path, plain: u16, tls: u16, capabilities: &str) -> String {
    let owner = match geteuid().is_root() {
        true => "nobody".to_string(),
        false => of_caller("-un"),
    };
    let without_root = match geteuid().is_root() {
        true => String::new(),
        false => format!(
            "default_internal_user = {owner}\ndefault_internal_group = {}\ndefault_login_user = {owner}\n",
            of_caller("-gn")
        ),
    };
    let offers = match capabilities {
        "" => String::new(),
        some => format!("imap_capability = {some}\n"),
    };
    let dir = dir.display();
    format!(
        "base_dir = {dir}/run
state_dir = {dir}/state
log_path = {dir}/log
protocols = imap
listen = 127.0.0.1
ssl = yes
ssl_cert = <{dir}/leaf.pem
ssl_key = <{dir}/key.pem
disable_plaintext_auth = no
first_valid_uid = 0
first_valid_gid = 0
default_vsz_limit = 1G
mail_fsync = never
mail_location = sdbox:~/mail
mail_max_userip_connections = 100
imap_max_line_length = 1M
{without_root}{offers}passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid={owner} gid={group} home={dir}/home/%u
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
service imap-login {{
  chroot =
  service_count = 0
  process_min_avail = 2
  inet_listener imap {{
    port = {plain}
  }}
  inet_listener imaps {{
    port = {tls}
    ssl = yes
  }}
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
metric command {{
  filter = event=imap_command_finished
  group_by = cmd_name
}}
",
        group = match geteuid().is_root() {
            true => "nogroup".to_string(),
            false => of_caller("-gn"),
        }
    )
}

/// Where files cost no disk, if there is such a place.
pub(crate) fn in_memory() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    match memory.is_dir() {
        true => memory,
        false => std::env::temp_dir(),
    }
}

fn of_caller(what: &str) -> String {
    let output = Command::new("id").arg(what).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

/// /usr/sbin is not on everybody's PATH.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/bin".into()]);
    folders.find_map(|folder| Some(folder.join(name)).filter(|file| file.is_file()))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// An authority (`ca.pem`) and what it signed for the server.
fn write_certificates(dir: &Path) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(dir.join("ca.pem"), ca.self_signed(&ca_key).unwrap().pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["localhost".to_string()]).unwrap();
    let leaf = leaf.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    fs::write(dir.join("leaf.pem"), leaf.pem()).unwrap();
    fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
}
