//! An error and what caused it, as one text.

use std::error::Error;

/// What an error says, and what its causes say that was not said yet: why there is no token, or no
/// connection, stands there, and Azure's crates repeat their causes in their own words.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn what_was_said_already_is_not_said_again() {
        let error = anyhow!("connection refused").context("no connection").context("no token: no connection");
        assert_eq!(with_causes(error.as_ref()), "no token: no connection: connection refused");
    }
}
