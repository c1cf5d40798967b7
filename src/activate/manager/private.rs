//! The private socket of systemd, as a transport for zbus.
//!
//! Without a bus nobody has a unique name, and systemd writes `org.freedesktop.systemd1` into the sender of what it
//! sends. zbus 6 ends a connection on a sender that is not a unique name, so the first letter of that one is replaced
//! by the colon that makes it one. Everything else passes as it is.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use zbus::Message;
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;

const PATH: &str = "/run/systemd/private";

/// What systemd calls itself.
const SENDER: &[u8] = b"org.freedesktop.systemd1";

/// No message is longer than this (D-Bus specification, "Message Format").
const LONGEST: usize = 128 << 20;

/// How much is read at once at least: a few answers.
const CHUNK: usize = 16 << 10;

/// An authenticated connection to the private socket.
#[derive(Debug)]
pub(super) struct Private {
    stream: UnixStream,
    /// What came behind the authentication.
    rest: Vec<u8>,
}

impl Private {
    /// Connects, and returns the connection and the id of the server.
    pub async fn connect() -> io::Result<(Self, String)> {
        let mut stream = UnixStream::connect(PATH).await?;
        let user = rustix::process::geteuid().as_raw().to_string();
        let user: String = user.bytes().map(|byte| format!("{byte:02x}")).collect();
        stream.write_all(format!("\0AUTH EXTERNAL {user}\r\nBEGIN\r\n").as_bytes()).await?;
        let mut said = Vec::new();
        loop {
            if let Some(end) = said.windows(2).position(|pair| pair == b"\r\n") {
                let rest = said.split_off(end + 2);
                let line = String::from_utf8_lossy(&said[..end]).into_owned();
                let refused = || io::Error::new(io::ErrorKind::PermissionDenied, format!("it answered {line:?}"));
                let server = line.strip_prefix("OK ").ok_or_else(refused)?.to_owned();
                return Ok((Private { stream, rest }, server));
            }
            if stream.read_buf(&mut said).await? == 0 {
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it does not speak with this user"));
            }
        }
    }
}

impl Socket for Private {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let (read, write) = self.stream.into_split();
        Split::new(Reader { half: read, raw: self.rest, ready: Vec::new() }, Writer(write))
    }
}

#[derive(Debug)]
pub(super) struct Reader {
    half: OwnedReadHalf,
    /// What is not a whole message yet.
    raw: Vec<u8>,
    /// The message that zbus reads now.
    ready: Vec<u8>,
}

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        while self.ready.is_empty() {
            match length(&self.raw)? {
                Some(length) if self.raw.len() >= length => {
                    self.ready.extend(self.raw.drain(..length));
                    rename_sender(&mut self.ready);
                }
                _ => {
                    self.raw.reserve(CHUNK);
                    if self.half.read_buf(&mut self.raw).await? == 0 {
                        return Ok((0, Vec::new()));
                    }
                }
            }
        }
        let count = buffer.len().min(self.ready.len());
        buffer[..count].copy_from_slice(&self.ready[..count]);
        self.ready.drain(..count);
        Ok((count, Vec::new()))
    }
}

#[derive(Debug)]
pub(super) struct Writer(OwnedWriteHalf);

#[async_trait]
impl WriteHalf for Writer {
    async fn sendmsg(&mut self, buffer: &[u8], _: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.0.write(buffer).await
    }

    /// Sends all at once, so that systemd finds all of it when it looks.
    async fn send_messages(&mut self, messages: &[Message]) -> zbus::Result<()> {
        let bytes: Vec<u8> = messages.iter().flat_map(|message| message.data().iter().copied()).collect();
        Ok(self.0.write_all(&bytes).await?)
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.0.flush().await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}

/// Returns the number at a place, in the byte order that the message begins with.
fn number(message: &[u8], at: usize) -> Option<usize> {
    let bytes: [u8; 4] = message.get(at..at + 4)?.try_into().ok()?;
    let number = if message.first() == Some(&b'B') { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
    usize::try_from(number).ok()
}

/// Returns the length of the message that begins here, once its first 16 bytes are there: they say how long its body
/// and its header fields are.
fn length(bytes: &[u8]) -> io::Result<Option<usize>> {
    let (Some(body), Some(fields)) = (number(bytes, 4), number(bytes, 12)) else { return Ok(None) };
    let total = 16 + fields.next_multiple_of(8) + body;
    if total > LONGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long"));
    }
    Ok(Some(total))
}

/// Turns the name of systemd into a unique one where it stands as the sender.
fn rename_sender(message: &mut [u8]) {
    if let Some(name) = sender(message).and_then(|at| message.get_mut(at..))
        && name.starts_with(SENDER)
    {
        name[0] = b':';
    }
}

/// Returns where the text of the sender begins. Header fields are structures of a code, the signature of a single type,
/// and a value of that type (D-Bus specification, "Message Format").
fn sender(message: &[u8]) -> Option<usize> {
    const CODE: u8 = 7;
    let end = 16 + number(message, 12)?;
    let mut at = 16;
    while at < end {
        at = at.next_multiple_of(8);
        let (code, kind) = (*message.get(at)?, *message.get(at + 2)?);
        let value = at + 4;
        at = match kind {
            b's' | b'o' if code == CODE => return Some(value + 4),
            b's' | b'o' => value + 4 + number(message, value)? + 1,
            b'g' => value + 1 + usize::from(*message.get(value)?) + 1,
            b'u' => value + 4,
            _ => return None,
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Vec<u8> {
        let message = Message::signal("/org/x", "org.x.Y", "Z").sender(":rg.freedesktop.systemd1");
        let mut bytes = message.build(&("org.freedesktop.systemd1", 7u32)).expect("a message").data().to_vec();
        let at = bytes.windows(5).position(|window| window == b":rg.f").expect("the sender is there");
        bytes[at] = b'o';
        bytes
    }

    #[test]
    fn only_the_sender_is_renamed() {
        let given = message();
        let mut renamed = given.clone();
        rename_sender(&mut renamed);
        let at = sender(&given).expect("a sender");
        assert_eq!(&renamed[at..at + SENDER.len()], b":rg.freedesktop.systemd1");
        renamed[at] = b'o';
        assert_eq!(renamed, given);
    }

    #[test]
    fn a_message_says_how_long_it_is() {
        let message = message();
        assert_eq!(length(&message).expect("a length"), Some(message.len()));
        assert_eq!(length(&message[..15]).expect("too little"), None);
        assert!(length(&[b'l', 4, 1, 1, 255, 255, 255, 255, 1, 0, 0, 0, 8, 0, 0, 0]).is_err());
    }

    #[test]
    fn what_is_no_message_does_no_harm() {
        for cut in 0..message().len() {
            let mut bytes = message();
            bytes.truncate(cut);
            rename_sender(&mut bytes);
        }
        assert_eq!(sender(&[b'l', 4, 1, 1, 0, 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255, 7, 1, b'x', 0]), None);
    }
}
