//! A stand-in for the interfaces of GitHub and GitLab: comments on one pull request, in memory, and a log of what came.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// A comment, as both services have it.
#[derive(Clone, Debug)]
pub struct Comment {
    pub id: u64,
    pub author: &'static str,
    pub body: String,
}

#[derive(Debug, Default)]
pub struct State {
    pub comments: Vec<Comment>,
    /// Methods and paths, in order.
    pub log: Vec<String>,
    /// Whether writing is refused, as with the token of a fork.
    pub read_only: bool,
}

#[derive(Clone)]
pub struct Stub {
    pub address: String,
    pub state: Arc<Mutex<State>>,
}

/// The token that the stub lets in.
pub const TOKEN: &str = "secret-token";
/// Who it belongs to.
pub const OWN: &str = "github-actions[bot]";

impl Stub {
    pub fn start(state: State) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let stub = Stub { address, state: Arc::new(Mutex::new(state)) };
        let served = stub.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                served.answer(stream);
            }
        });
        stub
    }

    fn answer(&self, mut stream: TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let mut words = line.split_whitespace();
        let (method, path) = (words.next().unwrap_or_default().to_owned(), words.next().unwrap_or_default().to_owned());
        let (mut length, mut known) = (0, false);
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).unwrap();
            let header = header.trim_end();
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(": ").unwrap_or((header, ""));
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap(),
                "authorization" => known |= value == format!("Bearer {TOKEN}"),
                "private-token" => known |= value == TOKEN,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let (status, answer) = if known { self.act(&method, &path, &body) } else { (401, json!({"message": "who?"})) };
        let answer = answer.to_string();
        let length = answer.len();
        write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}").unwrap();
    }

    fn act(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let mut state = self.state.lock().unwrap();
        state.log.push(format!("{method} {path}"));
        let (place, query) = path.split_once('?').unwrap_or((path, ""));
        let text = body["body"].as_str().unwrap_or_default().to_owned();
        let id = place.rsplit('/').next().and_then(|id| id.parse::<u64>().ok());
        match method {
            "GET" if place == "/user" => (200, json!({"id": author_id(OWN)})),
            "GET" => {
                let page: usize = query.split("page=").last().and_then(|page| page.parse().ok()).unwrap_or(1);
                let shown = state.comments.iter().skip((page - 1) * 100).take(100).map(shown);
                (200, shown.collect())
            }
            _ if state.read_only => (403, json!({"message": "Resource not accessible by integration"})),
            "POST" => {
                let comment = Comment { id: 1000 + state.comments.len() as u64, author: OWN, body: text };
                state.comments.push(comment.clone());
                (201, shown(&comment))
            }
            "PATCH" | "PUT" => match state.comments.iter_mut().find(|comment| Some(comment.id) == id) {
                Some(comment) => {
                    comment.body = text;
                    (200, shown(comment))
                }
                None => (404, json!({"message": "Not Found"})),
            },
            _ => (405, Value::Null),
        }
    }

    /// Returns the comments of the token's owner.
    pub fn own(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state.comments.iter().filter(|comment| comment.author == OWN).map(|comment| comment.body.clone()).collect()
    }
}

fn shown(comment: &Comment) -> Value {
    let Comment { id, author, body } = comment;
    json!({"id": id, "body": body, "user": {"login": author}, "author": {"id": author_id(author), "username": author}})
}

fn author_id(author: &str) -> usize {
    author.len()
}
