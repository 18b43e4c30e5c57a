"""One's own labels and probabilities, from CSV, Parquet, NPZ or NPY files.

A matrix has a row per image and a column per class; a CSV has it with or without a line of names above. Or LABELS has
one column of tags beside that of ids: the names of the classes that apply, in one text with a delimiter between them.
An NPY is mapped, not read; a CSV is read in pieces, labels into int8 and probabilities into float64.
"""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from nlcore.errors import InputError, require
from nlcore.scorers.annotations import Annotations, Matrix, Watch, as_annotations, unwatched

CHUNK_CELLS = 8_000_000  # of a CSV that are read at a time: 64 MB as numbers
SUFFIXES = (".csv", ".parquet", ".npz", ".npy")
TABLES = (".csv", ".parquet")
LABELS, PROBS = "labels", "probs"  # what the two are called in an NPZ
VALUES = {LABELS: "1, 0 or -1 for unknown", PROBS: "a probability between 0 and 1"}
TRUTHS = ("true", "false")
# Before pandas 3.1 the last bit of a number was lost unless one asked for it; since then to ask is deprecated.
EXACT = {"float_precision": "round_trip"} if tuple(map(int, pd.__version__.split(".")[:2])) < (3, 1) else {}


def read_annotations(
    labels: Path,
    probs: Path,
    *,
    ids: str | None = None,
    classes: str | None = None,
    delimiter: str = ";",
    watch: Watch = unwatched,
) -> Annotations:
    """Read the two files and bring them together: rows by id and columns by class, where both files name them.

    Args:
        labels: a matrix of 1, 0 and -1 (unknown), or in CSV and Parquet one column of tags.
        probs: a matrix of probabilities. Both may be one NPZ, with the arrays `labels` and `probs`, and perhaps `ids`
            and `classes`.
        ids: the column of each table that holds the images' ids, or a text file with one id a line; by default a
            first column without a name (the index of a DataFrame), else images are numbered from 0.
        classes: names with commas between them, or a text file with one a line, in the order of the columns.
        delimiter: what stands between two tags.
        watch: sees the pieces of a table go by.

    Raises:
        InputError: a file that is absent, cannot be read or is of another kind, values out of range, a tag that is no
            class, or ids, names and shapes that do not fit.
    """
    for path in (labels, probs):
        require(path.is_file(), "file", str(path), "one that is there")
        require(path.suffix in SUFFIXES, "file", str(path), f"a name that ends in {', '.join(SUFFIXES)}")
    require(delimiter != "", "delimiter", delimiter, "one character or more")
    column, rows = _find_ids(ids, (labels, probs))
    if column is not None:
        _check_column(column, [path for path in (labels, probs) if path.suffix in TABLES])
    names = None if classes is None else _listed(classes)
    model = _read_matrix(probs, PROBS, column, watch)
    own = names if names is not None else _columns(model)
    truth = _read_labels(labels, column, own, np.shape(model)[1:], delimiter, watch)
    _check_ids_of_tables({labels: truth, probs: model})
    return as_annotations(truth, model, ids=rows, classes=names)


def _check_ids_of_tables(found: Mapping[Path, Matrix]) -> None:
    """Of two tables both have ids, or neither: rows in another order would be matched in silence."""
    tables = {path: matrix for path, matrix in found.items() if path.suffix in TABLES}
    numbered = [path for path, matrix in tables.items() if isinstance(matrix.index, pd.RangeIndex)]
    if len(tables) == 2 and len(numbered) == 1 and len({len(matrix) for matrix in tables.values()}) == 1:
        (other,) = tables.keys() - set(numbered)
        raise InputError(f"{numbered[0]}: found no ids of its images; expected them in a column, as {other} has them")


def _find_ids(ids: str | None, paths: Iterable[Path]) -> tuple[str | None, list[str] | None]:
    """What `ids` is: the name of a column, or the ids themselves."""
    if ids is None:
        return None, None
    if any(ids in _header(path) for path in paths):
        return ids, None
    require(Path(ids).is_file(), "ids", ids, "a column of each table, or a text file with one id a line")
    return None, _lines(Path(ids))


def _check_column(ids: str, tables: Sequence[Path]) -> None:
    """Of two tables with names, both have the column: told before a column of other ids is read as one of numbers."""
    headers = {path: _header(path) for path in tables}
    for path, names in headers.items():
        if names and ids not in names and names[0] != "" and len(tables) == 2:
            (other,) = set(tables) - {path}
            raise InputError(
                f"{path}: found no column {ids!r}; expected one with the ids of its images, as {other} has"
            )


def _listed(classes: str) -> list[str]:
    names = _lines(Path(classes)) if Path(classes).is_file() else [name.strip() for name in classes.split(",")]
    require("" not in names, "classes", classes, "names with commas between them, or a file with one a line")
    return names


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _columns(matrix: Matrix) -> list[str] | None:
    named = isinstance(matrix, pd.DataFrame) and not isinstance(matrix.columns, pd.RangeIndex)
    return list(matrix.columns) if named else None


