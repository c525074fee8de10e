"""What is relational: `sql/<stage>/<name>.sql` holds one SELECT, run by DuckDB over the lake's files or over frames."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import duckdb
import polars as pl


def select(name: str, tables: Mapping[str, pl.DataFrame | Sequence[Path]], **parameters: object) -> pl.DataFrame:
    """Rows of the SELECT in `sql/<name>.sql`.

    `tables` maps each `<stage>.<table>` that the SELECT names to a frame or to Parquet files; `parameters` fill its
    `$parameters`. Runs single-threaded where row order would otherwise depend on the number of threads: every SELECT
    states its own order.
    """
    text = files("sql").joinpath(f"{name}.sql").read_text(encoding="utf-8")
    with duckdb.connect() as connection:
        for table, rows in tables.items():
            stage, _, short = table.partition(".")
            connection.execute(f'create schema if not exists "{stage}"')
            if isinstance(rows, pl.DataFrame):
                connection.register(f"{stage}__{short}", rows.to_arrow())
                connection.execute(f'create view "{stage}"."{short}" as from "{stage}__{short}"')
            else:
                paths = ", ".join("'" + str(path).replace("'", "''") + "'" for path in rows)
                connection.execute(f'create view "{stage}"."{short}" as from read_parquet([{paths}])')
        return pl.DataFrame(connection.sql(text, params=parameters or None).to_arrow_table())
