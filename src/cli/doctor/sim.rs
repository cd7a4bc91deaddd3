//! Simulated ports, which need nothing: that they work says that vfwire does.

use super::{Check, Context};
use std::{
    thread,
    time::{Duration, Instant},
};
use vfwire::{Host, PoolConfig, Port, PortConfig, RxQueue};

/// How long the first frame may take on a machine that does much else.
const LIMIT: Duration = Duration::from_secs(10);

pub(super) fn checks(_: &Context, _: &[Check]) -> Vec<Check> {
    // It says nothing of this container's VF: a machine without time for it must not keep a pod from starting.
    let advice =
        "no VF of this container needs it; where the machine has time for it and it fails again, it is a fault of vfwire: please report it";
    vec![receive().unwrap_or_else(|error| Check::warning("sim.forward", error, advice))]
}

fn receive() -> Result<Check, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut host = Host::new();
    let mut port = host.open("sim:igbvf").map_err(|error| text(&error))?;
    let pool = host.pool(PoolConfig::new(1024)).map_err(|error| text(&error))?;
    let mut queues = port.start(&PortConfig::new(&pool)).map_err(|error| text(&error))?;
    let queue = queues.rx.first_mut().ok_or("no queue")?;
    let (mut cache, mut burst) = (pool.cache(), pool.burst(32));
    let start = Instant::now();
    while queue.rx_burst(&mut cache, &mut burst) == 0 {
        if start.elapsed() > LIMIT {
            return Err(format!("no frame crossed a simulated wire within {} s", LIMIT.as_secs()));
        }
        thread::yield_now();
    }
    burst.clear(&mut cache);
    drop((queues, burst, cache));
    port.stop().map_err(|error| text(&error))?;
    Ok(Check::ok("sim.forward", "simulated ports work: `vfwire forward --port sim:igbvf` needs nothing"))
}
