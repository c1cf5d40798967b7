//! Sockets that listen, and the processes that hold them, as the kernel lists them in `/proc` (proc_net(5)).

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::machine::{Holder, Listener};
use super::port::user;

/// How the kernel writes the state of a socket that listens.
const LISTENS: &str = "0A";

/// Returns the TCP sockets of this network namespace that listen on a port.
pub fn listeners(port: u16) -> io::Result<Vec<Listener>> {
    // `/proc/net` is not there where only processes are shown (`ProcSubset=pid`).
    let mut found = parse(&fs::read_to_string("/proc/self/net/tcp")?, port);
    match fs::read_to_string("/proc/self/net/tcp6") {
        Ok(text) => found.extend(parse(&text, port)),
        // A kernel without IPv6.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(found)
}

fn parse(text: &str, port: u16) -> Vec<Listener> {
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (address, number) = fields.next()?.rsplit_once(':')?;
        let listens = fields.nth(1)? == LISTENS && u16::from_str_radix(number, 16).ok()? == port;
        let uid = fields.nth(3)?.parse().ok()?;
        let inode = fields.nth(1)?.parse().ok()?;
        listens.then_some(Listener { address: self::address(address)?, uid, inode })
    };
    text.lines().filter_map(line).collect()
}

/// Reads an address: words of 32 bits in hexadecimal, each in the byte order of this machine.
fn address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| Some(u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes());
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

/// Returns the processes that have a socket open. Those of other users are seen by root only.
pub fn holders(inode: u64) -> Vec<Holder> {
    let wanted = format!("socket:[{inode}]");
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let holds = |process: &Path| {
        let Ok(mut files) = fs::read_dir(process.join("fd")) else { return false };
        files.any(|file| {
            let target = file.and_then(|file| fs::read_link(file.path()));
            target.is_ok_and(|target| target.as_os_str() == wanted.as_str())
        })
    };
    let holder = |process: io::Result<fs::DirEntry>| {
        let process = process.ok()?;
        let pid = process.file_name().to_str()?.parse().ok()?;
        let path = process.path();
        if !holds(&path) {
            return None;
        }
        use std::os::unix::fs::MetadataExt as _;
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default().trim_end().to_owned();
        let cgroup = fs::read_to_string(path.join("cgroup")).unwrap_or_default();
        Some(Holder { pid, name, user: user(process.metadata().ok()?.uid()), unit: unit(&cgroup) })
    };
    processes.filter_map(holder).collect()
}

/// Returns the unit of a process from its cgroups: the innermost part of a path that is the name of one.
fn unit(cgroups: &str) -> Option<String> {
    let suffixes = [".service", ".scope"];
    let is_unit = |part: &&str| suffixes.iter().any(|suffix| part.len() > suffix.len() && part.ends_with(suffix));
    cgroups.lines().filter_map(group).find_map(|path| path.rsplit('/').find(is_unit)).map(str::to_owned)
}

/// Returns the path of a control group of systemd: in the unified hierarchy, or in systemd's own beside those of
/// controllers. One of them may be empty.
fn group(line: &str) -> Option<&str> {
    line.strip_prefix("0::").or_else(|| line.split_once(":name=systemd:").map(|(_, path)| path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0000000000000000 20 4 30 10 -1
   2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000000000000000 100 0 0 10 0
";
    const TCP6: &str = "  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  33 0 4714 1
";

    #[test]
    #[cfg(target_endian = "little")]
    fn only_sockets_that_listen_on_the_port_count() {
        assert_eq!(parse(TCP, 8080), [Listener { address: [127, 0, 0, 1].into(), uid: 1000, inode: 4711 }]);
        assert_eq!(parse(TCP6, 8080), [Listener { address: Ipv6Addr::LOCALHOST.into(), uid: 33, inode: 4714 }]);
        assert_eq!(parse(TCP, 8081), []);
    }

    #[test]
    fn the_unit_of_a_process_is_the_innermost() {
        let table = [
            ("0::/system.slice/web.service\n", Some("web.service")),
            ("0::/system.slice/web.service/worker\n", Some("web.service")),
            ("0::/user.slice/user-1.slice/user@1.service/app.slice/a.scope\n", Some("a.scope")),
            ("0::/init.scope\n", Some("init.scope")),
            ("0::/\n", None),
            ("4:memory:/a\n1:name=systemd:/system.slice/b.service\n", Some("b.service")),
            ("1:name=systemd:/\n0::/machine.slice/payload/system.slice/c.service\n", Some("c.service")),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(unit(text).as_deref(), expected, "{text:?}");
        }
    }
}
