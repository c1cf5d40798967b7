//! Servers that have to answer before a service starts.

use super::answer::{Answer, Failure};
use crate::health::{self, Reason};

/// Judges what became of a question to Redis.
pub fn redis(asked: &str, answer: Result<health::Answer, Reason>) -> Answer {
    judge(asked, answer, "start it, such as with: systemctl start redis-server, or correct host and port")
}

/// Judges what became of a request; every answer of an HTTP server is one.
pub fn http(asked: &str, answer: Result<health::Answer, Reason>) -> Answer {
    match answer {
        Err(Reason::Status { found, .. }) => Ok(format!("{asked} answers (status {found})")),
        answer => judge(asked, answer, "start what answers there, or correct the address"),
    }
}

/// Judges what became of a ping to Docker.
pub fn docker(asked: &str, answer: Result<health::Answer, Reason>) -> Answer {
    judge(asked, answer, "start Docker: systemctl start docker; its log is in: journalctl -u docker")
}

fn judge(asked: &str, answer: Result<health::Answer, Reason>, help: &str) -> Answer {
    match answer {
        Ok(_) => Ok(format!("{asked} answers")),
        Err(reason) => Err(Failure::new(format!("{asked}: {reason}"), help)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::reason;
    use super::*;

    #[test]
    fn any_status_is_an_answer() {
        let status = Err(Reason::Status { found: 404, wanted: 200 });
        assert_eq!(http("GET http://a/", status), Ok("GET http://a/ answers (status 404)".to_owned()));
        let refused = Err(Reason::Unreachable("connection refused".to_owned()));
        assert_eq!(reason(http("GET http://a/", refused)), "GET http://a/: connection refused");
    }

    #[test]
    fn a_server_that_answers_wrongly_does_not_answer() {
        let loading = Err(Reason::Answer("-LOADING".to_owned()));
        assert_eq!(reason(redis("PING to Redis at a:1", loading)), "PING to Redis at a:1: the answer is \"-LOADING\"");
        assert_eq!(redis("PING", Ok(health::Answer::Passed)), Ok("PING answers".to_owned()));
        let status = Err(Reason::Status { found: 500, wanted: 200 });
        assert_eq!(reason(docker("GET /_ping", status)), "GET /_ping: status 500 instead of 200");
    }
}
