//! A client that tries again as the AWS SDKs do when nobody has configured them.
//!
//! Invariant: all attempts of a call carry one `amz-sdk-invocation-id`; between attempts it waits as the SDK does; what
//! the SDK does not try again is not tried again. The SDKs' retry quota (500 tokens, 5 an attempt, given back by a success)
//! is left out: a client with one call at a time does not come near its end.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::{Access, Answer, Client, Random, Result, clock};

/// What an SDK does by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Three attempts; before the i-th retry a wait of `random(0, 1) * 2^(i-1)` s, at most 20 s. AWS SDKs and Tools
    /// Reference Guide, "Retry behavior": the default of most SDKs (`retry_mode = standard`) before the retries of 2026.
    Standard,
    /// Four attempts for DynamoDB, with waits of `random(0, 1) * 25 ms * 2^(i-1)`. The same guide, retries of 2026; botocore
    /// 1.44.5, `retries/standard.py`, where it is the default.
    Standard2026,
    /// Ten attempts for DynamoDB, with waits of `50 ms * 2^(i-1)`. botocore, `data/_retry.json` and `retryhandler.py`: the
    /// default of boto3 and the AWS CLI for many years (`retry_mode = legacy`).
    LegacyPython,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Standard, Self::Standard2026, Self::LegacyPython];

    /// How often a call is sent.
    pub const fn attempts(self) -> u32 {
        match self {
            Self::Standard => 3,
            Self::Standard2026 => 4,
            Self::LegacyPython => 10,
        }
    }

    /// How long to wait after so many attempts.
    fn backoff(self, attempts: u32, random: &mut Random) -> Duration {
        const LONGEST: Duration = Duration::from_secs(20);
        let doubled = |base: Duration| base * 2_u32.saturating_pow(attempts.saturating_sub(1));
        match self {
            Self::Standard => random.duration(doubled(Duration::from_secs(1)).min(LONGEST)),
            Self::Standard2026 => random.duration(doubled(Duration::from_millis(25)).min(LONGEST)),
            Self::LegacyPython => doubled(Duration::from_millis(50)),
        }
    }
}

/// Whether an SDK tries again after this answer: botocore 1.44.5, `retries/standard.py`, `TransientRetryableChecker` and
/// `ThrottledRetryableChecker`.
fn is_retryable(answer: &Answer) -> bool {
    const CODES: [&str; 8] = [
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "Throttling",
        "ThrottlingException",
        "TransactionInProgressException",
        "TooManyRequestsException",
    ];
    matches!(answer.status, 500 | 502 | 503 | 504)
        || answer.error().is_some_and(|error| CODES.contains(&error))
}

/// Why a call has failed for good.
#[derive(Debug, Clone)]
pub enum Failure {
    /// The server has refused it, and there is no sense in asking again.
    Refused(Answer),
    /// All attempts have failed, the last one for this reason. Whether the call had an effect is not known.
    GaveUp {
        /// How many there were.
        attempts: u32,
        /// What came of the last one.
        last: String,
    },
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(answer) => write!(f, "refused: {} {}", answer.status, answer.body),
            Self::GaveUp { attempts, last } => write!(f, "given up after {attempts} attempts: {last}"),
        }
    }
}

impl std::error::Error for Failure {}

/// A client that tries again by itself.
pub trait Caller {
    /// Sends an operation until it is answered or given up. Any answer that is not tried again is returned, an error of the
    /// operation as well.
    ///
    /// # Errors
    /// [`Failure::GaveUp`].
    fn call(&mut self, operation: &str, body: &Value) -> std::result::Result<Answer, Failure>;

    /// Closes its connection, as pools do now and then.
    fn disconnect(&mut self);

    /// How many attempts have been made beyond the first of each call.
    fn retries(&self) -> u64;
}

/// A client of one address, with one call at a time.
#[derive(Debug)]
pub struct Sdk {
    access: Access,
    address: SocketAddr,
    mode: Mode,
    random: Random,
    connection: Option<Client>,
    retries: u64,
}

impl Sdk {
    /// A client; it connects with its first call.
    pub fn new(access: Access, address: SocketAddr, mode: Mode, random: Random) -> Self {
        Self {
            access,
            address,
            mode,
            random,
            connection: None,
            retries: 0,
        }
    }

    /// How many attempts have been made beyond the first of each call.
    pub fn retries(&self) -> u64 {
        self.retries
    }

