//! Opening connections.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::aside::aside;
use crate::health::failure::Reason;
use crate::health::probe::Address;

/// A connection of either kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl Stream for TcpStream {}
impl Stream for UnixStream {}

/// Opens a connection; tries every address of a host in turn.
pub(super) async fn connect(address: &Address) -> Result<Box<dyn Stream>, Reason> {
    match address {
        Address::Socket(path) => match UnixStream::connect(path).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(Reason::unreachable(&error)),
        },
        Address::Port { host, port } => {
            let mut last = Reason::NoAddress(host.clone());
            for address in resolve(host, *port).await? {
                match TcpStream::connect(address).await {
                    Ok(stream) => return Ok(Box::new(stream)),
                    Err(error) => last = Reason::unreachable(&error),
                }
            }
            Err(last)
        }
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, Reason> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let wanted = host.to_owned();
    let found: io::Result<Vec<_>> =
        aside(move || (wanted.as_str(), port).to_socket_addrs().map(Iterator::collect)).await?;
    // What the resolver says about it differs by system and helps nobody.
    found.map_err(|_| Reason::NoAddress(host.to_owned()))
}
