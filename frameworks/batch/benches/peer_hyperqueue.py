"""Runs an array of /bin/true on HyperQueue, its server and a worker on this machine; prints tasks per second for each number of
cpus that the worker announces. Needs `pip install hyperqueue`."""

import sys
import tempfile
import time

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

tasks = int(sys.argv[1])
for cores in (2, 8):
    with tempfile.TemporaryDirectory() as folder, LocalCluster() as cluster:
        cluster.start_worker(WorkerConfig(cores=cores))
        client = cluster.client()
        warm = Job()
        warm.program(["/bin/true"], stdout=None, stderr=None, cwd=folder)
        client.wait_for_jobs([client.submit(warm)])
        job = Job()
        for _ in range(tasks):
            job.program(["/bin/true"], stdout=None, stderr=None, cwd=folder)
        start = time.monotonic()
        client.wait_for_jobs([client.submit(job)])
        print(cores, tasks / (time.monotonic() - start), flush=True)
