//! HTTP: one GET request over a connection of its own.
//!
//! Redirects are not followed: a status is judged as it comes. The body is only read when something is asked of it, and
//! never more than [`LONGEST`] of it; hyper limits the head.

use std::collections::BTreeMap;
use std::error::Error;
use std::future;
use std::io;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::connect::connect;
use crate::health::failure::{Reason, plain, short};
use crate::health::probe::{Address, Http};

/// How many bytes of a body are read at most.
const LONGEST: usize = 1 << 20;

/// How many characters of a found value a message shows.
const SHOWN: usize = 60;

pub(super) async fn get(http: &Http) -> Result<(), Reason> {
    let stream = connect(&http.address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let exchange = async {
        let request = request(http).map_err(|error| Reason::Unknown(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        judge(http, response).await
    };
    // The connection may be over before its last bytes are judged.
    let driven = async {
        let _ = connection.await;
        future::pending::<Result<(), Reason>>().await
    };
    tokio::select! {
        judged = exchange => judged,
        never = driven => never,
    }
}

fn request(http: &Http) -> Result<Request<Empty<Bytes>>, hyper::http::Error> {
    let host = match &http.address {
        Address::Socket(_) => "localhost".to_owned(),
        port => port.to_string(),
    };
    Request::get(http.path.as_str())
        .header(HOST, host)
        .header(USER_AGENT, concat!("citadel/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::new())
}

async fn judge(http: &Http, response: Response<Incoming>) -> Result<(), Reason> {
    let found = response.status().as_u16();
    if found != http.status {
        return Err(Reason::Status { found, wanted: http.status });
    }
    if http.contains.is_none() && http.json.is_empty() {
        return Ok(());
    }
    let body = read(response.into_body()).await?;
    if let Some(text) = &http.contains
        && !contains(&body, text.as_bytes())
    {
        return Err(Reason::Text(short(text, SHOWN)));
    }
    if http.json.is_empty() {
        return Ok(());
    }
    let body: Value = serde_json::from_slice(&body).map_err(|_| Reason::NotJson)?;
    compare(&body, &http.json)
}

async fn read(mut body: Incoming) -> Result<Vec<u8>, Reason> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        if read.len() + data.len() > LONGEST {
            return Err(Reason::TooLong(LONGEST));
        }
        read.extend_from_slice(&data);
    }
    Ok(read)
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text)
}

/// Compares values by JSON pointer; `1` and `1.0` are the same number.
fn compare(body: &Value, wanted: &BTreeMap<String, Value>) -> Result<(), Reason> {
    for (pointer, wanted) in wanted {
        let found = body.pointer(pointer);
        let same = found.is_some_and(|found| match (found.as_f64(), wanted.as_f64()) {
            (Some(found), Some(wanted)) => found == wanted,
            _ => found == wanted,
        });
        if !same {
            return Err(Reason::Json {
                pointer: pointer.clone(),
                found: found.map(|found| short(&found.to_string(), SHOWN)),
                wanted: short(&wanted.to_string(), SHOWN),
            });
        }
    }
    Ok(())
}

fn broken(error: hyper::Error) -> Reason {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    Reason::Protocol(cause.map_or_else(|| error.to_string(), plain))
}
