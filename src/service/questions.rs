//! A Kafka client for questions only. It has to be polled, or it could not renew its sign-in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::BaseConsumer;

use crate::azure::TokenCache;
use crate::config::Kafka;
use crate::kafka::{Contact, Context};
use crate::source;
use crate::source::consumer::{self, ConsumerError};

/// How often it is looked whether the client has to be replaced.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A polled client for questions; polled as long as this lives.
pub(super) struct Questions {
    /// To ask with.
    pub(super) client: Client,
    stop: Arc<AtomicBool>,
}

/// The client there is at present: one that is refused is replaced when the sign-in has changed.
#[derive(Clone)]
pub(super) struct Client(Arc<Mutex<Arc<BaseConsumer<Context>>>>);

impl Client {
    /// Not to be kept for longer than a question takes.
    pub(super) fn current(&self) -> Arc<BaseConsumer<Context>> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a group has no members now, as far as Kafka tells.
    pub(super) async fn is_empty(&self, group: &str) -> bool {
        let (client, group) = (self.current(), group.to_owned());
        let asked = tokio::task::spawn_blocking(move || source::group::is_empty(&*client, &group));
        asked.await.unwrap_or(false)
    }

    fn replace(&self, client: Arc<BaseConsumer<Context>>) {
        // The old one is dropped after the lock is given back: that may take a moment.
        let old = std::mem::replace(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner), client);
        drop(old);
    }
}

impl Questions {
    pub(super) fn start(
        kafka: Kafka,
        tokens: Option<TokenCache>,
        contact: Contact,
    ) -> Result<Self, ConsumerError> {
        let contact = Arc::new(contact);
        let make = {
            let contact = Arc::clone(&contact);
            move || consumer::for_questions(&kafka, tokens.clone(), Arc::clone(&contact))
        };
        let client = Client(Arc::new(Mutex::new(make()?)));
        let stop = Arc::new(AtomicBool::new(false));
        let (polled, stopped) = (client.clone(), Arc::clone(&stop));
        let polling = std::thread::Builder::new().name("kafka-questions".into()).spawn(move || {
            let mut looked = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                // Nothing is subscribed, so no record comes; events are served on the way.
                let _ = polled.current().poll(Duration::from_millis(200));
                if looked.elapsed() >= LOOK_EVERY {
                    looked = Instant::now();
                    if contact.is_outdated() {
                        match make() {
                            Ok(client) => polled.replace(client),
                            Err(error) => {
                                tracing::warn!(%error, "the refused Kafka client cannot be replaced");
                            }
                        }
                    }
                }
            }
        });
        if let Err(error) = polling {
            tracing::error!(%error, "no thread for the Kafka client that asks questions");
        }
        Ok(Self { client, stop })
    }
}

impl Drop for Questions {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