# Matrices -------------------------------------------------------------------------------------------------------------


def _read_matrix(path: Path, what: str, ids: str | None, watch: Watch) -> Matrix:
    """A matrix; a DataFrame where its rows or columns have names."""
    if path.suffix == ".npy":
        return _shaped(_map(path), path, what)
    if path.suffix == ".npz":
        return _read_npz(path, what)
    pieces, first = [], 0
    for piece in watch(_pieces(path, ids), f"reading {path.name}"):
        values = _numbers(piece, first, path, what, ids)
        pieces.append(pd.DataFrame(values, index=piece.index, columns=piece.columns))
        first += len(piece)
    return _joined(pieces)


def _map(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(path, error) from error


def _read_npz(path: Path, what: str) -> Matrix:
    arrays = _arrays(path)
    matrices = [name for name, array in arrays.items() if array.ndim == 2]
    name = what if what in arrays or len(matrices) != 1 else matrices[0]
    if name not in arrays:
        raise InputError(f"{path}: found the arrays {', '.join(arrays) or 'none'}; expected one named {what}")
    values = _shaped(arrays[name], path, what)
    listed = [arrays.get(key) for key in ("ids", "classes")]
    index, columns = (None if found is None else list(map(str, found.ravel())) for found in listed)
    for key, found, count in zip(("ids", "classes"), (index, columns), values.shape, strict=True):
        valid = found is None or len(found) == count
        require(valid, f"{key} in {path}", 0 if found is None else len(found), f"{count}, as {name} has")
    return values if index is columns is None else pd.DataFrame(values, index=index, columns=columns, copy=False)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # zipfile, zlib and NumPy each have their own for a damaged file
        raise _unreadable(path, error) from error


def _shaped(array: np.ndarray, path: Path, what: str) -> np.ndarray:
    kinds = "fiub" if what == LABELS else "f"
    valid = isinstance(array, np.ndarray) and array.ndim == 2 and array.dtype.kind in kinds
    found = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else "several arrays"
    numbers = "numbers" if what == LABELS else "floating-point numbers"
    require(valid, f"{what} in {path}", found, f"{numbers} of shape (images, classes)")
    return array


def _numbers(piece: pd.DataFrame, first: int, path: Path, what: str, ids: str | None) -> np.ndarray:
    """The values of some rows of a table, before which it has `first`; the first bad one is named."""
    try:
        values = piece.to_numpy(dtype=np.float64)
    except (ValueError, TypeError):
        values = piece.apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    good = np.isin(values, (0, 1, -1)) if what == LABELS else (values >= 0) & (values <= 1)
    if not good.all():
        row, column = np.argwhere(~good)[0]
        found = piece.iloc[row, column]
        told = "an empty field" if pd.isna(found) else repr(found.item() if isinstance(found, np.generic) else found)
        place = f"{_image(path, piece.index, first, row)}, column {piece.columns[column]!r}"
        may_be_ids = ids is None and column == 0 and isinstance(piece.index, pd.RangeIndex)
        hint = " (--ids names a column of ids)" if may_be_ids else ""
        raise InputError(f"{place}: found {told}; expected {VALUES[what]}{hint}")
    return values.astype(np.int8) if what == LABELS else values


def _image(path: Path, index: pd.Index, first: int, row: int) -> str:
    """How a row is named: by the id that its table has of it, else by its number, which results have too."""
    numbered = isinstance(index, pd.RangeIndex)
    return f"{path}, image {first + row if numbered else repr(index[row])}{', counted from 0' if numbered else ''}"


# Tables ---------------------------------------------------------------------------------------------------------------


def _read_labels(
    path: Path, ids: str | None, classes: Sequence[str] | None, width: tuple[int, ...], delimiter: str, watch: Watch
) -> Matrix:
    """Labels: a matrix, or where the table has one column and there are more classes, tags."""
    if path.suffix in (".npy", ".npz"):
        return _read_matrix(path, LABELS, ids, watch)
    values = [name for name in _header(path) if name not in ("", ids)]  # the first blank one is an index
    if len(values) != 1 or (width == (1,) and values == list(classes or values)):
        return _read_matrix(path, LABELS, ids, watch)
    if classes is None:
        raise InputError(
            f"{path}: found tags, and no names of classes; expected --classes, or a header of probabilities"
        )
    pieces, first = [], 0
    for piece in watch(_pieces(path, ids, tags=values[0]), f"reading {path.name}"):
        matrix = _tags_to_matrix(piece[values[0]], first, classes, delimiter, path)
        pieces.append(pd.DataFrame(matrix, index=piece.index, columns=list(classes)))
        first += len(piece)
    return _joined(pieces)


def _tags_to_matrix(texts: pd.Series, first: int, classes: Sequence[str], delimiter: str, path: Path) -> np.ndarray:
    """Labels (rows, K) int8 of 0 and 1, from one text, or list, of tags for each image."""
    column = {str(name): number for number, name in enumerate(classes)}
    matrix = np.zeros((len(texts), len(column)), dtype=np.int8)
    for row, text in enumerate(texts):
        for tag in _split(text, delimiter):
            if tag not in column:
                told = ", ".join(list(column)[:5]) + (", ..." if len(column) > 5 else "")
                place = _image(path, texts.index, first, row)
                raise InputError(f"{place}: found the tag {tag!r}; expected some of {told}, with {delimiter!r} between")
            matrix[row, column[tag]] = 1
    return matrix


def _split(text: object, delimiter: str) -> Iterator[str]:
    """The tags of one image: of a text; of a list or array, as Parquet may hold; none of nothing."""
    listed = isinstance(text, (list, tuple, np.ndarray))
    parts = text if listed else [] if pd.isna(text) else str(text).split(delimiter)
    return filter(None, (str(part).strip() for part in parts))


def _header(path: Path) -> list[str]:
    """Names of the columns of a table; nothing of an array, or of a CSV that has none."""
    if path.suffix == ".parquet":
        return _parquet_names(path)
    line = _first_line(path) if path.suffix == ".csv" else []
    return line if _is_header(line) else []


def _first_line(path: Path) -> list[str]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            line = next(csv.reader(file), None)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable(path, error) from error
    if not line:
        raise InputError(f"{path}: found nothing in its first line; expected names of columns, or numbers")
    return line


def _is_header(line: Sequence[str]) -> bool:
    """Whether a CSV's first line is one of names: 0, 1, 2, ... are what pandas calls columns without a name."""
    if len(line) > 2 and list(line) == [str(number) for number in range(len(line))]:
        return True
    return not all(field.strip().lower() in TRUTHS or _is_number(field) for field in line)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _pieces(path: Path, ids: str | None, tags: str | None = None) -> Iterator[pd.DataFrame]:
    """The rows of a table, some at a time, indexed by the images' ids where it has a column of them."""
    if path.suffix == ".parquet":
        frame = _read_parquet(path)
        yield _by_id(frame, ids)
        return
    line = _first_line(path)
    named = _is_header(line)
    key = ids if ids in line else "Unnamed: 0" if named and line[0] == "" else None
    twice = sorted({name for name in line if line.count(name) > 1}) if named else []
    require(not twice, f"columns of {path}", twice[:3], "each name once")
    texts = {name: str for name in (key, tags) if name is not None}
    options = {"dtype": texts, "keep_default_na": tags is None} | EXACT
    options |= {"chunksize": max(1, CHUNK_CELLS // len(line)), "encoding": "utf-8-sig"}
    options |= {"header": 0 if named else None, "skip_blank_lines": len(line) > 1}  # one blank field: no tag
    try:
        for piece in pd.read_csv(path, **options):
            if not isinstance(piece.index, pd.RangeIndex):  # pandas takes the surplus for an index
                raise InputError(f"{path}: found more fields in a row than in its first line; expected as many")
            piece.columns = piece.columns if named else pd.RangeIndex(len(line))
            yield _by_id(piece, key)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise _unreadable(path, error) from error


def _by_id(piece: pd.DataFrame, key: str | None) -> pd.DataFrame:
    if key is not None and key in piece.columns:
        empty = np.flatnonzero(piece[key].isna())
        require(not len(empty), f"ids, in column {key!r}", "an empty field", "one for each image")
        piece = piece.set_index(key)
    if not isinstance(piece.index, pd.RangeIndex):
        piece.index = piece.index.astype(str)
    if not isinstance(piece.columns, pd.RangeIndex):
        piece.columns = piece.columns.astype(str)
    return piece


def _read_parquet(path: Path) -> pd.DataFrame:
    _require_pyarrow(path)
    try:
        return pd.read_parquet(path, engine="pyarrow")
    except Exception as error:  # pyarrow has its own for each way in which a file may be damaged
        raise _unreadable(path, error) from error


def _parquet_names(path: Path) -> list[str]:
    """Names of all columns, and of a named index; an index without a name is left out."""
    _require_pyarrow(path)
    import pyarrow.parquet

    try:
        return [name for name in pyarrow.parquet.read_schema(path).names if not name.startswith("__index_level_")]
    except Exception as error:
        raise _unreadable(path, error) from error


def _require_pyarrow(path: Path) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise InputError(f"{path}: found no package that reads Parquet; expected pyarrow (the extra parquet), or a CSV")


def _joined(pieces: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One table of its pieces; those without ids are numbered on."""
    if not pieces:
        return pd.DataFrame()
    numbered = isinstance(pieces[0].index, pd.RangeIndex)
    return pd.concat(pieces, ignore_index=numbered) if len(pieces) > 1 else pieces[0]


def _unreadable(path: Path, error: Exception) -> InputError:
    return InputError(f"{path}: cannot be read ({' '.join(str(error).split())}); expected a whole {path.suffix} file")
