//! deploy/kubernetes: every object has only fields that exist, every reference leads somewhere, and every pod asks for what docs/kubernetes.md says.

#[path = "kubernetes/kustomize.rs"]
mod kustomize;
#[path = "kubernetes/types.rs"]
mod types;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/kubernetes").canonicalize().expect("the folder is there")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let yaml = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    yaml.chain(folders.iter().flat_map(|folder| self::files(folder))).collect()
}

/// Folders that are applied: those of `cluster` and of `overlays`.
fn applied() -> Vec<PathBuf> {
    let mut folders: Vec<_> = files(&root().join("cluster")).into_iter().chain(files(&root().join("overlays"))).collect();
    folders.retain(|file| file.ends_with("kustomization.yaml"));
    folders.into_iter().map(|file| file.parent().expect("a folder").to_owned()).collect()
}

fn built(folder: &Path) -> Vec<Value> {
    kustomize::build(folder, &mut BTreeSet::new())
}

fn overlays() -> Vec<PathBuf> {
    applied().into_iter().filter(|folder| folder.starts_with(root().join("overlays"))).collect()
}

/// The Deployment or the Job of an overlay.
fn workload(objects: &[Value]) -> &Value {
    let workloads: Vec<_> = objects.iter().filter(|object| object["kind"] == "Deployment" || object["kind"] == "Job").collect();
    assert_eq!(workloads.len(), 1);
    workloads[0]
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"].into_iter().flat_map(|field| pod[field].as_array().expect("containers"))
}

