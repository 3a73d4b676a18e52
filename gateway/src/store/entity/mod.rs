//! The tables, one entity per file.

pub mod account;
pub mod api_key;
pub mod async_request;
pub mod attempt;
pub mod attr;
pub mod audit;
pub mod bucket;
pub mod claim;
pub mod counter;
pub mod drift;
pub mod event;
pub mod event_stream;
pub mod hold;
pub mod instance;
pub mod lease;
pub mod link;
pub mod member;
pub mod operation;
pub mod replica;
pub mod resource;
pub mod run;
pub mod sealed;
pub mod setting;
pub mod tally;
pub mod waiver;
pub mod work;
