"""Runs ClickHouse inside this process. One JSON object a line: {"sql": ...} in, {"out": ...} or {"error": ...} out."""
import json
import sys

from chdb import session

clickhouse = session.Session(sys.argv[1])
for line in sys.stdin:
    try:
        answer = {"out": str(clickhouse.query(json.loads(line)["sql"], "JSONEachRow"))}
    except Exception as thrown:
        answer = {"error": str(thrown)}
    print(json.dumps(answer), flush=True)
