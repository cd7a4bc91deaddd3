//! `vfwire list`: the network functions of this machine, and whether vfwire can drive them.

use super::{Failure, print};
use std::fmt;
use vfwire::{NetworkFunction, Supported, Sysfs, driver_of, drivers, network_functions, supported};

/// List the network functions of this machine: whose VF each is, what it is bound to, whether vfwire can drive it and, if not, why
#[derive(clap::Args)]
pub(super) struct Options {
    /// Print a JSON array, an object a function
    #[arg(long)]
    json: bool,
    /// Print what the drivers support, as a Markdown table, instead
    #[arg(long, conflicts_with = "json")]
    supported: bool,
}

/// One function, as `--json` prints it.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
struct Row {
    address: String,
    id: String,
    /// The kernel's driver that it is bound to.
    bound_to: Option<String>,
    iommu_group: Option<u32>,
    numa_node: Option<u32>,
    /// The PF that it is a VF of, and which of its VFs.
    vf_of: Option<String>,
    vf_index: Option<u32>,
    interfaces: Vec<String>,
    /// The driver of vfwire that knows it.
    driver: Option<&'static str>,
    /// vfwire can open it now.
    usable: bool,
    /// Why it cannot.
    why_not: Option<String>,
}

pub(super) fn run(options: &Options) -> Result<(), Failure> {
    if options.supported {
        return print(SupportTable(supported()));
    }
    let functions = network_functions(&Sysfs::default()).map_err(Failure::failed)?;
    let rows: Vec<_> = functions.into_iter().map(Row::of).collect();
    if options.json {
        print(serde_json::to_string(&rows).map_err(|error| Failure::failed(format!("no JSON of the list: {error}")))?)
    } else if rows.is_empty() {
        print("no network functions: this machine shows no PCI function of class network (`vfwire forward` without --port simulates two)")
    } else {
        print(Table(&rows))
    }
}

impl Row {
    fn of(function: NetworkFunction) -> Self {
        let driver = driver_of(function.id);
        let unknown = || {
            let known: Vec<_> = drivers().iter().map(|(name, _)| *name).collect();
            format!("vfwire has no driver for {}; it has {}", function.id, known.join(", "))
        };
        // What no driver of ours knows need not be bound, either.
        let why_not = if driver.is_some() { function.obstacle } else { Some(unknown()) };
        let (vf_of, vf_index) = function.vf_of.map_or((None, None), |(pf, index)| (Some(pf.to_string()), index));
        Self {
            address: function.address.to_string(),
            id: function.id.to_string(),
            bound_to: function.driver,
            iommu_group: function.iommu_group,
            numa_node: function.numa_node,
            vf_of,
            vf_index,
            interfaces: function.interfaces,
            driver,
            usable: why_not.is_none(),
            why_not,
        }
    }

    fn cells(&self) -> [String; 7] {
        let number = |number: Option<u32>| number.map_or("-".to_owned(), |number| number.to_string());
        let vf_of = match (&self.vf_of, self.vf_index) {
            (Some(pf), Some(index)) => format!("{pf} vf {index}"),
            (Some(pf), None) => pf.clone(),
            (None, _) => "-".to_owned(),
        };
        let bound_to = self.bound_to.as_deref().unwrap_or("-");
        let bound_to = if self.interfaces.is_empty() { bound_to.to_owned() } else { format!("{bound_to} ({})", self.interfaces.join(",")) };
        let vfwire = match (&self.why_not, self.driver) {
            (None, Some(driver)) => format!("yes: {driver}"),
            (why_not, _) => format!("no: {}", why_not.as_deref().unwrap_or("-")),
        };
        [self.address.clone(), self.id.clone(), bound_to, number(self.iommu_group), number(self.numa_node), vf_of, vfwire]
    }
}

struct Table<'a>(&'a [Row]);

const HEAD: [&str; 7] = ["ADDRESS", "ID", "BOUND TO", "GROUP", "NUMA", "VF OF", "VFWIRE"];

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<_> = std::iter::once(HEAD.map(str::to_owned)).chain(self.0.iter().map(Row::cells)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: [usize; 7] = std::array::from_fn(width);
        let line = |cells: &[String; 7]| {
            let padded: Vec<_> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            padded.join("  ").trim_end().to_owned()
        };
        f.write_str(&rows.iter().map(line).collect::<Vec<_>>().join("\n"))
    }
}

/// A row a feature, a column a driver.
struct SupportTable<'a>(&'a [Supported]);

impl fmt::Display for SupportTable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |first: &str, cell: &dyn Fn(&Supported) -> String| {
            let cells: Vec<_> = self.0.iter().map(cell).collect();
            format!("| {first} | {} |", cells.join(" | "))
        };
        let head = line("", &|driver| format!("{}: {}", driver.driver, driver.devices)).replace("|  |", "| |");
        let rule = format!("|{}", "---|".repeat(self.0.len() + 1));
        write!(f, "{head}\n{rule}")?;
        for (at, (feature, _)) in self.0.first().map_or(&[][..], |driver| driver.features).iter().enumerate() {
            write!(f, "\n{}", line(feature.name(), &|driver| driver.features.get(at).map_or("", |(_, what)| what).to_owned()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::PathBuf};

    /// The kernel's files of one function that is bound to no driver and in no IOMMU group.
    struct Tree(PathBuf);

    impl Tree {
        fn of_device(name: &str, device: &str) -> Self {
            let root = std::env::temp_dir().join(format!("vfwire-list-{}-{name}", std::process::id()));
            let function = root.join("bus/pci/devices/0000:01:10.0");
            fs::create_dir_all(&function).expect("a folder");
            for (name, text) in [("vendor", "0x8086"), ("device", device), ("class", "0x020000")] {
                fs::write(function.join(name), text).expect("a file");
            }
            Self(root)
        }

        fn row(&self) -> Row {
            let mut functions = network_functions(&Sysfs::at(&self.0, &self.0)).expect("a tree that can be read");
            assert_eq!(functions.len(), 1);
            Row::of(functions.remove(0))
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_function_that_cannot_be_driven_says_why() {
        let unbound = Tree::of_device("unbound", "0x10ca").row();
        assert_eq!((unbound.driver, unbound.usable), (Some("igbvf"), false));
        let why_not = unbound.why_not.expect("a reason");
        assert!(why_not.contains("IOMMU group"), "{why_not}");
        let unknown = Tree::of_device("unknown", "0x1234").row();
        assert_eq!((unknown.driver, unknown.usable), (None, false));
        assert!(unknown.why_not.expect("a reason").contains("no driver for 8086:1234"));
    }

    #[test]
    fn the_table_has_a_line_a_function_and_columns_that_align() {
        let blocked = Row { vf_of: Some("0000:01:00.0".into()), vf_index: Some(3), ..Tree::of_device("blocked", "0x10ca").row() };
        let usable = Row { usable: true, why_not: None, bound_to: Some("vfio-pci".into()), ..Tree::of_device("usable", "0x10ca").row() };
        let text = Table(&[blocked, usable]).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        let at = lines[0].find("VFWIRE").expect("a heading");
        assert!(lines[1][at..].starts_with("no: ") && lines[2][at..].starts_with("yes: igbvf"), "{text}");
        assert!(lines[1].contains("0000:01:00.0 vf 3") && lines[2].contains("vfio-pci"), "{text}");
    }
}
