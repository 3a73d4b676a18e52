//! How long a push takes, by what its calls charge and what the budget has left.

use std::collections::BTreeMap;
use std::time::Duration;

use connector_sdk::{Act, Charge};
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

/// What a push charges in one bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Load {
    calls: u64,
    units: u64,
}

/// The calls of some acts, and what they charge.
fn loads(acts: &BTreeMap<Act, u64>, price: impl Fn(Act) -> Vec<Vec<Charge>>) -> (u64, BTreeMap<&'static str, Load>) {
    let mut calls = 0_u64;
    let mut loads: BTreeMap<&'static str, Load> = BTreeMap::new();
    for (act, count) in acts {
        for call in price(*act) {
            calls = calls.saturating_add(*count);
            for charge in call {
                let load = loads.entry(charge.bucket).or_default();
                load.calls = load.calls.saturating_add(*count);
                load.units = load.units.saturating_add(count.saturating_mul(u64::from(charge.units)));
            }
        }
    }
    (calls, loads)
}

impl Handle {
    /// What so many acts come to, sent one after the other in the lane of long backlogs.
    pub fn forecast(&self, instance: &Instance, acts: &BTreeMap<Act, u64>) -> Forecast {
        let Ok(connector) = &instance.connector else { return Forecast::default() };
        let (calls, loads) = loads(acts, |act| connector.price(act));
        if calls == 0 {
            return Forecast::default();
        }
        let traits = connector.traits();
        let budget = self.0.budgets.get(&instance.driver_key, &traits.buckets);
        let ahead = |n: u64| usize::try_from(n.saturating_sub(1)).unwrap_or(usize::MAX);
        let queueing = self.gauge(instance).queueing(ahead(calls));
        let least = TYPICAL.saturating_mul(u32::try_from(calls / AT_ONCE).unwrap_or(u32::MAX));
        let takes = loads.iter().fold(queueing.max(least), |longest, (bucket, load)| {
            let spaced = traits.buckets.iter().any(|one| one.name == *bucket && !one.gap.is_zero());
            // Where calls are spaced each is one; else it is the units that run out.
            let count = if spaced { load.calls } else { load.units };
            longest.max(budget.predict(&[Charge { bucket, units: 1 }], Lane::Bulk, ahead(count)))
        });
        Forecast { calls, takes }
    }
}

#[cfg(test)]
mod tests {
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
        let price = |act| match act {
            Act::Create => {
                vec![vec![Charge { bucket: "reads", units: 2 }], vec![Charge { bucket: "writes", units: 1 }]]
            }
            _ => vec![vec![Charge { bucket: "writes", units: 1 }]],
        };
        let acts = BTreeMap::from([(Act::Create, 10), (Act::AddMember, 5)]);
        let (calls, loads) = loads(&acts, price);
        assert_eq!(calls, 25);
        assert_eq!(loads["reads"], Load { calls: 10, units: 20 });
        assert_eq!(loads["writes"], Load { calls: 15, units: 15 });
    }
}
