//! Aligned tables for people, and the same as JSON for programs.

use std::path::Path;

use serde_json::{Value, json};

use super::figure::Figure;

/// What stands in one column of a row.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    /// Something measured, in the unit of its column.
    Measured(Figure),
    /// How many times better we are than the peer.
    Ratio(f64),
}

impl Cell {
    fn print(&self) -> String {
        match self {
            Cell::Measured(figure) => number(figure.median()),
            Cell::Ratio(ratio) => format!("{}x", number(*ratio)),
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Cell::Measured(figure) => figure.to_json(),
            Cell::Ratio(ratio) => json!(ratio),
        }
    }
}

/// Rows under a title.
#[derive(Debug)]
pub(crate) struct Table {
    title: &'static str,
    columns: Vec<&'static str>,
    rows: Vec<(String, Vec<Cell>)>,
}

impl Table {
    /// `columns` are the names of all but the first column, which has the names of the rows.
    pub(crate) fn new(title: &'static str, columns: &[&'static str]) -> Table {
        Table { title, columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, name: impl Into<String>, cells: Vec<Cell>) {
        assert_eq!(cells.len(), self.columns.len(), "every column of {} has a cell", self.title);
        self.rows.push((name.into(), cells));
    }

    /// Prints the table in a form that Markdown understands too.
    pub(crate) fn print(&self) {
        let mut lines: Vec<Vec<String>> = vec![vec![String::new()]];
        lines[0].extend(self.columns.iter().map(|c| (*c).to_owned()));
        for (name, cells) in &self.rows {
            let mut line = vec![name.clone()];
            line.extend(cells.iter().map(Cell::print));
            lines.push(line);
        }
        let width = |column: usize| lines.iter().map(|l| l[column].chars().count()).max().unwrap();
        let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
        println!("\n{}\n", self.title);
        for (at, line) in lines.iter().enumerate() {
            let cells: Vec<String> = std::iter::zip(line, &widths)
                .enumerate()
                .map(
                    |(i, (text, &w))| {
                        if i == 0 { format!("{text:w$}") } else { format!("{text:>w$}") }
                    },
                )
                .collect();
            println!("| {} |", cells.join(" | "));
            if at == 0 {
                let rule = |(i, w): (usize, &usize)| match i {
                    0 => "-".repeat(*w + 2),
                    _ => format!("{}:", "-".repeat(*w + 1)),
                };
                println!("|{}|", widths.iter().enumerate().map(rule).collect::<Vec<_>>().join("|"));
            }
        }
    }

    fn to_json(&self) -> Value {
        let row = |(name, cells): &(String, Vec<Cell>)| {
            let cells = std::iter::zip(&self.columns, cells)
                .map(|(column, cell)| ((*column).to_owned(), cell.to_json()));
            json!({ "name": name, "figures": cells.collect::<serde_json::Map<_, _>>() })
        };
        json!({ "title": self.title, "rows": self.rows.iter().map(row).collect::<Vec<_>>() })
    }
}

/// Three significant digits, without an exponent.
fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        v if v >= 0.9995 => format!("{value:.2}"),
        0.0 => "0".to_owned(),
        _ => format!("{value:.3}"),
    }
}

/// Writes all tables and what they were measured on to `path`.
pub(crate) fn write_json(path: &Path, about: &Value, tables: &[Table]) {
    let tables: Vec<Value> = tables.iter().map(Table::to_json).collect();
    let report = json!({ "about": about, "tables": tables });
    std::fs::write(path, serde_json::to_vec_pretty(&report).unwrap()).unwrap();
    println!("\nwritten to {}", path.display());
}
