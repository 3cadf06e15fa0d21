//! What a mailbox of the source is for: as its attributes say (RFC 6154, RFC 8457, and XLIST, which Gmail had
//! before them), else by the usual names in the usual languages. Not for what becomes of it, and not for the target,
//! where names prove nothing.

use std::collections::HashMap;

use super::{Listed, SpecialUse};

/// What LIST says of a mailbox besides its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    pub special: Option<SpecialUse>,
    /// It shows messages of other mailboxes.
    pub is_virtual: bool,
    /// It is neither a mere name above others nor one that is no more (RFC 3501 7.2.2, RFC 9051 7.3.1).
    pub selectable: bool,
}

impl Attributes {
    /// In any case of letters: Cyrus writes `\sent`, imap4d `\NoSelect` (docs/servers.md 3.5).
    pub fn of<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> Attributes {
        let mut told = Attributes {
            selectable: true,
            ..Attributes::default()
        };
        for word in words {
            match &*word.to_ascii_lowercase() {
                b"\\noselect" | b"\\nonexistent" => told.selectable = false,
                // The second of each is XLIST's.
                b"\\all" | b"\\allmail" | b"\\flagged" | b"\\starred" | b"\\important" => {
                    told.is_virtual = true;
                }
                b"\\spam" => told.special = Some(SpecialUse::Junk),
                word => {
                    let word = std::str::from_utf8(word).ok();
                    told.special = word.and_then(SpecialUse::named).or(told.special);
                }
            }
        }
        told
    }

    /// What either says.
    pub fn and(self, other: Attributes) -> Attributes {
        Attributes {
            special: self.special.or(other.special),
            is_virtual: self.is_virtual || other.is_virtual,
            selectable: self.selectable && other.selectable,
        }
    }
}

/// Gives the uses that no attribute tells to the mailboxes that are usually called so. All that are: of "Sent" and
/// "Sent Items", which two mail programs made, the server knows neither as the right one. Only at the top: `Work/Sent`
/// is somebody's own.
pub fn give_uses(mailboxes: &mut [Listed]) {
    let told = |special| mailboxes.iter().any(|m| m.special == Some(special));
    let mut known: HashMap<String, SpecialUse> = HashMap::new();
    for (special, names) in NAMES.iter().filter(|(special, _)| !told(*special)) {
        let as_compared = names.iter().map(|name| match name {
            name if IN_CAPITALS.contains(name) => (*name).to_string(),
            name => name.to_lowercase(),
        });
        known.extend(as_compared.map(|name| (name, *special)));
    }
    let unknown = |m: &&mut Listed| m.special.is_none() && !m.is_virtual && m.selectable;
    for mailbox in mailboxes.iter_mut().filter(unknown) {
        let by_name = known.get(&mailbox.name);
        mailbox.special = by_name
            .or_else(|| known.get(&mailbox.name.to_lowercase()))
            .copied();
    }
}

/// What one provider writes all in capitals is elsewhere a word like any other.
const IN_CAPITALS: &[&str] = &["OUTBOX", "QUARANTAINE"];

