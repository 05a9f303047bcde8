//! From the driver's responses and errors to our answers.

use std::time::Duration;

use azure_data_cosmos_driver::models::CosmosResponseHeaders;
use azure_data_cosmos_driver::{CosmosError, CosmosResponse, ResponseBody};
use serde::Deserialize;

use super::status_of;
use crate::azure::with_causes;
use crate::core::write::lane::Answer;
use crate::core::write::verdict::Status;

/// How much of the service's words is kept. A refusal names principal, action and resource at length.
const LONGEST_MESSAGE: usize = 800;

/// One operation's part of a refused batch's answer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Operation {
    status_code: u16,
    #[serde(alias = "subStatusCode", default)]
    substatus_code: u32,
    #[serde(default)]
    retry_after_milliseconds: Option<u64>,
}

pub(super) fn of_response(response: CosmosResponse) -> Answer {
    let status = status_of(response.status());
    let mut answer = from_headers(status, response.headers());
    // A transactional batch answers 207 when an operation was refused, and the body says which. On
    // 200 every operation was done: it is atomic.
    if status.code == 207 {
        let body = response.into_body();
        let operations: Vec<Operation> = match &body {
            ResponseBody::Bytes(bytes) => serde_json::from_slice(bytes).unwrap_or_default(),
            _ => Vec::new(),
        };
        answer.operations = operations
            .iter()
            .map(|operation| Status::new(operation.status_code, operation.substatus_code))
            .collect();
        let longest = operations.iter().filter_map(|operation| operation.retry_after_milliseconds).max();
        answer.retry_after = answer.retry_after.or(longest.map(Duration::from_millis));
        "an operation of the batch was refused".clone_into(&mut answer.message);
    }
    answer
}

pub(super) fn of_error(error: &CosmosError) -> Answer {
    let status = status_of(error.status());
    let mut answer = match error.response() {
        Some(response) => from_headers(status, response.headers()),
        None => Answer { status, ..Answer::stored(0.0) },
    };
    answer.message = one_line(without_status(&with_causes(error), status));
    answer.message.push_str(about_certificate(&answer.message));
    answer
}

/// The client's text begins with the status, up to twice; whoever shows the message shows that already.
fn without_status(text: &str, status: Status) -> &str {
    let mut text = text;
    for opening in [status.to_string(), format!("Cosmos DB returned HTTP {status}")] {
        let rest = text.strip_prefix(&opening).and_then(|rest| rest.split_once(": "));
        text = rest.map_or(text, |(_, rest)| rest);
    }
    text
}

fn from_headers(status: Status, headers: &CosmosResponseHeaders) -> Answer {
    Answer {
        status,
        operations: Vec::new(),
        request_units: headers.request_charge.as_ref().map_or(0.0, |charge| charge.value()),
        retry_after: headers.retry_after_ms.map(Duration::from_millis),
        message: String::new(),
    }
}

/// What to do if it is the certificate that is not in order.
pub(super) fn about_certificate(message: &str) -> &'static str {
    if message.contains("invalid peer certificate") {
        ". The variable SSL_CERT_FILE must name a file with the authority that has signed its certificate; or the \
         certificate is not made out to the name in cosmos.endpoint, or has expired."
    } else {
        ""
    }
}

/// What the service or the client said, as one line without control characters, cut to a readable
/// length.
pub(super) fn one_line(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(LONGEST_MESSAGE + 1)
        .collect();
    if line.chars().count() > LONGEST_MESSAGE {
        line.pop();
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_with_the_status_anyway_is_not_said_twice() {
        let status = Status::new(429, 3200);
        let said = "429/3200 (RUBudgetExceeded): Cosmos DB returned HTTP 429/3200: the rate is large";
        assert_eq!(without_status(said, status), "the rate is large");
        assert_eq!(without_status("no connection: refused", status), "no connection: refused");
        assert_eq!(without_status("429/3200", status), "429/3200");
    }

    #[test]
    fn a_certificate_that_is_not_in_order_comes_with_what_to_do() {
        assert!(
            about_certificate("no connection: invalid peer certificate: Expired").contains("SSL_CERT_FILE")
        );
        assert_eq!(about_certificate("no connection: Connection refused"), "");
    }

    #[test]
    fn what_the_service_says_stays_on_one_line() {
        assert_eq!(one_line("a\nb\r\tc\u{1b}[31m"), "a b  c [31m");
        assert_eq!(one_line(&"x".repeat(1_000)).chars().count(), LONGEST_MESSAGE + 1);
    }

    #[test]
    fn the_operations_of_a_refused_batch_are_read_in_either_spelling() {
        let body = r#"[{"statusCode":424},{"statusCode":409,"substatusCode":7},{"statusCode":429,"subStatusCode":3200,"retryAfterMilliseconds":12,"requestCharge":1.5}]"#;
        let operations: Vec<Operation> = serde_json::from_str(body).unwrap();
        let read: Vec<_> =
            operations.iter().map(|operation| (operation.status_code, operation.substatus_code)).collect();
        assert_eq!(read, [(424, 0), (409, 7), (429, 3200)]);
        assert_eq!(operations[2].retry_after_milliseconds, Some(12));
    }
}
