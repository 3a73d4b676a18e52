//! What a person sees while something takes its time: a line that changes on a terminal, a line
//! every ten seconds elsewhere. All of it goes to standard error.

use std::future::Future;
use std::io::{IsTerminal, Write};
use std::pin::pin;
use std::time::{Duration, Instant};

/// How soon a terminal shows that something is under way, and how often it changes.
const FRAME: Duration = Duration::from_millis(100);
/// How often a log gets a line.
const LINE: Duration = Duration::from_secs(10);
const FRAMES: [char; 4] = ['|', '/', '-', '\\'];

/// The progress of one command.
#[derive(Debug)]
pub(super) struct Progress {
    terminal: bool,
    started: Instant,
    shown: Option<Instant>,
    frame: usize,
    drawn: bool,
}

impl Progress {
    /// The progress of something that begins now.
    pub(super) fn start() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), started: Instant::now(), shown: None, frame: 0, drawn: false }
    }

    /// Waits for `work` and shows meanwhile what it is.
    pub(super) async fn during<T>(&mut self, what: &str, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        loop {
            match tokio::time::timeout(FRAME, work.as_mut()).await {
                Ok(done) => {
                    self.clear();
                    return done;
                }
                Err(_) => self.show(what),
            }
        }
    }

    /// Shows how far it is, if it is time to.
    pub(super) fn show(&mut self, text: &str) {
        let now = Instant::now();
        if !due(self.terminal, now - self.started, self.shown.map(|shown| now - shown)) {
            return;
        }
        self.shown = Some(now);
        let seconds = (now - self.started).as_secs();
        let mut err = std::io::stderr().lock();
        // Standard error that is closed is no reason to stop the work.
        let _ = if self.terminal {
            self.frame = (self.frame + 1) % FRAMES.len();
            self.drawn = true;
            write!(err, "\r\x1b[2K{} {text} ({seconds} s)", FRAMES[self.frame])
        } else {
            writeln!(err, "{text} ({seconds} s)")
        };
        let _ = err.flush();
    }

    /// Takes the changing line away.
    pub(super) fn clear(&mut self) {
        if std::mem::take(&mut self.drawn) {
            let mut err = std::io::stderr().lock();
            let _ = write!(err, "\r\x1b[2K");
            let _ = err.flush();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Whether to show something, so long after the start and after the last time.
fn due(terminal: bool, running: Duration, last: Option<Duration>) -> bool {
    let every = if terminal { FRAME } else { LINE };
    last.unwrap_or(running) >= every
}

/// A number with its thousands apart: `2,300`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_sees_it_soon_and_a_log_every_ten_seconds() {
        let ms = Duration::from_millis;
        for (terminal, running, last, expected) in [
            (true, ms(50), None, false),
            (true, ms(100), None, true),
            (true, ms(5_000), Some(ms(20)), false),
            (true, ms(5_000), Some(ms(120)), true),
            (false, ms(9_000), None, false),
            (false, ms(10_000), None, true),
            (false, ms(19_000), Some(ms(9_000)), false),
            (false, ms(20_000), Some(ms(10_000)), true),
        ] {
            assert_eq!(due(terminal, running, last), expected, "{terminal} {running:?} {last:?}");
        }
    }

    #[test]
    fn thousands_stand_apart() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }
}
