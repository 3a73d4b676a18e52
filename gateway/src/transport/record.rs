//! What was called, for the attempt's record. Neither headers nor bodies nor queries: those may
//! hold secrets.

use std::sync::{Mutex, PoisonError};

use connector_sdk::FaultKind;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One call of a target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The call's name, as the connector gives it.
    pub name: String,
    /// The HTTP method.
    pub method: String,
    /// The host, with its port where it is not the usual one.
    pub host: String,
    /// The path, without the query.
    pub path: String,
    /// The status of the answer, if one came.
    pub status: Option<u16>,
    /// From sending to the end of the answer, in milliseconds; 0 if it was not sent.
    pub duration_ms: u64,
    /// When it was sent, or refused.
    pub started_at: Timestamp,
    /// What went wrong on the way.
    pub fault: Option<FaultKind>,
}

/// The most records one attempt keeps; a listing of a large target has more calls than anyone reads.
const MOST: usize = 500;

/// Collects the calls of one attempt.
#[derive(Debug, Default)]
pub struct Recorder(Mutex<Records>);

#[derive(Debug, Default)]
struct Records {
    kept: Vec<CallRecord>,
    left_out: usize,
}

impl Recorder {
    /// Adds a call.
    pub fn push(&self, record: CallRecord) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if records.kept.len() < MOST {
            records.kept.push(record);
        } else {
            records.left_out += 1;
        }
    }

    /// Takes the calls out, in the order of their ends, and how many more there were than are kept.
    pub fn take(&self) -> (Vec<CallRecord>, usize) {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let records = std::mem::take(&mut *records);
        (records.kept, records.left_out)
    }
}
