//! Servers that answer as they are told, and not always well.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;

/// How a server answers a request.
#[derive(Clone)]
enum Manner {
    /// Sends this and closes.
    Once(String),
    /// Sends the first part, and then the second again and again.
    Endless(String, String, Duration),
    /// Takes the connection and says nothing.
    Silent,
}

/// A server that stops when it goes out of scope.
pub struct Server {
    port: u16,
    task: JoinHandle<()>,
    request: Arc<Mutex<String>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns a whole answer.
pub fn answer(status: u16, body: &str) -> String {
    format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

#[allow(dead_code, reason = "each test takes what it needs")]
impl Server {
    pub async fn start(sent: impl Into<String>) -> Self {
        Self::listen(Manner::Once(sent.into())).await
    }

    pub async fn endless(first: &str, then: &str) -> Self {
        Self::listen(Manner::Endless(first.to_owned(), then.to_owned(), Duration::ZERO)).await
    }

    pub async fn dripping(first: &str, then: &str) -> Self {
        Self::listen(Manner::Endless(first.to_owned(), then.to_owned(), Duration::from_millis(20))).await
    }

    pub async fn silent() -> Self {
        Self::listen(Manner::Silent).await
    }

    pub fn start_at(path: &Path, sent: impl Into<String>) -> Self {
        let listener = UnixListener::bind(path).expect("a socket");
        let request = Arc::new(Mutex::new(String::new()));
        let (manner, seen) = (Manner::Once(sent.into()), Arc::clone(&request));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, manner.clone(), Arc::clone(&seen)));
            }
        });
        Server { port: 0, task, request }
    }

    async fn listen(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let request = Arc::new(Mutex::new(String::new()));
        let seen = Arc::clone(&request);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, manner.clone(), Arc::clone(&seen)));
            }
        });
        Server { port, task, request }
    }

    /// Stops listening.
    pub async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the text of the last request.
    pub fn last_request(&self) -> String {
        self.request.lock().expect("no panic").clone()
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, manner: Manner, seen: Arc<Mutex<String>>) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.ends_with(b"\r\n\r\n") && !request.starts_with(b"PING\r\n") {
        match stream.read(&mut buffer).await {
            Ok(count @ 1..) => request.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    *seen.lock().expect("no panic") = String::from_utf8_lossy(&request).into_owned();
    match manner {
        Manner::Once(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Manner::Endless(first, then, pause) => {
            let mut next = first;
            while stream.write_all(next.as_bytes()).await.is_ok() {
                next.clone_from(&then);
                tokio::time::sleep(pause).await;
            }
        }
        // It ends when the other side does.
        Manner::Silent => while let Ok(1..) = stream.read(&mut buffer).await {},
    }
}
