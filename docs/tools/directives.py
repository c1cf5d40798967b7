#!/usr/bin/env python3
"""Writes src/bundle/unit/directives/table.tsv out of the parser tables of several systemd releases.

    docs/tools/directives.py systemd-directives.json > src/bundle/unit/directives/table.tsv

The input is one JSON object: release -> list of {section, name, parser}, taken from systemd's own
src/core/load-fragment-gperf.gperf.in (or .m4). A line of the output is one run of releases over which
a directive has the same parser in the same sections.
"""

import json
import sys
from collections import defaultdict

# The tables were read without resolving their build conditions, so the branch for "built without seccomp, PAM,
# SELinux, ..." won. These are the parsers of the other branch, which every distribution builds.
BUILT_IN = {
    "AppArmorProfile": "exec_apparmor_profile",
    "LockPersonality": "bool",
    "MemoryDenyWriteExecute": "bool",
    "PAMName": "unit_string_printf",
    "RestrictAddressFamilies": "address_families",
    "RestrictNamespaces": "namespace_flags",
    "RestrictRealtime": "bool",
    "RestrictSUIDSGID": "bool",
    "SELinuxContext": "exec_selinux_context",
    "SELinuxContextFromNet": "bool",
    "SmackLabel": "unit_string_printf",
    "SmackLabelIPIn": "unit_string_printf",
    "SmackLabelIPOut": "unit_string_printf",
    "SmackProcessLabel": "exec_smack_process_label",
    "SystemCallArchitectures": "syscall_archs",
    "SystemCallErrorNumber": "syscall_errno",
    "SystemCallFilter": "syscall_filter",
    "SystemCallLog": "syscall_log",
}

# The release that brought a directive, where it lies between two of the releases read: "Added in version" in the manual
# pages of systemd 262, and the release notes for what those do not say.
BROUGHT_BY = {
    248: "ConditionCPUFeature ExecPaths ExtensionImages IPCNamespacePath ManagedOOMMemoryPressureLimit"
    " ManagedOOMPreference NoExecPaths PrivateIPC",
    249: "BPFProgram ConditionFirmware ConditionOSRelease OnSuccess OnSuccessJobMode PropagatesStopTo SocketBindAllow"
    " SocketBindDeny StopPropagatedFrom Upholds",
    250: "ConditionCPUPressure ConditionIOPressure ConditionMemoryPressure ExecSearchPath ExitType ExtraOptions"
    " LoadCredentialEncrypted RestrictFileSystems RestrictNetworkInterfaces RuntimeRandomizedExtraSec"
    " SetCredentialEncrypted TTYColumns TTYRows",
    251: "ExtensionDirectories",
    253: "LogFilterPatterns MemoryZSwapMax OpenFile ReloadSignal StartupMemoryZSwapMax",
    255: "CoredumpReceive DelegateSubgroup NFTSet PollLimitBurst PollLimitIntervalSec SetLoginEnvironment"
    " SurviveFinalKillSignal",
    256: "MemoryZSwapWriteback PassFileDescriptorsToExec WantsMountsFor",
    258: "AcceptFileDescriptors BPFDelegateAttachments BPFDelegateCommands BPFDelegateMaps BPFDelegatePrograms"
    " CacheDirectoryAccounting CacheDirectoryQuota ConcurrencyHardMax ConcurrencySoftMax ConditionKernelModuleLoaded"
    " ConditionVersion DeferTrigger DeferTriggerMaxSec DelegateNamespaces LogsDirectoryAccounting LogsDirectoryQuota"
    " PassPIDFD PrivateBPF RandomizedOffsetSec StateDirectoryAccounting StateDirectoryQuota",
    259: "ExecReloadPost UserNamespacePath",
    260: "BindNetworkInterface ConditionPathIsSocket MemoryTHP RefreshOnReload RootMStack",
    261: "CPUPressureThresholdSec CPUPressureWatch CPUSetPartition ConditionFraction ConditionMachineTag"
    " IOPressureThresholdSec IOPressureWatch OOMRules",
}


def first_releases():
    found = {}
    for release, names in BROUGHT_BY.items():
        for name in names.split():
            found[name] = release
            found[name.replace("Condition", "Assert", 1)] = release
    return found


def parser_of(entry):
    parser = BUILT_IN.get(entry["name"], entry["parser"])
    if parser == "NULL":  # [Install], which systemctl reads
        return "install"
    return parser.removeprefix("config_parse_")


def main():
    with open(sys.argv[1], encoding="utf-8") as source:
        tables = {int(release): entries for release, entries in json.load(source).items()}
    releases = sorted(tables)
    brought = first_releases()

    history = defaultdict(dict)
    for release in releases:
        for entry in tables[release]:
            history[entry["name"], entry["section"]][release] = parser_of(entry)

    lines = defaultdict(list)
    for (name, section), parsers in history.items():
        run = []
        for release in [*releases, None]:
            if run and parsers.get(release) != parsers[run[0]]:
                first = run[0]
                before = max((r for r in releases if r < first), default=None)
                if before and before not in parsers and before < brought.get(name, 0) < first:
                    first = brought[name]
                lines[name, first, run[-1], parsers[run[0]]].append(section)
                run = []
            if release in parsers:
                run.append(release)

    print("# What each directive of systemd is read by, and where: name, sections, first and last release, parser.")
    print(f"# From systemd's load-fragment-gperf tables of {', '.join(map(str, releases))}, by docs/tools/directives.py.")
    for (name, first, last, parser), sections in sorted(lines.items()):
        print(name, ",".join(sorted(sections)), first, last, parser, sep="\t")


main()
