# Sums up, per class of service, the pods of the shard with number `shard` among `shards`.
# Columns: name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,...

BEGIN { FS = "," }

NR > 1 && NR % shards == shard {
    pods[$7]++
    cpu[$7] += $2
    memory[$7] += $3
    gpu[$7] += $4 * $5
    if ($2 > largest[$7]) largest[$7] = $2
}

END {
    for (qos in pods) print qos, pods[qos], cpu[qos], largest[qos], memory[qos], gpu[qos]
}
