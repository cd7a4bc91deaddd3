//! What measures, on devices that are not ours: between the two VFs of one PF, joined by the switch inside the 82576.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::vm::devices::At;
use crate::vm::lab::Lab;

const LIMIT: Duration = Duration::from_secs(120);
/// Where what a guest run measured stays, in the build's folder.
const ARTEFACTS: &str = "artefacts";

/// The result and its report, which stay on this side.
pub(super) fn bench(lab: &mut Lab) -> Result<()> {
    let (one, other) = (lab.function(At::Pf(0)).address, lab.pfs[0][1].address.clone());
    let bench = format!(
        "vfwire bench --port {one} --port {other} -o /tmp/result.json --label guest --sizes 64,1518 --trial 100ms --width 0.1 \
         --longest-burst 100ms"
    );
    let exit = lab.guest.exit_of(&bench, LIMIT)?;
    ensure!(exit.code == 0, "`{bench}` ended with {}:\n{}", exit.code, exit.output);
    let report = lab.guest.exit_of("vfwire report /tmp/result.json -o /tmp/report.html --csv /tmp/result.csv", LIMIT)?;
    ensure!(report.code == 0, "the report ended with {}:\n{}", report.code, report.output);
    let folder = lab.artefacts().join(ARTEFACTS);
    fs::create_dir_all(&folder)?;
    for name in ["result.json", "result.csv", "report.html"] {
        let text = lab.guest.run(&format!("cat /tmp/{name}"))?;
        fs::write(folder.join(name), text)?;
    }
    println!("guest: what was measured is in {}", folder.display());
    judge(&folder)
}

/// A measurement of real functions, in which every throughput was found.
fn judge(folder: &Path) -> Result<()> {
    let text = fs::read_to_string(folder.join("result.json"))?;
    let result: Value = serde_json::from_str(&text).context("the result is not JSON")?;
    ensure!(result["simulated"] == false && result["partial"].is_null(), "simulated or partial: {text}");
    ensure!(result["method"]["topology"] == "two-ports", "{}", result["method"]);
    let ports = result["environment"]["ports"].as_array().context("no ports")?;
    ensure!(ports.len() == 2 && ports.iter().all(|port| port["driver"] == "igbvf"), "{ports:?}");
    let sizes = result["sizes"].as_array().context("no sizes")?;
    ensure!(sizes.len() == 2, "{} sizes", sizes.len());
    for size in sizes {
        let came =
            size["trials"].as_array().context("no trials")?.iter().filter_map(|trial| trial["counts"]["received"].as_u64()).sum::<u64>();
        ensure!(came > 0, "no frame came through");
        let found = |name: &str| size[name]["lower_fps"].as_u64().is_some_and(|fps| fps > 0);
        ensure!(found("ndr") && found("pdr"), "no throughput was found: {} {}", size["ndr"], size["pdr"]);
        ensure!(size["line_rate_fps"].as_f64().is_some_and(|fps| fps > 0.0), "the link's speed is not known");
    }
    let page = fs::read_to_string(folder.join("report.html"))?;
    ensure!(page.contains("<svg") && page.trim_end().ends_with("</html>"), "the report is not whole");
    Ok(())
}
