//! As much of HTTP/1.1 (RFC 9112) as a scraper and a probe need: a request without a body, an answer, and the connection is closed.
//!
//! Whoever connects is not trusted: a request has a greatest size, a connection a longest life, and there are only so many of them. All of
//! them are served by one thread that waits for none in particular, so a slow one keeps nobody waiting.

use rustix::{
    event::PollFlags,
    fd::{AsFd, BorrowedFd, OwnedFd},
    io::{Errno, read, write},
    net::{Shutdown, shutdown},
};
use std::time::{Duration, Instant};

/// Longest request, its headers included. Prometheus sends some 400 bytes.
pub(super) const REQUEST_BYTES: usize = 8192;
/// Most headers of a request.
const HEADERS: usize = 64;
/// Longest life of a connection.
pub(super) const LIFE: Duration = Duration::from_secs(2);

/// A request that is whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: String,
    /// Without the query.
    pub(super) path: String,
    /// What kinds of answer the client takes, if it says.
    pub(super) accept: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: String,
}

pub(super) const TEXT: &str = "text/plain; charset=utf-8";
/// What is answered to.
pub(super) const METHODS: &str = "GET, HEAD";

impl Answer {
    /// A line for people and for a pod's events.
    pub(super) fn line(status: u16, text: &str) -> Self {
        Self { status, content_type: TEXT, body: format!("{text}\n") }
    }

    /// As it goes to the client, which gets the headers alone where it asked for those.
    fn to_bytes(&self, head_only: bool) -> Vec<u8> {
        let reason = match self.status {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            408 => "Request Timeout",
            431 => "Request Header Fields Too Large",
            _ => "Service Unavailable",
        };
        let allow = if self.status == 405 { format!("Allow: {METHODS}\r\n") } else { String::new() };
        let mut text = format!(
            "HTTP/1.1 {} {reason}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}Cache-Control: no-store\r\nConnection: close\r\n\r\n",
            self.status,
            self.content_type,
            self.body.len(),
        );
        if !head_only {
            text.push_str(&self.body);
        }
        text.into_bytes()
    }
}

/// The request in `bytes`; nothing where more of it is to come; an answer where it is none.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Request>, Answer> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) if bytes.len() < REQUEST_BYTES => return Ok(None),
        Ok(httparse::Status::Partial) => return Err(Answer::line(431, &format!("a request may have {REQUEST_BYTES} bytes"))),
        Err(httparse::Error::TooManyHeaders) => return Err(Answer::line(431, &format!("a request may have {HEADERS} headers"))),
        Err(error) => return Err(Answer::line(400, &format!("this is no HTTP request: {error}"))),
    }
    let accept = request.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("accept"));
    let accept: Vec<_> = accept.map(|header| String::from_utf8_lossy(header.value)).collect();
    let path = request.path.unwrap_or_default();
    Ok(Some(Request {
        method: request.method.unwrap_or_default().to_owned(),
        path: path.split_once('?').map_or(path, |(path, _)| path).to_owned(),
        accept: (!accept.is_empty()).then(|| accept.join(",")),
    }))
}

/// One client.
#[derive(Debug)]
pub(super) struct Connection {
    stream: OwnedFd,
    until: Instant,
    state: State,
}

#[derive(Debug)]
enum State {
    Reading(Vec<u8>),
    Writing {
        bytes: Vec<u8>,
        sent: usize,
    },
    /// Everything is said; what the client still says is thrown away, since closing at once could take the answer from it (RFC 9112, 9.6).
    Lingering,
    Over,
}

impl Connection {
    /// With a client that has just connected by a stream that does not block.
    pub(super) fn new(stream: OwnedFd) -> Self {
        Self { stream, until: Instant::now() + LIFE, state: State::Reading(Vec::new()) }
    }

