//! As much of Kustomize as deploy/kubernetes uses: resources, components, a namespace, and JSON patches with a target.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Kustomization {
    #[serde(rename = "apiVersion")]
    _api_version: String,
    #[serde(rename = "kind")]
    _kind: String,
    namespace: Option<String>,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    components: Vec<String>,
    #[serde(default)]
    patches: Vec<Patch>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Patch {
    target: Target,
    patch: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Target {
    label_selector: String,
    /// Alternatives.
    kind: String,
}

/// The objects of a folder with a kustomization, and the files that were read.
pub(crate) fn build(folder: &Path, read: &mut BTreeSet<PathBuf>) -> Vec<Value> {
    let mut objects = Vec::new();
    apply(folder, &mut objects, read);
    objects
}

fn apply(folder: &Path, objects: &mut Vec<Value>, read: &mut BTreeSet<PathBuf>) {
    let file = folder.join("kustomization.yaml");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let kustomization: Kustomization = serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    read.insert(file.canonicalize().expect("it was read"));
    let mut ours = Vec::new();
    for resource in &kustomization.resources {
        let path = folder.join(resource);
        if path.is_dir() {
            apply(&path, &mut ours, read);
        } else {
            ours.extend(objects_of(&path));
            read.insert(path.canonicalize().expect("it was read"));
        }
    }
    for object in ours.iter_mut().filter(|object| object["kind"] != "Namespace") {
        if let Some(namespace) = &kustomization.namespace {
            object["metadata"]["namespace"] = namespace.as_str().into();
        }
    }
    objects.extend(ours);
    for component in &kustomization.components {
        apply(&folder.join(component), objects, read);
    }
    for patch in &kustomization.patches {
        let operations = serde_saphyr::from_str(&patch.patch).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let operations: json_patch::Patch =
            serde_json::from_value(operations).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut targets: Vec<_> = objects.iter_mut().filter(|object| patch.target.is(object)).collect();
        assert!(!targets.is_empty(), "{}: a patch that changes nothing", file.display());
        for object in &mut targets {
            json_patch::patch(object, &operations).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        }
    }
}

impl Target {
    fn is(&self, object: &Value) -> bool {
        let (label, value) = self.label_selector.split_once('=').expect("a label and its value");
        self.kind.split('|').any(|kind| object["kind"] == kind) && object["metadata"]["labels"][label] == value
    }
}

/// The documents of a file.
pub(crate) fn objects_of(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
