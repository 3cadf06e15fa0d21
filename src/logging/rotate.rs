//! A log file that is rotated: NAME, and NAME.1.zst (newest) ... NAME.N.zst, each of whole lines.
//!
//! Every line is in exactly one of them, at whatever moment the program is killed. The steps of a rotation:
//! shift (each NAME.n.zst moves up by one, as far as the first gap; without a gap the oldest is deleted),
//! rename NAME to NAME.1, open a new NAME; then, in a thread, write NAME.1.zst.tmp, sync it to disk, rename
//! it to NAME.1.zst, delete NAME.1. What is left when the program is killed in between, and what the next
//! start does about it:
//!
//! - during the shift: a gap, which is closed;
//! - NAME.1 without NAME.1.zst (with or without a .tmp): NAME.1 is compressed;
//! - NAME.1 and NAME.1.zst with the same content: NAME.1 is deleted. With other content, NAME.1 is not ours
//!   (an operator's tool has made it): nothing is overwritten, and NAME.1 takes its place in the series;
//! - half a line at NAME's end: it is cut off.
//!
//! Not for several processes with one NAME.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use chrono::Utc;
use flexi_logger::writers::LogWriter;
use flexi_logger::{DeferredNow, FlexiLoggerError};
use log::Record;
use sha2::{Digest, Sha256};

use super::{Outage, line};
use crate::message::time_text;

pub(super) struct Rotated(Mutex<State>);

struct State {
    files: Files,
    max_size: u64,
    out: File,
    /// The bytes in NAME.
    size: u64,
    /// NAME is rotated before it grows beyond this.
    limit: u64,
    /// A device is never rotated, only written to.
    regular: bool,
    begun: bool,
    compressing: Option<JoinHandle<io::Result<()>>>,
    writing: Outage,
    rotating: Outage,
}

