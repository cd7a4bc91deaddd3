//! What measures, on devices that are not ours: between the two VFs of one PF, joined by the switch inside the 82576.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::host::{self, Need};
use crate::vm::devices::At;
use crate::vm::forwarder::Forwarder;
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

/// Test frames in both directions, every one of them known again.
pub(super) fn generate(lab: &mut Lab) -> Result<()> {
    let (one, other) = (lab.function(At::Pf(0)).address, lab.pfs[0][1].address.clone());
    let generate = format!(
        "vfwire generate --port {one} --port {other} --rate 5kpps --size 64,512,1518 --flows 16 --duration 2s --json 2> /tmp/said || cat /tmp/said"
    );
    let exit = lab.guest.exit_of(&generate, LIMIT)?;
    let summary: Value = serde_json::from_str(&exit.output).with_context(|| format!("no summary: {}", exit.output))?;
    ensure!(summary["simulated"] == false && summary["partial"] == false, "{summary}");
    let directions = summary["directions"].as_array().context("no directions")?;
    ensure!(directions.len() == 2, "{} directions", directions.len());
    for direction in directions {
        let none = ["lost_frames", "duplicate_frames", "reordered_frames", "corrupt_frames", "foreign_frames"];
        ensure!(direction["sent_frames"] == 10_000 && direction["received_frames"] == 10_000, "{direction}");
        ensure!(none.iter().all(|name| direction[name] == 0), "{direction}");
        ensure!(direction["latency_ns"]["count"] == 10_000, "{direction}");
    }
    Ok(())
}

/// One VF sends, the other captures some of it; tshark reads the file on this side, and the page of metrics was served meanwhile.
pub(super) fn capture(lab: &mut Lab) -> Result<()> {
    host::need(&[Need { what: "tshark", package: "tshark" }])?;
    let (sender, receiver) = (lab.function(At::Pf(0)), lab.pfs[0][1].clone());
    let mac = "02:00:00:00:ca:01";
    lab.guest.run(&format!("ip link set {} vf 1 mac {mac}", receiver.pf))?;
    let capture = format!(
        "exec vfwire capture --port {} -w /tmp/capture.pcapng --filter \"udp dst port 1003\" --snap 64 --count 300 --duration 60s --json \
         --metrics 127.0.0.1:9464",
        receiver.address
    );
    let program = Forwarder::start(&mut lab.guest, &capture)?.0;
    lab.guest
        .run("ip link set lo up; wget -q -O /tmp/page http://127.0.0.1:9464/metrics; wget -q -O /tmp/ready http://127.0.0.1:9464/readyz")?;
    let page = lab.guest.run("cat /tmp/page")?;
    ensure!(page.contains(&format!("pciAddr=\"{}\"", receiver.address)) && page.contains("vfwire_"), "the page of metrics:\n{page}");
    let generate = format!(
        "vfwire generate --port {} --dst-mac {mac} --dst-port 1000-1003 --rate 2kpps --size 128 --duration 1s --drain 10ms --json > /tmp/sent",
        sender.address
    );
    let exit = lab.guest.exit_of(&generate, LIMIT)?;
    ensure!(exit.code == 0, "`{generate}` ended with {}:\n{}", exit.code, exit.output);
    let ended = program.wait(&mut lab.guest, LIMIT)?;
    ensure!(ended.code == 0, "the capture ended with {}:\n{}", ended.code, ended.stderr);
    let folder = lab.artefacts().join(ARTEFACTS);
    fs::create_dir_all(&folder)?;
    let (encoded, file) = (folder.join("capture.base64"), folder.join("capture.pcapng"));
    fs::write(&encoded, lab.guest.run("base64 /tmp/capture.pcapng")?)?;
    let out = fs::File::create(&file)?;
    host::run(Command::new("base64").arg("-d").arg(&encoded).stdout(out))?;
    fs::remove_file(&encoded)?;
    let fields = ["-T", "fields", "-e", "udp.dstport", "-e", "frame.len", "-e", "frame.cap_len", "-e", "eth.dst"];
    let read = host::stdout(Command::new("tshark").arg("-r").arg(&file).args(fields))?;
    let expected = format!("1003\t124\t64\t{mac}");
    ensure!(
        read.lines().count() == 300 && read.lines().all(|line| line == expected),
        "tshark reads:\n{}",
        read.lines().take(3).collect::<String>()
    );
    Ok(())
}
