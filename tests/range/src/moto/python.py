"""Runs one script after the other, each in a namespace of its own: importing boto3, and making its clients, takes
longer than most scripts."""
import contextlib
import functools
import io
import json
import os
import sys
import traceback

import boto3

make = boto3.client


@functools.cache
def made(endpoint, *what, **how):
    return make(*what, **how)


# A script may look from elsewhere: a client is bound to the endpoint that it was made for.
boto3.client = lambda *what, **how: made(os.environ.get("AWS_ENDPOINT_URL"), *what, **how)

for line in sys.stdin:
    want = json.loads(line)
    os.environ["RANGE_INPUT"] = want["input"]
    out, failed = io.StringIO(), None
    try:
        with contextlib.redirect_stdout(out):
            exec(compile(want["script"], "<script>", "exec"), {"__name__": "__main__"})
    except BaseException:
        failed = traceback.format_exc()
    print(json.dumps({"out": out.getvalue(), "failed": failed}), flush=True)
