"""Medians over rounds, and what follows from them."""

from __future__ import annotations

from statistics import median
from typing import Any

from data import DataSet

Result = dict[str, Any]


def summary(results: list[Result], data: DataSet) -> Result:
    """Of one reader's rounds on one data set: medians, and how far the rounds lie apart."""
    errors = [result["error"] for result in results if "error" in result]
    if errors or not results:
        return {"error": errors[0] if errors else "not measured"}
    rates = [result["rows"] / result["seconds"] for result in results]
    rate = median(rates)
    found: Result = {
        "rounds": len(results),
        "rows_per_second": rate,
        "lowest": min(rates),
        "highest": max(rates),
        "gb_per_second": rate * data.decoded_bytes / data.rows / 1e9,
    }
    if "cpu_seconds" in results[0]:
        found |= {
            "cpu_seconds_per_million_rows": median(r["cpu_seconds"] / r["rows"] * 1e6 for r in results),
            "peak_bytes": median(r["peak_bytes"] for r in results),
            "built_seconds": median(r["built_seconds"] for r in results),
            "first_seconds": median(r["first_seconds"] for r in results),
            "capped": any(r["capped"] for r in results),
        }
    return found


def relate(readers: dict[str, Result]) -> None:
    """Adds to every reader how it stands to the hand-written loop and to the pages-only rate of the same rounds."""
    loop = readers.get("naive", {}).get("rows_per_second")
    limit = readers.get("pages-only", {}).get("rows_per_second")
    for found in readers.values():
        if "rows_per_second" in found:
            found["times_loop"] = found["rows_per_second"] / loop if loop else None
            found["share_of_pages"] = found["rows_per_second"] / limit if limit else None
