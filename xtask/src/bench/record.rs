//! `benches/record`: what was measured, when, on which machine and with what. One file a day and machine, one line a figure.
//!
//! Comma-separated, without quotes: a comma in a text becomes a semicolon. A figure that is measured again the same day replaces the older.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use super::machine::Machine;
use super::spread::Spread;

/// Where records are, from the root of the checkout.
pub(super) const FOLDER: &str = "benches/record";
const HEADER: &str = "date,commit,machine,cpu,kernel,tools,command,figure,value,min,max,unit";

/// A figure.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Row {
    /// Its name, which says what was measured: `lock-step/io/32/vfwire-best`.
    pub(crate) figure: String,
    pub(crate) spread: Spread,
    pub(crate) unit: String,
}

/// Writes the figures of one command into the record of today and this machine, and gives its path.
pub(crate) fn write(root: &Path, machine: &Machine, command: &str, rows: &[Row]) -> Result<PathBuf> {
    let folder = root.join(FOLDER);
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{}-{}.csv", machine.date, machine.name));
    let before = if path.exists() { fs::read_to_string(&path)? } else { String::new() };
    let text = merged(&before, machine, command, rows).with_context(|| format!("{} is no record", path.display()))?;
    fs::write(&path, text)?;
    Ok(path)
}

fn merged(before: &str, machine: &Machine, command: &str, rows: &[Row]) -> Result<String> {
    let mut lines = vec![HEADER.to_owned()];
    for line in before.lines().skip(1) {
        let figure = fields(line)?[7];
        if rows.iter().all(|row| row.figure != figure) {
            lines.push(line.to_owned());
        }
    }
    let Machine { date, commit, name, cpu, kernel, tools, .. } = machine;
    for Row { figure, spread: Spread { median, min, max }, unit } in rows {
        let texts = [date, commit, name, cpu, kernel, tools, command, figure].map(|text| text.replace([',', '\n'], ";"));
        lines.push(format!("{},{median:.3},{min:.3},{max:.3},{unit}", texts.join(",")));
    }
    Ok(lines.join("\n") + "\n")
}

/// A record that was read.
#[derive(Debug)]
pub(crate) struct Record {
    /// Day and machine.
    pub(super) title: String,
    pub(super) rows: Vec<Row>,
}

impl Record {
    /// The newest record that has a figure whose name starts so.
    pub(super) fn newest(root: &Path, start: &str) -> Result<Self> {
        let folder = root.join(FOLDER);
        let names = fs::read_dir(&folder).with_context(|| format!("no records in {}", folder.display()))?;
        let mut names = names.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
        names.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
        // Names begin with the date.
        names.sort();
        for path in names.iter().rev() {
            let record = Self::parse(&fs::read_to_string(path)?).with_context(|| format!("{} is no record", path.display()))?;
            if record.rows.iter().any(|row| row.figure.starts_with(start)) {
                return Ok(record);
            }
        }
        bail!("no record in {} has a figure {start}…: measure with --record first", folder.display())
    }

    fn parse(text: &str) -> Result<Self> {
        let mut lines = text.lines();
        ensure!(lines.next() == Some(HEADER), "the first line is not {HEADER}");
        let (mut title, mut rows) = (String::new(), Vec::new());
        for line in lines {
            let [date, _, _, cpu, _, tools, _, figure, median, min, max, unit] = fields(line)?;
            title = format!("{date}, {}, {tools}", cpu.replace(';', ","));
            let number = |text: &str| text.parse::<f64>().with_context(|| format!("{text:?} in {line:?} is no number"));
            let spread = Spread { median: number(median)?, min: number(min)?, max: number(max)? };
            rows.push(Row { figure: figure.to_owned(), spread, unit: unit.to_owned() });
        }
        Ok(Self { title, rows })
    }

    pub(super) fn figure(&self, name: &str) -> Option<Spread> {
        self.rows.iter().find(|row| row.figure == name).map(|row| row.spread)
    }
}

fn fields(line: &str) -> Result<[&str; 12]> {
    line.split(',').collect::<Vec<_>>().try_into().ok().with_context(|| format!("{line:?} has not 12 fields"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(date: &str) -> Machine {
        let [commit, name, cpu, kernel, tools, load] =
            ["abc", "cpu-2-cpus", "cpu, 2 CPUs", "6.1", "rustc 1; gcc 2", "0.1"].map(str::to_owned);
        Machine { date: date.to_owned(), commit, name, cpu, kernel, tools, load }
    }

    fn row(figure: &str, median: f64) -> Row {
        Row { figure: figure.to_owned(), spread: Spread { median, min: 1.0, max: 9.5 }, unit: "ratio".to_owned() }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let rows = [row("a/1", 2.25), row("a/2", 3.0)];
        let text = merged("", &machine("2026-01-31"), "cargo x", &rows).unwrap();
        let record = Record::parse(&text).unwrap();
        assert_eq!(record.rows, rows);
        assert_eq!(record.title, "2026-01-31, cpu, 2 CPUs, rustc 1; gcc 2");
        assert_eq!(record.figure("a/2").unwrap().median, 3.0);
        assert!(record.figure("a").is_none());
    }

    #[test]
    fn a_figure_that_is_measured_again_replaces_the_older() {
        let first = merged("", &machine("2026-01-31"), "x", &[row("a", 1.0), row("b", 2.0)]).unwrap();
        let second = merged(&first, &machine("2026-01-31"), "y", &[row("a", 3.0)]).unwrap();
        assert_eq!(Record::parse(&second).unwrap().rows, [row("b", 2.0), row("a", 3.0)]);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        let good = merged("", &machine("2026-01-31"), "x", &[row("a", 1.0)]).unwrap();
        for bad in ["", "x,y\n", &good.replace("1.000", "one"), &good.replace("abc", "a,c")] {
            assert!(Record::parse(bad).is_err(), "{bad}");
        }
        assert!(merged(&format!("{HEADER}\nx,y\n"), &machine("2026-01-31"), "x", &[]).is_err());
    }

    #[test]
    fn the_newest_with_such_a_figure_is_found() {
        let root = std::env::temp_dir().join(format!("vfwire-record-{}", std::process::id()));
        for (date, figure) in [("2026-01-30", "a/1"), ("2026-01-31", "a/2"), ("2026-02-01", "b/1")] {
            write(&root, &machine(date), "x", &[row(figure, 1.0)]).unwrap();
        }
        assert!(Record::newest(&root, "a/").unwrap().figure("a/2").is_some());
        assert!(Record::newest(&root, "c/").unwrap_err().to_string().contains("--record"));
        fs::remove_dir_all(root).unwrap();
    }
}
