//! How long a switch takes, against the least that it could take. `benches/switch` runs this with the released program.

use std::io::Write as _;

use crate::host::machine::{SYSTEMD_252, SYSTEMD_257};
use crate::site::{PROGRAM, Site, profile};

/// Times commands on the host itself, in turns, and prints the median of each in milliseconds.
const MEASURE: &str = r#"
import subprocess, sys, time
runs, *commands = sys.argv[1:]
times = [[] for _ in commands]
for _ in range(int(runs)):
    for command, taken in zip(commands, times):
        start = time.monotonic()
        subprocess.run(command, shell=True, check=True, capture_output=True)
        taken.append(time.monotonic() - start)
print(*(sorted(taken)[len(taken) // 2] * 1000 for taken in times))
"#;

fn fifty_services(size: u32) -> String {
    format!(
        r#"{{
            host = import "../hosts/site.json",
            target.unit = "fifty",
            services = std.array.range 0 50
                |> std.array.map (fun number => {{
                    field = "s%{{std.to_string number}}",
                    value = {{ exec.command = ["/bin/sleep", "infinity"], environment.SIZE = {size}, health.alive.unit = {{}} }},
                }})
                |> std.record.from_array,
        }}"#
    )
}

fn measure(release: &crate::host::machine::Release) {
    let (one, two) = (profile(&fifty_services(1)), profile(&fifty_services(2)));
    let Some(site) = Site::running(release, &[&one]) else { return };
    let (one_there, two_there) = (site.copy(&one), site.copy(&two));
    let units: Vec<String> = (0..50).map(|number| format!("s{number}.service")).collect();
    let bare = format!("systemctl daemon-reload && systemctl restart {}", units.join(" "));
    let runs = std::env::var("RUNS").unwrap_or_else(|_| "15".to_owned());
    let commands = [
        format!("{PROGRAM} switch {two_there}"),
        bare.clone(),
        format!("{PROGRAM} switch {one_there}"),
        bare,
        format!("{PROGRAM} switch {one_there}"),
        "systemctl daemon-reload".to_owned(),
    ];
    let arguments: Vec<&str> = commands.iter().map(String::as_str).collect();
    let printed = site.host.run(&[&["python3", "-c", MEASURE, &runs], arguments.as_slice()].concat());
    let medians: Vec<f64> = printed.split_ascii_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [there, bare, back, bare_again, unchanged, reload] = medians[..] else { panic!("{printed}") };
    site.assert_runs(&one);
    let (switch, bare) = ((there + back) / 2.0, (bare + bare_again) / 2.0);
    let _ = writeln!(
        std::io::stderr(),
        "systemd {}, {runs} runs each\n   50 changed units: switch {switch:.0} ms, daemon-reload and restart {bare:.0} ms: \
         ratio {:.2} (at most 1.30)\n   nothing changed: switch {unchanged:.1} ms, daemon-reload {reload:.0} ms: \
         ratio {:.3} (at most 0.100)",
        release.systemd,
        switch / bare,
        unchanged / reload
    );
}

#[test]
#[ignore = "a measurement, which benches/switch makes"]
fn speed_of_switches() {
    measure(&SYSTEMD_252);
    measure(&SYSTEMD_257);
}