    /// Closes the connection, as pools do now and then; the next call makes another.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    /// Sends an operation until it is answered or there is no attempt left. Any answer that is not tried again is
    /// returned, an error of the operation as well.
    ///
    /// # Errors
    /// [`Failure::GaveUp`].
    pub fn call(&mut self, operation: &str, body: &Value) -> std::result::Result<Answer, Failure> {
        let invocation = self.random.uuid();
        let attempts = self.mode.attempts();
        let mut last = String::new();
        for attempt in 1..=attempts {
            if attempt > 1 {
                self.retries += 1;
                clock::pause(self.mode.backoff(attempt - 1, &mut self.random));
            }
            let said = format!("attempt={attempt}; max={attempts}");
            let headers = [
                ("amz-sdk-invocation-id", invocation.as_str()),
                ("amz-sdk-request", said.as_str()),
            ];
            match self.attempt(operation, body, &headers) {
                Ok(answer) if is_retryable(&answer) => last = format!("{} {}", answer.status, answer.body),
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    self.connection = None;
                    last = error.to_string();
                }
            }
        }
        Err(Failure::GaveUp { attempts, last })
    }

    /// The same for calls that must succeed.
    ///
    /// # Errors
    /// [`Failure::GaveUp`], or [`Failure::Refused`] for any status but 200.
    pub fn ok(&mut self, operation: &str, body: &Value) -> std::result::Result<Value, Failure> {
        match self.call(operation, body)? {
            answer if answer.status == 200 => Ok(answer.body),
            answer => Err(Failure::Refused(answer)),
        }
    }

    fn attempt(&mut self, operation: &str, body: &Value, headers: &[(&str, &str)]) -> Result<Answer> {
        let mut client = match self.connection.take() {
            Some(client) => client,
            None => Client::open(self.access.clone(), self.address)?,
        };
        let answer = client.call_with(operation, body, headers)?;
        self.connection = (!client.is_over()).then_some(client);
        Ok(answer)
    }
}

impl Caller for Sdk {
    fn call(&mut self, operation: &str, body: &Value) -> std::result::Result<Answer, Failure> {
        Self::call(self, operation, body)
    }

    fn disconnect(&mut self) {
        Self::disconnect(self);
    }

    fn retries(&self) -> u64 {
        Self::retries(self)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::mpsc::{Receiver, channel};

    use serde_json::json;

    use super::*;

    /// A server that answers the requests in turn with these statuses and bodies, or by closing the connection; it sends
    /// on each request's invocation id.
    fn serve(answers: Vec<Option<(u16, &'static str)>>) -> (SocketAddr, Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            let mut answers = answers.into_iter();
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                while let Some(invocation) = read_request(&mut stream) {
                    sender.send(invocation).unwrap();
                    let Some((status, body)) = answers.next().flatten() else {
                        break;
                    };
                    let length = body.len();
                    let text = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
                    stream.get_mut().write_all(text.as_bytes()).unwrap();
                }
            }
        });
        (address, receiver)
    }

    fn read_request(stream: &mut BufReader<std::net::TcpStream>) -> Option<String> {
        let (mut length, mut invocation) = (0, None);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("content-length", value)) => length = value.parse().unwrap(),
                Some(("amz-sdk-invocation-id", value)) => invocation = Some(value.to_owned()),
                None if line == "\r\n" => break,
                _ => {}
            }
        }
        stream.read_exact(&mut vec![0; length]).ok()?;
        invocation
    }

    fn sdk(address: SocketAddr, mode: Mode) -> Sdk {
        let access = Access::new("us-east-1", "A", "s", None).unwrap();
        Sdk::new(access, address, mode, Random::new(1, 1))
    }

    #[test]
    fn attempts_of_a_call_have_one_invocation_id_and_calls_have_others() {
        let unavailable = Some((503, r#"{"__type":"a#InternalServerError"}"#));
        let (address, seen) = serve(vec![unavailable, None, Some((200, "{}")), Some((200, "{}"))]);
        let mut sdk = sdk(address, Mode::Standard2026);
        sdk.ok("PutItem", &json!({})).unwrap();
        assert_eq!(sdk.retries(), 2);
        sdk.ok("PutItem", &json!({})).unwrap();
        let ids: Vec<String> = seen.try_iter().collect();
        assert_eq!(ids.len(), 4);
        assert!(
            ids[0] == ids[1] && ids[1] == ids[2] && ids[2] != ids[3],
            "{ids:?}"
        );
    }

    #[test]
    fn a_client_gives_up_after_its_last_attempt() {
        let (address, seen) = serve(vec![Some((500, "{}")); 9]);
        let failure = sdk(address, Mode::Standard2026)
            .call("PutItem", &json!({}))
            .unwrap_err();
        assert!(
            matches!(failure, Failure::GaveUp { attempts: 4, .. }),
            "{failure}"
        );
        assert_eq!(seen.try_iter().count(), 4);
    }

    #[test]
    fn what_the_client_has_done_wrong_is_not_tried_again() {
        let refusal = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException"}"#;
        let (address, seen) = serve(vec![Some((400, refusal)), Some((200, "{}"))]);
        let answer = sdk(address, Mode::LegacyPython)
            .call("PutItem", &json!({}))
            .unwrap();
        assert_eq!(answer.error(), Some("ConditionalCheckFailedException"));
        assert_eq!(seen.try_iter().count(), 1);
    }

    #[test]
    fn waits_double_and_never_exceed_their_bounds() {
        let mut random = Random::new(3, 0);
        let legacy: Vec<_> = (1..=3)
            .map(|attempts| Mode::LegacyPython.backoff(attempts, &mut random).as_millis())
            .collect();
        assert_eq!(legacy, [50, 100, 200]);
        for _ in 0..100 {
            assert!(Mode::Standard.backoff(1, &mut random) < Duration::from_secs(1));
            assert!(Mode::Standard.backoff(30, &mut random) < Duration::from_secs(20));
            assert!(Mode::Standard2026.backoff(3, &mut random) < Duration::from_millis(100));
        }
    }
}
