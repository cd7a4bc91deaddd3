//! What the guest has besides where containers run in it: the runtimes that Kubernetes' own runtimes start, and the image of this checkout.
//!
//! Only machines of [`Equipment::Containers`](super::devices::Equipment) load it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::image::{archive, copy_with_libraries};
use crate::host::{self, Need};

const CRUN: &str = "/usr/bin/crun";
const RUNC: &str = "/usr/sbin/runc";
/// The profile that podman and CRI-O apply where a pod asks for RuntimeDefault.
const SECCOMP: &str = "/usr/share/containers/seccomp.json";
const NEEDS: [Need; 3] = [
    Need { what: CRUN, package: "crun" },
    Need { what: RUNC, package: "runc" },
    Need { what: SECCOMP, package: "golang-github-containers-common" },
];

/// Packs an initramfs that has all that `base` has, the runtimes, and in `/bundle/rootfs` what the image has.
pub(super) fn pack(checkout: &Path, folder: &Path, base: &Path) -> Result<PathBuf> {
    host::need(&NEEDS)?;
    let root = folder.join("containers");
    fs::create_dir_all(root.join("usr/bin"))?;
    for runtime in [CRUN, RUNC] {
        copy_with_libraries(&root, Path::new(runtime))?;
    }
    crate::image::build(checkout)?.write_root(&root.join("bundle/rootfs"))?;
    let (overlay, initramfs) = (folder.join("containers-only.cpio"), folder.join("containers.cpio"));
    archive(&root, &overlay)?;
    // The kernel unpacks one archive after another.
    let mut whole = fs::File::create(&initramfs)?;
    for part in [base, &overlay] {
        io::copy(&mut fs::File::open(part)?, &mut whole)?;
    }
    fs::remove_dir_all(&root)?;
    fs::remove_file(&overlay)?;
    Ok(initramfs)
}

/// The runtime's default profile as a runtime takes it, for a process that has no capability.
pub(super) fn seccomp() -> Result<Value> {
    let profile: Value = serde_json::from_str(&fs::read_to_string(SECCOMP)?).context(SECCOMP)?;
    let rules = profile["syscalls"].as_array().with_context(|| format!("{SECCOMP} has no syscalls"))?;
    let rules: Vec<Value> = rules.iter().filter(|rule| applies(rule)).map(rule).collect();
    Ok(json!({
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": rules,
    }))
}

/// Rules for capabilities do not apply, those for their absence do.
fn applies(rule: &Value) -> bool {
    let list = |condition: &str, of: &str| rule[condition][of].as_array().filter(|list| !list.is_empty());
    let ours = |arches: &Vec<Value>| arches.iter().any(|arch| arch == "amd64");
    list("includes", "caps").is_none() && list("includes", "arches").is_none_or(ours) && !list("excludes", "arches").is_some_and(ours)
}

fn rule(rule: &Value) -> Value {
    let mut ours = json!({ "names": rule["names"], "action": rule["action"], "args": rule["args"] });
    if rule["errnoRet"].is_u64() {
        ours["errnoRet"] = rule["errnoRet"].clone();
    }
    ours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_for_what_the_process_has_not_do_not_apply() {
        let rule = |includes: Value, excludes: Value| applies(&json!({ "includes": includes, "excludes": excludes }));
        let admin = json!({ "caps": ["CAP_SYS_ADMIN"] });
        assert!(rule(json!({}), json!({})) && rule(Value::Null, admin.clone()) && rule(json!({ "arches": ["amd64"] }), json!({})));
        assert!(
            !rule(admin, json!({})) && !rule(json!({ "arches": ["arm"] }), json!({})) && !rule(json!({}), json!({ "arches": ["amd64"] }))
        );
    }
}
