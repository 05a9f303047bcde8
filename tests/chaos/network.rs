//! A bad network: late, in pieces, and cut.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;

use crate::scenario::length;
use crate::stage::Layout;
use crate::support::kafka::{Cluster, Options};
use crate::support::proxy::{Proxy, Weather};
use crate::world::{Plan, World};

/// What the service may meet at worst; a fault a piece of 16 KiB.
pub(super) const STORM: Weather = Weather { delay: Duration::from_millis(5), halved: 0.05, torn: 0.005 };

/// The weather changes every second, and now and then all connections are cut.
fn storm(world: &mut World, proxy: &Proxy) {
    let until = length(Duration::from_secs(12));
    while world.age() < until {
        let slow = Weather { delay: Duration::from_millis(world.random.random_range(20..200)), ..STORM };
        proxy.turn(if world.random.random_bool(0.5) { slow } else { STORM });
        world.faults += 1;
        world.pass(Duration::from_secs(2));
        if world.random.random_bool(0.3) {
            world.faults += proxy.cut();
        }
    }
    proxy.turn(Weather::default());
    world.is_calm();
}

/// Between the service and Kafka. What the tests send and look at goes past it.
#[test]
fn bad_network_to_kafka() {
    let proxy = Proxy::new();
    let options = Options::brokers(1).advertised_at(proxy.port());
    let cluster = Box::leak(Box::new(Cluster::start(&options)));
    proxy.stand_before(cluster.port_behind_proxy());
    let plan = Plan::new("bad_network_to_kafka");
    let bootstrap = format!("bootstrap_servers = \"127.0.0.1:{}\"", proxy.port());
    let plan = Plan { recovery: Duration::from_mins(1), ..plan }.set("kafka", &bootstrap);
    let mut world = plan.begin_on(cluster);
    storm(&mut world, &proxy);
    world.end();
}

/// Between the service and Cosmos DB. What is cut there may have been carried out, so an id has one content.
#[test]
fn bad_network_to_cosmos() {
    let proxy = Arc::new(Proxy::new());
    let plan = Plan::new("bad_network_to_cosmos").of_one_content_each();
    let layout = Layout { cosmos_proxy: Some(Arc::clone(&proxy)), ..plan.layout };
    let mut world = Plan { layout, recovery: Duration::from_mins(1), ..plan }.begin();
    storm(&mut world, &proxy);
    world.end();
}
