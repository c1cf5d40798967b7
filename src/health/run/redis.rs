//! Redis: a connection that answers a `PING`.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connect::connect;
use crate::health::failure::{Reason, plain, short};
use crate::health::probe::Address;

/// How many bytes a line of an answer may have.
const LONGEST: usize = 1024;

/// Sends a `PING` and judges the line that comes back.
///
/// `+PONG` is healthy. So is an error about the one who asks (`-NOAUTH`, `-NOPERM`): the server works, it only wants a
/// password that a probe does not have. Every other error is one of the server, such as `-LOADING` while it reads its
/// data, or `-ERR max number of clients reached`.
pub(super) async fn ping(address: &Address) -> Result<(), Reason> {
    let mut stream = connect(address).await?;
    let mut line = Vec::new();
    let talk = async {
        stream.write_all(b"PING\r\n").await?;
        let mut bytes = [0; 256];
        while !line.contains(&b'\n') && line.len() < LONGEST {
            match stream.read(&mut bytes).await? {
                0 => break,
                count => line.extend_from_slice(&bytes[..count]),
            }
        }
        Ok(())
    };
    let talked: std::io::Result<()> = talk.await;
    // A server that is full may say so and close before it has read the PING.
    match talked {
        Err(error) if line.is_empty() => Err(Reason::Protocol(plain(&error))),
        _ => judge(&line),
    }
}

fn judge(line: &[u8]) -> Result<(), Reason> {
    let Some(end) = line.iter().position(|byte| *byte == b'\n') else {
        let what = if line.is_empty() { "the connection was closed" } else { "its first line does not end" };
        return Err(Reason::Protocol(what.to_owned()));
    };
    let line = String::from_utf8_lossy(&line[..end]);
    let line = line.trim_end();
    let about_the_caller = ["-NOAUTH ", "-NOPERM "].iter().any(|error| line.starts_with(error));
    if line == "+PONG" || about_the_caller { Ok(()) } else { Err(Reason::Answer(short(line, 100))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_about_the_caller_show_that_the_server_works() {
        for healthy in ["+PONG\r\n", "-NOAUTH Authentication required.\r\n", "-NOPERM this user has no permissions\r\n"]
        {
            assert_eq!(judge(healthy.as_bytes()), Ok(()), "{healthy}");
        }
    }

    #[test]
    fn everything_else_is_a_failure() {
        let table = [
            ("-LOADING Redis is loading\r\n", "the answer is \"-LOADING Redis is loading\""),
            ("HTTP/1.1 400 Bad Request\r\n", "the answer is \"HTTP/1.1 400 Bad Request\""),
            ("+PONGO\r\n", "the answer is \"+PONGO\""),
            ("", "not a whole answer: the connection was closed"),
            ("+PONG", "not a whole answer: its first line does not end"),
        ];
        for (line, expected) in table {
            assert_eq!(judge(line.as_bytes()).map_err(|reason| reason.to_string()), Err(expected.to_owned()));
        }
    }
}
