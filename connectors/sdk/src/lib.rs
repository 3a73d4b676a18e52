//! The boundary between scimgate and a target's API.
//!
//! A **connector** translates: it turns a wish ("this person shall be here") into calls of one
//! target's API, and the target's answers into [`outcome`]s and [`Fault`]s. It never retries,
//! sleeps, paces, stores, or reads a clock: the driver does all of that around it, from the data a
//! connector declares in [`Traits`] and returns in each answer.
//!
//! The contract of every method stands in its doc comment; the contract kit ([`kit`]) checks those
//! lines against a simulator of the target.
//!
//! Invariant: this package imports nothing else of the workspace.

pub mod about;
pub mod account;
pub mod connector;
pub mod desk;
pub mod extension;
pub mod fault;
pub mod group;
pub mod id;
pub mod kit;
pub mod limits;
pub mod names;
pub mod outcome;
pub mod rates;
pub mod settings;
pub mod spelling;
pub mod tariff;
pub mod traits;
pub mod transport;

pub use about::{About, CallAbout};
pub use account::{Account, AccountChange, AccountRef, AccountStatus, Evidence, Found, Person};
pub use connector::{
    Accounts, Connector, ConnectorKind, Entry, Groups, Page, PageToken, Probe, ProbeCheck, lists_member,
};
pub use desk::{Act, Desk, Task, Told};
pub use extension::Extension;
pub use fault::{Effect, Fault, FaultKind, Retry};
pub use group::{GroupChange, GroupWant, Member, RemoteGroup};
pub use id::{DriverKey, InviteId, RemoteId};
pub use limits::{Bucket, Charge, Pace, Reading, Window};
pub use outcome::{Created, Ended, Followed, GroupCreated, GroupUpdated, Membership, Need, Removed, Updated};
pub use settings::{Class, Describe, Secrets, Setting, SettingKind, SettingsError};
pub use tariff::{Rule, StepCost, Tariff};
pub use traits::{Kind, PendingMembers, Removal, Repeatable, Repeats, RoleTrait, Suspend, Traits};
pub use transport::{Call, Cx, Graphql, Repeat, Reply, Step, Stepped, Transport, Work};
