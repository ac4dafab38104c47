//! How things are shown: tables for people, JSON and YAML for programs.

use std::io::{IsTerminal as _, Write as _};

use clap::{Args, ValueEnum};
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use super::exit::{Exit, Stop};

/// In which form.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(super) enum Form {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
    /// For both.
    Yaml,
}

/// `--output`
#[derive(Debug, Args)]
pub(super) struct Output {
    /// The form of the answer
    #[arg(long, value_name = "FORM", value_enum, default_value_t, help_heading = "Output")]
    pub(super) output: Form,
}

impl Output {
    /// Shows a value; as a table, if that is asked for, of these columns and rows.
    pub(super) fn show<R: IntoIterator<Item = Vec<String>>>(
        &self,
        value: &impl Serialize,
        columns: &[&str],
        rows: impl FnOnce() -> R,
    ) -> Result<Exit, Stop> {
        match self.output {
            Form::Table => print(&table(columns, rows())),
            _ => self.value(value),
        }
    }

    /// Shows a value that is no table; JSON, unless YAML is asked for.
    pub(super) fn value(&self, value: &impl Serialize) -> Result<Exit, Stop> {
        let text = match self.output {
            Form::Yaml => serde_saphyr::to_string(value).map_err(|e| Stop::failed(e.to_string()))?,
            Form::Table | Form::Json => {
                serde_json::to_string_pretty(value).map_err(|e| Stop::failed(e.to_string()))?
            }
        };
        print(&text)
    }
}

/// A table as text, without frames: it is easy to read, and to cut with other tools.
pub(super) fn table(columns: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|column| column.to_uppercase()).collect::<Vec<_>>());
    for row in rows {
        table.add_row(row);
    }
    // Each cell has a blank on both sides; a first cell may well be empty.
    let lines = table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// Writes to standard output. A reader that has seen enough, such as `head`, is no failure.
pub(super) fn print(text: &str) -> Result<Exit, Stop> {
    let end = if text.ends_with('\n') { "" } else { "\n" };
    print_bytes(format!("{text}{end}").as_bytes())
}

/// The same for bytes, just as they are.
pub(super) fn print_bytes(bytes: &[u8]) -> Result<Exit, Stop> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Exit::Done),
    }
}

/// How a line is coloured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Colour {
    /// What comes.
    Green,
    /// What changes.
    Yellow,
    /// What goes.
    Red,
}

/// The text in a colour, if standard output is a terminal whose owner wants any.
pub(super) fn coloured(colour: Colour, text: &str) -> String {
    let wanted = std::io::stdout().is_terminal() && config::settings::env_var("NO_COLOR").is_none();
    let code = match colour {
        Colour::Green => 32,
        Colour::Yellow => 33,
        Colour::Red => 31,
    };
    if wanted { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_stays_under_its_headings_when_its_first_cell_is_empty() {
        let text = table(&["number", "slot"], [vec![String::new(), "now".into()]]);
        let [head, row] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
        assert_eq!(head.find("SLOT"), row.find("now"), "{text}");
        assert!(head.starts_with("NUMBER"));
    }
}
