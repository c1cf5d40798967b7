//! The log of a switch while it runs: events as JSON, one a line, in memory-backed `/run`.
//!
//! The service that switches writes, whoever waits reads along, and recovery goes on where a killed switch stopped. A
//! line is written by one call, so that a reader sees whole lines but for the last one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::places::Places;
use super::progress::Event;

/// How many logs are kept.
const KEPT: usize = 20;

/// The log of one switch, for writing.
#[derive(Debug)]
pub struct Log {
    file: File,
}

impl Log {
    /// Makes the log of a new switch, and removes the oldest logs of others.
    pub fn create(places: &Places, id: &str) -> io::Result<Self> {
        let path = places.progress(id);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
            remove_oldest(folder, KEPT - 1)?;
        }
        Ok(Log { file: OpenOptions::new().append(true).create_new(true).open(path)? })
    }

    /// Opens the log of a switch to add to it, as recovery does; after a restart of the host there may be none left.
    pub fn open(places: &Places, id: &str) -> io::Result<Self> {
        let path = places.progress(id);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        // Whoever was killed may have left half a line.
        if text.last().is_some_and(|&last| last != b'\n') {
            file.write_all(b"\n")?;
        }
        Ok(Log { file })
    }

    /// Adds an event.
    pub fn append(&mut self, event: &Event) -> io::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.file.write_all(&line)
    }
}

/// Reads a log as it grows.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    /// None as long as the log is not there.
    file: Option<File>,
    /// What is not a whole line yet.
    rest: Vec<u8>,
}

impl Reader {
    pub fn new(places: &Places, id: &str) -> Self {
        Reader { path: places.progress(id), file: None, rest: Vec::new() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the events that were added since the last call. A line that is not an event, because its writer was
    /// killed or is of a later version, is left out.
    pub fn news(&mut self) -> io::Result<Vec<Event>> {
        let file = match &mut self.file {
            Some(file) => file,
            none => match File::open(&self.path) {
                Ok(file) => none.insert(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            },
        };
        file.read_to_end(&mut self.rest)?;
        let whole = self.rest.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let lines: Vec<u8> = self.rest.drain(..whole).collect();
        Ok(lines.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
    }
}

/// Removes logs until at most so many are left.
fn remove_oldest(folder: &Path, kept: usize) -> io::Result<()> {
    let mut logs: Vec<(SystemTime, PathBuf)> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "jsonl") {
            logs.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    logs.sort();
    let surplus = logs.len().saturating_sub(kept);
    for (_, path) in logs.into_iter().take(surplus) {
        fs::remove_file(path)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warning(message: &str) -> Event {
        Event::Warning { message: message.to_owned() }
    }

    #[test]
    fn a_reader_sees_whole_lines_as_they_come() {
        let folder = tempfile::tempdir().expect("a folder");
        let places = Places::new(folder.path());
        let mut reader = Reader::new(&places, "1");
        assert_eq!(reader.news().expect("there is nothing yet"), []);
        let mut log = Log::create(&places, "1").expect("a log");
        assert!(Log::create(&places, "1").is_err(), "a log belongs to one switch");
        log.append(&warning("a\nb")).expect("it is written");
        log.append(&warning("c")).expect("it is written");
        assert_eq!(reader.news().expect("it is read"), [warning("a\nb"), warning("c")]);
        log.file.write_all(b"{\"event\":\"warn").expect("half a line is written");
        assert_eq!(reader.news().expect("it is read"), []);
        drop(log);
        Log::open(&places, "1").expect("a log").append(&warning("d")).expect("it is written");
        assert_eq!(reader.news().expect("it is read"), [warning("d")]);
    }

    #[test]
    fn only_the_newest_logs_are_kept() {
        let folder = tempfile::tempdir().expect("a folder");
        let places = Places::new(folder.path());
        for id in 0..KEPT + 5 {
            let log = Log::create(&places, &id.to_string()).expect("a log");
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(id as u64 + 1);
            log.file.set_modified(time).expect("a time is set");
        }
        let left = fs::read_dir(folder.path().join("run/citadel/switches")).expect("a folder").count();
        assert_eq!(left, KEPT);
        assert!(!places.progress("4").exists() && places.progress("5").exists());
    }
}
