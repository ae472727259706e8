//! One row of a table as CSV.

use std::io::{self, Write};

use apportion::time::Time;

/// A row that is being put together, then the next one. What there is nothing of is left empty.
///
/// Numbers are written without the machinery of formatting, which takes most of the time of tables of a hundred thousand rows.
#[derive(Debug, Default)]
pub(super) struct Row {
    text: Vec<u8>,
}

impl Row {
    /// A text: in quotes when it needs them.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        if text.bytes().any(|byte| matches!(byte, b'"' | b',' | b'\n' | b'\r')) {
            self.field(format!("\"{}\"", text.replace('"', "\"\"")).as_bytes())
        } else {
            self.field(text.as_bytes())
        }
    }

    /// A whole number.
    pub(super) fn whole(&mut self, number: impl itoa::Integer) -> &mut Self {
        self.field(itoa::Buffer::new().format(number).as_bytes())
    }

    /// A number, by the fewest digits that tell it from others.
    pub(super) fn number(&mut self, number: impl Into<Option<f64>>) -> &mut Self {
        let Some(number) = number.into() else { return self.field(b"") };
        let mut digits = zmij::Buffer::new();
        let digits = digits.format(number);
        // Plain decimals only, so that every reader understands them.
        if !number.is_finite() || digits.contains('e') {
            return self.field(number.to_string().as_bytes());
        }
        self.field(digits.strip_suffix(".0").unwrap_or(digits).as_bytes())
    }

    /// A time in seconds with as many decimals as it has, exactly.
    pub(super) fn time(&mut self, time: impl Into<Option<Time>>) -> &mut Self {
        let Some(time) = time.into() else { return self.field(b"") };
        let (whole, rest) = (time.as_nanos() / 1_000_000_000, time.as_nanos() % 1_000_000_000);
        if rest == 0 {
            return self.whole(whole);
        }
        let mut digits = itoa::Buffer::new();
        // With a digit in front that keeps the zeros.
        let decimals = digits.format(1_000_000_000 + rest)[1..].trim_end_matches('0').as_bytes();
        self.text.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
        self.text.push(b'.');
        self.field(decimals)
    }

    /// From one time to another.
    pub(super) fn between(&mut self, earlier: Time, later: impl Into<Option<Time>>) -> &mut Self {
        let span = |later: Time| Time::from_nanos(later.as_nanos().saturating_sub(earlier.as_nanos()));
        self.time(later.into().map(span))
    }

    /// Writes the row; the next one begins.
    pub(super) fn write_to(&mut self, out: &mut impl Write) -> io::Result<()> {
        if let Some(last) = self.text.last_mut() {
            *last = b'\n';
        }
        out.write_all(&self.text)?;
        self.text.clear();
        Ok(())
    }

    fn field(&mut self, text: &[u8]) -> &mut Self {
        self.text.extend_from_slice(text);
        self.text.push(b',');
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(fill: impl FnOnce(&mut Row) -> &mut Row) -> String {
        let (mut row, mut out) = (Row::default(), Vec::new());
        fill(&mut row).write_to(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_are_exact() {
        let text = |nanos| written(|row| row.time(Time::from_nanos(nanos)));
        assert_eq!(text(0), "0\n");
        assert_eq!(text(1_500_000_000), "1.5\n");
        assert_eq!(text(1_050_000_000), "1.05\n");
        assert_eq!(text(16_088_510_000_001), "16088.510000001\n");
        assert_eq!(written(|row| row.between(Time::from_secs(2), Time::from_secs(5))), "3\n");
    }

    #[test]
    fn fields_are_apart_and_quoted_when_they_need_it() {
        let row = written(|row| row.text("a-1").time(None).text("a,\"b\"").whole(7_u32));
        assert_eq!(row, "a-1,,\"a,\"\"b\"\"\",7\n");
    }

    proptest! {
        #[test]
        fn numbers_are_written_as_plain_decimals(number: f64) {
            prop_assert_eq!(written(|row| row.number(number)), format!("{number}\n"));
        }

        #[test]
        fn shares_are_written_as_plain_decimals(number in 0.0..1000.0_f64) {
            prop_assert_eq!(written(|row| row.number(number)), format!("{number}\n"));
        }
    }
}
