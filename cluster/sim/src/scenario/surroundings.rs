//! What a node is given on a simulated machine: disk, randomness and clocks of the simulated world, an engine that the kernel drives.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stator_cluster::{Commands, MASTER_KEY_BYTES, MasterKey, MasterKeys, Random, Surroundings, World};
use stator_storage::Clock;

use crate::kernel::Boot;

/// Where the data of a simulated node lies on its disk.
pub(in crate::scenario) const DIRECTORY: &str = "/stator/data";

/// See the head of the file.
pub(in crate::scenario) fn surroundings(boot: &Boot, commands: Arc<dyn Commands>) -> Surroundings {
    let world = Arc::clone(&boot.world);
    let random = Random::new(move |buffer| {
        for chunk in buffer.chunks_mut(8) {
            let drawn = world.random_u64().to_le_bytes();
            chunk
                .iter_mut()
                .zip(drawn)
                .for_each(|(byte, drawn)| *byte = drawn);
        }
        Ok(())
    });
    Surroundings {
        world: Arc::clone(&boot.world),
        disk: Arc::clone(&boot.disk),
        directory: PathBuf::from(DIRECTORY),
        random,
        master_keys: MasterKeys::new(MasterKey::new([7; MASTER_KEY_BYTES])),
        clock: Some(Arc::new(SteadyClock(Arc::clone(&boot.world)))),
        driven: true,
        commands,
        tracer: None,
    }
}

/// The world's steady clock for the engine.
#[derive(Debug)]
struct SteadyClock(Arc<dyn World>);

impl Clock for SteadyClock {
    fn now(&self) -> Duration {
        self.0.now()
    }
}
