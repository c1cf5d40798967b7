//! What `secrets` keeps, on a host below a folder and with the real `systemd-creds` of this machine.

#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "support/skip.rs"]
mod skip;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

const VALUE: &str = "a-value-that-nobody-may-see";

/// A host that does not run, and a bundle for it whose services want secrets.
struct Host {
    folder: TempDir,
}

#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn assert(&self, code: i32) -> &Self {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(!format!("{self:?}").contains(VALUE), "{self:?}");
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

impl Host {
    fn new() -> Self {
        let host = Host { folder: tempfile::tempdir().unwrap() };
        fs::create_dir_all(host.path("host/etc")).unwrap();
        host.bundle(&[
            ("web", "LoadCredentialEncrypted=hf_token:/etc/credstore.encrypted/hf_token"),
            (
                "shop",
                "LoadCredentialEncrypted=hf_token:/etc/credstore.encrypted/hf_token\n\
                LoadCredential=db:/etc/credstore/db\nImportCredential=optional",
            ),
        ]);
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn bundle(&self, units: &[(&str, &str)]) {
        let folder = self.path("bundle");
        fs::create_dir_all(folder.join("units")).unwrap();
        let (mut files, mut entries) = (json!({}), json!({}));
        for (name, lines) in units {
            let (name, text) = (format!("{name}.service"), format!("[Service]\nExecStart=/bin/true\n{lines}\n"));
            let file = format!("units/{name}");
            fs::write(folder.join(&file), &text).unwrap();
            files[&file] = json!({
                "kind": "unit", "mode": "0644", "owner": "root", "group": "root", "size": text.len(),
                "sha256": citadel::bundle::digest::Digest::of(text.as_bytes()).to_string(),
            });
            entries[&name] = json!({
                "file": file, "wanted_by": [], "files": [], "credentials": [], "on_change": "auto", "can_reload": false,
                "listens": [], "gpus": [], "health": {}, "preflight": {},
            });
        }
        let manifest = json!({
            "version": 1, "profile": "p", "compiler": { "citadel": "0", "nickel": "0" },
            "requires": { "systemd": 249, "host": "h", "cpus": 1, "memory_bytes": 1, "gpus": [], "mounts": [],
                          "units": [], "users": [], "groups": [] },
            "main_target": "web.service", "files": files, "units": entries, "phases": [], "groups": {}, "inputs": {},
            "credentials": { "hf_token": { "description": "Token of the hub", "encrypted": true,
                "path": "/etc/credstore.encrypted/hf_token", "units": ["shop.service", "web.service"] } },
            "budget": { "gpus": [], "memory": { "total_bytes": 1, "committed_bytes": 0, "unlimited": [] }, "ports": [] },
        });
        fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Said {
        let mut child = Command::new(env!("CARGO_BIN_EXE_citadel-activate"))
            .args(arguments)
            .arg("--root")
            .arg(self.path("host"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that refuses the name does not read it.
        let _ = child.stdin.take().unwrap().write_all(input);
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }

    fn of_bundle(&self, command: &str, more: &[&str]) -> Said {
        let bundle = self.path("bundle");
        self.run(&[&["secrets", command, bundle.to_str().unwrap()], more].concat(), b"")
    }

    fn set(&self, name: &str, value: &str) -> Said {
        let bundle = self.path("bundle");
        self.run(&["secrets", "set", name, "--bundle", bundle.to_str().unwrap()], value.as_bytes())
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// Whether this machine has `systemd-creds`.
fn can_encrypt() -> bool {
    let found = citadel::activate::secrets::can_encrypt();
    if !found {
        skip::skipped("there is no systemd-creds");
    }
    found
}

#[test]
fn what_is_wanted_is_listed_and_checked() {
    let host = Host::new();
    let said = host.of_bundle("list", &[]);
    said.assert(0);
    assert_eq!(
        said.out,
        "db: missing (not encrypted), for shop.service\n\
         hf_token: missing (encrypted), for shop.service, web.service - Token of the hub\n\
         optional: missing, and not needed (encrypted), for shop.service\n"
    );
    let said = host.of_bundle("check", &[]);
    said.assert(7);
    assert_eq!(
        said.err,
        "error: the secret db is missing; shop.service needs it; set it with: sudo citadel secrets set --plain db\n\
         error: the secret hf_token is missing; shop.service, web.service needs it; set it with: sudo citadel secrets set \
         hf_token\n"
    );
    host.run(&["secrets", "list"], b"").assert(3);
}

#[test]
fn a_value_is_encrypted_for_its_host() {
    if !can_encrypt() {
        return;
    }
    let host = Host::new();
    let said = host.set("hf_token", &format!("{VALUE}\n"));
    said.assert(0);
    let path = host.path("host/etc/credstore.encrypted/hf_token");
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.contains(VALUE));
    let decrypt = |name: &str| {
        let key = host.path("host/var/lib/systemd/credential.secret");
        let name = format!("--name={name}");
        let mut command = Command::new("systemd-creds");
        command.args(["decrypt", &name]).arg(&path).arg("-").env("SYSTEMD_CREDENTIAL_SECRET", key).output().unwrap()
    };
    assert_eq!(String::from_utf8(decrypt("hf_token").stdout).unwrap(), VALUE);
    assert!(!decrypt("other").status.success(), "it counts under its own name only");
    let said = host.of_bundle("list", &["--json"]);
    let secrets = said.assert(0).json();
    assert_eq!(
        secrets["secrets"][1],
        json!({ "name": "hf_token", "path": "/etc/credstore.encrypted/hf_token", "encrypted": true, "required": true,
                "units": ["shop.service", "web.service"], "description": "Token of the hub", "state": "present" })
    );
}

#[test]
fn a_value_that_is_wanted_plain_is_only_closed() {
    let host = Host::new();
    let said = host.set("db", "-----BEGIN KEY\nx\n");
    said.assert(0);
    assert_eq!(said.out, "db is stored in /etc/credstore/db; services have it after their next start\n");
    let path = host.path("host/etc/credstore/db");
    assert_eq!((mode(&path), fs::read(&path).unwrap()), (0o600, b"-----BEGIN KEY\nx\n".to_vec()));
    host.set("db", VALUE).assert(0);
    assert_eq!(fs::read_to_string(&path).unwrap(), VALUE);
    let missing = host.of_bundle("check", &["--json"]);
    missing.assert(7);
    assert_eq!(missing.json()["missing"][0]["name"], "hf_token");
    // Somebody opened it to everybody.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let said = host.of_bundle("check", &[]);
    assert!(said.err.contains("the secret db cannot be used, because /etc/credstore/db can be read"), "{said:?}");
}

#[test]
fn odd_names_links_and_values_are_refused() {
    let host = Host::new();
    for name in ["../x", "a/b", ".x", "a b", "", "a\u{1b}b"] {
        host.run(&["secrets", "set", "--plain", name], VALUE.as_bytes()).assert(2);
    }
    host.run(&["secrets", "set", "--plain", "a"], b"\n").assert(2);
    host.run(&["secrets", "set", "--plain", "a"], &vec![b'x'; (1 << 20) + 1]).assert(2);
    assert!(!host.path("host/etc/credstore").exists());
    let said = host.run(&["secrets", "set", "--plain", "a", VALUE], b"x");
    assert_eq!(said.code, Some(2), "a value is no argument");
    // No link is followed, not even one that stands for the store.
    fs::create_dir(host.path("elsewhere")).unwrap();
    symlink(host.path("elsewhere"), host.path("host/etc/credstore")).unwrap();
    host.run(&["secrets", "set", "--plain", "a"], VALUE.as_bytes()).assert(4);
    fs::remove_file(host.path("host/etc/credstore")).unwrap();
    fs::create_dir(host.path("host/etc/credstore")).unwrap();
    symlink(host.path("elsewhere/file"), host.path("host/etc/credstore/a")).unwrap();
    host.run(&["secrets", "set", "--plain", "a"], VALUE.as_bytes()).assert(4);
    assert_eq!(fs::read_dir(host.path("elsewhere")).unwrap().count(), 0);
}

#[test]
fn a_host_that_does_not_run_is_told_what_it_will_lack() {
    let host = Host::new();
    let bundle = host.path("bundle");
    let said = host.run(&["plan", bundle.to_str().unwrap()], b"");
    said.assert(0);
    assert!(
        said.err.starts_with(
            "note: this host does not have all secrets of the bundle:\n- shop.service needs db; set it with: sudo citadel \
             secrets set --plain db\n- shop.service, web.service needs hf_token; set it with: sudo citadel secrets set hf_token"
        ),
        "{said:?}"
    );
}
