//! An OCI image layout (image-spec v1.1.0: image-layout.md, manifest.md, config.md) of one image with one layer.

use anyhow::Result;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::archive::{Files, gzip};
use super::containerfile::Containerfile;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// When an image was made, as its files and as its documents have it.
#[derive(Clone, Copy)]
pub(super) struct Created<'a> {
    pub(super) epoch_s: u64,
    pub(super) rfc3339: &'a str,
}

/// The files of a layout, and what names the image in it.
pub(super) struct Layout {
    pub(super) files: Files,
    pub(super) manifest_digest: String,
    /// Bytes of the layer as a container's root file system.
    pub(super) unpacked_bytes: usize,
}

/// The image that `recipe` says, with these files in it. Annotations are its labels, and when it was made.
pub(super) fn layout(recipe: &Containerfile, root: &Files, tag: &str, created: Created<'_>) -> Result<Layout> {
    let mut blobs = Files::default();
    let tar = root.tar(created.epoch_s)?;
    let layer = blob(&mut blobs, LAYER, &gzip(&tar)?);
    let config = json!({
        "created": created.rfc3339,
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "User": recipe.user,
            "Entrypoint": recipe.entrypoint,
            "Cmd": recipe.cmd,
            "WorkingDir": "/",
            "Labels": recipe.labels,
            "StopSignal": recipe.stop_signal,
        },
        "rootfs": { "type": "layers", "diff_ids": [digest(&tar)] },
        "history": [{ "created": created.rfc3339, "created_by": "cargo xtask image" }],
    });
    let config = blob(&mut blobs, CONFIG, config.to_string().as_bytes());
    let mut annotations: Map<String, Value> = recipe.labels.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
    annotations.insert("org.opencontainers.image.created".to_owned(), created.rfc3339.into());
    let manifest = json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer], "annotations": annotations });
    let mut manifest = blob(&mut blobs, MANIFEST, manifest.to_string().as_bytes());
    let manifest_digest = manifest["digest"].as_str().unwrap_or_default().to_owned();
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
    manifest["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest] });
    blobs.add("index.json", index.to_string());
    blobs.add("oci-layout", json!({ "imageLayoutVersion": "1.0.0" }).to_string());
    Ok(Layout { files: blobs, manifest_digest, unpacked_bytes: tar.len() })
}

/// Adds a blob and gives its descriptor.
fn blob(blobs: &mut Files, media_type: &str, bytes: &[u8]) -> Value {
    let digest = digest(bytes);
    blobs.add(format!("blobs/{}", digest.replace(':', "/")), bytes);
    json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    hash.iter().fold("sha256:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_sha256() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(digest(b"abc"), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn every_blob_is_named_by_what_it_is() {
        let recipe = Containerfile { user: "1000:1000".to_owned(), entrypoint: vec!["/x".to_owned()], ..Containerfile::default() };
        let mut root = Files::default();
        root.add_program("x", "program");
        let created = Created { epoch_s: 0, rfc3339: "1970-01-01T00:00:00Z" };
        let layout = layout(&recipe, &root, "1", created).unwrap();
        let blobs = layout.files.0.iter().filter(|(path, _)| path.starts_with("blobs/"));
        let named =
            |(path, file): (&String, &super::super::archive::File)| path.replacen("blobs/sha256/", "sha256:", 1) == digest(&file.bytes);
        assert!(blobs.clone().count() == 3 && blobs.clone().all(named));
        assert!(layout.files.0.contains_key(&format!("blobs/{}", layout.manifest_digest.replace(':', "/"))));
    }
}
