//! How often a device, or an address before it signed in, may ask.

use crate::config::Limits;
use crate::error::Problem;
use gatepass_core::error::Code;
use gatepass_core::id::DeviceId;
use governor::clock::{Clock as _, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;

type Buckets<K> = RateLimiter<K, HashMapStateStore<K>, DefaultClock>;

pub struct RateLimits {
    devices: Buckets<DeviceId>,
    peers: Buckets<IpAddr>,
    clock: DefaultClock,
}

impl RateLimits {
    pub fn new(limits: Limits) -> Self {
        let at_least_one = |n| NonZeroU32::new(n).unwrap_or(NonZeroU32::MIN);
        let quota =
            Quota::per_second(at_least_one(limits.per_second)).allow_burst(at_least_one(limits.burst));
        Self {
            devices: RateLimiter::hashmap(quota),
            peers: RateLimiter::hashmap(quota),
            clock: DefaultClock::default(),
        }
    }

    pub fn device(&self, device: DeviceId) -> Result<(), Problem> {
        self.check(&self.devices, &device)
    }

    pub fn peer(&self, peer: IpAddr) -> Result<(), Problem> {
        self.check(&self.peers, &peer)
    }

    /// Forgets who has been quiet, so that memory stays bounded. Called every minute.
    pub fn tidy(&self) {
        self.devices.retain_recent();
        self.peers.retain_recent();
    }

    fn check<K: Hash + Eq + Clone>(&self, buckets: &Buckets<K>, key: &K) -> Result<(), Problem> {
        buckets.check_key(key).map_err(|until| {
            let wait = until.wait_time_from(self.clock.now());
            let mut problem = Problem::from(Code::RateLimited);
            problem.retry_after_s = Some(wait.as_secs() + 1);
            problem
        })
    }
}