    pub(super) fn stream(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// What it waits for.
    pub(super) fn interest(&self) -> PollFlags {
        if matches!(self.state, State::Writing { .. }) { PollFlags::OUT } else { PollFlags::IN }
    }

    /// When it must be over.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    /// Whether the client has not got its answer yet.
    pub(super) fn is_unanswered(&self) -> bool {
        matches!(self.state, State::Reading(_) | State::Writing { .. })
    }

    /// Its time is over: says so to a client that has not asked yet.
    pub(super) fn expire(&mut self) {
        if matches!(&self.state, State::Reading(bytes) if !bytes.is_empty()) {
            let _ = write(&self.stream, &Answer::line(408, "the request did not come in time").to_bytes(false));
        }
        self.state = State::Over;
    }

    /// Goes on as far as it can without waiting. `answer` makes the answer.
    pub(super) fn go_on(&mut self, answer: &mut dyn FnMut(&Request) -> Answer) {
        loop {
            let next = match &mut self.state {
                State::Reading(bytes) => read_more(&self.stream, bytes, answer),
                State::Writing { bytes, sent } => write_more(&self.stream, bytes, sent),
                State::Lingering => throw_away(&self.stream),
                State::Over => return,
            };
            match next {
                Ok(Some(state)) => self.state = state,
                Ok(None) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => self.state = State::Over,
            }
        }
    }
}

fn read_more(stream: &OwnedFd, bytes: &mut Vec<u8>, answer: &mut dyn FnMut(&Request) -> Answer) -> Result<Option<State>, Errno> {
    let mut piece = [0; 2048];
    let room = piece.len().min(REQUEST_BYTES - bytes.len());
    let count = read(stream, &mut piece[..room])?;
    if count == 0 {
        return Ok(Some(State::Over));
    }
    bytes.extend_from_slice(&piece[..count]);
    let answered = match parse(bytes) {
        Ok(None) => return Ok(None),
        Ok(Some(request)) => answer(&request).to_bytes(request.method == "HEAD"),
        Err(refusal) => refusal.to_bytes(false),
    };
    Ok(Some(State::Writing { bytes: answered, sent: 0 }))
}

fn write_more(stream: &OwnedFd, bytes: &[u8], sent: &mut usize) -> Result<Option<State>, Errno> {
    *sent += write(stream, &bytes[*sent..])?;
    if *sent < bytes.len() {
        return Ok(None);
    }
    shutdown(stream, Shutdown::Write)?;
    Ok(Some(State::Lingering))
}

fn throw_away(stream: &OwnedFd) -> Result<Option<State>, Errno> {
    let mut piece = [0; 2048];
    let count = read(stream, &mut piece)?;
    Ok((count == 0).then_some(State::Over))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(bytes: &[u8]) -> u16 {
        parse(bytes).map_or_else(|answer| answer.status, |_| 0)
    }

    #[test]
    fn a_request_is_read_whole_or_awaited() {
        let whole = b"GET /metrics?name=x HTTP/1.1\r\nHost: a\r\naccept: text/plain\r\n\r\n";
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]).expect("it may still become one"), None, "{end}");
        }
        let request = parse(whole).expect("a request").expect("whole");
        assert_eq!((&*request.method, &*request.path, request.accept.as_deref()), ("GET", "/metrics", Some("text/plain")));
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for bytes in [&b"\x16\x03\x01\x02\x00\x01"[..], b"GET /a b HTTP/1.1\r\n\r\n", b"GET / HTTP/3.0\r\n\r\n", b"\0"] {
            assert_eq!(status_of(bytes), 400, "{bytes:?}");
        }
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(HEADERS + 1));
        assert_eq!(status_of(many.as_bytes()), 431);
        let long = format!("GET /{}", "a".repeat(REQUEST_BYTES));
        assert_eq!(status_of(&long.as_bytes()[..REQUEST_BYTES]), 431);
        assert_eq!(status_of(&long.as_bytes()[..REQUEST_BYTES - 1]), 0);
    }

    #[test]
    fn an_answer_says_its_length_and_what_is_allowed() {
        let answer = Answer::line(405, "no");
        let text = String::from_utf8(answer.to_bytes(false)).expect("UTF-8");
        assert!(text.starts_with("HTTP/1.1 405 Method Not Allowed\r\n") && text.ends_with("\r\n\r\nno\n"), "{text}");
        assert!(text.contains("\r\nAllow: GET, HEAD\r\n") && text.contains("\r\nContent-Length: 3\r\n"), "{text}");
        assert!(String::from_utf8(answer.to_bytes(true)).expect("UTF-8").ends_with("\r\n\r\n"));
    }
}
