//! A Kafka client for questions only. It has to be polled, or it could not renew its sign-in.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::BaseConsumer;

use crate::azure::TokenCache;
use crate::config::Kafka;
use crate::kafka::Context;
use crate::source::consumer::{self, ConsumerError};

/// A polled client for questions.
pub(super) struct Questions {
    pub(super) consumer: Arc<BaseConsumer<Context>>,
    stop: Arc<AtomicBool>,
}

impl Questions {
    pub(super) fn start(kafka: &Kafka, tokens: Option<TokenCache>) -> Result<Self, ConsumerError> {
        let consumer = consumer::for_questions(kafka, tokens)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, stopped) = (Arc::clone(&consumer), Arc::clone(&stop));
        let polling = std::thread::Builder::new().name("kafka-questions".into()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                // Nothing is subscribed, so no record comes; events are served on the way.
                let _ = polled.poll(Duration::from_millis(200));
            }
        });
        if let Err(error) = polling {
            tracing::error!(%error, "no thread for the Kafka client that asks questions");
        }
        Ok(Self { consumer, stop })
    }
}

impl Drop for Questions {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
