//! Columns of a ladder: the client on the left, the server on the right, and arrows between them.

use rstproof_core::transcript::Role;

/// Area of a ladder between the client and the server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    /// Width in columns.
    pub(crate) width: usize,
}

impl Columns {
    /// Returns two texts at the two ends of a line, with at least `gap` columns between them; `None` if they do not fit
    /// side by side.
    pub(crate) fn sides(self, left: &str, right: &str, gap: usize) -> Option<String> {
        let rest = (self.width).checked_sub(left.chars().count() + right.chars().count())?;
        (rest >= gap).then(|| format!("{left}{:rest$}{right}", ""))
    }

    /// Returns the number of columns before a text on the side of this end.
    pub(crate) fn indent(self, role: Role, text: &str) -> usize {
        match role {
            Role::Client => 0,
            Role::Server => self.width.saturating_sub(text.chars().count()),
        }
    }

    /// Returns a text in the middle.
    pub(crate) fn between(self, text: &str) -> String {
        format!("{text:^width$}", width = self.width)
    }

    /// Returns an arrow from this end to the other, as wide as the columns.
    pub(crate) fn arrow(self, from: Role, label: &str) -> String {
        let width = self.width - 1;
        match from {
            Role::Client => format!("{:-<width$}>", format!("--- {label} ")),
            Role::Server => format!("<{:->width$}", format!(" {label} ---")),
        }
    }

    /// Returns true if an arrow has room for this label, besides `--- `, a space and the tip.
    pub(crate) fn fits_arrow(self, label: &str) -> bool {
        label.chars().count() + 6 <= self.width
    }
}

/// Formats a number of `10^-digits` units as a decimal fraction: 1234 with two digits is `12.34`. Times of a ladder may
/// be negative, if a clock went back.
pub(crate) fn decimal(number: i64, digits: u32) -> String {
    let sign = if number < 0 { "-" } else { "" };
    let number = number.unsigned_abs();
    let unit = 10_u64.saturating_pow(digits);
    let width = digits as usize;
    format!("{sign}{}.{:0width$}", number / unit, number % unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: Columns = Columns { width: 12 };

    #[test]
    fn arrows_fill_the_columns() {
        assert_eq!(COLUMNS.arrow(Role::Client, "S"), "--- S ----->");
        assert_eq!(COLUMNS.arrow(Role::Server, "R."), "<---- R. ---");
        assert!(COLUMNS.fits_arrow("123456") && !COLUMNS.fits_arrow("1234567"));
    }

    #[test]
    fn two_texts_share_a_line_if_there_is_room() {
        assert_eq!(COLUMNS.sides("left", "right", 2).unwrap(), "left   right");
        assert_eq!(COLUMNS.sides("left", "right", 4), None);
        assert_eq!(COLUMNS.sides("longer left", "right", 0), None);
    }

    #[test]
    fn decimals_keep_their_sign_and_zeros() {
        let shown = [(1234, 2), (-5, 1), (1_000_001, 6), (-1_000, 6)];
        let shown = shown.map(|(number, digits)| decimal(number, digits));
        assert_eq!(shown, ["12.34", "-0.5", "1.000001", "-0.001000"]);
    }
}
