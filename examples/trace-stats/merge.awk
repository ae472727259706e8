# Adds up what the shards have counted, and prints it as a table. Input is sorted by class of service.

function row(name, pods, cpu, largest, memory, gpu) {
    printf "%-12s %6d %10.2f %9.1f %10.2f %8.1f\n", name, pods, cpu / pods / 1000, largest / 1000, memory / pods / 1024, gpu / 1000
}

function flush() {
    if (pods) row(qos, pods, cpu, largest, memory, gpu)
    pods = cpu = largest = memory = gpu = 0
}

BEGIN { printf "%-12s %6s %10s %9s %10s %8s\n", "qos", "pods", "mean cpus", "max cpus", "mean GiB", "GPUs" }

$1 != qos { flush(); qos = $1 }

{
    pods += $2; all_pods += $2
    cpu += $3; all_cpu += $3
    if ($4 > largest) largest = $4
    if ($4 > all_largest) all_largest = $4
    memory += $5; all_memory += $5
    gpu += $6; all_gpu += $6
}

END {
    flush()
    if (!all_pods) { print "no shard has counted anything"; exit 1 }
    row("all", all_pods, all_cpu, all_largest, all_memory, all_gpu)
}