#[test]
fn every_file_has_only_fields_that_exist() {
    let objects = files(&root()).into_iter().filter(|file| !file.ends_with("kustomization.yaml"));
    let mut seen = 0;
    for file in objects {
        for object in kustomize::objects_of(&file) {
            types::check(&object).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen} objects");
}

#[test]
fn a_wrong_field_is_seen() {
    let good = kustomize::objects_of(&root().join("base/benchmark/benchmark.yaml")).remove(0);
    types::check(&good).unwrap();
    for (path, name) in
        [("/spec", "backofLimit"), ("/spec/template/spec/containers/0", "arg"), ("/spec/template/spec/volumes/0", "hostpath")]
    {
        let mut bad = good.clone();
        bad.pointer_mut(path).unwrap()[name] = json!(1);
        let error = types::check(&bad).unwrap_err();
        assert!(error.ends_with(&format!("{path}/{name}")), "{error}");
    }
    let policy = kustomize::objects_of(&root().join("cluster/operator/policy.yaml")).remove(0);
    for (name, value) in [("numVFs", json!(4)), ("deviceType", json!("vfio")), ("priority", json!(1000))] {
        let mut bad = policy.clone();
        bad["spec"][name] = value;
        types::check(&bad).unwrap_err();
    }
}

#[test]
fn everything_is_built_and_used() {
    let mut read = BTreeSet::new();
    for folder in applied() {
        for object in kustomize::build(&folder, &mut read) {
            types::check(&object).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        }
    }
    let monitoring = root().join("components/monitoring");
    let unused: Vec<_> = files(&root()).into_iter().filter(|file| !read.contains(file) && !file.starts_with(&monitoring)).collect();
    assert!(unused.is_empty(), "no overlay uses {unused:?}");
}

#[test]
fn text_in_text_has_only_fields_that_exist() {
    let config = &kustomize::objects_of(&root().join("cluster/device-plugin/config.yaml"))[0];
    let config: Value = serde_json::from_str(config["data"]["config.json"].as_str().unwrap()).unwrap();
    types::typed::<types::DevicePluginConfig>(&config).unwrap();
    let network = &kustomize::objects_of(&root().join("base/network/network.yaml"))[0];
    let network: Value = serde_json::from_str(network["spec"]["config"].as_str().unwrap()).unwrap();
    types::typed::<types::SriovCni>(&network).unwrap();
    let claim = &kustomize::objects_of(&root().join("components/dra/claim.yaml"))[0];
    types::check(&claim["spec"]["spec"]["devices"]["config"][0]["opaque"]["parameters"]).unwrap();
}

/// The VF that each overlay's pods ask for is one that the cluster's configuration offers, in the network that there is.
#[test]
fn what_is_asked_for_is_offered() {
    for folder in overlays() {
        let objects = built(&folder);
        let pod = &workload(&objects)["spec"]["template"];
        let limits = pod["spec"]["containers"][0]["resources"]["limits"].as_object().unwrap();
        let vf = limits.keys().find(|name| name.contains('/')).map(String::as_str);
        let grant = folder.strip_prefix(root().join("overlays")).unwrap().iter().next().unwrap().to_str().unwrap();
        let cluster = built(&root().join("cluster").join(if grant == "openshift" { "operator" } else { grant }));
        let network =
            |name: &str| objects.iter().any(|object| object["kind"] == "NetworkAttachmentDefinition" && object["metadata"]["name"] == name);
        let asked = &pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"];
        match grant {
            "device-plugin" => {
                let config: Value = serde_json::from_str(cluster[0]["data"]["config.json"].as_str().unwrap()).unwrap();
                let offered = &config["resourceList"][0];
                let name = format!("{}/{}", offered["resourcePrefix"].as_str().unwrap(), offered["resourceName"].as_str().unwrap());
                assert_eq!(vf, Some(&*name), "{}", folder.display());
                let of_network = objects.iter().find(|object| object["kind"] == "NetworkAttachmentDefinition").unwrap();
                assert_eq!(of_network["metadata"]["annotations"]["k8s.v1.cni.cncf.io/resourceName"], name);
                assert!(network(asked.as_str().unwrap()));
            }
            "operator" | "openshift" => {
                let offered = |kind: &str| cluster.iter().find(|object| object["kind"] == kind).unwrap();
                let (policy, made) = (offered("SriovNetworkNodePolicy"), offered("SriovNetwork"));
                assert_eq!(vf, Some(&*format!("openshift.io/{}", policy["spec"]["resourceName"].as_str().unwrap())));
                assert_eq!(policy["spec"]["resourceName"], made["spec"]["resourceName"]);
                assert_eq!(
                    (asked, &workload(&objects)["metadata"]["namespace"]),
                    (&made["metadata"]["name"], &made["spec"]["networkNamespace"])
                );
            }
            "dra" => {
                assert_eq!((vf, asked), (None, &Value::Null), "{}", folder.display());
                let claim = objects.iter().find(|object| object["kind"] == "ResourceClaimTemplate").unwrap();
                assert_eq!(pod["spec"]["resourceClaims"][0]["resourceClaimTemplateName"], claim["metadata"]["name"]);
                let given = &claim["spec"]["spec"]["devices"]["config"][0]["opaque"]["parameters"];
                assert!(network(given["netAttachDefName"].as_str().unwrap()) && given["driver"] == "vfio-pci");
                assert!(
                    containers(&pod["spec"])
                        .all(|container| container["resources"]["claims"][0]["name"] == pod["spec"]["resourceClaims"][0]["name"])
                );
            }
            other => panic!("no cluster configuration is known for overlays/{other}"),
        }
    }
}

/// Restricted by the Pod Security Standards, Guaranteed with whole CPUs, and nothing to write to.
#[test]
fn every_pod_is_confined() {
    for folder in overlays() {
        let objects = built(&folder);
        let pod = &workload(&objects)["spec"]["template"]["spec"];
        let of_pod = &pod["securityContext"];
        assert_eq!((&of_pod["runAsNonRoot"], &of_pod["runAsUser"], &of_pod["runAsGroup"]), (&json!(true), &json!(1000), &json!(1000)));
        assert_eq!(of_pod["seccompProfile"]["type"], "RuntimeDefault");
        assert_eq!(pod["automountServiceAccountToken"], false);
        for container in containers(pod) {
            let confined =
                json!({ "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] } });
            assert_eq!(container["securityContext"], confined, "{}", folder.display());
            let (limits, requests) = (&container["resources"]["limits"], &container["resources"]["requests"]);
            assert_eq!(limits, requests);
            assert!(limits["cpu"].as_str().unwrap().parse::<u32>().is_ok_and(|cpus| cpus > 0), "{limits}");
            assert!(limits["memory"].is_string() && limits["hugepages-2Mi"].is_string(), "{limits}");
        }
    }
}

/// Forwarder and benchmark differ in what they run, not in what they need.
#[test]
fn both_workloads_have_the_same_pod() {
    let pod = |name: &str| {
        let mut pod = kustomize::objects_of(&root().join(format!("base/{name}/{name}.yaml"))).remove(0)["spec"]["template"]["spec"].take();
        let fields = pod.as_object_mut().unwrap();
        fields.remove("restartPolicy");
        for own in ["args", "ports", "livenessProbe", "readinessProbe"] {
            fields["containers"][0].as_object_mut().unwrap().remove(own);
        }
        pod
    };
    assert_eq!(pod("forwarder"), pod("benchmark"));
}

/// What serves, probes and scrapes the forwarder name the same port, and the pod's labels.
#[test]
fn probes_and_the_monitor_ask_where_metrics_are_served() {
    let monitor = kustomize::objects_of(&root().join("components/monitoring/podmonitor.yaml")).remove(0);
    let labels = monitor["spec"]["selector"]["matchLabels"].as_object().unwrap();
    let endpoint = &monitor["spec"]["podMetricsEndpoints"][0];
    let forwarders: Vec<_> = overlays().into_iter().filter(|folder| folder.ends_with("forwarder")).collect();
    assert!(forwarders.len() >= 4, "{forwarders:?}");
    for folder in overlays() {
        let objects = built(&folder);
        let template = &workload(&objects)["spec"]["template"];
        let container = &template["spec"]["containers"][0];
        let matches = labels.iter().all(|(name, value)| template["metadata"]["labels"][name] == *value);
        assert_eq!(matches, forwarders.contains(&folder), "{}", folder.display());
        if !matches {
            continue;
        }
        assert_eq!(workload(&objects)["metadata"]["namespace"], monitor["metadata"]["namespace"]);
        let port = &container["ports"][0];
        assert_eq!((&port["name"], &endpoint["path"]), (&endpoint["port"], &json!("/metrics")));
        let args: Vec<_> = container["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
        let address = args.windows(2).find(|pair| pair[0] == "--metrics").unwrap()[1];
        assert_eq!(address, format!("0.0.0.0:{}", port["containerPort"]));
        for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
            assert_eq!(container[probe]["httpGet"], json!({ "path": path, "port": port["name"] }));
        }
    }
}

#[test]
fn images_are_of_this_version() {
    let image = format!("localhost/vfwire:{}", env!("CARGO_PKG_VERSION"));
    for folder in overlays() {
        let objects = built(&folder);
        for container in containers(&workload(&objects)["spec"]["template"]["spec"]) {
            assert_eq!(container["image"], image, "{}", folder.display());
        }
    }
}
