//! `cargo xtask report`: what `vfwire report` makes, looked at by a real browser.
//!
//! A short measurement of the embedded forwarder and two reports of it are made; headless Chromium opens each, narrow and wide, light and
//! dark. Nothing may be on its console, and nothing may be wider than the window. The pages themselves have no script: a copy gets one that
//! measures. So that the check is known to see what it is for, pages that overflow or complain must fail it, each time.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::MetadataCommand;

use crate::host::{self, Need};

const WIDTHS: [u32; 2] = [390, 1280];
/// Chromium's values of `preferredColorScheme`.
const SCHEMES: [(&str, u32); 2] = [("dark", 0), ("light", 1)];

/// Measures in the page, and says it where we read: how wide the window is, how wide the page, and its background.
const RULER: &str = "<script>console.log('ruler', [innerWidth, document.documentElement.scrollWidth, \
     getComputedStyle(document.body).backgroundColor].join(' ') + ';')</script>";

/// Makes reports and has them looked at.
///
/// # Errors
/// Where a page is not as it must be, or the check does not see what it must.
pub(crate) fn run() -> Result<()> {
    host::need(&[Need { what: "chromium", package: "chromium" }])?;
    let metadata = MetadataCommand::new().current_dir(host::root()).no_deps().exec()?;
    let folder = metadata.target_directory.as_std_path().join("report");
    std::fs::create_dir_all(&folder)?;
    let browser = Browser { folder: folder.clone() };
    browser.prove()?;
    for page in pages(&folder)? {
        for width in WIDTHS {
            for scheme in SCHEMES {
                let picture = browser.check(&page, width, scheme)?;
                println!("{}: {width} px, {}: {}", page.display(), scheme.0, picture.display());
            }
        }
    }
    Ok(())
}

/// A report of one measurement, and one of two.
fn pages(folder: &Path) -> Result<Vec<PathBuf>> {
    let vfwire = |arguments: &[&str]| {
        let mut command = host::cargo(["run", "--quiet", "--release", "--bin", "vfwire", "--"]);
        host::stdout(command.args(arguments))
    };
    let file = |name: &str| folder.join(name);
    let text = |path: &Path| path.to_str().context("a path that is not UTF-8").map(str::to_owned);
    let (first, second) = (text(&file("first.json"))?, text(&file("second.json"))?);
    for (label, result) in [("first", &first), ("a second one whose name is long enough to need a line of its own", &second)] {
        vfwire(&["bench", "--trial", "20ms", "--longest-burst", "10ms", "--label", label, "-o", result])?;
    }
    let (one, two) = (file("one.html"), file("two.html"));
    vfwire(&["report", &first, "-o", &text(&one)?])?;
    vfwire(&["report", &first, &second, "-o", &text(&two)?])?;
    Ok(vec![one, two])
}

struct Browser {
    folder: PathBuf,
}

impl Browser {
    fn command(&self, width: u32, scheme: u32) -> Command {
        let mut command = Command::new("chromium");
        let flags =
            ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--hide-scrollbars"];
        command.args(flags).args(["--enable-logging=stderr", "--virtual-time-budget=2000"]);
        command.arg(format!("--user-data-dir={}", self.folder.join("profile").display()));
        command.arg(format!("--window-size={},2400", width + 40)).arg(format!("--blink-settings=preferredColorScheme={scheme}"));
        command
    }

    /// Looks at a page, and gives where its picture is.
    fn check(&self, page: &Path, width: u32, (scheme, number): (&str, u32)) -> Result<PathBuf> {
        let text = std::fs::read_to_string(page).with_context(|| format!("{}", page.display()))?;
        ensure!(!text.contains("<script"), "{} has a script", page.display());
        std::fs::write(self.folder.join("measured.html"), text.replace("</body>", &format!("{RULER}</body>")))?;
        // No window of the browser is as narrow as a telephone, but a frame is.
        let frame = self.folder.join("frame.html");
        let inner = |page: &str| {
            format!(
                "<!DOCTYPE html><html style='color-scheme:light dark'><body style='margin:0'>\
                 <iframe src='{page}' style='border:0;width:{width}px;height:2400px'></iframe></body></html>"
            )
        };
        std::fs::write(&frame, inner("measured.html"))?;
        let output = self.command(width, number).arg("--dump-dom").arg(&frame).output().context("chromium does not start")?;
        let name = format!("{} at {width} px, {scheme}", page.display());
        judge(&String::from_utf8_lossy(&output.stderr), width, scheme).context(name)?;
        let stem = page.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let picture = self.folder.join(format!("{stem}-{width}-{scheme}.png"));
        let file = page.file_name().unwrap_or_default().to_string_lossy();
        std::fs::write(&frame, inner(&file))?;
        let shot = self.command(width, number).arg(format!("--screenshot={}", picture.display())).arg(&frame).output()?;
        ensure!(shot.status.success() && picture.is_file(), "no picture of {}", page.display());
        Ok(picture)
    }

    /// Pages that are not as they must be fail.
    fn prove(&self) -> Result<()> {
        let head = "<!DOCTYPE html><meta name=viewport content='width=device-width'><style>:root{color-scheme:light dark}body{margin:0;background:Canvas}</style>";
        let faults = [
            ("wide", format!("{head}<body><div style='width:500px'>x</div></body>"), "wider"),
            ("complains", format!("{head}<body><img src='no-such-file.png' onerror='missing()'></body>"), "console"),
        ];
        for (name, text, word) in faults {
            let page = self.folder.join(format!("{name}.html"));
            std::fs::write(&page, text)?;
            match self.check(&page, WIDTHS[0], SCHEMES[1]) {
                Ok(_) => bail!("the page that {name} passed: the check sees nothing"),
                Err(error) => ensure!(format!("{error:#}").contains(word), "the page that {name} failed for another reason: {error:#}"),
            }
        }
        Ok(())
    }
}

/// What is on the console: what the page measured, and nothing else.
fn judge(log: &str, width: u32, scheme: &str) -> Result<()> {
    let (measured, other): (Vec<&str>, Vec<&str>) =
        log.lines().filter(|line| line.contains(":CONSOLE")).partition(|line| line.contains("\"ruler "));
    ensure!(other.is_empty(), "on the console: {}", other.join("; "));
    let measured = measured.first().and_then(|line| line.split_once("ruler ")?.1.split_once(';')).context("the page was not measured")?.0;
    let mut words = measured.splitn(3, ' ');
    let mut number = || words.next().and_then(|word| word.parse::<u32>().ok()).context("no width was measured");
    let (window, content) = (number()?, number()?);
    ensure!(window == width, "the window is {window} px wide, not {width}");
    ensure!(content <= width, "the page is {content} px wide, wider than its window of {width} px");
    let colour = words.next().unwrap_or_default();
    let red = colour.split(['(', ',']).nth(1).and_then(|red| red.trim().parse::<u32>().ok()).context("no colour was measured")?;
    ensure!((red < 128) == (scheme == "dark"), "its background is {colour} where {scheme} is preferred");
    Ok(())
}
