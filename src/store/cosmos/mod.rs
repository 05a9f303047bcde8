//! Azure Cosmos DB, through the crate under Microsoft's SDK (`azure_data_cosmos_driver`), which takes
//! bodies as bytes: the SDK's own batches pass through a tree of values that changes the digits of
//! numbers (docs/adr/0005).
//!
//! A container's physical partitions throttle each by itself, so the store knows which key is in which.
//!
//! Retries of throttled requests are ours, so that one lane's 429 slows that lane and is seen; the
//! driver keeps its own three quick retries of failed connections and its failover between regions.
//! Everything together ends within the request timeout. What its failover leaves out is made up for (`outage`).

mod account;
mod answer;
mod connection;
mod outage;
mod ranges;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use azure_data_cosmos_driver::models::{
    CosmosOperation, ItemReference, PartitionKey as DriverKey, PartitionKeyValue,
};

use self::connection::Connection;
pub use self::connection::{ConnectError, CredentialSource, Target};
use self::outage::{Outage, PATIENCE};
use super::{KeyRange, Kind, Obstacle, Request, Store};
use crate::core::key::{KeyPart, PartitionKey};
use crate::core::write::lane::Answer;
use crate::core::write::verdict::Status;

/// The container that documents go to.
pub struct Cosmos {
    target: Target,
    connection: Arc<RwLock<Arc<Connection>>>,
    outage: Outage,
}

impl std::fmt::Debug for Cosmos {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cosmos").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Cosmos {
    /// Signs in, looks at the account and the container, and gives the store.
    ///
    /// An error says what is wrong: the endpoint cannot be reached, the sign-in fails, the container
    /// is not there or has other partition key paths, the account has several write regions.
    pub async fn connect(target: Target) -> Result<Self, ConnectError> {
        let connection = Connection::open(&target).await?;
        let connection = Arc::new(RwLock::new(Arc::new(connection)));
        Ok(Self { target, connection, outage: Outage::default() })
    }

    fn connection(&self) -> Arc<Connection> {
        Arc::clone(&self.connection.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Connects anew, and nobody waits for it: what is asked meanwhile goes by the connection there is.
    fn connect_anew(&self) {
        let (target, connection) = (self.target.clone(), Arc::clone(&self.connection));
        tokio::spawn(async move {
            match tokio::time::timeout(PATIENCE, Connection::open(&target)).await {
                Ok(Ok(renewed)) => {
                    tracing::info!(endpoint = %target.endpoint, "nobody has taken the writes for long: connected anew");
                    *connection.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(renewed);
                }
                // Whoever waits for an answer says what is wrong.
                Ok(Err(error)) => tracing::debug!(%error, "cannot connect anew"),
                Err(_) => tracing::debug!("cannot connect anew: no answer in time"),
            }
        });
    }
}

impl Store for Cosmos {
    async fn write(&self, request: Request<'_>) -> Answer {
        let connection = self.connection();
        let key = match driver_key(request.key) {
            Ok(key) => key,
            Err(error) => return answer::of_error(&error),
        };
        let operation = match request.kind {
            Kind::Point(id) => CosmosOperation::upsert_item(ItemReference::from_name(
                &connection.container,
                key,
                id.0.to_string(),
            )),
            Kind::Batch(_) => CosmosOperation::batch(connection.container.clone(), key),
        };
        let operation = operation.with_body(request.body);
        let answered =
            connection.driver.execute_singleton_operation(operation, connection.options.clone()).await;
        let answer = match answered {
            Ok(response) => answer::of_response(response),
            Err(error) => answer::of_error(&error),
        };
        if answer.is_throttled() {
            connection.renew_ranges().await;
        }
        if self.outage.is_long(answer.status, Instant::now()) {
            self.connect_anew();
        }
        answer
    }

    fn range_of(&self, key: &PartitionKey) -> KeyRange {
        let connection = self.connection();
        connection.ranges.of(&connection.container, key)
    }

    async fn check(&self) -> Result<(), Obstacle> {
        let renewed = self.connection().renew(&self.target).await;
        let renewed =
            renewed.map_err(|error| Obstacle { reason: error.reason(), detail: error.to_string() })?;
        if let Some(renewed) = renewed {
            *self.connection.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(renewed);
        }
        Ok(())
    }
}

fn driver_key(key: &PartitionKey) -> Result<DriverKey, azure_data_cosmos_driver::CosmosError> {
    let mut values = Vec::with_capacity(key.0.len());
    for part in &key.0 {
        values.push(match part {
            KeyPart::String(text) => PartitionKeyValue::from(text.to_string()),
            KeyPart::Number(number) => PartitionKeyValue::try_from(*number)?,
            KeyPart::Bool(value) => PartitionKeyValue::from(*value),
            KeyPart::Null => PartitionKeyValue::NULL,
        });
    }
    DriverKey::try_from(values)
}

fn status_of(status: azure_data_cosmos_driver::CosmosStatus) -> Status {
    let substatus = status.sub_status().map_or(0, |substatus| u32::from(substatus.value()));
    Status::new(u16::from(status.status_code()), substatus)
}
