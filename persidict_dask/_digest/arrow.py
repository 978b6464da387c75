"""Tokens of Arrow data by logical content: chunks, offsets and bytes under nulls do not count."""

from __future__ import annotations

import sys
from typing import Any

from persidict_dask._digest.buffers import buffer_token
from persidict_dask._digest.elsewhere import settle
from persidict_dask._digest.frame import frame, frame_all
from persidict_dask._digest.objects import reduced
from persidict_dask._digest.walk import Handler, Walker
from persidict_dask._errors import UnstableKeyError


def _arrow() -> Any:
    return sys.modules["pyarrow"]


def arrow_token(walker: Walker, values: Any) -> bytes:
    """Token of an array or chunked array."""
    pa = _arrow()
    if isinstance(values, pa.ChunkedArray):
        values = _one_chunk(values)
    head = type_token(walker, values.type)
    return frame(b"arrow", head + walker.token(len(values)) + _content(walker, values))


def type_token(walker: Walker, kind: Any) -> bytes:
    """Token of a type: also what its text leaves out, as metadata of the fields inside."""
    parts = [str(kind).encode()]
    if isinstance(kind, _arrow().BaseExtensionType):
        parts += [_extension(walker, kind), type_token(walker, kind.storage_type)]
    elif _arrow().types.is_dictionary(kind):
        parts += [type_token(walker, kind.index_type), type_token(walker, kind.value_type)]
    else:
        parts += [_field(walker, kind.field(at)) for at in range(kind.num_fields)]
    return frame(b"type", b"".join(parts))


def _extension(walker: Walker, kind: Any) -> bytes:
    """Types of Python have a class and parameters; those of Arrow tell all in their text."""
    if not isinstance(kind, _arrow().ExtensionType):
        return b""
    parameters = walker.token(kind.__arrow_ext_serialize__())
    return walker.class_token(type(kind)) + walker.token(kind.extension_name) + parameters


def _field(walker: Walker, field: Any) -> bytes:
    head = walker.token((field.name, field.nullable, dict(field.metadata or {})))
    return frame(b"Field", head + type_token(walker, field.type))


def _one_chunk(values: Any) -> Any:
    pa = _arrow()
    joined = values.combine_chunks()
    if isinstance(joined, pa.ChunkedArray):
        return pa.concat_arrays(joined.chunks) if joined.num_chunks else pa.array([], values.type)
    return joined


