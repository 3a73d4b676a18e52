//! What goes wrong at a database, in words and as data.
//!
//! By SQLSTATE (PostgreSQL 15, appendix A), by MariaDB's error numbers (MariaDB's "Error Codes"), by SQLite's
//! extended result codes (sqlite.org/rescode.html). A database's own words are shown only of mistakes
//! in statements: those of other errors quote values, which are people's data.

use connector_sdk::{Effect, Fault, FaultKind, Retry};
use sqlx::error::DatabaseError;
use sqlx::postgres::PgDatabaseError;

use super::values::Odd;

/// The longest text of a database that is passed on, in characters.
const LONGEST: usize = 300;

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Failure {
    /// The connection is gone, or never was; why, for the log.
    Lost(String),
    /// The database said no.
    Refused(Refusal),
    /// What came is not what the mapping promises; for the admin.
    Odd(String),
    /// It was decided here.
    Fault(Fault),
}

/// A database's refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) class: Class,
    /// SQLSTATE, or the database's own number.
    pub(super) code: String,
    /// The column or constraint that it is about, where it says.
    pub(super) about: Option<String>,
    /// The database's own words, where they tell of statements and not of values.
    pub(super) words: Option<String>,
}

/// What a refusal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// A value is there already.
    Unique,
    /// Another row refers to this one, or the other way round.
    Reference,
    /// A value is missing.
    Missing,
    /// A value does not fit: its type, length or a check.
    Value,
    /// Something else was at it: deadlock, serialization, lock.
    Again,
    /// The server takes no more connections now, or is stopping.
    Busy,
    /// The user may not.
    Permission,
    /// The user may not even connect.
    Credential,
    /// There is no such database.
    NoDatabase,
    /// The statement is wrong.
    Statement,
    /// Anything else.
    Other,
}

impl From<Odd> for Failure {
    fn from(Odd(what): Odd) -> Self {
        Self::Odd(format!("A statement gave rows that are not as the mapping says: {what}."))
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(said) => match refusal(said.as_ref()) {
                Some(refusal) => Self::Refused(refusal),
                None => Self::Lost(format!("the server ended the connection ({})", code(said.as_ref()))),
            },
            sqlx::Error::Io(io) => Self::Lost(format!("i/o: {}", io.kind())),
            sqlx::Error::WorkerCrashed => Self::Lost("the driver's thread ended".to_owned()),
            sqlx::Error::Tls(why) => Self::Lost(format!("TLS: {}", cut(&why.to_string()))),
            // A driver that no longer understands the server has lost it.
            sqlx::Error::Protocol(_) => Self::Lost("the server's answer could not be understood".to_owned()),
            _ => Self::Odd(format!("A statement could not be run: {}.", cut(&error.to_string()))),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(LONGEST).collect()
}

fn code(error: &dyn DatabaseError) -> String {
    if let Some(mysql) = error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        return mysql.number().to_string();
    }
    error.code().map(|code| code.into_owned()).unwrap_or_default()
}

/// What the database says no to; `None` where it says that it is ending the connection.
fn refusal(error: &dyn DatabaseError) -> Option<Refusal> {
    let code = code(error);
    let mut about = error.constraint().map(str::to_owned);
    let class = if let Some(postgres) = error.try_downcast_ref::<PgDatabaseError>() {
        about = postgres.column().map(str::to_owned).or(about);
        of_sqlstate(&code)?
    } else if error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().is_some() {
        // Named in quotes: "Column 'x' cannot be null". Of a duplicate the first in quotes is the value.
        about = match code.as_str() {
            "1048" | "1364" => error.message().split('\'').nth(1).map(str::to_owned),
            "1062" => error.message().rsplit('\'').nth(1).map(str::to_owned),
            _ => about,
        };
        of_mariadb(code.parse().unwrap_or(0))?
    } else {
        // "NOT NULL constraint failed: people.mail"
        about = error
            .message()
            .rsplit_once(": ")
            .map(|(_, names)| names.to_owned())
            .filter(|_| matches!(code.as_str(), "1299" | "2067" | "1555"));
        of_sqlite(code.parse().unwrap_or(0))?
    };
    let words = matches!(class, Class::Statement | Class::NoDatabase).then(|| cut(error.message()));
    Some(Refusal { class, code, about: about.as_deref().map(cut), words })
}

