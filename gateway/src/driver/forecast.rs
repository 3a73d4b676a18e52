//! How long a push takes, by what its calls charge and what the budget has left.

use std::collections::BTreeMap;
use std::time::Duration;

use connector_sdk::{Charge, Traits};
use engine::Lane;
use serde_json::{Value, json};

use super::{Handle, TYPICAL};
use crate::service::types::Instance;

/// Runs that go on at once, as pumps have them.
const AT_ONCE: u64 = 8;

/// How many calls a push makes, and about how long it takes. An estimate: what is asked meanwhile, and
/// what the target says, changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// Calls of the target.
    pub calls: u64,
    /// From now until the last of them could start.
    pub takes: Duration,
}

impl Forecast {
    /// As the API shows it.
    pub fn to_json(self) -> Value {
        json!({"calls": self.calls, "seconds": self.takes.as_secs(), "words": self.words()})
    }

    /// `412 calls, about 8 minutes`.
    pub fn words(self) -> String {
        let calls = match self.calls {
            0 => return "no calls".to_owned(),
            1 => "1 call".to_owned(),
            calls => format!("{calls} calls"),
        };
        let seconds = self.takes.as_secs();
        let about = |n: u64, unit: &str| format!("about {n} {unit}{}", if n == 1 { "" } else { "s" });
        let time = match seconds {
            0..=1 => "a moment".to_owned(),
            2..=90 => about(seconds, "second"),
            91..=5_400 => about((seconds + 30) / 60, "minute"),
            5_401..=129_600 => about((seconds + 1_800) / 3_600, "hour"),
            _ => about((seconds + 43_200) / 86_400, "day"),
        };
        format!("{calls}, {time}")
    }
}

/// The calls of some steps, by the words of [`Traits::cost`], and the units they charge.
fn loads(steps: &BTreeMap<&'static str, u64>, traits: &Traits) -> (u64, BTreeMap<&'static str, u64>) {
    let mut calls = 0_u64;
    let mut loads: BTreeMap<&'static str, u64> = BTreeMap::new();
    for (step, count) in steps {
        calls = calls.saturating_add(count.saturating_mul(u64::from(traits.calls(step))));
        for charge in traits.cost(step) {
            let load = loads.entry(charge.bucket).or_default();
            *load = load.saturating_add(count.saturating_mul(u64::from(charge.units)));
        }
    }
    (calls, loads)
}

impl Handle {
    /// What so many steps come to, sent one after the other in the lane of long backlogs.
    pub fn forecast(&self, instance: &Instance, steps: &BTreeMap<&'static str, u64>) -> Forecast {
        let Ok(connector) = &instance.connector else { return Forecast::default() };
        let traits = connector.traits();
        let (calls, loads) = loads(steps, traits);
        if calls == 0 {
            return Forecast::default();
        }
        let budget = self.0.budgets.get(&instance.driver_key, &traits.buckets);
        let ahead = |n: u64| usize::try_from(n.saturating_sub(1)).unwrap_or(usize::MAX);
        let queueing = self.gauge(instance).queueing(ahead(calls));
        let least = TYPICAL.saturating_mul(u32::try_from(calls / AT_ONCE).unwrap_or(u32::MAX));
        let takes = loads.iter().fold(queueing.max(least), |longest, (bucket, units)| {
            longest.max(budget.predict(&[Charge { bucket, units: 1 }], Lane::Bulk, ahead(*units)))
        });
        Forecast { calls, takes }
    }
}

#[cfg(test)]
mod tests {
    use connector_sdk::{DriverKey, Kind, StepCost};

    use super::*;

    #[test]
    fn forecasts_are_told_in_words() {
        for (calls, seconds, words) in [
            (0, 0, "no calls"),
            (1, 0, "1 call, a moment"),
            (5, 6, "5 calls, about 6 seconds"),
            (412, 480, "412 calls, about 8 minutes"),
            (412, 95, "412 calls, about 2 minutes"),
            (20_000, 20_000, "20000 calls, about 6 hours"),
            (9, 3_600 * 48, "9 calls, about 2 days"),
        ] {
            assert_eq!(Forecast { calls, takes: Duration::from_secs(seconds) }.words(), words);
        }
    }

    #[test]
    fn what_calls_charge_is_added_up() {
        let mut traits = Traits::new(Kind::User, DriverKey::new("test"));
        traits.costs = vec![
            StepCost::new("create", 2).charge("reads", 2).charge("writes", 1),
            StepCost::new("add_member", 1).charge("writes", 1),
        ];
        let steps = BTreeMap::from([("create", 10), ("add_member", 5), ("look", 1)]);
        let (calls, loads) = loads(&steps, &traits);
        assert_eq!(calls, 26);
        assert_eq!((loads["reads"], loads["writes"]), (20, 15));
    }
}
