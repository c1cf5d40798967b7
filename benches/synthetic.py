"""Writes a profile with as many services as the first argument says, written out one by one as a person would.

Every tenth service is a vLLM server on a GPU of its own; the others are programs with a port, a probe, an environment and
dependencies. With a second argument, so many services, evenly spread, run with another option or variable.
"""

import sys

count = int(sys.argv[1])
changed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
models = [number for number in range(count) if number % 10 == 0]
gpus = ", ".join('{ name = "NVIDIA H200", memory = "143771M" }' for _ in models)


def differs(number):
    return (number + 1) * changed // count > number * changed // count


print('let citadel = import "citadel/lib.ncl" in\n{')
print(f'  host = {{ name = "synthetic", systemd = 257, cpus = 4096, memory = "64T", gpus = [{gpus}] }},')
for place, number in enumerate(models):
    print(f"  gpus.g{place}.index = {place},")
print("  services = {")
for number in range(count):
    length, mode = (4096, "trial") if differs(number) else (8192, "production")
    print(f"    s{number} = {{")
    print(f'      description = "Service number {number}",')
    print(f"      port = {20000 + number},")
    if number % 10 == 0:
        print(f'      vllm = {{ model = "/srv/models/m{number}", max_model_len = {length},')
        print("               shape = { parameters_billion = 7.25, layers = 32, kv_heads = 8, head_dim = 128 } },")
        print(f"      gpu.devices.g{number // 10} = true,")
    else:
        print(f'      exec.command = ["/opt/s{number}/bin/server", "--port", "{20000 + number}"],')
        print(f'      environment = {{ MODE = "{mode}", NUMBER = "{number}", URL = "http://127.0.0.1:{20000 + number}/" }},')
        print("      health.http.http = {},")
        print(f"      requires.s{number - number % 10} = true,")
    print(f'      resources = {{ memory_max = "{1 + number % 7}G", cpu_quota = 200 }},')
    print('      restart = { delay = "5s", max_starts = 4 },')
    print("    },")
print("  },\n} | citadel.Profile")
