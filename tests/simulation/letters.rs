//! The dead-letter topic, behind the trait that the sink sends through.

use std::time::Duration;

use streamproc::dead_letter::{DeadLetters, Letter};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::life::Life;
use super::world::World;

/// What is the matter with the topic.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mood {
    /// It takes nothing.
    pub(crate) is_down: bool,
    /// How much later than usual it acknowledges what it has taken.
    pub(crate) slow_by: Duration,
}

/// A process's way to the topic: its producer, which lives as long as the process.
pub(crate) struct Producer {
    pub(crate) world: World,
    pub(crate) life: Life,
}

impl DeadLetters for Producer {
    async fn send(&self, letter: &Letter<'_>) {
        let (partition, offset, reason) = (letter.partition.clone(), letter.record.offset.0, letter.reason);
        let number = {
            let mut state = self.world.lock();
            let number = state.events.at(&partition, offset).expect("a letter is about a record");
            if letter.record.value != state.events.get(number).value.as_deref() {
                state.oracle.breaks("A6", || format!("the letter of {partition}@{offset} has other bytes"));
            }
            number
        };
        // From here on it is on its way, whether or not somebody waits for it.
        let (acknowledge, acknowledged) = oneshot::channel();
        let world = self.world.clone();
        self.life.spawn(async move {
            sleep(world.dice.millis(1..20)).await;
            world.until(|state| !state.letters.is_down).await;
            let slow_by = {
                let mut guard = world.lock();
                let state = &mut *guard;
                state.oracle.dead_lettered(&state.events, number, reason);
                state.oracle.count("dead letters");
                state.letters.slow_by
            };
            world.trace.note(|| format!("dead letter {partition}@{offset} {reason}"));
            sleep(world.dice.millis(1..20) + slow_by).await;
            let _ = acknowledge.send(());
        });
        // Its task ends before it acknowledges only if the process does.
        if acknowledged.await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