impl Rotated {
    /// Only opens NAME. It may turn out that another process holds the ledger, and then this one must not have
    /// touched the files that the other is rotating. Everything else waits for the first line.
    pub(super) fn open(path: &Path, max_size: u64, max_files: u32) -> io::Result<Rotated> {
        if fs::metadata(path).is_ok_and(|m| m.file_type().is_fifo()) {
            return Err(io::Error::other("it is a pipe"));
        }
        let out = open(path)?;
        let meta = out.metadata()?;
        // A symbolic link stays; the file that it points to is rotated.
        let name = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        Ok(Rotated(Mutex::new(State {
            files: Files { name, max_files },
            max_size,
            size: meta.len(),
            regular: meta.is_file(),
            out,
            limit: max_size,
            begun: false,
            compressing: None,
            writing: Outage::default(),
            rotating: Outage::default(),
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogWriter for Rotated {
    fn write(&self, _: &mut DeferredNow, record: &Record) -> io::Result<()> {
        let mut text = Vec::with_capacity(160);
        line(&mut text, record)?;
        self.state().write(text);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }

    fn shutdown(&self) {
        self.state().shutdown();
    }

    fn reopen_output(&self) -> Result<(), FlexiLoggerError> {
        self.state().reopen();
        Ok(())
    }
}

impl State {
    fn write(&mut self, text: Vec<u8>) {
        if self.regular {
            if !std::mem::replace(&mut self.begun, true) {
                let begun = self.begin();
                self.unrotated(begun);
            }
            if self.size + text.len() as u64 > self.limit {
                let rotated = self.rotate(text.len() as u64);
                self.unrotated(rotated);
            }
        }
        let text = match self.writing.note() {
            Some(note) => {
                let note = format!("{} WARN  {note}\n", time_text(Utc::now()));
                [note.into_bytes(), text].concat()
            }
            None => text,
        };
        match append(&mut self.out, &text) {
            Ok(()) => {
                self.size += text.len() as u64;
                self.writing.dropped = 0;
            }
            Err(e) => {
                self.writing.dropped += 1;
                self.writing.say(&format!(
                    "the log {} cannot be written: {e}; lines are dropped until it can",
                    self.files.name.display()
                ));
            }
        }
    }

    /// A log that cannot be rotated goes on growing; it is tried again when it has grown by that size once
    /// more.
    fn unrotated(&mut self, done: io::Result<()>) {
        if let Err(e) = done {
            self.limit = self.size.saturating_add(self.max_size);
            self.rotating.say(&format!(
                "the log {} cannot be rotated: {e}; it grows until it can",
                self.files.name.display()
            ));
        }
    }

    /// Finishes what an earlier process left.
    fn begin(&mut self) -> io::Result<()> {
        self.size = mend(&mut self.out)?;
        remove(&self.files.tmp())?;
        self.files.tidy()?;
        if self.files.plain().exists() {
            self.compress();
        }
        Ok(())
    }

    /// Makes room for a line of this length.
    fn rotate(&mut self, room: u64) -> io::Result<()> {
        // Somebody else may have emptied the file.
        self.size = self.out.metadata()?.len();
        if self.size == 0 || self.size + room <= self.max_size {
            return Ok(());
        }
        if let Some(thread) = self.compressing.take() {
            let _ = thread.join();
        }
        // If that failed, or somebody else has made a NAME.1, that file must be moved out of the way.
        self.files.finish()?;
        self.files.shift()?;
        match fs::rename(&self.files.name, self.files.plain()) {
            // Somebody has moved NAME away: its lines are theirs to keep.
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            other => other?,
        }
        match open(&self.files.name) {
            Ok(out) => self.out = out,
            Err(e) => {
                fs::rename(self.files.plain(), &self.files.name)?;
                return Err(e);
            }
        }
        self.size = 0;
        self.limit = self.max_size;
        self.compress();
        Ok(())
    }

    /// Compresses NAME.1 in a thread. If no thread can be started, the next rotation or start does it.
    fn compress(&mut self) {
        let files = self.files.clone();
        self.compressing = Builder::new()
            .name("log".into())
            .spawn(move || files.finish())
            .ok();
    }

    fn shutdown(&mut self) {
        if let Some(thread) = self.compressing.take() {
            let done = thread.join();
            self.unrotated(done.unwrap_or_else(|_| Err(io::Error::other("a panic"))));
        }
    }

    fn reopen(&mut self) {
        let opened = open(&self.files.name).and_then(|out| Ok((out.metadata()?, out)));
        match opened {
            Ok((meta, out)) => {
                (self.size, self.regular) = (meta.len(), meta.is_file());
                self.limit = self.max_size;
                self.out = out;
            }
            // The file that is open stays open.
            Err(e) => self.unrotated(Err(e)),
        }
    }
}

/// The names of the files, and what a rotation does to them.
#[derive(Clone)]
struct Files {
    name: PathBuf,
    max_files: u32,
}

impl Files {
    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = OsString::from(&self.name);
        name.push(ending);
        name.into()
    }

    /// NAME.1, which waits to be compressed.
    fn plain(&self) -> PathBuf {
        self.beside(".1")
    }

    fn tmp(&self) -> PathBuf {
        self.beside(".1.zst.tmp")
    }

    fn zst(&self, n: u32) -> PathBuf {
        self.beside(&format!(".{n}.zst"))
    }

    /// Frees the name NAME.1.zst by moving each file up by one; the oldest is overwritten.
    fn shift(&self) -> io::Result<()> {
        let gap = (1..=self.max_files).find(|n| !self.zst(*n).exists());
        for n in (1..gap.unwrap_or(self.max_files)).rev() {
            fs::rename(self.zst(n), self.zst(n + 1))?;
        }
        Ok(())
    }

    /// NAME.1 becomes NAME.1.zst.
    fn finish(&self) -> io::Result<()> {
        let (plain, whole) = (self.plain(), self.zst(1));
        let mut from = match File::open(&plain) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        if self.max_files > 0 && !(whole.exists() && same(&from, &whole)) {
            if whole.exists() {
                self.shift()?;
            }
            from.rewind()?;
            let done = self.compress(&mut from, &whole);
            if done.is_err() {
                let _ = remove(&self.tmp());
            }
            done?;
        }
        // A file that is not the one that was compressed is somebody else's, and stays.
        if fs::metadata(&plain)?.ino() == from.metadata()?.ino() {
            remove(&plain)
        } else {
            Ok(())
        }
    }

    fn compress(&self, from: &mut File, whole: &Path) -> io::Result<()> {
        remove(&self.tmp())?;
        let to = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.tmp())?;
        let mut to = zstd::Encoder::new(to, zstd::DEFAULT_COMPRESSION_LEVEL)?;
        to.include_checksum(true)?;
        io::copy(from, &mut to)?;
        to.finish()?.sync_all()?;
        fs::rename(self.tmp(), whole)?;
        // The new name must be on disk before NAME.1 is deleted; not every file system can promise that.
        if let Some(Ok(folder)) = whole.parent().map(File::open) {
            let _ = folder.sync_all();
        }
        Ok(())
    }

    /// Closes the gaps in the series, and deletes files beyond `max_files`.
    fn tidy(&self) -> io::Result<()> {
        let (Some(folder), Some(name)) = (self.name.parent(), self.name.file_name()) else {
            return Ok(());
        };
        let mut row = Vec::new();
        for entry in fs::read_dir(folder)? {
            let found = entry?.file_name();
            let n = found
                .as_encoded_bytes()
                .strip_prefix(name.as_encoded_bytes())
                .and_then(|rest| rest.strip_prefix(b".")?.strip_suffix(b".zst"))
                .and_then(|n| std::str::from_utf8(n).ok()?.parse::<u32>().ok());
            row.extend(n.filter(|n| self.zst(*n).ends_with(&found)));
        }
        row.sort_unstable();
        for (place, n) in (1..).zip(row) {
            if place > self.max_files {
                remove(&self.zst(n))?;
            } else if place != n {
                fs::rename(self.zst(n), self.zst(place))?;
            }
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let device = fs::metadata(path).is_ok_and(|m| !m.is_file());
    let out = OpenOptions::new()
        .append(true)
        // It must be readable to see how it ends.
        .read(!device)
        .create(true)
        .mode(0o600)
        .open(path)?;
    let meta = out.metadata()?;
    if meta.is_file() && meta.mode() & 0o777 != 0o600 {
        // For a file that was there already. If it belongs to another user, its mode is theirs to decide.
        let _ = out.set_permissions(Permissions::from_mode(0o600));
    }
    Ok(out)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Writes all of it or, on a full disk, nothing.
fn append(out: &mut File, text: &[u8]) -> io::Result<()> {
    let mut done = 0;
    while done < text.len() {
        match out.write(&text[done..]) {
            Ok(n) if n > 0 => done += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            stopped => {
                if done > 0 {
                    let size = out.metadata()?.len();
                    out.set_len(size.saturating_sub(done as u64))?;
                }
                return Err(stopped.err().unwrap_or(ErrorKind::WriteZero.into()));
            }
        }
    }
    Ok(())
}

/// Makes a file end with a whole line and returns its size.
fn mend(out: &mut File) -> io::Result<u64> {
    const TAIL: u64 = 1 << 20;
    let size = out.metadata()?.len();
    let mut tail = Vec::new();
    out.seek(SeekFrom::Start(size.saturating_sub(TAIL)))?;
    out.read_to_end(&mut tail)?;
    let piece = match tail.iter().rposition(|b| *b == b'\n') {
        Some(at) => &tail[at + 1..],
        None => &tail,
    };
    if piece.is_empty() {
        return Ok(size);
    }
    if is_ours(piece) {
        let whole = size - piece.len() as u64;
        out.set_len(whole)?;
        return Ok(whole);
    }
    append(out, b"\n")?;
    Ok(size + 1)
}

/// Does it begin as our lines do? (A file that was something else before is not cut.)
fn is_ours(piece: &[u8]) -> bool {
    let like = b"0000-00-00T00:00:00Z ";
    piece.iter().zip(like).all(|(b, l)| match l {
        b'0' => b.is_ascii_digit(),
        l => b == l,
    })
}

/// Does `packed` hold the content of `plain`? A file that cannot be unpacked does not.
fn same(plain: &File, packed: &Path) -> bool {
    let unpacked = File::open(packed).and_then(zstd::Decoder::new);
    unpacked
        .and_then(|u| Ok(digest(u)? == digest(plain)?))
        .unwrap_or(false)
}

fn digest(mut from: impl Read) -> io::Result<[u8; 32]> {
    let mut digest = Sha256::new();
    io::copy(&mut from, &mut digest)?;
    Ok(digest.finalize().into())
}

#[cfg(test)]
mod tests;