fn of_sqlstate(code: &str) -> Option<Class> {
    Some(match code {
        "23505" | "42710" => Class::Unique,
        "23503" | "23001" => Class::Reference,
        "23502" => Class::Missing,
        "23514" | "23P01" => Class::Value,
        "40001" | "40P01" | "55P03" => Class::Again,
        "53300" | "57P03" | "53400" => Class::Busy,
        // Ended by an administrator, or by a crash of another session.
        "57P01" | "57P02" | "57P05" => return None,
        "42501" | "25006" => Class::Permission,
        "28000" | "28P01" => Class::Credential,
        "3D000" => Class::NoDatabase,
        _ if code.starts_with("08") => return None,
        _ if code.starts_with("22") => Class::Value,
        _ if code.starts_with("23") => Class::Value,
        _ if code.starts_with("42") => Class::Statement,
        _ if code.starts_with("53") || code.starts_with("57") => Class::Busy,
        _ => Class::Other,
    })
}

fn of_mariadb(number: u16) -> Option<Class> {
    Some(match number {
        1022 | 1062 | 1169 | 1586 | 1859 => Class::Unique,
        1216 | 1217 | 1451 | 1452 => Class::Reference,
        1048 | 1364 => Class::Missing,
        // 1267: text that the column's character set does not have.
        1264 | 1265 | 1267 | 1292 | 1366 | 1406 | 3819 | 4025 => Class::Value,
        1205 | 1213 | 1020 => Class::Again,
        1040 | 1203 | 1226 | 1317 | 1021 => Class::Busy,
        1053 | 1152 | 1159 | 1160 | 1161 | 1927 | 1079 => return None,
        1044 | 1142 | 1143 | 1227 | 1290 | 1370 | 1792 | 1836 => Class::Permission,
        // 4151 and 3118: the account is locked (MariaDB, MySQL).
        1045 | 1130 | 1251 | 1698 | 1820 | 1862 | 3118 | 4151 => Class::Credential,
        1049 => Class::NoDatabase,
        1046 | 1052 | 1054 | 1064 | 1109 | 1136 | 1146 | 1305 => Class::Statement,
        _ => Class::Other,
    })
}

fn of_sqlite(code: u32) -> Option<Class> {
    Some(match code {
        // SQLITE_CONSTRAINT_UNIQUE, _PRIMARYKEY, _ROWID
        2067 | 1555 | 2579 => Class::Unique,
        787 => Class::Reference,
        1299 => Class::Missing,
        // SQLITE_BUSY, SQLITE_LOCKED
        _ if matches!(code & 0xff, 5 | 6) => Class::Again,
        // SQLITE_PERM, SQLITE_READONLY, SQLITE_AUTH
        _ if matches!(code & 0xff, 3 | 8 | 23) => Class::Permission,
        // SQLITE_CONSTRAINT, SQLITE_TOOBIG, SQLITE_MISMATCH
        _ if matches!(code & 0xff, 18..=20) => Class::Value,
        // SQLITE_FULL
        _ if code & 0xff == 13 => Class::Busy,
        // SQLITE_CANTOPEN, SQLITE_NOTADB
        _ if matches!(code & 0xff, 14 | 26) => Class::NoDatabase,
        // SQLITE_IOERR
        _ if code & 0xff == 10 => return None,
        // SQLITE_ERROR
        _ if code & 0xff == 1 => Class::Statement,
        _ => Class::Other,
    })
}

impl Failure {
    /// Whether the connection is gone.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_))
    }

    /// The class of a refusal.
    pub(super) fn class(&self) -> Option<Class> {
        match self {
            Self::Refused(refusal) => Some(refusal.class),
            _ => None,
        }
    }

    /// The result code, where it is a number that fits.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Refused(refusal) => refusal.code.parse().ok(),
            _ => None,
        }
    }

    /// It as a fault without effect: whatever failed was not committed. `at` names the step and what
    /// it is done to, `host` the target.
    pub(super) fn fault(self, at: &str, host: &str) -> Fault {
        match self {
            Self::Fault(fault) => fault,
            Self::Odd(what) => Fault::new(FaultKind::Malformed, what)
                .retry(Retry::AfterOperator)
                .effect(Effect::None)
                .context(format!("{at}: unexpected shape")),
            Self::Lost(why) => Fault::new(
                FaultKind::Unavailable,
                format!("{host} could not be reached, or closed the connection: {why}."),
            )
            .context(format!("{at}: {why}")),
            Self::Refused(refusal) => refusal.fault(at, host),
        }
    }
}

