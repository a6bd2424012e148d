use std::fmt;

use tabled::{
    builder::Builder,
    settings::{
        Alignment, Modify, Padding, Style,
        object::{Columns, Rows},
    },
};

use crate::visible::visible;

/// Text for people. A line holds no control characters but those put here: whatever a name contains, it stays one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lines(Vec<String>);

impl Lines {
    /// With one more line.
    pub(crate) fn line(mut self, text: impl fmt::Display) -> Self {
        self.0.push(visible(&text.to_string()).into_owned());
        self
    }

    /// With one more line that begins with a tabulator.
    pub(crate) fn indented(mut self, text: impl fmt::Display) -> Self {
        self.0.push(format!("\t{}", visible(&text.to_string())));
        self
    }

    /// With `more` lines after these.
    pub(crate) fn then(mut self, more: Self) -> Self {
        self.0.extend(more.0);
        self
    }
}

impl<T: fmt::Display> FromIterator<T> for Lines {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Self {
        texts.into_iter().fold(Self::default(), Self::line)
    }
}

impl fmt::Display for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// A column of a table: its heading, and where its cells stand under it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    Left(&'static str),
    Right(&'static str),
}

/// Rows under their headings, as `rbd` prints them: columns two spaces apart, no rules. Empty without rows.
pub(crate) fn table<const N: usize>(
    columns: [Column; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Lines {
    let mut builder = Builder::default();
    builder.push_record(columns.map(|(Column::Left(heading) | Column::Right(heading))| heading));
    for row in rows {
        builder.push_record(row.map(|cell| visible(&cell).into_owned()));
    }
    if builder.count_records() == 1 {
        return Lines::default();
    }
    let mut table = builder.build();
    table.with(Style::empty()).with(Padding::new(0, 2, 0, 0));
    for (index, column) in columns.iter().enumerate() {
        if matches!(column, Column::Right(_)) {
            table.with(Modify::new(Columns::one(index)).with(Alignment::right()));
        }
    }
    table.with(Modify::new(Rows::first()).with(Alignment::left()));
    table.to_string().lines().map(str::trim_end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_aligned_columns_and_no_rules() {
        let rows = [["4".to_owned(), "first".to_owned()], ["12".to_owned(), "x".to_owned()]];
        let columns = [Column::Right("SNAPID"), Column::Left("NAME")];
        assert_eq!(table(columns, rows).to_string(), "SNAPID  NAME\n     4  first\n    12  x");
    }

    #[test]
    fn a_table_without_rows_is_nothing() {
        assert_eq!(table([Column::Left("NAME")], []), Lines::default());
    }

    #[test]
    fn a_name_stays_in_its_cell() {
        let rows = [["a\nb".to_owned(), "\u{1b}[2J".to_owned()]];
        let columns = [Column::Left("NAME"), Column::Left("ID")];
        assert_eq!(table(columns, rows).to_string(), "NAME  ID\na\\nb  \\u{1b}[2J");
    }
}
