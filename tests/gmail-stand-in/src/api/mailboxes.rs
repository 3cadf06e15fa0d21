//! What a test does to mailboxes as a whole, whatever the server's rules for clients, and what it reads of them. Names are
//! UTF-8, with `/` between levels, and without the prefix that they may have on the wire.

use super::Gmail;
use crate::names::Use;
use crate::options::Closed;
use crate::store::Store;

impl Gmail {
    /// UIDs and ids of a mailbox (by its UTF-8 name), whatever any session sees of it.
    pub fn mailbox(&self, name: &str) -> Vec<(u32, u64)> {
        let store = self.shared.store.lock().unwrap();
        let index = known(&store, name);
        let by_uid = &store.mailboxes[index].by_uid;
        by_uid.iter().map(|(&uid, &id)| (uid, id)).collect()
    }

    /// The name of a special mailbox in the account's language, as UTF-8.
    pub fn name_of(&self, purpose: Use) -> String {
        let store = self.shared.store.lock().unwrap();
        let index = store.by_purpose(purpose).expect("no such mailbox");
        store.mailboxes[index].name.clone()
    }

    /// Makes a mailbox (a label), if there is none of this name.
    pub fn create(&self, name: &str) {
        self.shared.store.lock().unwrap().create(name);
    }

    /// Deletes a mailbox. Made again, it has another UIDVALIDITY.
    pub fn delete_mailbox(&self, name: &str) {
        let mut store = self.shared.store.lock().unwrap();
        let index = known(&store, name);
        store.delete_mailbox(index, 0);
    }

    /// The UIDVALIDITY and UIDNEXT of a mailbox.
    pub fn uids(&self, name: &str) -> (u32, u32) {
        let store = self.shared.store.lock().unwrap();
        let mailbox = &store.mailboxes[known(&store, name)];
        (mailbox.uid_validity, mailbox.uid_next)
    }

    /// Gives a mailbox another UIDVALIDITY, and its messages the UIDs from 1 on, as after a loss of its index. Sessions
    /// that have it selected see nothing of it.
    pub fn renumber(&self, name: &str, uid_validity: u32) {
        let mut store = self.shared.store.lock().unwrap();
        let index = known(&store, name);
        store.renumber(index, uid_validity);
    }

    /// Sets the UIDVALIDITY and UIDNEXT of a mailbox that holds nothing yet.
    pub fn number_from(&self, name: &str, uid_validity: u32, uid_next: u32) {
        let mut store = self.shared.store.lock().unwrap();
        let index = known(&store, name);
        store.renumber(index, uid_validity);
        let mailbox = &mut store.mailboxes[index];
        assert!(mailbox.by_uid.is_empty(), "{name} holds messages");
        mailbox.uid_next = uid_next;
    }

    /// Names a mailbox anew, and those below it. UIDVALIDITY, UIDs and messages stay.
    pub fn rename(&self, name: &str, new: &str) {
        let mut store = self.shared.store.lock().unwrap();
        let old = store.mailboxes[known(&store, name)].name.clone();
        let taken = store
            .find(new)
            .is_some_and(|at| store.mailboxes[at].name != old);
        assert!(!taken, "there is a mailbox `{new}`");
        store.rename(&old, new);
    }

    /// Deletes every message in a mailbox for good.
    pub fn empty(&self, name: &str) {
        for (_, id) in self.mailbox(name) {
            self.delete(id);
        }
    }

    /// A mailbox of a plain server cannot be opened from now on.
    pub fn close(&self, name: &str, closed: Closed) {
        let mut store = self.shared.store.lock().unwrap();
        let index = known(&store, name);
        store.close(index, Some(closed));
    }

    /// It can be opened again.
    pub fn open(&self, name: &str) {
        let mut store = self.shared.store.lock().unwrap();
        let index = known(&store, name);
        store.close(index, None);
    }

    /// LIST of a plain server that offers SPECIAL-USE shows this attribute, such as `\Archive`. Makes the mailbox.
    pub fn special_use(&self, name: &str, attribute: &str) {
        let mut store = self.shared.store.lock().unwrap();
        let index = store.create(name);
        store.mailboxes[index].special = Some(attribute.to_string());
    }

    /// The names of all mailboxes that there are.
    pub fn mailboxes(&self) -> Vec<String> {
        let store = self.shared.store.lock().unwrap();
        let there = store.mailboxes.iter().filter(|m| !m.deleted);
        there.map(|m| m.name.clone()).collect()
    }
}

#[track_caller]
fn known(store: &Store, name: &str) -> usize {
    store
        .find(name)
        .unwrap_or_else(|| panic!("there is no mailbox `{name}`"))
}