def _content(walker: Walker, values: Any) -> bytes:
    types = _arrow().types
    kind = values.type
    if isinstance(kind, _arrow().BaseExtensionType):
        return arrow_token(walker, values.storage)
    if types.is_dictionary(kind):
        return _content(walker, values.dictionary_decode())
    if types.is_string(kind) or types.is_binary(kind) or types.is_large_string(kind):
        return texts_of(values)
    if types.is_large_binary(kind) or types.is_string_view(kind) or types.is_binary_view(kind):
        return texts_of(values)
    if types.is_struct(kind):
        return _struct(walker, values)
    if types.is_list(kind) or types.is_large_list(kind):
        return _list(walker, values)
    if types.is_boolean(kind):
        return _validity(values) + _buffer(_filled(values).cast("uint8"), 1)
    if types.is_floating(kind):
        return _validity(values) + _floats(_filled(values), kind.bit_width // 8)
    if types.is_primitive(kind) and kind.bit_width in (8, 16, 32, 64):
        return _validity(values) + _buffer(_filled(values), kind.bit_width // 8)
    return walker.sequence(b"items", values.to_pylist())


def _validity(values: Any) -> bytes:
    """One byte for each element, or nothing when none is null."""
    if not values.null_count:
        return frame(b"valid", b"")
    return frame(b"valid", values.is_valid().cast("uint8").to_numpy().tobytes())


def _filled(values: Any) -> Any:
    """Bytes under nulls are arbitrary: put the same ones everywhere."""
    if not values.null_count:
        return values
    if _arrow().types.is_boolean(values.type):
        return values.fill_null(False)
    whole = values.view(f"int{values.type.bit_width}")
    return whole.fill_null(_arrow().scalar(0, whole.type))


def _buffer(values: Any, width: int) -> bytes:
    data = values.buffers()[1]
    if data is None or not len(values):
        return frame(b"buffer", b"")
    start = values.offset * width
    return frame(b"buffer", memoryview(data)[start : start + len(values) * width])


def _floats(values: Any, width: int) -> bytes:
    """As `_buffer`, with one nan for all."""
    data = values.buffers()[1]
    if data is None or not len(values):
        return frame(b"buffer", b"")
    np = sys.modules["numpy"]
    whole = np.frombuffer(data, f"=f{width}", len(values), values.offset * width)
    return buffer_token((whole,))


def texts_of(values: Any) -> bytes:
    """Validity, lengths and the bytes of all elements one after the other."""
    if isinstance(values, _arrow().ChunkedArray):
        values = _one_chunk(values)
    valid = _validity(values)
    whole = values.cast("large_binary")
    if whole.null_count:
        whole = whole.fill_null(b"")
    if not len(whole):
        return text_token(valid, b"", b"")
    np = sys.modules["numpy"]
    offsets = np.frombuffer(whole.buffers()[1], "<i8", len(whole) + 1, whole.offset * 8)
    data = memoryview(whole.buffers()[2] or b"")
    lengths = memoryview(np.diff(offsets).view("u1"))
    return text_token(valid, lengths, data[int(offsets[0]) : int(offsets[-1])])


def text_token(valid: bytes, lengths: bytes | memoryview, data: bytes | memoryview) -> bytes:
    """Strings as a column, whichever library holds them."""
    return frame(b"texts", valid + frame(b"lengths", lengths) + frame(b"data", data))


def _struct(walker: Walker, values: Any) -> bytes:
    columns = (arrow_token(walker, part) for part in values.flatten())
    return _validity(values) + frame_all(b"struct", columns)


def _list(walker: Walker, values: Any) -> bytes:
    lengths = _arrow().compute.list_value_length(values).cast("int64")
    return _validity(values) + _buffer(_filled(lengths), 8) + arrow_token(walker, values.flatten())


def _array(walker: Walker, values: Any) -> bytes:
    return arrow_token(walker, values)


def _table(walker: Walker, table: Any) -> bytes:
    columns = frame_all(b"columns", (arrow_token(walker, column) for column in table.columns))
    tag = type(table).__name__.encode()
    return frame(tag, _schema(walker, table.schema) + walker.token(table.num_rows) + columns)


def _schema(walker: Walker, schema: Any) -> bytes:
    fields = frame_all(b"schema", (_field(walker, field) for field in schema))
    return fields + walker.token(dict(schema.metadata or {}))


def _whole_schema(walker: Walker, schema: Any) -> bytes:
    return frame(b"Schema", _schema(walker, schema))


def _type(walker: Walker, kind: Any) -> bytes:
    return frame(b"DataType", type_token(walker, kind))


def _scalar(walker: Walker, value: Any) -> bytes:
    return frame(b"Scalar", arrow_token(walker, _arrow().array([value.as_py()], value.type)))


def _fragment(walker: Walker, fragment: Any) -> bytes:
    """A file of a dataset: which one, and which version of it."""
    version = b""
    if getattr(fragment, "path", None) is not None and fragment.buffer is None:
        info = fragment.filesystem.get_file_info(fragment.path)
        if not info.is_file or info.mtime_ns is None:
            raise UnstableKeyError(f"no version of {fragment.path!r} can be found: pass its table")
        settle(info.mtime_ns / 1e9)
        version = walker.token((info.size, info.mtime_ns))
    if hasattr(fragment, "ensure_complete_metadata"):
        fragment.ensure_complete_metadata()  # as if it were used: a fragment knows its row groups
    return frame(b"Fragment", reduced(walker, fragment) + version)


HANDLERS: dict[str, Handler] = {
    "Array": _array,
    "ChunkedArray": _array,
    "Table": _table,
    "RecordBatch": _table,
    "Schema": _whole_schema,
    "Field": _field,
    "DataType": _type,
    "Scalar": _scalar,
    "Fragment": _fragment,
}
