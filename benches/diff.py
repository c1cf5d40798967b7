"""Runs the commands of benches/diff in turns, and prints medians of CPU time and the most memory that each took."""

import os
import sys

folder = sys.argv[1]
citadel = os.environ["CITADEL"]
runs = int(os.environ["RUNS"])
FORMATS = ["terminal", "markdown", "json", "html"]


def run(arguments):
    """Returns milliseconds of CPU and megabytes of memory."""
    quiet = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    # Without a home there is no stamp of an earlier build, so every build is a whole one.
    environment = {name: os.environ[name] for name in os.environ if name not in ("HOME", "XDG_CACHE_HOME")}
    process = os.posix_spawn(citadel, [citadel, "-C", folder, *arguments], environment, file_actions=quiet)
    _, status, used = os.wait4(process, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        sys.exit(f"citadel {' '.join(arguments)} fails")
    return (used.ru_utime + used.ru_stime) * 1000, used.ru_maxrss / 1024


def diff(count, changed, kind):
    return ["diff", f"s{count}-0", f"s{count}-{changed}", "--format", kind, "-o", f"out.{kind}"]


def measure(commands):
    """Returns the median of CPU time and the most memory of each command, which take turns."""
    seen = {name: [] for name in commands}
    for _ in range(runs):
        for name, arguments in commands.items():
            seen[name].append(run(arguments))
    return {name: (sorted(cpu for cpu, _ in used)[runs // 2], max(memory for _, memory in used)) for name, used in seen.items()}


commands = {"build": ["build", "s1000-0", "-o", "again"], "same": diff(1000, 0, "terminal")}
commands |= {(changed, kind): diff(1000, changed, kind) for changed in (10, 1000) for kind in FORMATS}
commands |= {("grow", count): diff(count, count, "terminal") for count in (250, 500, 2000)}
found = measure(commands)
build = found["build"][0]
print(f"1,000 services, {runs} runs each; a build takes {build:.0f} ms of CPU")


def line(name, key, limit):
    cpu, memory = found[key]
    print(f"   {name}: {cpu:.0f} ms of CPU, {cpu / build:.3f} of the build{limit}, {memory:.0f} MB")


line("no change", "same", "")
for changed, limit in ((10, " (at most 100 ms and 100 MB)"), (1000, " (at most 1,000 ms)")):
    for kind in FORMATS:
        line(f"{changed:,} changes, {kind}", (changed, kind), limit)
print("everything changed, by the number of services")
for count, key in ((250, ("grow", 250)), (500, ("grow", 500)), (1000, (1000, "terminal")), (2000, ("grow", 2000))):
    line(f"{count:,}", key, "")