impl Refusal {
    fn fault(&self, at: &str, host: &str) -> Fault {
        let about = |words: &str| self.about.as_ref().map(|about| format!("{words}{about}")).unwrap_or_default();
        let words = self.words.as_ref().map(|words| format!(": {words}")).unwrap_or_default();
        let (kind, retry, message) = match self.class {
            Class::Unique => (
                FaultKind::NameTaken,
                Retry::Never,
                format!("Another row has the same value already{}. Change the one or the other.", about(" by ")),
            ),
            Class::Reference => (
                FaultKind::Refused,
                Retry::Never,
                format!(
                    "Other rows refer to this one, or it to rows that are not there{}. Let the database remove them with it, or map a column deleted_at, so that rows stay.",
                    about(" by ")
                ),
            ),
            Class::Missing => (
                FaultKind::Incomplete,
                Retry::AfterOperator,
                format!(
                    "The database demands a value{}, and there is none. Send the attribute that is mapped to it, give the column a default, or a value in the mapping.",
                    about(" of ")
                ),
            ),
            Class::Value => (
                FaultKind::Refused,
                Retry::Never,
                format!("The database refuses a value{}: its type, length or a check.", about(" by ")),
            ),
            Class::Again => (
                FaultKind::Unavailable,
                Retry::Soon,
                format!("{host} could not do it because somebody else was at the same rows. It is tried again."),
            ),
            Class::Busy => (
                FaultKind::Unavailable,
                Retry::Soon,
                format!("{host} takes no more work at the moment. It is tried again."),
            ),
            Class::Permission => (
                FaultKind::Permission,
                Retry::AfterOperator,
                "The database user lacks a right on the mapped tables. Grant it SELECT, INSERT, UPDATE and DELETE on them, and on what statements or triggers use.".to_owned(),
            ),
            Class::Credential => (
                FaultKind::Credential,
                Retry::AfterOperator,
                format!("{host} refuses the user or its password. Give the instance a new password, or the user the right to connect from the gateway."),
            ),
            Class::NoDatabase => (
                FaultKind::Refused,
                Retry::AfterOperator,
                format!("There is no such database{words}. Correct the instance's settings."),
            ),
            Class::Statement => (
                FaultKind::Refused,
                Retry::AfterOperator,
                format!("The database does not take the statement{words}. Correct the mapping."),
            ),
            Class::Other => (
                FaultKind::Refused,
                Retry::AfterOperator,
                format!("The database refused with its code {}. Its log says more.", self.code),
            ),
        };
        Fault::new(kind, message).retry(retry).effect(Effect::None).context(format!("{at}: code {}", self.code))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_classes() {
        for (code, want) in [
            ("23505", Some(Class::Unique)),
            ("23503", Some(Class::Reference)),
            ("23502", Some(Class::Missing)),
            ("22001", Some(Class::Value)),
            ("40001", Some(Class::Again)),
            ("40P01", Some(Class::Again)),
            ("53300", Some(Class::Busy)),
            ("57P03", Some(Class::Busy)),
            ("57P01", None),
            ("08006", None),
            ("42501", Some(Class::Permission)),
            ("28P01", Some(Class::Credential)),
            ("42703", Some(Class::Statement)),
            ("XX000", Some(Class::Other)),
        ] {
            assert_eq!(of_sqlstate(code), want, "{code}");
        }
        for (code, want) in
            [(1062, Some(Class::Unique)), (1213, Some(Class::Again)), (1045, Some(Class::Credential)), (1927, None)]
        {
            assert_eq!(of_mariadb(code), want, "{code}");
        }
        for (code, want) in [
            (2067, Some(Class::Unique)),
            (5, Some(Class::Again)),
            (517, Some(Class::Again)),
            (2570, None),
            (14, Some(Class::NoDatabase)),
        ] {
            assert_eq!(of_sqlite(code), want, "{code}");
        }
    }

    #[test]
    fn every_refusal_says_that_nothing_happened_and_who_can_act() {
        for (class, kind, retry) in [
            (Class::Unique, FaultKind::NameTaken, Retry::Never),
            (Class::Missing, FaultKind::Incomplete, Retry::AfterOperator),
            (Class::Again, FaultKind::Unavailable, Retry::Soon),
            (Class::Credential, FaultKind::Credential, Retry::AfterOperator),
            (Class::Permission, FaultKind::Permission, Retry::AfterOperator),
        ] {
            let refusal = Refusal { class, code: String::from("x"), about: None, words: None };
            let fault = Failure::Refused(refusal).fault("create user", "db:5432");
            assert_eq!((fault.kind, fault.retry, fault.effect), (kind, retry, Effect::None));
        }
    }
}
