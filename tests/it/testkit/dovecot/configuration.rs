//! What can be special about a Dovecot, and the configuration that says so to it.

use std::fs;

use super::{Dovecot, Owner, Ports};

/// What is special about a Dovecot to be started.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    store: Option<&'static str>,
    xoauth2: bool,
    mailbox_quota: Option<String>,
    max_mail_size: Option<String>,
    capability: Option<String>,
    extra: String,
    pub(super) rawlog: bool,
}

impl Builder {
    /// How mail is stored: `maildir` (the default) or `sdbox` (more appends a second, but nothing can be planted).
    pub(crate) fn store(mut self, store: &'static str) -> Builder {
        self.store = Some(store);
        self
    }

    /// Offers XOAUTH2 and OAUTHBEARER beside the password; `tokens` says which tokens are good.
    pub(crate) fn xoauth2(mut self, on: bool) -> Builder {
        self.xoauth2 = on;
        self
    }

    /// Lets all mailboxes of a user hold no more than this ("3M"): then `NO [OVERQUOTA]`.
    pub(crate) fn mailbox_quota(mut self, size: &str) -> Builder {
        self.mailbox_quota = Some(size.to_owned());
        self
    }

    /// Refuses bigger messages ("2M") with `NO [LIMIT]`.
    pub(crate) fn max_mail_size(mut self, size: &str) -> Builder {
        self.max_mail_size = Some(size.to_owned());
        self
    }

    /// What CAPABILITY says, before and after login; commands that it hides still work.
    pub(crate) fn capability(mut self, capability: &str) -> Builder {
        self.capability = Some(capability.to_owned());
        self
    }

    /// Lines for the end of dovecot.conf, where they override what stands above. Braces on lines of their own.
    pub(crate) fn extra(mut self, lines: &str) -> Builder {
        self.extra.push_str(lines);
        self.extra.push('\n');
        self
    }

    /// Keeps what clients send, for `commands`.
    pub(crate) fn rawlog(mut self, on: bool) -> Builder {
        self.rawlog = on;
        self
    }

    pub(super) fn store_name(&self) -> &str {
        self.store.unwrap_or("maildir")
    }

    fn quota(&self) -> String {
        if self.mailbox_quota.is_none() && self.max_mail_size.is_none() {
            return String::new();
        }
        let rule = self
            .mailbox_quota
            .as_ref()
            .map(|size| format!("  quota_rule = *:storage={size}\n"));
        let limit = self
            .max_mail_size
            .as_ref()
            .map(|size| format!("  quota_max_mail_size = {size}\n"));
        format!(
            "mail_plugins = quota\nplugin {{\n  quota = count:User\n  quota_vsizes = yes\n{}{}}}\n",
            rule.unwrap_or_default(),
            limit.unwrap_or_default()
        )
    }
}

impl Dovecot {
    pub(super) fn configuration(&self) -> String {
        let dir = self.dir.path().display();
        let Owner { uid, gid, .. } = self.owner;
        let Ports { plain, tls } = self.ports;
        let builder = &self.builder;
        let store = builder.store_name();
        let mut conf = format!(
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
auth_failure_delay = 0
mail_fsync = never
mail_location = {store}:{dir}/mail/%u
mail_max_userip_connections = 100
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {plain}
  }}
  inet_listener imaps {{
    port = {tls}
    ssl = yes
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={dir}/home/%u
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
"
        );
        conf += &self.owner.configuration();
        conf += &self.authentication();
        conf += &builder.quota();
        if let Some(capability) = &builder.capability {
            conf += &format!("imap_capability = {capability}\n");
        }
        if builder.rawlog {
            conf += &format!("rawlog_dir = {dir}/raw\n");
        }
        conf + &builder.extra
    }

    /// The password database, and before it that of tokens with the file it wants.
    fn authentication(&self) -> String {
        if !self.builder.xoauth2 {
            return "auth_mechanisms = plain login\npassdb {\n  driver = static\n  args = password=pw\n}\n".to_owned();
        }
        let oauth2 = self.dir.path().join("oauth2.conf.ext");
        let port = self.introspection.port;
        let settings = format!(
            "introspection_mode = post
introspection_url = http://127.0.0.1:{port}/introspect
username_attribute = username
active_attribute = active
active_value = true
"
        );
        fs::write(&oauth2, settings).unwrap();
        format!(
            "auth_mechanisms = plain login xoauth2 oauthbearer
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {}
}}
passdb {{
  driver = static
  mechanisms = plain login
  args = password=pw
}}
",
            oauth2.display()
        )
    }
}
