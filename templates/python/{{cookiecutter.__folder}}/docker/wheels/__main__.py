"""wheels - fits what the packages have installed for the image: only the declared commands, libraries without debug
information, and in each package's record just what ships."""

import base64
import csv
import hashlib
import sysconfig
from pathlib import Path

import commands
from strip import strip

commands.keep()
site = Path(sysconfig.get_path("purelib"))
for record in site.glob("*.dist-info/RECORD"):
    rows = [row for row in csv.reader(record.read_text().splitlines()) if (site / row[0]).exists()]
    for row in rows:
        file = site / row[0]
        if ".so" in file.suffixes and strip(file):
            data = file.read_bytes()
            checksum = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            row[1:] = [f"sha256={checksum}", str(len(data))]
    with record.open("w", newline="") as written:
        csv.writer(written, lineterminator="\n").writerows(rows)
