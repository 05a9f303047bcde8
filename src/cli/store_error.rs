//! What Cosmos DB refuses, on one line, with what to do about it.
//!
//! | status | means                     | do                                              |
//! |--------|---------------------------|-------------------------------------------------|
//! | 400    | it does not understand us | look at the SQL                                 |
//! | 401    | it does not know us       | look at the key, or the clock                   |
//! | 403    | it does not let us        | grant a role, or open the firewall              |
//! | 404    | there is no such thing    | look at cosmos.database and cosmos.container    |
//! | 429    | too much at once          | wait, or raise the throughput                   |
//! | 408, 503, without a status of its own | no answer  | look at cosmos.endpoint and the network |

use azure_data_cosmos::CosmosError;

/// Says what went wrong and what to do.
pub(super) fn explain(error: &CosmosError) -> String {
    let advice = match u16::from(error.status().status_code()) {
        400 => "check the SQL",
        401 => "check cosmos.auth and, for a key, that it is this account's and the clock is right",
        403 => {
            "grant the role \"Cosmos DB Built-in Data Reader\", or let this address through the account's firewall"
        }
        404 => "check cosmos.database and cosmos.container",
        429 => "the container's throughput is used up: wait, or raise it",
        408 | 503 => "check cosmos.endpoint, cosmos.regions and the network",
        _ => "",
    };
    let refusal = one_line(error);
    if advice.is_empty() { refusal } else { format!("{refusal}; {advice}") }
}

/// The service wraps its message in how it was asked, in lines and in identifiers; what a person
/// needs is the status and the message.
fn one_line(error: &CosmosError) -> String {
    let status = error.status();
    let said = error.to_string();
    let said = said.strip_prefix(&format!("{status}: ")).unwrap_or(&said);
    let said = said.rsplit("Details: ").next().unwrap_or(said);
    let said = said.split("ActivityId:").next().unwrap_or(said);
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("Cosmos DB answers {status}: {}", said.trim_end_matches([',', ';', '.', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use azure_core::http::StatusCode;
    use azure_data_cosmos::error::CosmosStatus;

    fn explained(status: StatusCode, message: &'static str) -> String {
        explain(&CosmosError::builder().with_status(CosmosStatus::new(status)).with_message(message).build())
    }

    #[test]
    fn an_error_is_one_line_and_says_what_to_do() {
        let table = [
            (StatusCode::BadRequest, "check the SQL"),
            (StatusCode::Unauthorized, "cosmos.auth"),
            (StatusCode::Forbidden, "Built-in Data Reader"),
            (StatusCode::NotFound, "cosmos.container"),
            (StatusCode::TooManyRequests, "throughput"),
            (StatusCode::ServiceUnavailable, "cosmos.endpoint"),
        ];
        for (status, advice) in table {
            let line =
                explained(status, "asked: HTTP. Details: Syntax error\r\nnear 'FORM'.\r\nActivityId: 1234");
            let number = u16::from(status);
            assert!(
                line.starts_with(&format!("Cosmos DB answers {number}: Syntax error near 'FORM'; ")),
                "{line}"
            );
            assert!(line.contains(advice) && !line.contains("ActivityId"), "{line}");
        }
    }
}