/// What servers and mail programs call them. Seen in (2026-11):
/// - English: Cyrus, Dovecot, Courier and Fastmail (Sent, Drafts, Trash, Junk, Spam); Exchange (Sent Items, Deleted
///   Items, Junk E-mail; postalsys/emailengine#295); Outlook.com (Deleted; mjs/imapclient#420); Apple's Mail, iCloud
///   and QQ (Sent Messages, Deleted Messages); Yahoo (Draft, Bulk Mail; jstedfast/MailKit#242); Pine and Horde
///   (sent-mail); Thunderbird (Archives); Gmail in Britain (Bin).
/// - GMX and web.de: Gesendet, Entwürfe, Papierkorb, Spamverdacht (Foundry376/Mailspring-Sync, constants.h).
/// - Exchange and Outlook in other languages: postalsys/imapflow, lib/special-use.js; in Dutch
///   hmailserver/hmailserver#534.
/// - Webmail in other languages (Roundcube, as Strato, Zoho and many have it): nodemailer/wildduck,
///   lib/translations.js. mail.ru: Отправленные, Черновики, Корзина, Спам.
/// - French providers: OUTBOX, QUARANTAINE (suitenumerique/messages, labels of an import).
/// - Alibaba and QQ in Chinese: 已发送, 草稿, 已删除邮件, 垃圾邮件.
const NAMES: &[(SpecialUse, &[&str])] = &[
    (
        SpecialUse::Sent,
        &[
            "Sent",
            "Sent Items",
            "Sent Messages",
            "Sent Mail",
            "sent-mail",
            "OUTBOX",
            "Sentbox",
            "Gesendet",
            "Gesendete Elemente",
            "Gesendete Objekte",
            "Gesendete Nachrichten",
            "Envoyés",
            "Éléments envoyés",
            "Messages envoyés",
            "Enviados",
            "Elementos enviados",
            "Enviats",
            "Enviadas",
            "Itens enviados",
            "Inviata",
            "Inviati",
            "Posta inviata",
            "Elementi inviati",
            "Verzonden",
            "Verzonden items",
            "Verzonden berichten",
            "Wysłane",
            "Odeslané",
            "Odoslané",
            "Poslano",
            "Poslané",
            "Sendt",
            "Sendt post",
            "Skickat",
            "Lähetetyt",
            "Saadetud kirjad",
            "Nosūtītās",
            "Išsiųsti laiškai",
            "Elküldött elemek",
            "Elküldött",
            "Küldöttek",
            "Trimise",
            "Gönderilmiş Öğeler",
            "Απεσταλμένα",
            "Отправленные",
            "Надіслані",
            "Изпратени",
            "Послате",
            "送信済み",
            "보낸 편지함",
            "已发送",
            "寄件備份",
        ],
    ),
    (
        SpecialUse::Drafts,
        &[
            "Drafts",
            "Draft",
            "Draftbox",
            "Entwürfe",
            "Brouillons",
            "Borradores",
            "Esborranys",
            "Rascunhos",
            "Bozze",
            "Concepten",
            "Kopie robocze",
            "Robocze",
            "Rozepsané",
            "Koncepty",
            "Osnutki",
            "Kladder",
            "Kladd",
            "Utkast",
            "Luonnokset",
            "Mustandid",
            "Uzmetumi",
            "Juodraščiai",
            "Piszkozatok",
            "Ciorne",
            "Taslaklar",
            "Taslak",
            "Πρόχειρα",
            "Черновики",
            "Чернетки",
            "Чернови",
            "Нацрти",
            "下書き",
            "임시 보관함",
            "草稿",
            "草稿匣",
        ],
    ),
    (
        SpecialUse::Trash,
        &[
            "Trash",
            "Deleted Items",
            "Deleted Messages",
            "Deleted",
            "Bin",
            "Papierkorb",
            "Gelöscht",
            "Gelöschte Elemente",
            "Gelöschte Objekte",
            "Corbeille",
            "Éléments supprimés",
            "Papelera",
            "Elementos eliminados",
            "Paperera",
            "Lixeira",
            "Lixo",
            "Itens excluídos",
            "Cestino",
            "Posta eliminata",
            "Elementi eliminati",
            "Prullenbak",
            "Verwijderde items",
            "Kosz",
            "Koš",
            "Kôš",
            "Odstraněné položky",
            "Papirkurv",
            "Slettede elementer",
            "Slettet",
            "Papperskorg",
            "Borttagna objekt",
            "Roskakori",
            "Poistetut",
            "Prügikast",
            "Papīrgrozs",
            "Šiukšlinė",
            "Törölt elemek",
            "Kuka",
            "Gunoi",
            "Silinmiş Öğeler",
            "Çöp",
            "Корзина",
            "Удаленные",
            "Удалённые",
            "Кошик",
            "Видалені",
            "Кошче",
            "ごみ箱",
            "지운 편지함",
            "已删除邮件",
            "已刪除項目",
            "垃圾桶",
        ],
    ),
    (
        SpecialUse::Junk,
        &[
            "Junk",
            "Spam",
            "Junk E-mail",
            "Junk Email",
            "Junk Mail",
            "Junk-E-Mail",
            "Bulk Mail",
            "Spamverdacht",
            "QUARANTAINE",
            "Pourriel",
            "Pourriels",
            "Courrier indésirable",
            "Correo no deseado",
            "No deseado",
            "Correu brossa",
            "Lixo eletrônico",
            "Posta indesiderata",
            "Ongewenste e-mail",
            "Nevyžádaná pošta",
            "Nevyžiadaná pošta",
            "Neželena sporočila",
            "Søppelpost",
            "Skräppost",
            "Skräp",
            "Roskaposti",
            "Rämpspost",
            "Mēstules",
            "Brukalas",
            "Levélszemét",
            "Kéretlen",
            "İstenmeyen",
            "İstenmeyen E-posta",
            "Ανεπιθύμητα",
            "Спам",
            "迷惑メール",
            "스팸 편지함",
            "垃圾邮件",
            "垃圾郵件",
        ],
    ),
    (
        SpecialUse::Archive,
        &["Archive", "Archives", "Archiv", "Archivio", "Arhiiv"],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(words: &[&str]) -> Attributes {
        Attributes::of(words.iter().map(|w| w.as_bytes()))
    }

    #[test]
    fn attributes_are_read_in_any_case_and_of_either_kind() {
        for (words, special) in [
            (&["\\HasNoChildren", "\\Sent"][..], Some(SpecialUse::Sent)),
            (&["\\sent"], Some(SpecialUse::Sent)),
            (&["\\TRASH", "\\UnMarked"], Some(SpecialUse::Trash)),
            (&["\\Spam"], Some(SpecialUse::Junk)),
            (&["\\Archive"], Some(SpecialUse::Archive)),
            (&["\\Drafts", "\\Memos"], Some(SpecialUse::Drafts)),
            (&["Sent"], None),
            (&["\\Inbox"], None),
            (&[], None),
        ] {
            let told = attributes(words);
            assert_eq!(told.special, special, "{words:?}");
            assert!(told.selectable && !told.is_virtual, "{words:?}");
        }
        for word in [
            "\\All",
            "\\AllMail",
            "\\Flagged",
            "\\Starred",
            "\\important",
        ] {
            assert!(attributes(&[word]).is_virtual, "{word}");
        }
        for word in ["\\Noselect", "\\NoSelect", "\\NonExistent"] {
            assert!(!attributes(&[word]).selectable, "{word}");
        }
        assert_eq!(
            Attributes::of([&b"\\\xff"[..]]),
            attributes(&["\\HasChildren"])
        );
    }

    fn uses(mailboxes: &[(&str, Option<SpecialUse>)]) -> Vec<Option<SpecialUse>> {
        let mut all: Vec<Listed> = mailboxes
            .iter()
            .map(|(name, special)| Listed {
                name: (*name).into(),
                special: *special,
                ..Listed::inbox()
            })
            .collect();
        give_uses(&mut all);
        all.into_iter().map(|m| m.special).collect()
    }

    #[test]
    fn a_name_counts_only_where_no_attribute_says_it() {
        use SpecialUse::{Sent, Trash};
        assert_eq!(
            uses(&[("Gesendet", Some(Sent)), ("Sent", None), ("TRASH", None)]),
            [Some(Sent), None, Some(Trash)]
        );
        assert_eq!(
            uses(&[("Sent", None), ("sent items", None), ("Work/Sent", None)]),
            [Some(Sent), Some(Sent), None]
        );
        assert_eq!(
            uses(&[
                ("ÉLÉMENTS ENVOYÉS", None),
                ("Sentinel", None),
                ("INBOX", None)
            ]),
            [Some(Sent), None, None]
        );
        // What has another use by attribute is no archive for its name's sake.
        assert_eq!(uses(&[("Archive", Some(Trash))]), [Some(Trash)]);
    }

    #[test]
    fn no_name_stands_for_two_uses() {
        let mut all: Vec<String> = NAMES
            .iter()
            .flat_map(|(_, names)| names.iter().map(|name| name.to_lowercase()))
            .collect();
        let before = all.len();
        all.sort();
        all.dedup();
        assert_eq!(all.len(), before);
    }
}
